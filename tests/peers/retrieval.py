"""Pairs a second of `finetune text-retrieval` beside PyTorch's, in one run on one machine, and how far the scores differ.

    python tests/peers/retrieval.py target/release/finetune target/release/pipeline [--pictures 8] [--rounds 1] [--dtype bf16]

A model of OscarB's size with drawn weights scores every picture with every caption: 8 to 16 words, 12 to 30 tags, 30 to 50
regions of 2054 numbers, which `pipeline build` reads from torch files in the published layout. PyTorch is tuned:
scaled_dot_product_attention, inference mode, pairs sorted by length into batches, each padded to its longest pair and
masked, regions of a picture projected once. In bf16 all of PyTorch's weights and activations are bf16, which is faster than
autocast; ours rounds the factors of products. Speeds are of the scoring alone, without opening model and data.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from oscar_in_torch import OscarForPretraining, config_json

SIZES = {"base": (768, 12, 12, 3072), "small": (192, 4, 4, 768), "large": (1024, 24, 16, 4096)}
CAPTIONS, WIDTH, WORDS = 5, 2054, 30522
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

parser = argparse.ArgumentParser()
parser.add_argument("finetune", type=Path)
parser.add_argument("pipeline", type=Path)
parser.add_argument("--pictures", type=int, default=8)
parser.add_argument("--preset", choices=SIZES, default="base")
parser.add_argument("--batch", type=int, default=16, help="pairs at once, both sides")
parser.add_argument("--rounds", type=int, default=1)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
arguments = parser.parse_args()

torch.set_num_threads(arguments.threads)
torch.manual_seed(3)
dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[arguments.dtype]
draw = np.random.default_rng(3)
environment = {**os.environ, "RAYON_NUM_THREADS": str(arguments.threads)}


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True, env=environment)


def words(low, high):
    return [f"w{number}" for number in draw.integers(0, WORDS - len(SPECIAL), draw.integers(low, high + 1))]


def place_numbers(n):
    first, size = draw.random((n, 2)) * 0.5, draw.random((n, 2)) * 0.4 + 0.05
    return np.concatenate([first, first + size, (first + size) - first], 1)


def made(folder):
    """Torch files, shards and a model folder; pictures as (regions, tags, captions)."""
    pictures = []
    for _ in range(arguments.pictures):
        n = int(draw.integers(30, 51))
        regions = np.concatenate([draw.random((n, WIDTH - 6)), place_numbers(n)], 1).astype(np.float32)
        pictures.append((torch.from_numpy(regions), words(12, 30), [words(8, 16) for _ in range(CAPTIONS)]))
    keyed = {name: {} for name in ("features", "labels", "captions")}
    for number, (regions, tags, captions) in enumerate(pictures):
        keyed["features"][number] = regions
        keyed["labels"][number] = [{"class": tag} for tag in tags]
        keyed["captions"][number] = [" ".join(caption) for caption in captions]
    sets = []
    for name, value in keyed.items():
        torch.save(value, folder / f"{name}.pt")
        sets += ["--set", f"{name}={folder / name}.pt"]
    root = Path(__file__).parents[2]
    run(arguments.pipeline, "build", root / "data-specs/corpora/oscar-retrieval.toml", *sets, "--out", folder / "shards")

    config = config_json(*SIZES[arguments.preset], WORDS, WIDTH, False, 2)
    model = OscarForPretraining(config, "sdpa").eval()
    head = nn.Linear(config["hidden_size"], 2)
    nn.init.normal_(head.weight, std=0.02)
    (folder / "model").mkdir()
    tensors = {key: value for key, value in model.by_published_names().items() if key.startswith("bert.")}
    tensors |= {f"classifier.{key}": value for key, value in head.named_parameters()}
    save_file({key: value.detach().contiguous() for key, value in tensors.items()}, folder / "model/model.safetensors")
    (folder / "model/config.json").write_text(json.dumps(config))
    vocabulary = SPECIAL + [f"w{number}" for number in range(WORDS - len(SPECIAL))]
    (folder / "model/vocab.txt").write_text("\n".join(vocabulary) + "\n")
    layout = {"max_tokens": 70, "max_regions": 50, "tags": True}
    settings = {"attention": "CLR", "captions_per_image": CAPTIONS, "hard_negatives": 1}
    description = {"task": "text-retrieval", "settings": settings, "layout": layout}
    (folder / "model/finetuning.json").write_text(json.dumps(description))
    return pictures, model, head, {word: number for number, word in enumerate(vocabulary)}


def ours(folder):
    command = [arguments.finetune, "text-retrieval", "predict", "--model", folder / "model", "--data", folder / "shards"]
    done = run(*command, "--precision", arguments.dtype, "--batch", arguments.batch, "--out", folder / "scores.npy", "--json")
    speed = float(done.stderr.strip().splitlines()[-1].split(", ")[1].split(" pairs/s")[0])
    return speed, np.load(folder / "scores.npy")


@torch.inference_mode()
def theirs(pictures, model, head, ids):
    """Counted as ours: from the end of the first batch."""
    captions = [caption for _, _, captions in pictures for caption in captions]
    pairs = [(picture, caption) for picture in range(len(pictures)) for caption in range(len(captions))]

    def laid(picture, caption):
        first = [ids["[CLS]"], *(ids[word] for word in captions[caption]), ids["[SEP]"]]
        tags = [ids[tag] for tag in pictures[picture][1]][: 70 - len(first) - 1] + [ids["[SEP]"]]
        return first + tags, [0] * len(first) + [1] * len(tags)

    texts = {pair: laid(*pair) for pair in pairs}
    pairs.sort(key=lambda pair: (len(texts[pair][0]) + len(pictures[pair[0]][0]), pair))
    model, head = model.to(dtype), head.to(dtype)
    projected = [model.bert.img_embedding(regions.to(dtype)) for regions, _, _ in pictures]
    scores, started, timed = np.zeros((len(pictures), len(captions))), None, 0
    for first in range(0, len(pairs), arguments.batch):
        batch = pairs[first : first + arguments.batch]
        longest = max(len(texts[pair][0]) for pair in batch)
        most = max(len(projected[picture]) for picture, _ in batch)
        tokens = torch.zeros(len(batch), longest, dtype=torch.long)
        segments = torch.zeros_like(tokens)
        regions = torch.zeros(len(batch), most, projected[0].shape[1], dtype=dtype)
        mask = torch.zeros(len(batch), 1, 1, longest + most, dtype=dtype)
        for row, pair in enumerate(batch):
            token_ids, segment_ids = texts[pair]
            tokens[row, : len(token_ids)] = torch.tensor(token_ids)
            segments[row, : len(token_ids)] = torch.tensor(segment_ids)
            regions[row, : len(projected[pair[0]])] = projected[pair[0]]
            mask[row, ..., len(token_ids) : longest] = -10000.0
            mask[row, ..., longest + len(projected[pair[0]]) :] = -10000.0
        x = torch.cat([model.bert.embeddings(input_ids=tokens, token_type_ids=segments), regions], 1)
        for layer in model.bert.encoder.layer:
            x = layer(x, mask)
            x = x[0] if isinstance(x, tuple) else x
        found = head(model.bert.pooler(x)).float().softmax(-1)[:, 1]
        for pair, score in zip(batch, found.tolist()):
            scores[pair] = score
        if started is None:
            started = time.perf_counter()
        else:
            timed += len(batch)
    return timed / (time.perf_counter() - started), scores


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    pictures, *network = made(folder)
    speeds = {"ours": [], "theirs": []}
    for _ in range(arguments.rounds):
        speed, own = ours(folder)
        speeds["ours"].append(speed)
        speed, other = theirs(pictures, *network)
        speeds["theirs"].append(speed)
    apart = float(np.abs(own - other).max())
    own, other = (statistics.median(speeds[name]) for name in ("ours", "theirs"))
    found = {"ours_pairs_s": own, "torch_pairs_s": other, "ratio": own / other, "largest_difference": apart}
    print(f"{len(pictures) ** 2 * CAPTIONS} pairs, {arguments.dtype}, torch {torch.__version__}", file=sys.stderr)
    print(json.dumps(found))
