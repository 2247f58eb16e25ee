"""Times OpenCV's dnn on one image, as a contestant of compare (protocol: see contestant.go).

usage: python3 opencv.py MODEL.onnx[.gz] THREADS CROPS.rgb [CALIBRATION.rgb]

With crops to calibrate with, OpenCV makes the model int8 by them.
"""
import gzip
import json
import sys
import time

import cv2
import numpy


def inputs(path):
    x = numpy.fromfile(path, dtype=numpy.uint8).reshape(-1, 224, 224, 3).astype(numpy.float32) / 255
    x = (x - numpy.array([0.485, 0.456, 0.406], numpy.float32)) / numpy.array([0.229, 0.224, 0.225], numpy.float32)
    return x.transpose(0, 3, 1, 2).copy()


path, threads, crops = sys.argv[1:4]
cv2.setNumThreads(int(threads))
with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
    net = cv2.dnn.readNetFromONNX(numpy.frombuffer(file.read(), numpy.uint8))
if len(sys.argv) > 4:
    net = net.quantize([inputs(sys.argv[4])], cv2.CV_32F, cv2.CV_32F)
crops = inputs(crops)


def classify(x):
    start = time.perf_counter()
    net.setInput(x)
    logits = net.forward()
    return time.perf_counter() - start, int(logits.argmax())


for _ in range(5):
    classify(crops[:1])
print(json.dumps({"ready": "OpenCV " + cv2.__version__}), flush=True)
for line in sys.stdin:
    if line == "labels\n":
        answer = {"labels": [classify(crops[i : i + 1])[1] for i in range(len(crops))]}
    else:
        answer = {"seconds": [classify(crops[:1])[0] for _ in range(int(line))]}
    print(json.dumps(answer), flush=True)
