#!/usr/bin/env python3
"""Writes the pictures of this folder and what Pillow and torchvision make of them, with random weights of our own.

Run with Pillow and torchvision installed (Debian: python3-torchvision), in the repository's root:

    go test ./engine/resnet -run TestGoldenLogits -export /tmp/random.safetensors  # fails as long as there are no logits
    python3 engine/testdata/generate.py /tmp/random.safetensors"""
import hashlib, json, os, struct, sys
import numpy as np
import torch
from PIL import Image
from torchvision import models, transforms

ENGINE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CROP = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
NORMALIZE = transforms.Compose([transforms.ToTensor(),
                                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])


def load(path):
    """torchvision's model with the weights of a safetensors file."""
    data = open(path, "rb").read()
    length, = struct.unpack("<Q", data[:8])
    state = {}
    for name, t in json.loads(data[8:8 + length]).items():
        if name != "__metadata__":
            begin, end = (8 + length + i for i in t["data_offsets"])
            state[name] = torch.from_numpy(np.frombuffer(data[begin:end], "<f4").reshape(t["shape"]).copy())
    model = models.resnet18(weights=None)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(m.endswith("num_batches_tracked") for m in missing), (missing, unexpected)
    return model.eval()


def logits(model, pictures):
    with torch.no_grad():
        return model(torch.stack([NORMALIZE(p) for p in pictures])).numpy().astype("<f4")


def golden_picture(n):
    y, x, c = np.meshgrid(np.arange(224), np.arange(224), np.arange(3), indexing="ij")
    return Image.fromarray((x * (3 + c) + y * (5 - c) * n + (x * y >> (4 + n))).astype(np.uint8), "RGB")


def photo(width, height, n):
    """Something like a photograph: a sky, a few discs and stripes."""
    y, x = np.meshgrid(np.arange(height) / height, np.arange(width) / width, indexing="ij")
    a = np.stack([90 + 120 * y, 140 + 60 * x, 230 - 150 * y], axis=2)
    for i in range(5):
        cx, cy, r = (0.2 + 0.61 * i * n) % 1, (0.3 + 0.37 * i) % 1, 0.08 + 0.03 * i
        disc = (x - cx) ** 2 + (y - cy) ** 2 < r * r
        a[disc] = [(60 * i + 40 * n) % 256, (200 - 37 * i) % 256, (90 + 71 * i * n) % 256]
    stripes = (np.floor(x * 40) % 2 == 0) & (y > 0.8)
    a[stripes] = [240, 230, 20 * n]
    return Image.fromarray(a.astype(np.uint8), "RGB")


def main():
    model = load(sys.argv[1])
    folder = os.path.join(ENGINE, "testdata")
    photo(320, 240, 1).save(os.path.join(folder, "photo.jpg"), quality=80)
    photo(240, 300, 2).save(os.path.join(folder, "progressive.jpg"), quality=70, progressive=True, subsampling="4:4:4")
    photo(200, 180, 3).quantize(32).save(os.path.join(folder, "palette.png"))
    photo(260, 230, 4).save(os.path.join(folder, "photo.webp"), quality=70)
    photo(150, 200, 5).quantize(16).save(os.path.join(folder, "photo.gif"))
    names = ["photo.jpg", "progressive.jpg", "palette.png", "photo.webp", "photo.gif"]
    pictures = [Image.open(os.path.join(folder, name)).convert("RGB") for name in names]
    crops = [CROP(p) for p in pictures]
    with open(os.path.join(folder, "golden.jsonl"), "w") as f:
        for name, p, c in zip(names, pictures, crops):
            print(json.dumps({"file": name, "width": p.width, "height": p.height,
                              "sha256_rgb": hashlib.sha256(p.tobytes()).hexdigest(),
                              "sha256_crop": hashlib.sha256(c.tobytes()).hexdigest()}), file=f)
    logits(model, crops).tofile(os.path.join(folder, "logits.f32"))
    logits(model, [golden_picture(n) for n in range(2)]).tofile(os.path.join(ENGINE, "resnet", "testdata", "logits.f32"))


main()
