"""`pretrain forward` beside our own PyTorch assembly on transformers' BertModel: outputs, losses, every gradient.

    python tests/peers/pretrain_parity.py target/release/pretrain

Several shapes, both widths of the contrastive head, padding, both kinds of masks, with and without the layer norm of
regions. A figure is the largest difference of a tensor, divided by its largest number.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from oscar_in_torch import OscarForPretraining, config_json

parser = argparse.ArgumentParser()
parser.add_argument("pretrain", type=Path)
parser.add_argument("--limit", type=float, default=1e-4)
arguments = parser.parse_args()

# hidden, layers, heads, inner, words, region width, region norm, classes, samples, tokens, regions, mask
CASES = {
    "two classes, padding": (48, 2, 4, 96, 211, 38, False, 2, 3, 9, 5, "keys"),
    "three classes, region norm": (64, 3, 2, 256, 97, 22, True, 3, 4, 12, 7, "keys"),
    "caption mask": (48, 2, 3, 80, 150, 14, True, 2, 3, 11, 4, "caption"),
    "wide heads, one region": (80, 1, 1, 100, 80, 16, False, 3, 2, 6, 1, "pairs"),
    "base width": (768, 2, 12, 3072, 3000, 2054, True, 3, 2, 35, 50, "keys"),
    "large width": (1024, 1, 16, 4096, 2000, 2054, False, 2, 2, 35, 50, "caption"),
}


def mask_of(kind, real_tokens, real_regions, tokens, regions):
    samples = len(real_tokens)
    keys = torch.zeros(samples, tokens + regions, dtype=torch.long)
    for sample in range(samples):
        keys[sample, : real_tokens[sample]] = 1
        keys[sample, tokens : tokens + real_regions[sample]] = 1
    if kind == "keys":
        return keys
    pairs = keys[:, None, :] * keys[:, :, None]
    caption = tokens // 2
    if kind == "caption":  # words see words to their left, tags and regions; those do not see words
        pairs[:, :caption, :caption] *= torch.ones(caption, caption, dtype=torch.long).tril()
        pairs[:, caption:, :caption] = 0
    else:  # words and regions see themselves and each other, tags only themselves
        pairs[:, caption:tokens, :caption] = 0
        pairs[:, caption:tokens, tokens:] = 0
    # a query without keys has no defined result anywhere: it sees itself
    own = torch.eye(tokens + regions, dtype=torch.long)[None]
    return torch.maximum(pairs, own * (pairs.sum(-1, keepdim=True) == 0))


worst = 0.0
for number, (name, case) in enumerate(CASES.items()):
    hidden, layers, heads, inner, words, width, norm, classes, samples, tokens, regions, mask = case
    torch.manual_seed(number)
    config = config_json(hidden, layers, heads, inner, words, width, norm, classes)
    model = OscarForPretraining(config).eval()
    with torch.no_grad():  # layer norms and biases that do nothing would hide errors
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    real_tokens = [max(3, tokens - 2 * i) for i in range(samples)]
    real_regions = [max(1, regions - i) for i in range(samples)]
    inputs = {
        "input_ids": torch.randint(0, words, (samples, tokens)),
        "token_type_ids": (torch.arange(tokens) >= tokens // 2).long().repeat(samples, 1),
        "attention_mask": mask_of(mask, real_tokens, real_regions, tokens, regions),
        "img_feats": torch.rand(samples, regions, width) * 2,
        "contrastive_labels": torch.randint(0, classes, (samples,)),
    }
    labels = torch.full((samples, tokens), -1)
    for sample in range(samples):
        asked = torch.randperm(real_tokens[sample])[: 1 + real_tokens[sample] // 4]
        labels[sample, asked] = torch.randint(0, words, asked.shape)
        inputs["input_ids"][sample, real_tokens[sample] :] = 0
    inputs["masked_lm_labels"] = labels

    wanted = model.everything(**inputs)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        model.save(folder, config)
        save_file({name: tensor.contiguous() for name, tensor in inputs.items()}, folder / "x.safetensors")
        command = [arguments.pretrain, "forward", "--model", folder, "--inputs", folder / "x.safetensors"]
        subprocess.run([*command, "--out", folder / "y.safetensors", "--gradients"], check=True, stdout=subprocess.DEVNULL)
        found = load_file(folder / "y.safetensors")
    assert sorted(found) == sorted(wanted), set(found) ^ set(wanted)
    real = torch.zeros(samples, tokens + regions, dtype=torch.bool)
    for sample in range(samples):
        real[sample, : real_tokens[sample]] = True
        real[sample, tokens : tokens + real_regions[sample]] = True
    figures = {}
    for key, tensor in wanted.items():
        ours, theirs = found[key], tensor.detach()
        assert torch.isfinite(ours).all(), key
        if key == "hidden":
            ours, theirs = ours[real], theirs[real]
        # the bias of keys adds the same to all scores of a query: its gradient is rounding in both
        scale = max(theirs.abs().max().item(), 1e-3 if key.endswith("key.bias") else 1e-12)
        figures[key] = (ours - theirs).abs().max().item() / scale
    key, figure = max(figures.items(), key=lambda item: item[1])
    worst = max(worst, figure)
    print(f"{name:28} {len(figures):4} tensors, worst {figure:.1e} ({key})")
    assert figure <= arguments.limit, (name, key, figure)
print(json.dumps({"cases": len(CASES), "worst": worst}))
