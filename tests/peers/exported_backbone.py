"""Compares an exported backbone with timm: the same logits for the same pictures.

    python exported_backbone.py WEIGHTS.safetensors --finetune BINARY

WEIGHTS.json, which `finetune backbone export` puts beside the weights, says which network it is. The small networks have
names of our own; this is how timm builds them.
"""
import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models.resnet import Bottleneck, ResNet

parser = argparse.ArgumentParser()
parser.add_argument("weights", type=Path)
parser.add_argument("--finetune", default="target/debug/finetune")
arguments = parser.parse_args()
card = json.loads(arguments.weights.with_suffix(".json").read_text())
assert card["names"] == "timm", card["names"]
n_classes = len(card["classes"])


def build(name):
    if name == "efficientnet_half":
        return timm.models.efficientnet._gen_efficientnet(
            "efficientnet_b0", channel_multiplier=0.5, depth_multiplier=0.5, num_classes=n_classes
        )
    if name == "resnext26_16x4d":
        return ResNet(
            Bottleneck, (2, 2, 2, 2), cardinality=16, base_width=8, channels=(32, 64, 128, 256), num_classes=n_classes
        )
    return timm.create_model(name, num_classes=n_classes)


model = build(card["arch"]).eval()
model.load_state_dict(load_file(arguments.weights), strict=True)
torch.manual_seed(0)
x = torch.randn(4, 3, card["side"], card["side"] + 6)
with torch.no_grad():
    theirs = model(x)
with tempfile.TemporaryDirectory() as folder:
    inputs, out = Path(folder) / "x.safetensors", Path(folder) / "y.safetensors"
    save_file({"x": x}, inputs)
    subprocess.run(
        [arguments.finetune, "backbone", "forward", "--arch", card["arch"], "--weights", arguments.weights,
         "--inputs", inputs, "--out", out],
        check=True, stdout=subprocess.DEVNULL,
    )
    ours = load_file(out)["logits"]
apart = ((ours - theirs).abs().max() / theirs.abs().max()).item()
assert apart < 1e-4, apart
assert (theirs[0] - theirs[1]).abs().max() > 1e-3 * theirs.abs().max(), "the logits do not depend on the picture"
print(f"{card['arch']}: logits at most {apart:.1e} apart")
