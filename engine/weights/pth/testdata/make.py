"""Writes the pickles of this folder with Python's own pickler: python3 make.py

The modules of PyTorch, numpy and others that the pickles name are stubs defined here, because only names end up in a
pickle. No library is needed. The numbers of tensor number k are k, k + 0.5, k + 1, ... in float32.
"""

import argparse
import collections
import io
import pathlib
import pickle
import struct
import sys
import types
import zipfile


def stub(module, name, base=object, **attributes):
    parts = module.split(".")
    for i in range(len(parts)):
        sys.modules.setdefault(".".join(parts[: i + 1]), types.ModuleType(".".join(parts[: i + 1])))
    made = type(name, (base,), {"__module__": module, "__qualname__": name, **attributes})
    setattr(sys.modules[module], name, made)
    return made


def function(module, name):
    stub(module, name)

    def made(*args):
        raise AssertionError("called")

    made.__module__, made.__name__, made.__qualname__ = module, name, name
    setattr(sys.modules[module], name, made)
    return made


FloatStorage = stub("torch", "FloatStorage")
LongStorage = stub("torch", "LongStorage")
rebuild = function("torch._utils", "_rebuild_tensor_v2")
rebuild_parameter = function("torch._utils", "_rebuild_parameter")
rebuild_from_type = function("torch._tensor", "_rebuild_from_type_v2")
scalar = function("numpy.core.multiarray", "scalar")
reconstruct = function("numpy.core.multiarray", "_reconstruct")
ndarray = stub("numpy", "ndarray")


class Call:
    """Pickled as a call of f."""

    def __init__(self, f, *args, state=None):
        self.reduced = (f, args) if state is None else (f, args, state)

    def __reduce_ex__(self, protocol):
        return self.reduced


class Storage:
    def __init__(self, kind, key, data, size):
        self.kind, self.key, self.data, self.size = kind, key, data, size


dtype = stub("numpy", "dtype", __init__=lambda self, *args: setattr(self, "args", args), __reduce__=lambda self: (dtype, self.args, (3, "<", None, None, None, -1, -1, 0)), __setstate__=lambda self, state: None)


class Checkpoint:
    def __init__(self):
        self.storages = []

    def tensor(self, *shape, integer=False):
        n, strides = 1, []
        for d in reversed(shape):
            strides.insert(0, n)
            n *= d
        k = len(self.storages)
        if integer:
            s = Storage(LongStorage, str(k), struct.pack("<%dq" % n, *range(n)), n)
        else:
            s = Storage(FloatStorage, str(k), struct.pack("<%df" % n, *[k + i / 2 for i in range(n)]), n)
        self.storages.append(s)
        return Call(rebuild, s, 0, tuple(shape), tuple(strides), False, collections.OrderedDict())

    def pickle(self, value, protocol):
        class Pickler(pickle.Pickler):
            def persistent_id(self, x):
                if isinstance(x, Storage):
                    return ("storage", x.kind, x.key, "cpu", x.size)

        out = io.BytesIO()
        Pickler(out, protocol).dump(value)
        return out.getvalue()

    def save(self, name, value, protocol=2, method=zipfile.ZIP_STORED, prefix="archive/"):
        with zipfile.ZipFile(name, "w", method) as z:

            def add(entry, data):
                z.writestr(zipfile.ZipInfo(prefix + entry), data, method)

            add("data.pkl", self.pickle(value, protocol))
            add("byteorder", b"little")
            for s in self.storages:
                add("data/" + s.key, s.data)
            add("version", b"3\n")

    def save_legacy(self, name, value, protocol=2):
        with open(name, "wb") as f:
            for v in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}):
                pickle.dump(v, f, protocol)
            f.write(self.pickle(value, protocol))
            pickle.dump([s.key for s in self.storages], f, protocol)
            for s in self.storages:
                f.write(struct.pack("<q", s.size) + s.data)


# Every kind of plain value, in every protocol.
class Plain:
    def __init__(self, x):
        self.x = x


stub("my.code", "Thing", dict)
values = {
    "none": None, "true": True, "false": False, "small": 7, "byte": 200, "short": 60000, "negative": -5, "int": -70000,
    "long": 1 << 40, "least": -(1 << 63), "nine bytes": (1 << 64) - 1, "huge": 1 << 200, "float": -0.125,
    "text": "naïve 猫 \\u \n 'quoted'", "long text": "x" * 300, "very long text": "y" * 5000,
    "bytes": b"\x00\xff", "long bytes": b"z" * 300, "bytearray": bytearray(b"abc"),
    "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)), "list": [1, [2]], "numbers": [0.485, 0.456, 1],
    "set": {1}, "frozen": frozenset([2]), "ordered": collections.OrderedDict(a=1, b=2),
    "default": collections.defaultdict(int, {"k": 1}), "namespace": argparse.Namespace(arch="resnet18", epochs=90, lr=0.1),
    "path": pathlib.PurePosixPath("/data/x"), "complex": 1 + 2j, "class": argparse.Namespace,
    "classes": ["ant", "bee"], "class_to_idx": {"ant": 0, "bee": 1}, "idx_to_class": {0: "ant", 1: "bee"},
    "thing": sys.modules["my.code"].Thing(a=1),
}
again = ["again"]
values["shared"] = [again, again]
for protocol in range(6):
    with open("plain-%d.pkl" % protocol, "wb") as f:
        pickle.dump(values, f, protocol)

cycle = {"name": "cycle"}
cycle["self"] = cycle
cycle["list"] = [cycle]
with open("cycle.pkl", "wb") as f:
    pickle.dump(cycle, f, 4)

# A training checkpoint: weights, their average, an optimizer, and objects of packages that are not there.
c = Checkpoint()
state = collections.OrderedDict()
state["conv1.weight"] = c.tensor(2, 3)
state["bn1.num_batches_tracked"] = c.tensor(integer=True)
average = collections.OrderedDict()
average["n_averaged"] = c.tensor(integer=True)
average["module.conv1.weight"] = c.tensor(2, 3)
AttributeDict = stub("pytorch_lightning.utilities.parsing", "AttributeDict", dict)
training = {
    "epoch": 3, "model": state, "model_ema": average,
    "optimizer": {"state": {0: {"exp_avg": c.tensor(2, 3)}}, "param_groups": [{"lr": 0.1}]},
    "args": argparse.Namespace(arch="resnet18", mean=(0.5, 0.5, 0.5)),
    "metric": Call(scalar, dtype("f8", False, True), b"\x00" * 8),
    "hyper_parameters": AttributeDict(num_classes=2, root=pathlib.PurePosixPath("/data")),
}
zipfile.ZIP64_LIMIT = 0  # sizes in zip64's form, as PyTorch writes them for large files
c.save("training.pt", training)
zipfile.ZIP64_LIMIT = (1 << 31) - 1
c.save("training-root.pt", training, 4, zipfile.ZIP_DEFLATED, "")
c.save_legacy("training-legacy.pt", training)

# A whole model.
c = Checkpoint()
Module = stub("torch.nn.modules.module", "Module", __init__=lambda self, **kw: self.__dict__.update(kw))


def module(path, parameters={}, buffers={}, modules={}, passing=(), **attributes):
    where, name = path.rsplit(".", 1)
    cls = getattr(sys.modules.get(where), name, None) or stub(where, name, Module)
    ordered = collections.OrderedDict
    return cls(
        training=False, _parameters=ordered(parameters), _buffers=ordered(buffers), _modules=ordered(modules),
        _non_persistent_buffers_set=set(passing), _forward_hooks=ordered(), **attributes)


def parameter(*shape):
    return Call(rebuild_parameter, c.tensor(*shape), True, collections.OrderedDict())


def whole():
    conv = module("torch.nn.modules.conv.Conv2d", {"weight": parameter(2, 3), "bias": None}, kernel_size=(7, 7))
    norm = module(
        "torch.nn.modules.batchnorm.BatchNorm2d", {"weight": parameter(2)},
        {"running_mean": c.tensor(2), "passing": c.tensor(1)}, passing=["passing"])
    head = module("torch.nn.modules.container.Sequential", modules={
        "0": module("torch.nn.modules.dropout.Dropout", p=0.5),
        "1": module("torch.nn.modules.linear.Linear", {"weight": Call(
            rebuild_from_type, rebuild, stub("fastai.torch_core", "TensorBase"), c.tensor(4, 2).reduced[1], {})}),
    })
    return module(
        "my.models.Net", modules={"conv1": conv, "bn1": norm, "fc": head}, class_names=["ant", "bee"], inplanes=64)


c.save("whole.pt", whole())
c = Checkpoint()
c.save_legacy("whole-legacy.pt", {"net": whole(), "epoch": 1}, 5)

# Arrays, as Detectron2 pickles them.
f4 = dtype("f4", False, True)


def array(shape, numbers):
    data = struct.pack("<%df" % len(numbers), *numbers)
    return Call(reconstruct, ndarray, (0,), b"b", state=(1, shape, f4, False, data))


arrays = {
    "model": {
        "stem.conv1.weight": array((2, 3), [0, 0.5, 1, 1.5, 2, 2.5]),
        "large": array((2000,), [i / 2 for i in range(2000)]),
    },
    "__author__": "somebody", "matching_heuristics": True,
}
for protocol in (2, 5):
    with open("arrays-%d.pkl" % protocol, "wb") as f:
        pickle.dump(arrays, f, protocol)
