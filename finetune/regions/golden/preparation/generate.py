"""Writes cases.json: one drawn picture, resized by Pillow and by torchvision over Pillow.

    python generate.py > cases.json

A case is {name, width, height, rgb (base64)}; the first one is the picture itself.
"""

import base64
import json
import sys

import numpy as np
import PIL
import torchvision
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

assert PIL.__version__ == "13.0.0", PIL.__version__
assert torchvision.__version__.startswith("0.29.2"), torchvision.__version__
assert np.__version__ == "2.4.6", np.__version__

random = np.random.default_rng(11)
y, x = np.mgrid[0:61, 0:97].astype(float)
rgb = np.stack([128 + 120 * np.sin(x * y / 300), 255 * y / 61, 255.0 * ((x // 5 + y // 7) % 2)], axis=-1)
rgb = np.clip(rgb + random.normal(0, 10, rgb.shape), 0, 255).astype(np.uint8)
picture = Image.fromarray(rgb)
cases = []


def add(name, result):
    text = base64.b64encode(np.asarray(result).tobytes()).decode()
    cases.append({"name": name, "width": result.width, "height": result.height, "rgb": text})


add("picture", picture)
for name, filter, mode in [
    ("bilinear", Image.Resampling.BILINEAR, InterpolationMode.BILINEAR),
    ("bicubic", Image.Resampling.BICUBIC, InterpolationMode.BICUBIC),
]:
    add(f"{name}-short-24", Resize(24, mode)(picture))
    add(f"{name}-short-24-crop-21", CenterCrop(21)(Resize(24, mode)(picture)))
    add(f"{name}-exact-40-130", picture.resize((40, 130), filter))
    # Short side 80, long side at most 120: the long side decides.
    add(f"{name}-regions", picture.resize((120, 75), filter))
json.dump(cases, sys.stdout, indent=0)
