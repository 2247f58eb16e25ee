"""Times PyTorch on one image, as a contestant of compare (protocol: see contestant.go).

usage: python3 pytorch.py MODEL.pth THREADS CROPS.rgb
"""
import json
import sys
import time

import numpy
import torch
import torchvision

path, threads, crops = sys.argv[1:]
torch.set_num_threads(int(threads))
model = torchvision.models.resnet18()
model.load_state_dict(torch.load(path, map_location="cpu"))
model.eval()
crops = numpy.fromfile(crops, dtype=numpy.uint8).reshape(-1, 224, 224, 3)


def input_of(crop):
    x = crop.astype(numpy.float32) / 255
    x = (x - numpy.array([0.485, 0.456, 0.406], numpy.float32)) / numpy.array([0.229, 0.224, 0.225], numpy.float32)
    return torch.from_numpy(x.transpose(2, 0, 1).copy())[None]


timed = input_of(crops[0])
with torch.no_grad():
    # The fastest way this PyTorch offers without other packages: batch norm folded, graph frozen.
    model = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, timed)))

    def classify(x):
        start = time.perf_counter()
        logits = model(x)
        return time.perf_counter() - start, int(logits.argmax())

    for _ in range(5):
        classify(timed)
    print(json.dumps({"ready": "PyTorch " + torch.__version__.split("+")[0]}), flush=True)
    for line in sys.stdin:
        if line == "labels\n":
            answer = {"labels": [classify(input_of(crop))[1] for crop in crops]}
        else:
            answer = {"seconds": [classify(timed)[0] for _ in range(int(line))]}
        print(json.dumps(answer), flush=True)
