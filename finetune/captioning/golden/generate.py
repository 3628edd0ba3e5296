"""Writes captioning.json and captioning.safetensors: what PyTorch makes of captions, padded, in f64.

    python finetune/captioning/golden/generate.py

Three losses with all gradients, of one small Oscar with a decoder tied to the word embeddings or of its own:
hidden tokens with label smoothing; the same without the worst of them; and self-critical training, whose log-probabilities come
from decoding itself: a padded pass for every token, in which `[MASK]` stands behind what was written so far.
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
torch.manual_seed(8)
torch.set_default_dtype(torch.float64)

PAD, CLS, SEP, MASK = 0, 2, 3, 4
CAPTION, TAGS, REGIONS, WORDS, WIDTH = 9, 6, 4, 31, 11
SMOOTHING, DROP_WORST = 0.1, 0.3
# tokens, what is asked for (position, what it was), tags, regions
SAMPLES = [
    ([CLS, 7, MASK, 9, 10, 11, SEP], [(2, 8), (4, 10), (5, 17)], [20, 21, 22], 3),
    ([CLS, 12, 13, MASK], [(2, 14), (3, SEP)], [23], 4),
    ([CLS, MASK, 16, 17, 18, 19, 20, 29, SEP], [(1, 15), (7, 29)], [24, 25, 26, 27, 28], 1),
]
# of each picture two drawn captions, the second without [SEP]: it came to its full length
DRAWN = [
    [([7, 8, SEP], 0.7), ([9, 10, 11, 12, 13], -0.4)],
    [([SEP], -1.1), ([14, 14, 6, 5, 30], 0.2)],
    [([15, 16, 17, SEP], 0.9), ([18, 19, 20, 21, 22], 1.3)],
]


class Captioner(OscarForPretraining):
    def __init__(self, config, tied):
        super().__init__(config)
        self.decoder = None if tied else nn.Parameter(torch.empty(WORDS, config["hidden_size"]))

    def token_logits(self, rows):
        decoder = self.bert.embeddings.word_embeddings.weight if self.decoder is None else self.decoder
        return F.linear(self.transform_norm(F.gelu(self.transform(rows))), decoder, self.bias)

    def padded(self, captions):
        """The encoder's output for one caption a picture; every place that no token stands at is masked."""
        n, length = len(captions), CAPTION + TAGS
        ids = torch.full((n, length), PAD)
        segments = torch.zeros(n, length, dtype=torch.long)
        keys = torch.zeros(n, length + REGIONS)
        regions = torch.zeros(n, REGIONS, WIDTH)
        for i, (caption, picture) in enumerate(captions):
            tags, count = SAMPLES[picture][2] + [SEP], SAMPLES[picture][3]
            ids[i, : len(caption)] = torch.tensor(caption)
            ids[i, CAPTION : CAPTION + len(tags)] = torch.tensor(tags)
            segments[i, CAPTION : CAPTION + len(tags)] = 1
            keys[i, : len(caption)] = 1
            keys[i, CAPTION : CAPTION + len(tags)] = 1
            keys[i, length : length + count] = 1
            regions[i, :count] = VECTORS[picture][:count]
        seen = keys[:, None, :] * keys[:, :, None]
        seen[:, :CAPTION, :CAPTION] *= torch.ones(CAPTION, CAPTION).tril()
        seen[:, CAPTION:, :CAPTION] = 0
        return self.encode(ids, segments, seen, regions)[0]

    def published(self):
        names = self.by_published_names()
        if self.decoder is not None:
            names["cls.predictions.decoder.weight"] = names.pop("decoder")
        return {key: value for key, value in names.items() if "seq_relationship" not in key and "pooler" not in key}


def hidden_tokens(model, smoothing, drop_worst):
    hidden = model.padded([(tokens, i) for i, (tokens, *_) in enumerate(SAMPLES)])
    asked = [(i, place, label) for i, (_, asked, *_) in enumerate(SAMPLES) for place, label in asked]
    logits = model.token_logits(torch.stack([hidden[i, place] for i, place, _ in asked]))
    target = torch.full_like(logits, smoothing / (WORDS - 1))
    target[torch.arange(len(asked)), torch.tensor([label for *_, label in asked])] = 1 - smoothing
    losses = F.kl_div(logits.log_softmax(-1), target, reduction="none").sum(-1)
    kept = int(len(losses) * (1 - drop_worst))
    return losses.topk(kept, largest=False).values.mean(), {"logits": logits}


def self_critical(model):
    total, logs = 0.0, []
    for picture, captions in enumerate(DRAWN):
        for tokens, reward in captions:
            log = []
            for place, token in enumerate(tokens, start=1):
                hidden = model.padded([([CLS, *tokens[: place - 1], MASK], picture)])
                log.append(model.token_logits(hidden[0, place]).log_softmax(-1)[token])
            logs += log
            total = total - torch.stack(log).mean() * reward
    return total / sum(map(len, DRAWN)), {"logs": torch.stack(logs)}


VECTORS = [torch.randn(REGIONS, WIDTH).float().double() for _ in SAMPLES]
tensors = {f"regions.{i}": vectors for i, vectors in enumerate(VECTORS)}
losses = {}
CASES = {
    "smoothed": (True, lambda model: hidden_tokens(model, SMOOTHING, 0.0)),
    "drop-worst": (False, lambda model: hidden_tokens(model, 0.0, DROP_WORST)),
    "self-critical": (True, self_critical),
}
for name, (tied, loss_of) in CASES.items():
    config = config_json(12, 2, 3, 20, WORDS, WIDTH, False, 2, dropout=0.0, positions=CAPTION + TAGS)
    model = Captioner(config, tied).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((torch.randn_like(parameter) * 0.3).float().double())
        for part, parameter in model.named_parameters():
            if part.endswith("LayerNorm.weight") or part == "transform_norm.weight":
                parameter.add_(1).copy_(parameter.float().double())
    loss, outputs = loss_of(model)
    loss.backward()
    losses[name] = loss.item()
    for key, parameter in model.published().items():
        tensors[f"{name}.weights.{key}"] = parameter.detach()
        tensors[f"{name}.grad.{key}"] = parameter.grad
    tensors |= {f"{name}.{key}": value.detach() for key, value in outputs.items()}
    tensors |= {  # what nothing here reads, but a model has
        f"{name}.weights.bert.pooler.dense.{part}": getattr(model.bert.pooler.dense, part).detach()
        for part in ("weight", "bias")
    }

save_file({key: value.float().contiguous() for key, value in tensors.items()}, HERE / "captioning.safetensors")
described = {
    "config": config,
    "losses": losses,
    "samples": [dict(zip(("tokens", "asked", "tags", "n_regions"), sample)) for sample in SAMPLES],
    "drawn": [[{"tokens": tokens, "reward": reward} for tokens, reward in captions] for captions in DRAWN],
}
(HERE / "captioning.json").write_text(json.dumps(described) + "\n")
