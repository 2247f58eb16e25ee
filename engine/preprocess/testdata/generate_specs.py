#!/usr/bin/env python3
"""Writes specs.txt: what Pillow 9.4 makes of pictures that the test can make too, for all kinds of preprocessing.

Each line has mode, interpolation, resize, crop, center, kind of picture, width, height, and the first half of the
SHA-256 of the crop. Run with Pillow and torchvision installed: python3 generate_specs.py > specs.txt"""
import hashlib, itertools
from PIL import Image
from generate import picture

MODES = ("shorter", "squash", "fill")
FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "nearest": Image.NEAREST}
SHAPES = [(256, 224, "round"), (257, 224, "floor"), (168, 160, "round"), (235, 224, "round"), (224, 224, "floor"),
          (341, 320, "floor"), (128, 128, "round"), (1023, 192, "round"), (365, 320, "round")]
SIZES = [(1, 1), (2, 1), (3, 5), (17, 33), (3, 300), (400, 4), (1, 700), (127, 257), (224, 224), (225, 224), (256, 256),
         (257, 255), (168, 700), (333, 500), (500, 375), (499, 333), (512, 512), (230, 300), (1024, 300), (700, 703),
         (100, 1500), (2000, 90), (49, 98), (161, 322), (128, 1024), (341, 341), (1037, 751)]
KINDS = ("noise", "extremes", "white")


def resized(image, mode, size, method):
    w, h = image.size
    if mode == "shorter":
        short, long = min(w, h), max(w, h)
        new = int(size * long / short)
        return image.resize((size, new) if w <= h else (new, size), method)
    if mode == "fill":  # fastai's Resize
        m = w / size if w / size < h / size else h / size
        side = max(int(m * size), 1)
        left, top = int(0.5 * (w - side)), int(0.5 * (h - side))
        image = image.crop((left, top, left + side, top + side))
    return image.resize((size, size), method)


def start(length, crop, center):
    return (length - crop) // 2 if center == "floor" else int(round((length - crop) / 2.0))


LONG = [(140000, 2), (2, 20000)]  # that mode squash uses in full


def line(mode, interpolation, shape, kind, width, height):
    size, crop, center = shape
    image = resized(Image.fromarray(picture(kind, width, height), "RGB"), mode, size, FILTERS[interpolation])
    left, top = start(image.size[0], crop, center), start(image.size[1], crop, center)
    data = image.crop((left, top, left + crop, top + crop)).tobytes()
    print(mode, interpolation, size, crop, center, kind, width, height, hashlib.sha256(data).hexdigest()[:32])


def main():
    turn = 0
    for mode, interpolation, (size, crop, center) in itertools.product(MODES, FILTERS, SHAPES):
        for _ in range(4):
            turn += 1
            kind, (width, height) = KINDS[turn % 5 % 3], SIZES[turn * 5 % len(SIZES)]
            line(mode, interpolation, (size, crop, center), kind, width, height)
    for interpolation, (width, height) in itertools.product(FILTERS, LONG):
        line("squash", interpolation, SHAPES[0], "noise", width, height)


if __name__ == "__main__":
    main()
