"""Writes one JSON a network: what timm computes with weights that both sides draw by themselves.

A whole network is too large to keep, so its weights are functions of their names: tensors sorted by name, the i-th drawn
with Philox4x32-10 at (seed 7, stream 1, step i). Pictures and regions come from seeds 8 and 9. The statistics are drawn
narrowly enough that the output still depends on the picture, which is checked at the end.
"""
import json
import math
from pathlib import Path

import numpy as np
import timm
import torch

assert timm.__version__ == "1.0.31", timm.__version__
assert torch.__version__.startswith("2.15.0"), torch.__version__

# height, width, and the factors of normalisation that keep the signal between 0.1 and 100
CASES = {
    "efficientnet_b0": (65, 98, 0.8, 1.4),
    "tf_efficientnet_b0": (98, 75, 0.8, 1.4),
    "resnext50_32x4d": (65, 82, 0.3, 1.1),
}
N_CLASSES = 10
N_SAMPLES = 48
LOW = np.uint64(0xFFFFFFFF)


def philox(counter, key):
    """Ten rounds over arrays of counters."""
    c, (k0, k1) = [np.asarray(word, np.uint64) for word in counter], key
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        high_a, high_b = a >> np.uint64(32), b >> np.uint64(32)
        c = [high_b ^ c[1] ^ np.uint64(k0), b & LOW, high_a ^ c[3] ^ np.uint64(k1), a & LOW]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def unit(seed, step, shape):
    index = np.arange(math.prod(shape), dtype=np.uint64)
    counter = [index & LOW, index >> np.uint64(32), np.full_like(index, step), np.full_like(index, 1)]
    low, high, _, _ = philox(counter, (seed & 0xFFFFFFFF, seed >> 32))
    part = (high << np.uint64(32) | low) >> np.uint64(12)
    return torch.from_numpy((part.astype(np.float64) + 0.5) / 2.0**52).reshape(shape)


def uniform(seed, step, shape, low, high):
    return (low + (high - low) * unit(seed, step, shape)).float()


def normal(seed, step, shape, deviation):
    return (deviation * torch.special.ndtri(unit(seed, step, shape))).float()


def drawn(step, name, shape, low, high):
    layer, part = name.rsplit(".", 1)
    if part == "running_mean":
        return normal(7, step, shape, 0.1)
    if part == "running_var":
        return uniform(7, step, shape, 0.7, 1.3)
    if part == "weight" and len(shape) == 1:
        return uniform(7, step, shape, low, high)
    if part == "bias":
        return normal(7, step, shape, 0.1)
    return normal(7, step, shape, math.sqrt(2 / math.prod(shape[1:])))


def summary(tensor):
    flat = tensor.double().flatten()
    at = torch.arange(N_SAMPLES) * flat.numel() // N_SAMPLES
    return {
        "shape": list(tensor.shape),
        "mean": flat.mean().item(),
        "rms": flat.square().mean().sqrt().item(),
        "largest": flat.abs().max().item(),
        "samples": flat[at].tolist(),
    }


known = philox([[0, LOW, 0x243F6A88], [0, LOW, 0x85A308D3], [0, LOW, 0x13198A2E], [0, LOW, 0x03707344]], (0, 0))
assert [int(word[0]) for word in known] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
torch.manual_seed(0)
for name, (height, width, low, high) in CASES.items():
    model = timm.create_model(name, num_classes=N_CLASSES).eval()
    state = model.state_dict()
    keys = sorted(key for key in state if not key.endswith("num_batches_tracked"))
    weights = {key: drawn(i, key, tuple(state[key].shape), low, high) for i, key in enumerate(keys)}
    assert all("num_batches_tracked" in key for key in model.load_state_dict(weights, strict=False).missing_keys)
    features = timm.create_model(name, features_only=True).eval()
    assert not features.load_state_dict(model.state_dict(), strict=False).missing_keys
    x = normal(8, 0, (2, 3, height, width), 1.0)
    with torch.no_grad():
        logits = model(x)
        stages = features(x)
        rois = normal(9, 0, (2, stages[3].shape[1], 14, 14), 1.0)
        if name.startswith("resnext"):
            head = model.layer4(rois)
        else:
            head = model.bn2(model.conv_head(model.blocks[6](model.blocks[5](rois))))
        vectors = head.mean((2, 3))
    (model.double()(x.double()) * normal(10, 0, tuple(logits.shape), 1.0).double()).sum().backward()
    parameters = dict(model.named_parameters())
    gradients = [parameters[key].grad.square().mean().sqrt().item() for key in keys if key in parameters]
    difference = (logits[0] - logits[1]).abs().max() / logits.abs().max()
    assert difference > 0.05, difference
    golden = {
        "logits": logits.double().flatten().tolist(),
        "stages": [summary(stage) for stage in stages],
        "vectors": summary(vectors),
        "gradient_rms": gradients,
    }
    Path(__file__).with_name(f"{name}.json").write_text(json.dumps(golden, indent=1) + "\n")
