"""A replica with the interface of the prototype's, and no network: Flask, three routes, its JSON and its
faults (no /health/ready, no slots in /info, 500 for what it cannot read). The argument is the port."""
import sys
import time

from flask import Flask, jsonify, request

app = Flask(__name__)


@app.route("/predict", methods=["POST"])
def predict():
    if "image" not in request.files:
        return jsonify({"error": "No image provided"}), 400
    image = request.files["image"]
    if image.filename == "":
        return jsonify({"error": "Empty filename"}), 400
    start = time.time()
    data = image.read()
    if data[:2] != b"\xff\xd8":
        return jsonify({"error": "cannot identify image file"}), 500
    time.sleep(0.01)
    return jsonify({
        "filename": image.filename,
        "inference_time": time.time() - start,
        "predictions": ["goldfinch", "bulbul", "chickadee", "magpie", "junco"],
    })


@app.route("/health")
def health():
    return jsonify({"status": "healthy", "model": "resnet18"})


@app.route("/info")
def info():
    return jsonify({
        "model": "resnet18", "framework": "PyTorch", "input_size": "224x224", "classes": 1000,
        "endpoints": ["/predict", "/health", "/info"],
    })


app.run(host="127.0.0.1", port=int(sys.argv[1]), threaded=True)
