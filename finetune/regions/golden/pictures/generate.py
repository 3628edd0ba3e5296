"""Writes cases.json: small pictures of every kind, and the pixels that Pillow sees in them.

    python generate.py > cases.json

A case is {name, file, width, height, rgb}; file and rgb are base64. Where the project departs from Pillow (16-bit grey)
the pixels are computed here.
"""

import base64
import io
import json
import struct
import sys
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps

assert PIL.__version__ == "13.0.0", PIL.__version__
assert np.__version__ == "2.4.6", np.__version__

WIDTH, HEIGHT = 21, 17
random = np.random.default_rng(7)


def scene(width=WIDTH, height=HEIGHT):
    """Slopes, an edge, a coloured block and a little noise."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    rgb = np.stack([255 * x / width, 255 * y / height, 128 + 100 * np.sin(x / 3 + y / 5)], axis=-1)
    rgb[height // 3 : height // 2, width // 4 : width // 2] = (220, 30, 60)
    rgb += random.normal(0, 4, rgb.shape)
    return np.clip(rgb, 0, 255).astype(np.uint8)


RGB = scene()
PICTURE = Image.fromarray(RGB)
ALPHA = random.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
cases = []


def add(name, file, pixels=None):
    if pixels is None:
        picture = ImageOps.exif_transpose(Image.open(io.BytesIO(file)))
        pixels = np.asarray(picture.convert("RGB"))
    height, width, _ = pixels.shape
    text = lambda data: base64.b64encode(data).decode()
    cases.append({"name": name, "file": text(file), "width": width, "height": height, "rgb": text(pixels.tobytes())})


def saved(picture, kind, **options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def exif(orientation):
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def jpegs():
    for name, options in {
        "444": dict(quality=92, subsampling=0),
        "422": dict(quality=92, subsampling=1),
        "420": dict(quality=92, subsampling=2),
        "low-quality": dict(quality=25),
        "progressive": dict(quality=92, subsampling=2, progressive=True),
        "progressive-444": dict(quality=80, subsampling=0, progressive=True),
        "restarts": dict(quality=92, restart_marker_blocks=2),
        "optimised": dict(quality=92, optimize=True),
        "rgb": dict(quality=92, keep_rgb=True),
    }.items():
        add(f"jpeg-{name}", saved(PICTURE, "JPEG", **options))
    for one in range(1, 9):
        add(f"jpeg-orientation-{one}", saved(PICTURE, "JPEG", quality=92, exif=exif(one)))
    add("jpeg-grey", saved(PICTURE.convert("L"), "JPEG", quality=92))
    add("jpeg-grey-progressive", saved(PICTURE.convert("L"), "JPEG", quality=92, progressive=True))
    inks = Image.fromarray(np.dstack([RGB, ALPHA]), "CMYK")
    cmyk = saved(inks, "JPEG", quality=95)
    add("jpeg-cmyk", cmyk)
    add("jpeg-cmyk-progressive", saved(inks, "JPEG", quality=95, progressive=True))
    adobe = cmyk.index(b"Adobe")
    for transform in (1, 2):
        patched = bytearray(cmyk)
        assert patched[adobe + 11] == 0
        patched[adobe + 11] = transform
        add(f"jpeg-ycck-{transform}", bytes(patched))
    unmarked = cmyk[: adobe - 4] + cmyk[adobe + 12 :]
    add("jpeg-cmyk-unmarked", unmarked)
    rgb = saved(PICTURE, "JPEG", quality=92, keep_rgb=True)
    # The same components under ids 1, 2, 3: then Adobe's marker alone tells that they are no YCbCr.
    frame = rgb.index(b"\xff\xc0")
    renamed = bytearray(rgb)
    for component, at in enumerate(range(frame + 10, frame + 19, 3)):
        assert renamed[at] == b"RGB"[component]
        renamed[at] = component + 1
    scan = rgb.index(b"\xff\xda")
    for component, at in enumerate(range(scan + 5, scan + 11, 2)):
        renamed[at] = component + 1
    marker = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
    add("jpeg-rgb-by-adobe", b"\xff\xd8" + marker + bytes(renamed[2:]))
    add("jpeg-then-rubbish", saved(PICTURE, "JPEG") + b"\xff\xd8 and more")


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(bits, kind, rows, before=b"", interlaced=0, width=WIDTH, height=HEIGHT):
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlaced)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def packed(values, bits):
    """Rows of samples below 8 bits."""
    for row in values:
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        yield int(text, 2).to_bytes(len(text) // 8, "big")


def adam7(pixels):
    """The rows of all seven passes; pixels is height x width x bytes."""
    for y, x, down, right in [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]:
        for row in pixels[y::down, x::right]:
            if row.size:
                yield row.tobytes()


def pngs():
    for mode in ("1", "L", "LA", "RGB", "RGBA"):
        picture = PICTURE.convert(mode)
        if "A" in mode:
            picture.putalpha(Image.fromarray(ALPHA))
        add(f"png-{mode}", saved(picture, "PNG"))
    add("png-orientation-6", saved(PICTURE, "PNG", exif=exif(6)))
    add("png-icc", saved(PICTURE, "PNG", icc_profile=bytes(500)))
    wide = random.integers(0, 65536, (HEIGHT, WIDTH, 4), dtype=np.uint16)
    rows = lambda channels: [row.astype(">u2").tobytes() for row in wide[..., :channels]]
    grey = np.repeat((wide[..., :1] >> 8).astype(np.uint8), 3, axis=-1)
    add("png-grey-16", png(16, 0, rows(1)), grey)
    add("png-grey-16-transparent", png(16, 0, rows(1), chunk(b"tRNS", wide[3, 3, :1].astype(">u2").tobytes())), grey)
    add("png-grey-alpha-16", png(16, 4, rows(2)))
    add("png-rgb-16", png(16, 2, rows(3)))
    add("png-rgba-16", png(16, 6, rows(4)))
    add("png-rgb-transparent", png(8, 2, [row.tobytes() for row in RGB], chunk(b"tRNS", RGB[2, 2].astype(">u2").tobytes())))
    for bits in (1, 2, 4):
        values = random.integers(0, 1 << bits, (HEIGHT, WIDTH))
        add(f"png-grey-{bits}", png(bits, 0, packed(values, bits)))
        palette = chunk(b"PLTE", random.integers(0, 256, 3 << bits, dtype=np.uint8).tobytes())
        add(f"png-palette-{bits}", png(bits, 3, packed(values, bits), palette))
    indexed = PICTURE.quantize(100)
    add("png-palette", saved(indexed, "PNG"))
    add("png-palette-transparent", saved(indexed, "PNG", transparency=bytes(range(100))))
    few = chunk(b"PLTE", random.integers(0, 256, 12, dtype=np.uint8).tobytes())
    add("png-palette-too-short", png(8, 3, [row.tobytes() for row in RGB[..., 0] % 9], few))
    for name, bits, kind, pixels in [
        ("rgb", 8, 2, RGB),
        ("rgba", 8, 6, np.dstack([RGB, ALPHA])),
        ("grey", 8, 0, RGB[..., :1]),
        ("rgb-16", 16, 2, wide[..., :3].astype(">u2")),
    ]:
        add(f"png-interlaced-{name}", png(bits, kind, adam7(pixels), interlaced=1))
    for size in (1, 3, 5):
        tiny = RGB[:size, :size]
        add(f"png-interlaced-{size}", png(8, 2, adam7(tiny), interlaced=1, width=size, height=size))
    frames = [PICTURE, Image.fromarray(255 - RGB)]
    add("png-animated", saved(frames[0], "PNG", save_all=True, append_images=frames[1:]))


def webps():
    clear = Image.fromarray(np.dstack([RGB, ALPHA]))
    add("webp-lossy", saved(PICTURE, "WEBP", quality=90))
    add("webp-lossy-low", saved(PICTURE, "WEBP", quality=20))
    add("webp-lossless", saved(PICTURE, "WEBP", lossless=True))
    add("webp-lossy-alpha", saved(clear, "WEBP", quality=90))
    add("webp-lossless-alpha", saved(clear, "WEBP", lossless=True, exact=True))
    add("webp-orientation-8", saved(PICTURE, "WEBP", lossless=True, exif=exif(8)))
    frames = [PICTURE, Image.fromarray(255 - RGB)]
    add("webp-animated", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
    add("webp-animated-lossy", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], quality=90))
    add("webp-animated-alpha", saved(clear, "WEBP", save_all=True, append_images=frames[1:], lossless=True))


def gif_by_hand(left, top, screen, pixels, palette, local=False, transparent=None):
    """One uncompressed frame (a clear code every 100 pixels) anywhere on the screen."""
    height, width = pixels.shape
    codes, bits = [], 8
    for n, value in enumerate(pixels.ravel()):
        if n % 100 == 0:
            codes.append(256)
        codes.append(int(value))
    codes.append(257)
    text = "".join(f"{code:0{bits + 1}b}"[::-1] for code in codes)
    text += "0" * (-len(text) % 8)
    data = bytes(int(text[at : at + 8][::-1], 2) for at in range(0, len(text), 8))
    blocks = b"".join(bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255)) + b"\0"
    table = 0x80 | 7 if palette is not None else 0
    flags = 0 if local else table
    out = b"GIF89a" + struct.pack("<HHBBB", *screen, flags, 3, 0) + (b"" if local or palette is None else palette)
    if transparent is not None:
        out += b"!\xf9\x04" + struct.pack("<BHB", 1, 0, transparent) + b"\0"
    out += b"," + struct.pack("<HHHHB", left, top, width, height, table if local else 0)
    return out + (palette if local else b"") + b"\x08" + blocks + b";"


def gifs():
    indexed = PICTURE.quantize(64)
    add("gif", saved(indexed, "GIF", interlace=0))
    add("gif-interlaced", saved(indexed, "GIF", interlace=1))
    add("gif-grey", saved(PICTURE.convert("L"), "GIF"))
    add("gif-transparent", saved(indexed, "GIF", transparency=5))
    add("gif-animated", saved(indexed, "GIF", save_all=True, append_images=[Image.fromarray(255 - RGB).quantize(64)], duration=50))
    values = random.integers(0, 120, (7, 11), dtype=np.uint8)
    palette = random.integers(0, 256, 768, dtype=np.uint8).tobytes()
    ramp = np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes()
    add("gif-inside", gif_by_hand(4, 3, (20, 15), values, palette))
    add("gif-inside-local", gif_by_hand(4, 3, (20, 15), values, palette, local=True))
    add("gif-inside-transparent", gif_by_hand(4, 3, (20, 15), values, palette, transparent=9))
    add("gif-reaches-out", gif_by_hand(14, 10, (20, 15), values, palette))
    add("gif-ramp", gif_by_hand(0, 0, (11, 7), values, ramp))
    add("gif-no-palette", gif_by_hand(2, 0, (13, 7), values, None))


def bmp(bits, compression, data, palette=b"", masks=b"", size=40, width=WIDTH, height=HEIGHT):
    offset = 14 + size + len(palette) + (len(masks) if size == 40 else 0)
    colours = len(palette) // 4
    head = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, compression, len(data), 0, 0, colours, 0)
    head += masks.ljust(size - 40, b"\0") if size > 40 else masks
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + head + palette + data


def bottom_up(rows):
    return b"".join(row + b"\0" * (-len(row) % 4) for row in reversed(list(rows)))


def bmps():
    add("bmp-1", saved(PICTURE.convert("1"), "BMP"))
    add("bmp-8-grey", saved(PICTURE.convert("L"), "BMP"))
    add("bmp-8-palette", saved(PICTURE.quantize(50), "BMP"))
    add("bmp-24", saved(PICTURE, "BMP"))
    add("bmp-32", saved(PICTURE.convert("RGBA"), "BMP"))
    values = random.integers(0, 16, (HEIGHT, WIDTH))
    palette = random.integers(0, 256, 64, dtype=np.uint8).tobytes()
    add("bmp-4", bmp(4, 0, bottom_up(packed(values, 4)), palette))
    wide = random.integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
    rows = [row.astype("<u2").tobytes() for row in wide]
    add("bmp-16", bmp(16, 0, bottom_up(rows)))
    add("bmp-16-565", bmp(16, 3, bottom_up(rows), masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F)))
    four = [row.tobytes() for row in np.dstack([RGB, ALPHA])]
    add("bmp-32-bitfields", bmp(32, 3, bottom_up(four), masks=struct.pack("<IIII", 0xFF, 0xFF00, 0xFF0000, 0xFF000000), size=56))
    add("bmp-top-down", bmp(24, 0, b"".join(row.tobytes() + b"\0" * (-3 * WIDTH % 4) for row in RGB[..., ::-1]), height=-HEIGHT))
    eight = RGB[..., 0]
    big = random.integers(0, 256, 1024, dtype=np.uint8).tobytes()
    runs = b"".join(b"".join(bytes([1, value]) for value in row) + b"\0\0" for row in eight[::-1]) + b"\0\1"
    add("bmp-rle8", bmp(8, 1, runs, big))
    pairs = b"".join(b"".join(bytes([1, value << 4]) for value in row) + b"\0\0" for row in values[::-1].tolist()) + b"\0\1"
    add("bmp-rle4", bmp(4, 2, pairs, palette))
    core = struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, 24)
    data = bottom_up(row.tobytes() for row in RGB)
    add("bmp-core", b"BM" + struct.pack("<IHHI", 26 + len(data), 0, 0, 26) + core + data)


for family in (jpegs, pngs, webps, gifs, bmps):
    family()
json.dump(cases, sys.stdout, indent=0)
