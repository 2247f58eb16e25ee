"""Times PyTorch on one image, as a contestant of compare (protocol: see main.go).

usage: python3 pytorch.py MODEL.pth THREADS CROP.rgb
"""
import json
import sys
import time

import numpy
import torch
import torchvision

path, threads, crop = sys.argv[1:]
torch.set_num_threads(int(threads))
model = torchvision.models.resnet18()
model.load_state_dict(torch.load(path, map_location="cpu"))
model.eval()
# The fastest way this PyTorch offers without other packages: batch norm folded, graph frozen.
x = numpy.fromfile(crop, dtype=numpy.uint8).reshape(224, 224, 3).astype(numpy.float32) / 255
x = (x - numpy.array([0.485, 0.456, 0.406], numpy.float32)) / numpy.array([0.229, 0.224, 0.225], numpy.float32)
x = torch.from_numpy(x.transpose(2, 0, 1).copy())[None]
with torch.no_grad():
    model = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, x)))

    def once():
        start = time.perf_counter()
        logits = model(x)
        return time.perf_counter() - start, int(logits.argmax())

    for _ in range(5):
        once()
    print(json.dumps({"ready": "PyTorch " + torch.__version__.split("+")[0]}), flush=True)
    for line in sys.stdin:
        runs = [once() for _ in range(int(line))]
        print(json.dumps({"seconds": [r[0] for r in runs], "top1": runs[-1][1]}), flush=True)
