"""Writes optimisers.json: three updates of each rule by the libraries that define it.

torch.optim.AdamW and SGD, timm's RMSpropTF, and the AdamW of Oscar's time written out here in f64 from its published
description (no library of today has it). Two tensors: `decayed`, and `free` without weight decay and at half the rate.
Gradients depend on the parameters, as in training: g = c * p + d.
"""
import json
from pathlib import Path

import timm
import torch
from timm.optim import RMSpropTF

assert timm.__version__ == "1.0.31", timm.__version__
assert torch.__version__.startswith("2.15.0"), torch.__version__

START = {"decayed": [0.5, -1.25, 2.0, 1e-3, -0.75], "free": [1.5, -0.125, 0.0]}
SLOPE = {"decayed": [0.5, 2.0, -1.0, 3.0, 1e-4], "free": [1.0, -2.0, 0.25]}
OFFSET = {"decayed": [0.1, -0.2, 0.3, 1e-3, 2e-5], "free": [-0.5, 0.0, 1e-6]}
RATES = [0.1, 0.05, 0.2]
DECAY = 0.04
DOUBLE = torch.float64


class OscarAdamW(torch.optim.Optimizer):
    def __init__(self, params, lr, betas, eps, weight_decay, correct_bias):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, correct_bias=correct_bias))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                state = self.state[p]
                t = state["t"] = state.get("t", 0) + 1
                m = state["m"] = b1 * state.get("m", 0) + (1 - b1) * p.grad
                v = state["v"] = b2 * state.get("v", 0) + (1 - b2) * p.grad**2
                size = group["lr"] * ((1 - b2**t) ** 0.5 / (1 - b1**t) if group["correct_bias"] else 1)
                p -= size * m / (v.sqrt() + group["eps"])
                p -= group["lr"] * group["weight_decay"] * p


RULES = {
    "adamw": (torch.optim.AdamW, {"betas": (0.8, 0.95), "eps": 1e-3}),
    "oscar_adamw": (OscarAdamW, {"betas": (0.8, 0.95), "eps": 1e-3, "correct_bias": True}),
    "oscar_adamw_uncorrected": (OscarAdamW, {"betas": (0.8, 0.95), "eps": 1e-3, "correct_bias": False}),
    "sgd_nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "sgd": (torch.optim.SGD, {"momentum": 0.7, "nesterov": False}),
    "rmsprop_tf": (RMSpropTF, {"alpha": 0.9, "momentum": 0.9, "eps": 1e-3}),
}

golden = {}
for name, (rule, constants) in RULES.items():
    tensors = {key: torch.tensor(values, dtype=DOUBLE, requires_grad=True) for key, values in START.items()}
    groups = [
        {"params": [tensors["decayed"]], "weight_decay": DECAY, "lr": RATES[0]},
        {"params": [tensors["free"]], "weight_decay": 0.0, "lr": RATES[0] / 2},
    ]
    optimiser = rule(groups, lr=RATES[0], **{"weight_decay": 0.0, **constants})
    after = []
    for rate in RATES:
        optimiser.param_groups[0]["lr"], optimiser.param_groups[1]["lr"] = rate, rate / 2
        for key, tensor in tensors.items():
            slope, offset = (torch.tensor(table[key], dtype=DOUBLE) for table in (SLOPE, OFFSET))
            tensor.grad = (slope * tensor + offset).detach()
        optimiser.step()
        after.append({key: tensor.tolist() for key, tensor in tensors.items()})
    golden[name] = after
setup = {"start": START, "slope": SLOPE, "offset": OFFSET, "rates": RATES, "decay": DECAY}
path = Path(__file__).with_name("optimisers.json")
path.write_text(json.dumps({"setup": setup, "after": golden}, indent=1) + "\n")
