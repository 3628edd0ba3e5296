"""Writes one .safetensors and one .json a case: what PyTorch and transformers make of a small Oscar, in f64.

    python pretrain/golden/generate.py

The .safetensors holds the weights, the inputs of `pretrain forward` and its outputs with all gradients; the .json the
config and the losses of ten updates on that batch by each form of AdamW, with clipping and a falling rate.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "peers"))
from oscar_in_torch import OscarForPretraining, config_json  # noqa: E402

assert transformers.__version__.startswith("5."), transformers.__version__
torch.manual_seed(20)
torch.set_default_dtype(torch.float64)

# hidden, layers, heads, inner, words, region width, region norm, classes; samples, tokens, regions
CASES = {
    "two-classes": ((12, 2, 3, 20, 41, 10, False, 2), (3, 7, 4), "keys"),
    "three-classes": ((16, 1, 2, 24, 37, 9, True, 3), (2, 6, 3), "keys"),
    "caption-mask": ((12, 2, 2, 20, 41, 10, False, 2), (2, 8, 3), "caption"),
}
RATES = [5e-3 * (1 - step / 10) for step in range(10)]
CLIP, DECAY, EPSILON = 1.0, 0.01, 1e-6


class PublishedAdamW:
    """m and v as usual; a step of rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps); then decay of what was moved."""

    def __init__(self, named):
        self.named, self.t = named, 0
        self.m = {name: torch.zeros_like(p) for name, p in named.items()}
        self.v = {name: torch.zeros_like(p) for name, p in named.items()}

    @torch.no_grad()
    def step(self, rate):
        self.t += 1
        for name, p in self.named.items():
            self.m[name].mul_(0.9).add_(p.grad, alpha=0.1)
            self.v[name].mul_(0.999).addcmul_(p.grad, p.grad, value=0.001)
            size = rate * (1 - 0.999**self.t) ** 0.5 / (1 - 0.9**self.t)
            p.sub_(size * self.m[name] / (self.v[name].sqrt() + EPSILON))
            if decays(name):
                p.sub_(rate * DECAY * p)


class TorchAdamW:
    def __init__(self, named):
        groups = [
            {"params": [p for name, p in named.items() if decays(name)], "weight_decay": DECAY},
            {"params": [p for name, p in named.items() if not decays(name)], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, eps=EPSILON)

    def step(self, rate):
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()


def decays(name):
    return not name.endswith("bias") and "LayerNorm" not in name


def inputs_of(sizes, shape, mask):
    (_, _, _, _, words, width, _, classes), (samples, tokens, regions) = sizes, shape
    keys = torch.ones(samples, tokens + regions, dtype=torch.long)
    for sample in range(samples):  # shorter texts and fewer regions, sample by sample
        keys[sample, tokens - sample : tokens] = 0
        keys[sample, tokens + regions - sample :] = 0
    labels = torch.full((samples, tokens), -1)
    for sample in range(samples):
        labels[sample, [1, 3]] = torch.randint(0, words, (2,))
    attention = keys
    if mask == "caption":
        attention = keys[:, None, :] * keys[:, :, None]
        caption = tokens // 2
        attention[:, :caption, :caption] *= torch.ones(caption, caption, dtype=torch.long).tril()
        attention[:, caption:, :caption] = 0
        blind = attention.sum(-1, keepdim=True) == 0  # a query without keys sees itself
        attention = torch.maximum(attention, torch.eye(tokens + regions, dtype=torch.long)[None] * blind)
    return {
        "input_ids": torch.randint(1, words, (samples, tokens)) * keys[:, :tokens],
        "token_type_ids": (torch.arange(tokens) >= tokens // 2).long().repeat(samples, 1),
        "attention_mask": attention,
        "img_feats": torch.rand(samples, regions, width),
        "masked_lm_labels": labels,
        "contrastive_labels": torch.arange(samples) % classes,
    }


for name, (sizes, shape, mask) in CASES.items():
    config = config_json(*sizes, dropout=0.0, positions=12)
    model = OscarForPretraining(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
            parameter.copy_(parameter.float().double())  # the numbers that the file can hold
    inputs = inputs_of(sizes, shape, mask)
    inputs["img_feats"] = inputs["img_feats"].float().double()
    tensors = {f"weights.{key}": value.detach().float() for key, value in model.by_published_names().items()}
    tensors |= {f"in.{key}": value.float() if value.is_floating_point() else value for key, value in inputs.items()}
    tensors |= {f"out.{key}": value.detach().float() for key, value in model.everything(**inputs).items()}
    save_file({key: value.contiguous() for key, value in tensors.items()}, HERE / f"{name}.safetensors")

    first = {key: value.detach().clone() for key, value in model.state_dict().items()}
    curves = {}
    for form, build in (("oscar_adamw", PublishedAdamW), ("adamw", TorchAdamW)):
        model.load_state_dict(first)
        named = model.by_published_names()
        optimiser = build(named)
        curves[form] = []
        for rate in RATES:
            found = model.everything(**inputs)
            curves[form].append((found["mlm_loss"] + found["contrastive_loss"]).item())
            torch.nn.utils.clip_grad_norm_(named.values(), CLIP)
            optimiser.step(rate)
    (HERE / f"{name}.json").write_text(json.dumps({"config": config, "losses": curves}, indent=1) + "\n")
