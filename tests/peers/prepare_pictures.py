"""JPEG to normalised floats: PIL + torchvision beside finetune-regions, one thread each, alternating in one run.

Seconds are the processor's, not the clock's, on both sides, so that neighbours on the machine count less.

    python tests/peers/prepare_pictures.py FOLDER_OF_JPEGS [--rounds 5]

Prints the medians, their ratio, and how far apart decoded pixels and prepared floats are. Needs torch, torchvision and
pillow, and a checkout that builds.
"""

import argparse
import io
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image, features
from torchvision import transforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ROOT = pathlib.Path(__file__).parents[2]
BENCH = ["cargo", "bench", "--quiet", "-p", "finetune-regions", "--bench", "prepare_pictures", "--"]


def ours(folder, *options):
    out = subprocess.run([*BENCH, folder, *options], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return json.loads(next(line for line in out.splitlines() if line.startswith("{")))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder")
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    folder = str(pathlib.Path(options.folder).resolve())
    torch.set_num_threads(1)
    files = [path.read_bytes() for path in sorted(pathlib.Path(folder).iterdir())]
    prepare = transforms.Compose(
        [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    )
    decode = lambda file: Image.open(io.BytesIO(file)).convert("RGB")

    def milliseconds(step):
        start = time.process_time()
        for file in files:
            step(file)
        return (time.process_time() - start) / len(files) * 1e3

    with tempfile.TemporaryDirectory() as scratch:
        floats = pathlib.Path(scratch) / "floats"
        ours(folder, "--repeats", "1", "--out", str(floats))
        x_bchw = np.fromfile(floats, dtype="<f4").reshape(len(files), 3, 224, 224)
    peer_x_bchw = np.stack([prepare(decode(file)).numpy() for file in files])
    # In grey levels of the resized picture, before normalisation.
    levels = np.abs(x_bchw - peer_x_bchw) * np.reshape(STD, (1, 3, 1, 1)) * 255

    rounds = []
    for _ in range(options.rounds):
        peer = milliseconds(decode), milliseconds(lambda file: prepare(decode(file)))
        one = ours(folder, "--repeats", "3")
        rounds.append({"peer_decode": peer[0], "peer_all": peer[1], "decode": one["decode_ms"], "all": one["all_ms"]})
        print(json.dumps({name: round(value, 3) for name, value in rounds[-1].items()}))
    middle = lambda pick: statistics.median(map(pick, rounds))
    summary = {
        "pictures": len(files),
        "pillow": PIL.__version__,
        "libjpeg_turbo": features.version("libjpeg_turbo"),
        "torchvision": torchvision.__version__,
        "peer_ms": middle(lambda one: one["peer_all"]),
        "ours_ms": middle(lambda one: one["all"]),
        "peer_per_second": 1e3 / middle(lambda one: one["peer_all"]),
        "ours_per_second": 1e3 / middle(lambda one: one["all"]),
        "ratio": middle(lambda one: one["peer_all"] / one["all"]),
        "decode_ratio": middle(lambda one: one["peer_decode"] / one["decode"]),
        "levels_mean": float(levels.mean()),
        "levels_max": float(levels.max()),
    }
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
