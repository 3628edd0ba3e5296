"""Writes changes.json: what Pillow makes of a small picture by each change of RandAugment, at several strengths.

Strengths from 0 to 1 are turned into arguments as timm does it; the picture is smooth with some noise, 13 x 9 pixels.
"""
import json
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageEnhance, ImageOps

WIDTH, HEIGHT = 13, 9
rng = np.random.default_rng(5)
y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
smooth = np.stack([20 + 12 * x + 3 * y, 200 - 9 * x + 4 * y, 60 + 10 * y], axis=2)
pixels = np.clip(smooth + rng.integers(-25, 26, smooth.shape), 0, 255).astype(np.uint8)
picture = Image.fromarray(pixels)


def affine(matrix):
    return picture.transform(picture.size, Image.AFFINE, matrix, resample=Image.BILINEAR, fillcolor=(128, 128, 128))


def solarize_add(addition):
    return Image.fromarray(np.where(pixels < 128, np.minimum(pixels.astype(int) + addition, 255), pixels).astype(np.uint8))


def change(name, strength, sign):
    factor = 0.1 + 1.8 * strength
    return {
        "AutoContrast": lambda: ImageOps.autocontrast(picture),
        "Equalize": lambda: ImageOps.equalize(picture),
        "Invert": lambda: ImageOps.invert(picture),
        "Posterize": lambda: ImageOps.posterize(picture, int(4 * strength)),
        "Solarize": lambda: ImageOps.solarize(picture, min(256, int(256 * strength))),
        "SolarizeAdd": lambda: solarize_add(min(128, int(110 * strength))),
        "Saturation": lambda: ImageEnhance.Color(picture).enhance(factor),
        "Contrast": lambda: ImageEnhance.Contrast(picture).enhance(factor),
        "Brightness": lambda: ImageEnhance.Brightness(picture).enhance(factor),
        "Sharpness": lambda: ImageEnhance.Sharpness(picture).enhance(factor),
        "Rotate": lambda: picture.rotate(sign * 30 * strength, resample=Image.BILINEAR, fillcolor=(128, 128, 128)),
        "ShearX": lambda: affine((1, sign * 0.3 * strength, 0, 0, 1, 0)),
        "ShearY": lambda: affine((1, 0, 0, sign * 0.3 * strength, 1, 0)),
        "TranslateX": lambda: affine((1, 0, sign * 0.45 * strength * WIDTH, 0, 1, 0)),
        "TranslateY": lambda: affine((1, 0, 0, 0, 1, sign * 0.45 * strength * HEIGHT)),
    }[name]()


NAMES = [
    "AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd", "Saturation", "Contrast",
    "Brightness", "Sharpness", "ShearX", "ShearY", "TranslateX", "TranslateY",
]
cases = []
for name in NAMES:
    for strength, negative in [(0.3, False), (1.0, True)]:
        values = np.asarray(change(name, strength, -1 if negative else 1)).flatten().tolist()
        cases.append({"change": name, "strength": strength, "negative": negative, "rgb": values})
golden = {"pillow": PIL.__version__, "size": [WIDTH, HEIGHT], "rgb": pixels.flatten().tolist(), "cases": cases}
text = json.dumps(golden).replace('{"change"', '\n{"change"')
Path(__file__).with_name("changes.json").write_text(text + "\n")
