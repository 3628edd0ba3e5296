"""Writes one .safetensors and one .json a case: what PyTorch and transformers make of a small classifier, in f64.

    python finetune/harness/golden/generate.py

The .safetensors holds weights, inputs, targets, logits and all gradients; the .json the config, the head and the loss.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "tests" / "peers"))
from oscar_in_torch import OscarForPretraining, config_json  # noqa: E402

assert transformers.__version__.startswith("5."), transformers.__version__
torch.manual_seed(31)
torch.set_default_dtype(torch.float64)

# region norm, sequences of a sample, classifier, scale, layer norm of the head, loss, labels
CASES = {
    "linear-bce": (False, 1, "linear", 3, None, "bce", 5),
    "linear-ce": (True, 1, "linear", 3, None, "ce", 4),
    "mlp-kl": (False, 1, "mlp", 2, None, "kl", 6),
    "pair-mlp-norm-ce": (True, 2, "mlp", 3, None, "ce", 2),
    "pair-mlp-ce": (True, 2, "mlp", 2, False, "ce", 2),
}
SAMPLES, TOKENS, REGIONS = 3, 6, 4


def head(hidden, sequences, classifier, scale, norm, labels):
    if classifier == "linear":
        return nn.Linear(sequences * hidden, labels)
    inner = scale * hidden
    layers = [nn.Linear(sequences * hidden, inner), nn.ReLU()]
    layers += [nn.LayerNorm(inner, eps=1e-12)] if norm else []
    return nn.Sequential(*layers, nn.Linear(inner, labels))


def loss_of(kind, logits, targets):
    if kind == "bce":
        return F.binary_cross_entropy_with_logits(logits, targets) * targets.shape[1]
    if kind == "kl":
        return nn.KLDivLoss(reduction="batchmean")(F.log_softmax(logits, -1), targets)
    return F.cross_entropy(logits, targets.argmax(-1))


for name, (region_norm, sequences, classifier, scale, own_norm, kind, labels) in CASES.items():
    config = config_json(12, 2, 3, 20, 41, 10, region_norm, 2, dropout=0.0, positions=12)
    encoder = OscarForPretraining(config).eval()
    norm = region_norm if own_norm is None else own_norm
    top = head(12, sequences, classifier, scale, norm, labels)
    named = {key: value for key, value in encoder.by_published_names().items() if key.startswith("bert.")}
    named |= {f"classifier.{key}": value for key, value in top.named_parameters()}
    with torch.no_grad():
        for parameter in named.values():
            parameter.add_(torch.randn_like(parameter) * 0.1)
            parameter.copy_(parameter.float().double())  # the numbers that the file can hold
    n = SAMPLES * sequences
    ids = torch.randint(1, 41, (n, TOKENS))
    segments = (torch.arange(TOKENS) >= TOKENS // 2).long().repeat(n, 1)
    regions = torch.rand(n, REGIONS, 10).float().double()
    grades = torch.tensor([0.0, 0.3, 0.6, 0.9, 1.0])
    targets = grades[torch.randint(0, 5, (SAMPLES, labels))]
    if sequences == 2:
        targets = F.one_hot(torch.arange(SAMPLES) % 2, 2).double()
    targets[:, 0] += (targets.sum(-1) == 0) * 0.3  # every sample has a target
    _, pooled = encoder.encode(ids, segments, None, regions)
    logits = top(pooled.reshape(SAMPLES, -1))
    loss = loss_of(kind, logits, targets)
    loss.backward()
    tensors = {f"weights.{key}": value.detach().float() for key, value in named.items()}
    tensors |= {"in.ids": ids, "in.segments": segments, "in.regions": regions.float(), "in.targets": targets.float()}
    tensors |= {"out.logits": logits.detach().float()}
    tensors |= {f"grad.{key}": value.grad.float() for key, value in named.items()}
    save_file({key: value.contiguous() for key, value in tensors.items()}, HERE / f"{name}.safetensors")
    settings = {"classifier": classifier, "cls_hidden_scale": scale, "loss_type": kind}
    settings |= {} if own_norm is None else {"use_layernorm": own_norm}
    case = {"config": config, "head": settings, "n_labels": labels, "n_sequences": sequences, "loss": loss.item()}
    (HERE / f"{name}.json").write_text(json.dumps(case, indent=1) + "\n")
