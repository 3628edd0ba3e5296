"""Writes numbers.json: what timm and torchvision say of every network, counted on tensors without storage.

Per name: trainable parameters, numbers in running statistics, multiplications of convolutions and products at one
size of picture, keys of the state dict, and the SHA-256 of "key [shape]\n" over all tensors but the counters, in order.
"""
import hashlib
import json
from pathlib import Path

import timm
import torch
import torchvision
from timm.models.resnet import Bottleneck, ResNet

assert timm.__version__ == "1.0.31", timm.__version__
assert torchvision.__version__.startswith("0.29.2"), torchvision.__version__

SIZES = {"b0": 224, "b1": 240, "b2": 260, "b3": 300, "b4": 380, "b5": 456, "b6": 528, "b7": 600, "b8": 672, "l2": 800}
BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
RESNEXTS = {
    "resnet50": (50, 1, 64), "resnext50_32x4d": (50, 32, 4), "resnext50_32x8d": (50, 32, 8),
    "resnext50_64x4d": (50, 64, 4), "resnext50_2x40d": (50, 2, 40), "resnext50_4x24d": (50, 4, 24),
    "resnext50_8x14d": (50, 8, 14), "resnet101": (101, 1, 64), "resnext101_32x4d": (101, 32, 4),
    "resnext101_32x8d": (101, 32, 8), "resnext101_64x4d": (101, 64, 4), "resnext101_32x16d": (101, 32, 16),
    "resnext101_32x32d": (101, 32, 32), "resnext101_32x48d": (101, 32, 48), "resnext101_2x64d": (101, 2, 64),
    "resnext101_1x100d": (101, 1, 100), "resnext152_32x4d": (152, 32, 4), "resnext152_32x8d": (152, 32, 8),
    "resnext152_64x4d": (152, 64, 4),
}


def fingerprint(model):
    lines = "".join(
        f"{key} {list(tensor.shape)}\n"
        for key, tensor in model.state_dict().items()
        if not key.endswith("num_batches_tracked")
    )
    return hashlib.sha256(lines.encode()).hexdigest()


def describe(model, height, width):
    macs = 0

    def count(module, inputs, output):
        nonlocal macs
        weight = module.weight.shape
        per_output = weight[1] * weight[2] * weight[3] if len(weight) == 4 else weight[1]
        macs += output.numel() * per_output

    for module in model.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, height, width, device="meta"))
    return {
        "size": [height, width],
        "params": sum(p.numel() for p in model.parameters()),
        "statistics": sum(b.numel() for n, b in model.named_buffers() if not n.endswith("num_batches_tracked")),
        "macs": macs,
        "keys": len(model.state_dict()),
        "fingerprint": fingerprint(model),
    }


networks = {}
with torch.device("meta"):
    for size, resolution in SIZES.items():
        for prefix in ("", "tf_"):
            name = f"{prefix}efficientnet_{size}"
            networks[name] = describe(timm.create_model(name), resolution, resolution)
        native = networks[f"efficientnet_{size}"]
        if size < "b8":
            theirs = getattr(torchvision.models, f"efficientnet_{size}")()
            native["torchvision_fingerprint"] = fingerprint(theirs)
    networks["efficientnet_b0 odd"] = describe(timm.create_model("efficientnet_b0"), 225, 191)
    networks["tf_efficientnet_b2 odd"] = describe(timm.create_model("tf_efficientnet_b2"), 97, 130)
    networks["resnext50_32x4d odd"] = describe(timm.create_model("resnext50_32x4d"), 225, 191)
    for name, (depth, cardinality, width) in RESNEXTS.items():
        model = ResNet(Bottleneck, BLOCKS[depth], cardinality=cardinality, base_width=width)
        if timm.is_model(name):
            assert fingerprint(timm.create_model(name)) == fingerprint(model), name
        networks[name] = describe(model, 224, 224)
        if hasattr(torchvision.models, name):
            networks[name]["torchvision_fingerprint"] = fingerprint(getattr(torchvision.models, name)())

    half = timm.models.efficientnet._gen_efficientnet(
        "efficientnet_b0", channel_multiplier=0.5, depth_multiplier=0.5
    )
    networks["efficientnet_half"] = describe(half, 64, 64)
    small = ResNet(Bottleneck, (2, 2, 2, 2), cardinality=16, base_width=8, channels=(32, 64, 128, 256))
    networks["resnext26_16x4d"] = describe(small, 64, 64)

path = Path(__file__).with_name("numbers.json")
path.write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in networks.items()) + "\n}\n")
