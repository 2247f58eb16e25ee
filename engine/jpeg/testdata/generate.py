#!/usr/bin/env python3
"""Makes the golden files of this folder: small JPEGs of a drawn picture in every coding, and golden.jsonl with the
SHA-256 of the pixels that Pillow's convert("RGB") gives for each. Wants python3-pil and libjpeg-turbo-progs on an
x86-64 machine; run it in this folder with Debian's /usr/bin/python3, whose libjpeg-turbo decodes arithmetic coding. What
Pillow refuses is listed with an empty hash."""
import hashlib, io, json, subprocess, sys, tempfile
from PIL import Image

out = {}


def picture(w, h, mode="RGB"):
    """Slopes, edges and a little noise, so that every frequency occurs."""
    im = Image.new("RGB", (w, h))
    seed = 1
    for y in range(h):
        for x in range(w):
            seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
            noise = (seed >> 16) % 24
            r, g, b = (x * 5 + noise) % 256, (y * 4 + x + noise) % 256, (255 - x * 2 + y * 3) % 256
            if (x // 9 + y // 7) % 3 == 0:
                r, g, b = 250 - noise, 30, (b + 128) % 256
            im.putpixel((x, y), (r, g, b))
    return im.convert(mode)


def ppm(im):
    f = io.BytesIO()
    im.save(f, "PPM")
    return f.getvalue()


def cjpeg(name, *args, size=(61, 45), mode="RGB", scans=None):
    if scans:
        f = tempfile.NamedTemporaryFile("w", suffix=".txt")
        f.write(scans)
        f.flush()
        args += ("-scans", f.name)
    out[name] = cjpeg_of(picture(*size, mode), *args)


def cjpeg_of(im, *args):
    return subprocess.run(["cjpeg", *args], input=ppm(im), stdout=subprocess.PIPE, check=True).stdout


def jpegtran(name, source, *args):
    """Codes the coefficients of another file again."""
    out[name] = subprocess.run(["jpegtran", "-arithmetic", *args], input=out[source], stdout=subprocess.PIPE, check=True).stdout


def pillow(name, im, **args):
    f = io.BytesIO()
    im.save(f, "JPEG", **args)
    out[name] = f.getvalue()


def conditioned(data, dc, ac):
    """Replaces the conditioning in every DAC segment of a file."""
    data = bytearray(data)
    at = data.find(b"\xff\xcc")
    while at >= 0:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        for i in range(at + 4, end, 2):
            data[i + 1] = dc if data[i] < 16 else ac
        at = data.find(b"\xff\xcc", end)
    return bytes(data)


def segments(data):
    """Splits a file before its first scan into (marker, start, end), the last one being the scan and all after."""
    at = 2
    while data[at + 1] != 0xDA:
        n = int.from_bytes(data[at + 2 : at + 4], "big")
        yield data[at + 1], at, at + 2 + n
        at += 2 + n
    yield 0xDA, at, len(data)


def without(data, *markers):
    return data[:2] + b"".join(data[a:b] for m, a, b in segments(data) if m not in markers)


def patched(data, marker, change):
    return data[:2] + b"".join(change(data[a:b]) if m == marker else data[a:b] for m, a, b in segments(data))


for sample in ("1x1", "2x1", "1x2", "2x2", "4x1", "1x4", "4x2", "3x1", "1x3", "3x2"):
    cjpeg(f"sample-{sample}.jpg", "-sample", sample)
    cjpeg(f"sample-{sample}-progressive.jpg", "-progressive", "-sample", sample)
cjpeg("sample-1x1,2x2,2x2.jpg", "-sample", "1x1,2x2,2x2")
cjpeg("sample-2x2,2x1,1x2.jpg", "-sample", "2x2,2x1,1x2")
cjpeg("sample-2x2,1x2,2x2.jpg", "-sample", "2x2,1x2,2x2")
cjpeg("sample-gray-2x2.jpg", "-sample", "2x2", mode="L")
for size in ((1, 1), (2, 1), (3, 3), (5, 3), (7, 9), (8, 8), (16, 16), (17, 17), (33, 2), (2, 33)):
    cjpeg(f"size-{size[0]}x{size[1]}.jpg", "-sample", "2x2", size=size)
    cjpeg(f"size-{size[0]}x{size[1]}-422.jpg", "-sample", "2x1", size=size)
for q in ("1", "10", "50", "95", "100"):
    cjpeg(f"quality-{q}.jpg", "-quality", q)
cjpeg("quality-1-baseline.jpg", "-quality", "1", "-baseline")
cjpeg("optimized.jpg", "-optimize")
cjpeg("gray.jpg", mode="L")
cjpeg("gray-progressive.jpg", "-progressive", mode="L")
cjpeg("rgb.jpg", "-rgb")
cjpeg("rgb-progressive.jpg", "-rgb", "-progressive")
for restart in ("1B", "3B", "1"):
    cjpeg(f"restart-{restart}.jpg", "-restart", restart)
    cjpeg(f"restart-{restart}-progressive.jpg", "-restart", restart, "-progressive")
SEQUENTIAL = "0;\n1;\n2;\n"
DEEP = ("0 1 2: 0-0, 0, 3;\n"
        + "".join(f"{c}: 1-63, 0, 4;\n" for c in (0, 1, 2))
        + "".join(f"{c}: 1-63, {b}, {b - 1};\n" for b in (4, 3, 2, 1) for c in (0, 1, 2))
        + "".join(f"0 1 2: 0-0, {b}, {b - 1};\n" for b in (3, 2, 1)))
BANDS = ("0: 0-0, 0, 0;\n1: 0-0, 0, 0;\n2: 0-0, 0, 0;\n"
         + "".join(f"{c}: {k}-{k + 8}, 0, 0;\n" for c in (0, 1, 2) for k in range(1, 63, 9)))
LOW_ONLY = "0 1 2: 0-0, 0, 0;\n0: 1-9, 0, 0;\n1: 1-9, 0, 0;\n2: 1-9, 0, 0;\n"
cjpeg("scans-sequential.jpg", scans=SEQUENTIAL)
cjpeg("scans-sequential-pairs.jpg", scans="0;\n1 2;\n")
cjpeg("scans-deep.jpg", "-quality", "98", scans=DEEP)
cjpeg("scans-bands.jpg", scans=BANDS)
# Without vertical subsampling and not two blocks wide: there libjpeg-turbo before 3.0 clamped wrongly.
for size in ((61, 65), (33, 33), (61, 17), (40, 9), (48, 41), (5, 3)):
    name = f"{size[0]}x{size[1]}.jpg"
    cjpeg("scans-dc-only-" + name, "-sample", "1x1", size=size, scans="0 1 2: 0-0, 0, 0;\n")
    cjpeg("scans-dc-only-422-" + name, "-sample", "2x1", size=size, scans="0: 0-0, 0, 0;\n1: 0-0, 0, 0;\n2: 0-0, 0, 0;\n")
    cjpeg("scans-unrefined-" + name, "-sample", "2x1", size=size, scans="0 1 2: 0-0, 0, 1;\n0: 1-2, 0, 2;\n1: 1-63, 0, 2;\n")
cjpeg("scans-low-only.jpg", scans=LOW_ONLY)
cjpeg("arithmetic.jpg", "-arithmetic")
pillow("cmyk.jpg", picture(61, 45, "CMYK"))
pillow("cmyk-progressive.jpg", picture(61, 45, "CMYK"), progressive=True)
# Every kind of file in arithmetic coding too.
for name in ("gray", "gray-progressive", "rgb", "rgb-progressive", "cmyk", "cmyk-progressive", "quality-1", "quality-100", "size-1x1", "size-33x2-422",
             "sample-1x1", "sample-1x1-progressive", "sample-2x2", "sample-2x2-progressive", "sample-4x1", "sample-4x1-progressive", "sample-1x2",
             "sample-3x2-progressive", "sample-1x1,2x2,2x2", "restart-1B", "restart-1B-progressive", "restart-3B", "restart-3B-progressive",
             "restart-1", "restart-1-progressive"):
    options = ("-progressive",) if name.endswith("progressive") else ()
    if name.startswith("restart"):
        options += ("-restart", name.split("-")[1])
    jpegtran(f"{name}-arithmetic.jpg", f"{name}.jpg", *options)
for name, scans in (("sequential", SEQUENTIAL), ("deep", DEEP), ("bands", BANDS), ("low-only", LOW_ONLY)):
    cjpeg(f"scans-{name}-arithmetic.jpg", "-arithmetic", "-quality", "98", scans=scans)
cjpeg("scans-dc-only-arithmetic.jpg", "-arithmetic", "-sample", "1x1", size=(61, 65), scans="0 1 2: 0-0, 0, 0;\n")
# Other conditioning than the default. Encoders write the default only, so the tables are changed after coding: the pictures
# are noise, and libjpeg-turbo decodes these without a warning.
for name, size, args, dc, ac in (("1", (61, 45), ("-quality", "1"), 0x21, 5), ("2", (61, 45), ("-quality", "1"), 0x32, 5),
                                 ("3", (61, 45), ("-progressive",), 0xF0, 5), ("4", (61, 45), ("-progressive", "-restart", "3B"), 0x00, 5),
                                 ("5", (16, 8), ("-progressive", "-quality", "98"), 0x10, 3), ("6", (33, 9), ("-progressive",), 0x10, 1)):
    mode = "L" if name in "356" else "RGB"
    coded = cjpeg_of(picture(*size, mode), "-arithmetic", *args)
    out[f"scans-conditioning-{name}-arithmetic.jpg"] = conditioned(coded, dc, ac)
# A flat picture, whose data ends long before its blocks do: encoders leave out zeros at the end.
out["size-800x600-flat-arithmetic.jpg"] = cjpeg_of(Image.new("RGB", (800, 600), (200, 30, 90)), "-arithmetic")
pillow("exif-icc.jpg", picture(61, 45), exif=b"Exif\0\0" + bytes(100), icc_profile=bytes(200))

base = out["sample-2x2.jpg"]
out["ycck.jpg"] = patched(out["cmyk.jpg"], 0xEE, lambda s: s[:-1] + b"\2")
out["cmyk-no-adobe.jpg"] = without(out["cmyk.jpg"], 0xEE)
out["no-jfif.jpg"] = without(base, 0xE0)
adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"
out["adobe-rgb.jpg"] = b"\xff\xd8" + adobe + b"\0" + without(base, 0xE0)[2:]
out["adobe-ycc.jpg"] = b"\xff\xd8" + adobe + b"\1" + without(base, 0xE0)[2:]
out["jfif-over-adobe.jpg"] = b"\xff\xd8" + adobe + b"\0" + base[2:]
out["standard-tables.jpg"] = without(base, 0xC4)
out["extended.jpg"] = patched(base, 0xC0, lambda s: b"\xff\xc1" + s[2:])
out["trailing.jpg"] = base + b"trailing bytes \xff\xd8\xff\xda"
out["fill-bytes.jpg"] = patched(base, 0xDB, lambda s: b"\xff\xff\xff" + s)
out["comment.jpg"] = b"\xff\xd8\xff\xfe\0\x07hello" + base[2:]
out["comment-length-0.jpg"] = b"\xff\xd8\xff\xfe\0\0" + base[2:]
out["application-length-1.jpg"] = b"\xff\xd8\xff\xe3\0\1" + base[2:]
# Coefficients far beyond what an encoder makes: sums wrap and saturate.
out["overflow.jpg"] = patched(out["quality-100.jpg"], 0xDB, lambda s: s[:5] + b"\xff" * 64 + s[69:])
wide = b"\xff\xdb\0\x83\x10" + b"\x7f\x01" * 64 + b"\xff\xdb\0\x83\x11" + b"\xf3\x13" * 64
out["overflow-wide.jpg"] = b"\xff\xd8" + wide + without(out["quality-50.jpg"], 0xDB)[2:]
out["zero-quant.jpg"] = patched(base, 0xDB, lambda s: s[:20] + b"\0" * 10 + s[30:])
# Broken or unsupported ones.
out["bad-fractional.jpg"] = patched(out["sample-3x1.jpg"], 0xC0, lambda s: s[:14] + b"\x21" + s[15:])
out["bad-truncated.jpg"] = base[: len(base) * 2 // 3]
out["bad-no-eoi.jpg"] = base[:-2]
out["bad-no-quant.jpg"] = without(base, 0xDB)
out["bad-precision.jpg"] = patched(base, 0xC0, lambda s: s[:4] + b"\x0c" + s[5:])
out["bad-height-zero.jpg"] = patched(base, 0xC0, lambda s: s[:5] + b"\0\0" + s[7:])
out["bad-lossless.jpg"] = patched(base, 0xC0, lambda s: b"\xff\xc3" + s[2:])

with open("golden.jsonl", "w") as golden:
    for name, data in sorted(out.items()):
        with open(name, "wb") as f:
            f.write(data)
        try:
            digest = hashlib.sha256(Image.open(io.BytesIO(data)).convert("RGB").tobytes()).hexdigest()
        except Exception as e:
            print(name, "refused:", e, file=sys.stderr)
            digest = ""
        print(json.dumps({"file": name, "sha256_rgb": digest}), file=golden)
