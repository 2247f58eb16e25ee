#!/usr/bin/env python3
"""Writes the files of this folder and golden.jsonl, which says what Pillow makes of them.

Run with Pillow installed, in this folder: python3 generate.py"""
import hashlib, json
import numpy as np
from PIL import Image, ImageOps

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
