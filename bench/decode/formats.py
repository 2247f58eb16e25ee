"""The other side of bench/decode -formats: Pillow.

Takes the beginning of names in KINDS and the names of JPEG files as arguments, and makes files of those kinds of their pictures.
Prints {"name": ..., "kinds": [{"kind": ..., "files": [base64, ...], "sums": [SHA-256 of the RGB pixels, ...]}]} and then, for each line
on its input, decodes all files once and prints the CPU seconds for each kind.
"""
import array
import base64
import hashlib
import io
import json
import struct
import sys
import time

import PIL
from PIL import Image

pictures = [Image.open(name).convert("RGB") for name in sys.argv[2:]]


def saved(format, convert=lambda m: m, **options):
    files = []
    for m in pictures:
        out = io.BytesIO()
        convert(m).save(out, format, **options)
        files.append(out.getvalue())
    return files


def with_alpha(m):
    m = m.convert("RGBA")
    m.putalpha(m.getchannel("G"))
    return m


def colors(n):
    return lambda m: m.quantize(n).convert("RGB")


def bmp16(m):
    """A BMP file with 5 bits for each color, which Pillow reads but does not write."""
    width, height = m.size
    colors = (c.tobytes() for c in m.transpose(Image.FLIP_TOP_BOTTOM).split())
    pixels = array.array("H", ((r >> 3) << 10 | (g >> 3) << 5 | b >> 3 for r, g, b in zip(*colors)))
    padding = bytes(width % 2 * 2)
    rows = b"".join(pixels[y * width:(y + 1) * width].tobytes() + padding for y in range(height))
    return b"BM" + struct.pack("<IIIIiiHHIIIIII", 54 + len(rows), 0, 54, 40, width, height, 1, 16, 0, len(rows), 0, 0, 0, 0) + rows


KINDS = {
    "JPEG": lambda: saved("JPEG", quality=90),
    "GIF": lambda: saved("GIF", lambda m: m.quantize(256), interlace=0),
    "GIF, interlaced": lambda: saved("GIF", lambda m: m.quantize(256), interlace=1),
    "GIF, 16 colors": lambda: saved("GIF", lambda m: m.quantize(16), interlace=0),
    "BMP, 24 bits": lambda: saved("BMP"),
    "BMP, 32 bits": lambda: saved("BMP", with_alpha),
    "BMP, 16 bits": lambda: [bmp16(m) for m in pictures],
    "BMP, 8 bits": lambda: saved("BMP", lambda m: m.quantize(256)),
    "BMP, 1 bit": lambda: saved("BMP", lambda m: m.convert("1")),
    "PNG": lambda: saved("PNG"),
    "PNG, alpha": lambda: saved("PNG", with_alpha),
    "PNG, gray": lambda: saved("PNG", lambda m: m.convert("L")),
    "PNG, palette": lambda: saved("PNG", lambda m: m.quantize(256)),
    "PNG, 16 colors": lambda: saved("PNG", lambda m: m.quantize(16)),
    "PNG, 1 bit": lambda: saved("PNG", lambda m: m.convert("1")),
    "WebP": lambda: saved("WEBP", quality=85),
    "WebP, lossless": lambda: saved("WEBP", lossless=True),
    "WebP, lossless, method 0": lambda: saved("WEBP", lossless=True, method=0),
    "WebP, lossless, method 6": lambda: saved("WEBP", lossless=True, method=6, quality=100),
    "WebP, lossless, alpha": lambda: saved("WEBP", with_alpha, lossless=True, exact=True),
    "WebP, lossless, gray": lambda: saved("WEBP", lambda m: m.convert("L").convert("RGB"), lossless=True),
    "WebP, lossless, 256 colors": lambda: saved("WEBP", colors(256), lossless=True),
    "WebP, lossless, 16 colors": lambda: saved("WEBP", colors(16), lossless=True),
    "WebP, lossless, 4 colors": lambda: saved("WEBP", colors(4), lossless=True),
    "WebP, lossless, 2 colors": lambda: saved("WEBP", colors(2), lossless=True),
}
KINDS = {kind: make() for kind, make in KINDS.items() if kind.startswith(sys.argv[1])}


def decode(data):
    return Image.open(io.BytesIO(data)).convert("RGB")  # as torchvision's default loader does


def answer(value):
    print(json.dumps(value), flush=True)


answer({
    "name": f"Pillow {PIL.__version__}",
    "kinds": [{
        "kind": kind,
        "files": [base64.b64encode(f).decode() for f in files],
        "sums": [hashlib.sha256(decode(f).tobytes()).hexdigest() for f in files],
    } for kind, files in KINDS.items()],
})
for _ in sys.stdin:
    seconds = []
    for files in KINDS.values():
        start = time.process_time()
        for data in files:
            decode(data)
        seconds.append(time.process_time() - start)
    answer(seconds)
