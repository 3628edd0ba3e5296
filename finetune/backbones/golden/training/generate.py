"""Writes one JSON a network: what PyTorch and timm do with it in training, in f64.

Weights and pictures are drawn as in ../forward/generate.py. Drop-connect and dropout are drawn here as the project draws
them (Philox4x32-10, streams 3 and 2) and put into timm's networks in the places of its own. Recorded: the loss, every
gradient, the running statistics after one forward pass, and after three updates by each of three optimisers what every
parameter and statistic has become. A tensor is its root mean square and three of its numbers.
"""
import json
import sys
from pathlib import Path

import numpy as np
import timm
import torch
from timm.models.resnet import Bottleneck, ResNet
from timm.optim import RMSpropTF
from torch import nn

sys.argv = sys.argv[:1]
FORWARD = Path(__file__).parents[1] / "forward" / "generate.py"
drawing = {"__file__": str(FORWARD), "__name__": "drawing"}
exec(FORWARD.read_text().split("known = philox")[0], drawing)  # its functions, without its cases
philox, normal, drawn, LOW = (drawing[name] for name in ("philox", "normal", "drawn", "LOW"))

SEED, BATCH, N_CLASSES, SMOOTHING = 11, 4, 10, 0.1
DROP_CONNECT, DROPOUT = 0.5, 0.3
LABELS = torch.tensor([3, 1, 4, 1])
half = dict(channel_multiplier=0.5, depth_multiplier=0.5, num_classes=N_CLASSES)
build_half = timm.models.efficientnet._gen_efficientnet
# builder, height, width, factors of normalisation, momentum
CASES = {
    "efficientnet_half": (lambda: build_half("efficientnet_b0", **half), 65, 50, 0.8, 1.4, 0.1),
    "tf_efficientnet_half": (
        lambda: build_half("efficientnet_b0", **half, bn_eps=1e-3, pad_type="same"), 66, 51, 0.8, 1.4, 0.01,
    ),
    "resnext26_16x4d": (
        lambda: ResNet(Bottleneck, (2, 2, 2, 2), num_classes=N_CLASSES, cardinality=16, base_width=8,
                       channels=(32, 64, 128, 256)),
        65, 50, 0.3, 1.1, 0.1,
    ),
}
RULES = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=2e-4, eps=1e-3, weight_decay=0.05),
    "sgd": lambda p: torch.optim.SGD(p, lr=2e-3, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "rmsprop_tf": lambda p: RMSpropTF(p, lr=3e-4, alpha=0.9, momentum=0.9, eps=1e-3, weight_decay=1e-3),
}


def unit_at(stream, step, index):
    index = np.asarray(index, np.uint64)
    counter = [index & LOW, index >> np.uint64(32), np.full_like(index, step), np.full_like(index, stream)]
    low, high, _, _ = philox(counter, (SEED, 0))
    return ((high << np.uint64(32) | low) >> np.uint64(12)).astype(np.float64) / 2.0**52 + 0.5 / 2.0**52


class Times(nn.Module):
    """Multiplies by what is set for a step."""

    factors = None

    def forward(self, x):
        return x * self.factors


def draw_masks(model, step):
    places = np.arange(BATCH, dtype=np.uint64)
    number = 0
    blocks = [block for stage in getattr(model, "blocks", []) for block in stage]
    for number, block in enumerate(blocks):
        rate = DROP_CONNECT * number / len(blocks)
        out = unit_at(3, step, places * np.uint64(1 << 10) + np.uint64(number)) < rate
        block.drop_path.factors = torch.from_numpy(np.where(out, 0, 1 / (1 - rate))).reshape(-1, 1, 1, 1)
    width = model.get_classifier().in_features
    index = places[:, None] * np.uint64(1 << 20) + np.arange(width, dtype=np.uint64)
    out = unit_at(2, step, index) < DROPOUT
    model.global_pool[1].factors = torch.from_numpy(np.where(out, 0, 1 / (1 - DROPOUT)))


def fresh(build, low, high, momentum):
    model = build()
    keys = sorted(key for key in model.state_dict() if not key.endswith("num_batches_tracked"))
    shapes = model.state_dict()
    weights = {key: drawn(i, key, tuple(shapes[key].shape), low, high) for i, key in enumerate(keys)}
    model.load_state_dict(weights, strict=False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum
    for stage in getattr(model, "blocks", []):
        for block in stage:
            block.drop_path = Times()
    model.global_pool = nn.Sequential(model.global_pool, Times())
    return model.double().train(), keys


def brief(tensor):
    flat = tensor.detach().double().flatten()
    at = torch.tensor([0, flat.numel() // 2, flat.numel() - 1])
    return [flat.square().mean().sqrt().item(), *flat[at].tolist()]


for name, (build, height, width, low, high, momentum) in CASES.items():
    x = normal(8, 0, (BATCH, 3, height, width), 1.0).double()

    def loss_of(model, step):
        draw_masks(model, step)
        return nn.functional.cross_entropy(model(x), LABELS, label_smoothing=SMOOTHING)

    model, keys = fresh(build, low, high, momentum)
    loss = loss_of(model, 0)
    loss.backward()
    gradients = {key: brief(p.grad) for key, p in sorted(model.named_parameters())}
    statistics = {key: brief(model.state_dict()[key]) for key in keys if "running_" in key}
    golden = {"loss": loss.item(), "gradients": gradients, "statistics": statistics, "after": {}}
    for rule, make in RULES.items():
        model, keys = fresh(build, low, high, momentum)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        parameters = dict(model.named_parameters())
        optimiser = make(parameters.values())
        losses = []
        for step in range(3):
            optimiser.zero_grad()
            loss = loss_of(model, step)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        state = model.state_dict()
        golden["after"][rule] = {
            "losses": losses,
            "changes": {key: brief(state[key] - before[key]) for key in keys if key in parameters},
            "statistics": {key: brief(state[key]) for key in keys if "running_" in key},
        }
    text = json.dumps(golden).replace("], ", "],\n").replace("{", "{\n")
    Path(__file__).with_name(f"{name}.json").write_text(text + "\n")
    print(name, golden["loss"], {rule: after["losses"] for rule, after in golden["after"].items()})
