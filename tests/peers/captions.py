"""Captions a second of `finetune captioning predict` beside PyTorch's, in one run on one machine, f32, random weights of OscarB.

    python tests/peers/captions.py target/release/finetune target/release/pipeline [--pictures 32]

PyTorch decodes as published: hidden states of tags, regions and of what was written are cached layer by layer and caption by
caption, a step feeds two tokens (the newest one and `[MASK]`), and keys and values are projected again from the cached
states. Five beams, 20 tokens, of which random weights use all; pictures have 50 regions and 30 tokens of tags. Ours is
measured from outside, the time for all pictures less that for one, so that loading does not count.
"""

import argparse
import base64
import json
import math
import subprocess
import tempfile
import time
from pathlib import Path

import numpy
import torch

from oscar_in_torch import OscarForPretraining, config_json

parser = argparse.ArgumentParser()
parser.add_argument("finetune", type=Path)
parser.add_argument("pipeline", type=Path)
parser.add_argument("--pictures", type=int, default=32)
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=1)
arguments = parser.parse_args()
torch.set_num_threads(arguments.threads)
torch.manual_seed(0)

PAD, CLS, SEP, MASK = 0, 101, 102, 103
BEAMS, LENGTH, CAPTION, TAGS, REGIONS, WORDS = 5, 20, 40, 30, 50, 30522
special = {PAD: "[PAD]", 100: "[UNK]", CLS: "[CLS]", SEP: "[SEP]", MASK: "[MASK]"}
vocabulary = [special.get(i, f"w{i}") for i in range(WORDS)]
config = config_json(768, 12, 12, 3072, WORDS, 2054, False, 2)
model = OscarForPretraining(config, "eager").eval()
features = numpy.random.default_rng(0).random((arguments.pictures, REGIONS, 2054), dtype=numpy.float32)
corners = numpy.sort(features[..., 2048:2052].reshape(-1, REGIONS, 2, 2), axis=2)  # x1, y1; x2, y2
features[..., 2048:2052] = corners.reshape(-1, REGIONS, 4)
features[..., 2052:] = corners[..., 1, :] - corners[..., 0, :]
tags = [[1000 + (37 * i + j) % 20000 for j in range(TAGS - 1)] for i in range(arguments.pictures)]


def split(x, heads=12):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(layer, x, keys, bias):
    """A layer for rows x that see `keys`, whose keys and values are projected here."""
    own = layer.attention.self
    q, k, v = split(own.query(x)), split(own.key(keys)), split(own.value(keys))
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    y = ((scores + bias if bias is not None else scores).softmax(-1) @ v).transpose(1, 2).flatten(2)
    x = layer.attention.output(y, x)
    return layer.output(layer.intermediate(x), x)


@torch.inference_mode()
def caption(pictures):
    n = len(pictures)
    embed = model.bert.embeddings
    ids = torch.tensor([tags[i] + [SEP] for i in pictures])
    positions = torch.arange(CAPTION, CAPTION + TAGS)[None].expand(n, -1)
    x = embed(input_ids=ids, token_type_ids=torch.ones_like(ids), position_ids=positions)
    x = torch.cat([x, model.bert.img_embedding(torch.from_numpy(features[pictures]))], 1)
    history = []
    for layer in model.bert.encoder.layer:
        history.append(x.repeat_interleave(BEAMS, 0))
        x = attend(layer, x, x, None)
    bias = torch.zeros(2, history[0].shape[1] + 2)
    bias[0, -1] = -10000.0
    written = torch.full((n * BEAMS, 1), CLS)
    sums = torch.tensor([0.0] + [-1e9] * (BEAMS - 1)).repeat(n)
    finished = [[] for _ in range(n)]
    for step in range(1, LENGTH):
        new = torch.stack([written[:, -1], torch.full((n * BEAMS,), MASK)], 1)
        places = torch.tensor([step - 1, step]).expand(n * BEAMS, -1)
        x = embed(input_ids=new, token_type_ids=torch.zeros_like(new), position_ids=places)
        for number, layer in enumerate(model.bert.encoder.layer):
            keys = torch.cat([history[number], x], 1)
            history[number] = keys[:, :-1]
            x = attend(layer, x, keys, bias)
        bias = torch.nn.functional.pad(bias, (1, 0))
        logs = model.token_logits(x[:, 1]).log_softmax(-1) + sums[:, None]
        best, places = logs.view(n, -1).topk(2 * BEAMS)
        chosen = []
        for i in range(n):
            kept = []
            for score, place in zip(best[i].tolist(), places[i].tolist()):
                row, token = i * BEAMS + place // WORDS, place % WORDS
                if token == SEP or step + 1 == LENGTH:
                    finished[i].append((score / step, [*written[row, 1:].tolist(), token]))
                elif len(kept) < BEAMS:
                    kept.append((score, row, token))
            chosen += kept + [(-1e9, i * BEAMS, PAD)] * (BEAMS - len(kept))
        rows = torch.tensor([row for _, row, _ in chosen])
        sums = torch.tensor([score for score, *_ in chosen])
        written = torch.cat([written[rows], torch.tensor([[token] for *_, token in chosen])], 1)
        history = [states[rows] for states in history]
    return [max(captions) for captions in finished]


def theirs():
    start = time.perf_counter()
    found = []
    for first in range(0, arguments.pictures, arguments.batch):
        found += caption(list(range(first, min(first + arguments.batch, arguments.pictures))))
    return time.perf_counter() - start, found


def write(folder):
    """The same pictures as shards, the same weights as a captioner."""
    rows = {"feature": [], "label": [], "hw": []}
    for i in range(arguments.pictures):
        packed = base64.b64encode(features[i].tobytes()).decode()
        rows["feature"].append(json.dumps({"num_boxes": REGIONS, "features": packed}))
        objects = [{"class": vocabulary[tag], "conf": 0.9, "rect": [0, 0, 9, 9]} for tag in tags[i]]
        rows["label"].append(json.dumps(objects))
        rows["hw"].append(json.dumps([{"height": 480, "width": 640}]))
    for name, lines in rows.items():
        text = "".join(f"{i}\t{line}\n" for i, line in enumerate(lines))
        (folder / f"{name}.tsv").write_text(text)
    (folder / "test.yaml").write_text("img: img.tsv\nhw: hw.tsv\nlabel: label.tsv\nfeature: feature.tsv\n")
    spec = Path(__file__).parents[2] / "data-specs/corpora/oscar-tsv.toml"
    command = [arguments.pipeline, "build", spec, "--set", f"yaml={folder / 'test.yaml'}"]
    command += ["--set", "without_text=keep", "--out", folder / "shards"]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    (folder / "model").mkdir()
    model.save(folder / "model", config)
    path = folder / "model/model.safetensors"
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    save_file({name: tensor for name, tensor in tensors.items() if "seq_relationship" not in name}, path)
    (folder / "model/vocab.txt").write_text("\n".join(vocabulary) + "\n")
    layout = {"max_tokens": CAPTION + TAGS, "max_regions": REGIONS, "tags": True}
    settings = {"caption_tokens": CAPTION}
    described = {"task": "captioning", "settings": settings, "layout": layout}
    (folder / "model/finetuning.json").write_text(json.dumps(described))


def ours(folder, *more):
    command = [arguments.finetune, "captioning", "predict", "--model", folder / "model", "--data", folder / "shards"]
    command += ["--batch", arguments.batch, "--json", *more]
    start = time.perf_counter()
    done = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True)
    return time.perf_counter() - start, json.loads(done.stdout.strip().splitlines()[-1])


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    write(folder)
    seconds = {"ours": [], "torch": []}
    for _ in range(arguments.rounds):
        loading, one = ours(folder, "--key", "coco/0")
        took, found = ours(folder)
        seconds["ours"].append((took - loading) / (arguments.pictures - 1))
        took, captions = theirs()
        seconds["torch"].append(took / arguments.pictures)
words = [" ".join(vocabulary[token] for token in tokens[:-1]) for _, tokens in captions]
by_id = {prediction["image_id"]: prediction for prediction in found}
same = sum(by_id[str(i)]["caption"] == text for i, text in enumerate(words))
apart = max(abs(math.log(by_id[str(i)]["confidence"]) - score) for i, (score, _) in enumerate(captions))
rates = {name: 1 / min(each) for name, each in seconds.items()}
report = {
    "captions_per_second": rates,
    "ratio": rates["ours"] / rates["torch"],
    "same_captions": f"{same} of {arguments.pictures}",
    "scores_apart": apart,
}
print(json.dumps(report))
