"""The other side of bench/decode: Pillow and torchvision.

Takes the names of JPEG files as arguments, prints {"name": ..., "crops": [...]} with the SHA-256 of each file's
224x224 crop, and then, for each line on its input, works through all files once and prints the CPU seconds per stage.
"""
import hashlib
import io
import json
import sys
import time

import PIL
import torchvision
from PIL import Image, features
from torchvision import transforms

files = [open(name, "rb").read() for name in sys.argv[1:]]
transform = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])


def decode(data):
    return Image.open(io.BytesIO(data)).convert("RGB")  # as torchvision's default loader does


def answer(value):
    print(json.dumps(value), flush=True)


answer({
    "name": f"Pillow {PIL.__version__} (libjpeg-turbo {features.version('libjpeg_turbo')}), torchvision {torchvision.__version__}",
    "crops": [hashlib.sha256(transform(decode(f)).tobytes()).hexdigest() for f in files],
})
for _ in sys.stdin:
    seconds = {"decode": 0.0, "preprocess": 0.0, "both": 0.0}
    for data in files:
        start = time.process_time()
        picture = decode(data)
        decoded = time.process_time()
        crop = transform(picture)
        seconds["decode"] += decoded - start
        seconds["preprocess"] += time.process_time() - decoded
    start = time.process_time()
    for data in files:
        crop = transform(decode(data))
    seconds["both"] = time.process_time() - start
    answer(seconds)
