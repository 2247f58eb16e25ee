#!/usr/bin/env python3
"""Writes the files of this folder and golden.jsonl, which says what Pillow makes of them.

Run with Pillow and cwebp installed, in this folder: python3 generate.py"""
import hashlib, json, struct, subprocess, tempfile, zlib
import numpy as np
from PIL import Image, ImageFilter, ImageOps

rng = np.random.default_rng(18)


def picture(width, height):
    """A gradient with noise and a hard edge."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    a = np.stack([x * 255 / width, y * 255 / height, 255 - (x + y) * 127 / (width + height)], axis=2)
    a += rng.normal(0, 20, a.shape)
    a[:, width // 2:] = 255 - a[:, width // 2:]
    return Image.fromarray(np.clip(a, 0, 255).astype(np.uint8), "RGB")


def with_alpha(m):
    m = m.convert("RGBA")
    m.putalpha(Image.fromarray(rng.integers(0, 256, (m.height, m.width), dtype=np.uint8)))
    return m


def sha(m):
    return hashlib.sha256(m.convert("RGB").tobytes()).hexdigest()


def gif_frame(path, m, background):
    """A GIF whose only frame, an opaque palette picture, covers a part of a larger screen."""
    m.save(path)
    data = bytearray(open(path, "rb").read())
    width, height = m.width + 9, m.height + 5
    data[6:10] = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    at = 13 + 3 * (2 << (data[10] & 7))
    if background is not None:
        data[at:at] = bytes([0x21, 0xF9, 4, 1, 0, 0, background, 0])
        at += 8
    assert data[at] == ord(","), data[at]
    data[at + 1:at + 5] = (4).to_bytes(2, "little") + (3).to_bytes(2, "little")
    open(path, "wb").write(data)


def webp_frame(path, frames):
    """An animated WebP whose first frame covers a part of a larger canvas."""
    frames[0].save(path, save_all=True, append_images=frames[1:], quality=80)
    data = bytearray(open(path, "rb").read())
    data[24:30] = (frames[0].width + 8).to_bytes(3, "little") + (frames[0].height + 6).to_bytes(3, "little")
    at = data.index(b"ANMF") + 8
    data[at:at + 6] = (2).to_bytes(3, "little") + (1).to_bytes(3, "little")  # halved
    open(path, "wb").write(data)


def webp_noise(path, width, height):
    """A lossy WebP of noise: any bits are a header and coefficients, the latter so large that sums wrap and results saturate."""
    while True:
        noise = rng.integers(0, 255, 3300, dtype=np.uint8)  # 255 would be no beginning of an arithmetic code
        first = 300
        noise[first:first + 21] = [200, 1, 0] * 7  # sizes of partitions
        tag = (first << 5 | 1 << 4).to_bytes(3, "little")
        body = tag + b"\x9d\x01\x2a" + struct.pack("<HH", width, height) + noise.tobytes()
        data = b"WEBPVP8 " + len(body).to_bytes(4, "little") + body
        open(path, "wb").write(b"RIFF" + len(data).to_bytes(4, "little") + data)
        try:
            Image.open(path).load()
            return path
        except OSError:  # too short
            pass


def bmp(path, m, bits, header=40, compression=0, masks=None, colors=256, down=False, gap=b"", offset=None, pack=None, cut=0):
    """A BMP file of m: of its indices, or of its pixels by masks. None of them is what Pillow writes."""
    indexed = m.mode == "P"
    a = np.asarray(m if indexed else m.convert("RGBA")).astype(np.uint32)
    if not down:
        a = a[::-1]
    if pack:
        rows = [pack(row) for row in a]
    elif indexed:
        rows = [np.packbits(np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - bits:]).tobytes() for row in a]
    else:
        value = np.zeros(a.shape[:2], np.uint32)
        for i, mask in enumerate(masks or (0xFF0000, 0xFF00, 0xFF, 0)):
            low = mask & -mask
            value |= (a[:, :, i] * (mask // low if mask else 0) // 255 * low).astype(np.uint32)
        rows = [np.ascontiguousarray(row).view(np.uint8).reshape(-1, 4)[:, :bits // 8].tobytes() for row in value]
    if not pack:
        rows = [row + bytes(-len(row) % 4) for row in rows]
    pixels = b"".join(rows) + (b"\0\1" if pack else b"")
    pixels = pixels[:len(pixels) - cut]
    palette = b""
    if m.mode == "P" or gap == b"palette":
        p = (m if indexed else m.quantize(colors)).getpalette()[:3 * colors]
        p += [0] * (3 * colors - len(p))
        palette = b"".join(bytes([*p[i:i + 3][::-1]]) + bytes(header != 12) for i in range(0, len(p), 3))
        gap = gap.replace(b"palette", b"")
    if header == 12:
        info = struct.pack("<IHHHH", 12, m.width, m.height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, m.width, -m.height if down else m.height, 1, bits, compression,
                           len(pixels), 2835, 2835, colors if palette and colors != 256 else 0, 0)
        if compression == 3:
            info += struct.pack("<IIII", *masks)[:16 if header > 40 else 12]
        info += bytes(max(0, header - len(info)))
    at = 14 + len(info) + len(palette) + len(gap)
    data = info + palette + gap + pixels
    open(path, "wb").write(struct.pack("<2sIII", b"BM", 14 + len(data), 0, at if offset is None else offset) + data)


def rle8(row):
    """Runs, and where neighbours differ four literals at a time."""
    out, x = b"", 0
    while x < len(row):
        n = 1
        while x + n < len(row) and n < 255 and row[x + n] == row[x]:
            n += 1
        if n == 1 and x + 5 <= len(row):
            out += bytes([0, 5, *row[x:x + 5], 0])
            n = 5
        else:
            out += bytes([n, row[x]])
        x += n
    return out + b"\0\0"


def rle4(row):
    """Alternating runs, some beyond the end of the row, and every other time eight literals."""
    out, x, literal = b"", 0, False
    while x < len(row):
        pair = list(row[x:x + 2]) + [0] * (2 - len(row[x:x + 2]))
        n = 2
        while x + n < len(row) and n < 254 and row[x + n] == pair[n % 2]:
            n += 1
        if literal and x + 8 <= len(row):
            n = 8
            out += bytes([0, 8]) + bytes(row[i] << 4 | row[i + 1] for i in range(x, x + 8, 2))
        else:
            out += bytes([n if x + n < len(row) else 255, pair[0] << 4 | pair[1]])
        x, literal = x + n, not literal
    return out + b"\0\0"


def edit(path, source, change):
    """A copy of a file, changed."""
    data = bytearray(open(source, "rb").read())
    open(path, "wb").write(change(data) or data)


def png_chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def gif_of_codes(path, width, bits, codes, table=b"", extensions=b""):
    """A GIF of one row whose data are codes, all of bits + 1 bits."""
    value = sum(code << i * (bits + 1) for i, code in enumerate(codes))
    data = value.to_bytes(len(codes) * (bits + 1) // 8 + 1, "little")
    flags = 0x80 | (len(table) // 3).bit_length() - 2 if table else 0
    open(path, "wb").write(b"GIF89a" + struct.pack("<HHBBB", width, 1, flags, 0, 0) + table + extensions + b","
                           + struct.pack("<HHHHB", 0, 0, width, 1, 0) + bytes([bits, len(data)]) + data + b"\0;")


def unusual():
    """Files of kinds that Pillow reads but does not write, as pairs of name and file."""
    m = picture(21, 17)
    p, few = m.quantize(200), m.quantize(10)
    opaque = (0xFF0000, 0xFF00, 0xFF, 0)
    for name, args in {
        "os2": (p, 8, dict(header=12)),
        "os2-1bit": (m.quantize(2), 1, dict(header=12, colors=2)),
        "os2-rgb": (m, 24, dict(header=12)),
        "os2-2": (few, 4, dict(header=64, colors=16)),
        "v4-565": (m, 16, dict(header=108, compression=3, masks=(0xF800, 0x7E0, 0x1F, 0))),
        "v5-gap": (with_alpha(m), 32, dict(header=124, compression=3, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000), gap=bytes(12))),
        "v5-rgba": (with_alpha(m), 32, dict(header=124, compression=3, masks=(0xFF, 0xFF00, 0xFF0000, 0xFF000000))),
        "abgr": (with_alpha(m), 32, dict(header=124, compression=3, masks=(0xFF000000, 0xFF0000, 0xFF00, 0xFF))),
        "xbgr": (m, 32, dict(compression=3, masks=(0xFF000000, 0xFF0000, 0xFF00, 0))),
        "555": (m, 16, dict(masks=(0x7C00, 0x3E0, 0x1F, 0))),
        "565": (m, 16, dict(compression=3, masks=(0xF800, 0x7E0, 0x1F, 0))),
        "masks": (m, 24, dict(compression=3, masks=opaque)),
        "zero-masks": (m, 32, dict(header=108, compression=3, masks=(0, 0, 0, 0), pack=lambda row: row[:, [2, 1, 0, 3]].astype(np.uint8).tobytes())),
        "32": (with_alpha(m), 32, dict(masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000))),
        "rgb-palette": (m, 24, dict(gap=b"palette", colors=64)),
        "down": (m, 24, dict(down=True)),
        "down-4bit": (few, 4, dict(down=True)),
        "bad-index": (p, 8, dict(colors=120)),
        "bad-index-4bit": (few, 4, dict(colors=7)),
        "no-offset": (p, 8, dict(offset=0)),
        "offset-of-palette": (p, 8, dict(offset=54)),
        "no-padding": (m, 24, dict(cut=1)),
        "rle8": (p, 8, dict(compression=1, pack=rle8)),
        "rle8-down": (few, 8, dict(compression=1, pack=rle8, down=True, colors=30)),
        "rle4": (few, 4, dict(compression=2, pack=rle4, colors=16)),
    }.items():
        bmp(f"bmp-{name}.bmp", *args[:2], **args[2])
        yield f"bmp-{name}.bmp"

    def larger(data):
        data[6:10] = struct.pack("<HH", 9, 40)

    edit("gif-beyond-screen.gif", "gif-part-5.gif", larger)
    yield "gif-beyond-screen.gif"
    table = bytes([10, 20, 30, 200, 100, 50])
    gif_of_codes("gif-codes-of-1-bit.gif", 5, 1, [2, 0, 1, 1, 0, 1, 3], table)
    gif_of_codes("gif-no-table.gif", 3, 7, [128, 3, 100, 127, 129])
    gif_of_codes("gif-bad-index.gif", 4, 8, [256, 0, 200, 1, 255, 257], table)
    gif_of_codes("gif-bad-transparent.gif", 4, 8, [256, 0, 200, 1, 255, 257], table, b"!\xf9\4\1\0\0\x90\0")
    gif_of_codes("gif-unknown-extension.gif", 2, 2, [4, 1, 0, 5], table, b"\0!\x2a\3abc\2de\0\0")
    gif_of_codes("gif-more-pixels.gif", 2, 2, [4, 1, 0, 1], table)
    yield from [f"gif-{name}.gif" for name in ("codes-of-1-bit", "no-table", "bad-index", "bad-transparent", "unknown-extension", "more-pixels")]

    palette, transparency = png_chunk(b"PLTE", bytes(range(30, 60))), png_chunk(b"tRNS", bytes(7))
    edit("png-no-end.png", "png-gray.png", lambda data: data[:-12])
    edit("png-cut-end.png", "png-rgb.png", lambda data: data[:-5])
    edit("png-surplus.png", "png-rgb.png", lambda data: data[:-12] + palette + transparency + data[-12:] + b"more")
    edit("png-gray-plte.png", "png-gray.png", lambda data: data[:33] + palette + data[33:])
    edit("png-gray-alpha-trns.png", "png-gray-alpha.png", lambda data: data[:33] + transparency + data[33:])
    picture(21, 17).quantize(200).save("png-bad-index.png")
    at = open("png-bad-index.png", "rb").read().index(b"PLTE") - 4
    edit("png-bad-index.png", "png-bad-index.png", lambda data: data[:at] + png_chunk(b"PLTE", data[at + 8:at + 8 + 3 * 90]) + data[data.index(b"IDAT") - 4:])
    yield from [f"png-{name}.png" for name in ("no-end", "cut-end", "surplus", "gray-plte", "gray-alpha-trns", "bad-index")]


def main():
    names = []

    def save(name, m, **options):
        m.save(name, **options)
        names.append(name)

    m = picture(37, 29)
    save("png-rgb.png", m)
    save("png-rgba.png", with_alpha(m))
    save("png-gray.png", m.convert("L"))
    save("png-gray-alpha.png", with_alpha(m).convert("LA"))
    save("png-1bit.png", m.convert("1"))
    save("png-palette.png", m.quantize(50))
    save("png-palette-2.png", m.quantize(2), bits=1)
    save("png-palette-transparent.png", m.quantize(20), transparency=3)
    save("png-rgb-transparent.png", m, transparency=m.getpixel((3, 3)))
    save("bmp-rgb.bmp", m)
    save("bmp-gray.bmp", m.convert("L"))
    save("bmp-palette.bmp", m.quantize(200))
    save("bmp-1bit.bmp", m.convert("1"))
    save("gif.gif", m.quantize(100))
    save("gif-gray.gif", m.convert("L"))
    save("gif-transparent.gif", m.quantize(100), transparency=7)
    save("gif-interlaced.gif", picture(50, 33).quantize(30), interlace=1)
    save("gif-animated.gif", m.quantize(10), save_all=True, append_images=[picture(37, 29).quantize(10)])
    for background in (None, 5):
        name = f"gif-part-{background}.gif"
        gif_frame(name, m.quantize(60), background)
        names.append(name)
    save("webp-lossless.webp", m, lossless=True)
    save("webp-lossless-alpha.webp", with_alpha(m), lossless=True, exact=True)
    save("webp-lossy-alpha.webp", with_alpha(m), quality=70, exact=True)
    for width, height in [(1, 1), (2, 2), (3, 1), (1, 4), (16, 16), (17, 18), (64, 31), (65, 47)]:
        save(f"webp-lossy-{width}x{height}.webp", picture(width, height), quality=85)
    save("webp-lossy-q5.webp", picture(60, 45), quality=5)
    more = [picture(37, 29), picture(37, 29)]
    save("webp-animated.webp", m, save_all=True, append_images=more, quality=80)
    save("webp-animated-lossless.webp", m, save_all=True, append_images=more, lossless=True)
    save("webp-animated-alpha.webp", with_alpha(m), save_all=True, append_images=more, quality=80)
    webp_frame("webp-animated-part.webp", [m] + more)
    names.append("webp-animated-part.webp")
    save("jpeg.jpg", m, quality=90)
    save("jpeg-cmyk.jpg", m.convert("CMYK"), quality=90)
    for orientation in range(0, 10):
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(f"orient-{orientation}.jpg", picture(9, 6), exif=exif, quality=95)
    exif = Image.Exif()
    exif[0x010E] = "a description that comes first"
    exif[0x0112] = 6
    save("orient.png", m, exif=exif)
    save("orient.webp", m, exif=exif, lossless=True)

    names += unusual()

    for n in (2, 4, 13, 200):  # colors, of which 8, 4, 2 and 1 are in a pixel
        save(f"webp-lossless-{n}-colors.webp", picture(67, 41).quantize(n).convert("RGB"), lossless=True)
    smooth = picture(4, 4).resize((120, 90), Image.BICUBIC)  # every way of prediction, and several groups of codes
    save("webp-lossless-smooth.webp", smooth, lossless=True, method=6, quality=100)
    save("webp-lossless-cache.webp", smooth.quantize(250).convert("RGB").rotate(30), lossless=True, method=4, quality=90)
    save("webp-lossless-1x9.webp", picture(1, 9), lossless=True)
    save("webp-lossless-flat.webp", Image.new("RGB", (50, 40), (3, 200, 90)), lossless=True)

    # What Pillow does not offer: the simple filter, kinds and strengths of filters, one segment, many small coefficients.
    for name, *flags in [
        ("simple", "-nostrong", "-f", "90"), ("simple-sharpness", "-nostrong", "-f", "40", "-sharpness", "6", "-segments", "1"),
        ("strong-sharpness", "-strong", "-f", "100", "-sharpness", "3"), ("no-filter", "-f", "0", "-q", "90"), ("sns", "-sns", "100", "-f", "70", "-q", "30"),
        ("q100", "-q", "100"), ("q0", "-q", "0"), ("m0", "-m", "0", "-q", "60"), ("m6", "-m", "6", "-pass", "6", "-size", "700")]:
        path = f"webp-lossy-{name}.webp"
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            picture(77, 50).filter(ImageFilter.GaussianBlur(1.2)).save(file, "PNG")
            file.flush()
            subprocess.run(["cwebp", "-quiet", *flags, file.name, "-o", path], check=True)
        names.append(path)
    for i in range(3):
        names.append(webp_noise(f"webp-lossy-noise-{i}.webp", 40, 23))

    with open("golden.jsonl", "w") as out:
        for name in names:
            with Image.open(name) as m:
                m.seek(0)
                line = {"file": name, "width": m.width, "height": m.height, "sha256_rgb": sha(m)}
                if name.startswith("orient"):
                    turned = ImageOps.exif_transpose(Image.open(name))
                    line |= {"turned_width": turned.width, "turned_height": turned.height, "sha256_turned": sha(turned)}
            print(json.dumps(line), file=out)


main()
