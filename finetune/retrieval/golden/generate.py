"""Writes one .safetensors and one .json a case: what PyTorch and transformers make of small pairs of captions and pictures.

    python finetune/retrieval/golden/generate.py

Captions, tags and regions are padded and masked here, as other programs do it; the lengths stand in the .json. The
.safetensors holds weights, inputs, labels, logits, probabilities and all gradients of the mean loss, computed in f64.
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
torch.manual_seed(47)
torch.set_default_dtype(torch.float64)

# which parts see each other beside themselves: C caption, L labels (tags), R regions
SEEN = {"CLR": ["CL", "CR", "LR"], "CL": ["CL"], "CR": ["CR"], "LR": ["LR"]}
# caption, tags and regions of every sample
LENGTHS = [(5, 3, 4), (4, 0, 2), (6, 2, 3), (3, 5, 1)]
TEXT, REGIONS = 8, 4


def mask_of(name):
    masks = torch.zeros(len(LENGTHS), TEXT + REGIONS, TEXT + REGIONS)
    for sample, (caption, tags, regions) in enumerate(LENGTHS):
        parts = {"C": range(0, caption), "L": range(caption, caption + tags), "R": range(TEXT, TEXT + regions)}
        pairs = [(a, a) for a in parts] + [tuple(pair) for pair in SEEN[name]]
        for a, b in pairs:
            for i in parts[a]:
                for j in parts[b]:
                    masks[sample, i, j] = masks[sample, j, i] = 1
    return masks


for name in SEEN:
    config = config_json(12, 2, 3, 20, 41, 10, name == "CLR", 2, dropout=0.0, positions=12)
    encoder = OscarForPretraining(config).eval()
    top = nn.Linear(12, 2)
    named = {key: value for key, value in encoder.by_published_names().items() if key.startswith("bert.")}
    named |= {f"classifier.{key}": value for key, value in top.named_parameters()}
    with torch.no_grad():
        for parameter in named.values():
            parameter.add_(torch.randn_like(parameter) * 0.1)
            parameter.copy_(parameter.float().double())  # the numbers that the file can hold
    ids = torch.randint(1, 41, (len(LENGTHS), TEXT))
    segments = torch.zeros(len(LENGTHS), TEXT, dtype=torch.long)
    for sample, (caption, tags, _) in enumerate(LENGTHS):
        ids[sample, caption + tags :] = 0
        segments[sample, caption : caption + tags] = 1
    regions = torch.rand(len(LENGTHS), REGIONS, 10).float().double()
    labels = torch.tensor([1, 0, 1, 0])
    _, pooled = encoder.encode(ids, segments, mask_of(name), regions)
    logits = top(pooled)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    tensors = {f"weights.{key}": value.detach().float() for key, value in named.items()}
    tensors |= {"in.ids": ids, "in.segments": segments, "in.regions": regions.float(), "in.labels": labels}
    tensors |= {"out.logits": logits.detach().float(), "out.probabilities": logits.detach().softmax(-1)[:, 1].float()}
    tensors |= {f"grad.{key}": value.grad.float() for key, value in named.items()}
    save_file({key: value.contiguous() for key, value in tensors.items()}, HERE / f"{name.lower()}.safetensors")
    case = {"config": config, "attention": name, "lengths": LENGTHS, "loss": loss.item()}
    (HERE / f"{name.lower()}.json").write_text(json.dumps(case, indent=1) + "\n")

# candidates in the layout of minival_caption_indexs_top20.pt; other pictures than those that are held out may be listed
listed = {0: [(0, 3), (1, 1), (0, 0)], 1: json.dumps([[1, 2], [0, 2]]), 99: [(99, 0)]}
torch.save(listed, HERE / "minival.pt")
