"""Draws a small ImageFolder: discs, squares and crosses in many colours, 48 x 48 pixels.

    python draw_classes.py OUT [--each N]

OUT/train/CLASS/*.png and OUT/held_out/CLASS/*.png, a third as many. The colours say nothing about the class.
"""
import argparse
from pathlib import Path

import numpy as np
from PIL import Image

parser = argparse.ArgumentParser()
parser.add_argument("out", type=Path)
parser.add_argument("--each", type=int, default=60)
arguments = parser.parse_args()
SIDE = 48
rng = np.random.default_rng(3)
y, x = np.mgrid[0:SIDE, 0:SIDE]


def drawn(name):
    row, column, radius = rng.uniform(16, 32, 2).tolist() + [rng.uniform(9, 14)]
    dy, dx = np.abs(y - row), np.abs(x - column)
    inside = {
        "disc": dy**2 + dx**2 < radius**2,
        "square": np.maximum(dy, dx) < 0.85 * radius,
        "cross": (np.maximum(dy, dx) < radius) & (np.minimum(dy, dx) < 0.25 * radius),
    }[name]
    front, back = rng.integers(0, 256, (2, 3))
    while np.abs(front - back).sum() < 200:
        front, back = rng.integers(0, 256, (2, 3))
    picture = np.where(inside[..., None], front, back) + rng.integers(-12, 13, (SIDE, SIDE, 3))
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


for part, n in [("train", arguments.each), ("held_out", arguments.each // 3)]:
    for name in ["disc", "square", "cross"]:
        folder = arguments.out / part / name
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(n):
            drawn(name).save(folder / f"{i:05}.png")
