#!/usr/bin/env python3
"""Writes golden.jsonl: what torchvision's transforms make of pictures that the test can make too.

Run with Pillow and torchvision installed: python3 generate.py > golden.jsonl"""
import hashlib, json
import numpy as np
from PIL import Image
from torchvision import transforms

SIZES = [
    (1, 1), (2, 1), (1, 2), (3, 5), (7, 3), (17, 33), (3, 700), (900, 4), (1, 1000), (31, 257), (64, 64),
    (223, 225), (224, 224), (225, 224), (255, 300), (256, 256), (256, 257), (257, 256), (300, 255), (256, 1000),
    (333, 500), (375, 500), (500, 333), (500, 374), (500, 375), (499, 375), (512, 512), (640, 480), (767, 511),
    (1024, 300), (300, 1024), (1000, 1003), (1537, 640), (2048, 1536), (100, 3000), (3000, 100),
]


def picture(kind, width, height):
    v = np.arange(width * height * 3, dtype=np.uint32)
    v *= np.uint32(2654435761)
    v ^= v >> np.uint32(15)
    v *= np.uint32(2246822519)
    v ^= v >> np.uint32(13)
    v >>= np.uint32(24)
    if kind == "extremes":  # black and white noise
        v = np.where(v & 1, 255, 0)
    if kind == "white":
        v[:] = 255
    return v.astype(np.uint8).reshape(height, width, 3)


def main():
    transform = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    for kind in ("noise", "extremes", "white"):
        for width, height in SIZES:
            out = transform(Image.fromarray(picture(kind, width, height), "RGB"))
            print(json.dumps({"kind": kind, "width": width, "height": height,
                              "sha256": hashlib.sha256(out.tobytes()).hexdigest()}))


if __name__ == "__main__":
    main()
