"""Seconds of a pre-training step beside PyTorch's, in one run on one machine.

    python tests/peers/pretrain_step.py target/release/pretrain [--rounds 3] [--steps 3] [--preset base]

PyTorch is measured in three ways: as published (logits at all positions, eager attention, AdamW parameter by parameter);
tuned (scaled_dot_product_attention, logits at labelled positions, fused AdamW); tuned under bf16 autocast. All positions
are real, 15 % of the tokens are labelled; dropout, clipping and AdamW are on. The programs take turns; a figure is the
median over the rounds. Each is a process of its own, so that peak memory is its own.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

SIZES = {"base": (768, 12, 12, 3072), "small": (192, 4, 4, 768), "large": (1024, 24, 16, 4096)}
WAYS = ("published", "tuned", "tuned-bf16")

parser = argparse.ArgumentParser()
parser.add_argument("pretrain", type=Path, nargs="?")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--steps", type=int, default=3)
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--text", type=int, default=35)
parser.add_argument("--regions", type=int, default=50)
parser.add_argument("--preset", choices=SIZES, default="base")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--way", choices=WAYS, help="measure this one way of PyTorch and print it: what the rounds call")
arguments = parser.parse_args()


def measure(way):
    import torch

    from oscar_in_torch import OscarForPretraining, config_json

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    tuned = way != "published"
    config = config_json(*SIZES[arguments.preset], 30522, 2054, False, 2)
    model = OscarForPretraining(config, "sdpa" if tuned else "eager").train()
    keep = ("bias", "LayerNorm.weight", "norm.weight")
    groups = [
        {"params": [p for n, p in model.named_parameters() if not n.endswith(keep)], "weight_decay": 0.01},
        {"params": [p for n, p in model.named_parameters() if n.endswith(keep)], "weight_decay": 0.0},
    ]
    options = {"fused": True} if tuned else {"foreach": False}
    optimiser = torch.optim.AdamW(groups, lr=5e-5, eps=1e-8, **options)
    seconds = []
    for step in range(arguments.steps + 1):
        ids = torch.randint(1000, 30522, (arguments.batch, arguments.text))
        labels = torch.full_like(ids, -1)
        asked = torch.rand(ids.shape).argsort(1)[:, : round(0.15 * arguments.text)]
        labels.scatter_(1, asked, ids.gather(1, asked))
        segments = (torch.arange(arguments.text) >= arguments.text // 2).long().repeat(arguments.batch, 1)
        regions = torch.rand(arguments.batch, arguments.regions, 2054)
        classes = torch.arange(arguments.batch) % 2
        mask = None if tuned else torch.ones(arguments.batch, arguments.text + arguments.regions)
        start = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=way == "tuned-bf16"):
            hidden, pooled = model.encode(ids, segments, mask, regions)
            found = model.losses(hidden, pooled, labels, classes, gathered=tuned)
        (found["mlm_loss"] + found["contrastive_loss"]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimiser.step()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"median_step_s": statistics.median(seconds[1:]), "peak_rss_bytes": peak}))


def run(command):
    done = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


if arguments.way:
    measure(arguments.way)
    sys.exit()

shape = ["--batch", arguments.batch, "--text", arguments.text, "--regions", arguments.regions]
shape += ["--threads", arguments.threads, "--steps", arguments.steps, "--preset", arguments.preset]
OURS = {"ours": "f32", "ours-bf16": "bf16"}
figures = {name: [] for name in (*OURS, *WAYS)}
for _ in range(arguments.rounds):
    for name, dtype in OURS.items():
        figures[name].append(run([arguments.pretrain, "bench", *shape, "--dtype", dtype, "--json"]))
    for way in WAYS:
        figures[way].append(run([sys.executable, __file__, "--way", way, *shape]))
summary = {}
for name, rounds in figures.items():
    step = statistics.median(one["median_step_s"] for one in rounds)
    peak = max(one["peak_rss_bytes"] for one in rounds)
    summary[name] = {"step_s": step, "peak_gib": peak / 2**30}
for name, one in summary.items():
    times = [one["step_s"] / summary[ours]["step_s"] for ours in OURS]
    ratios = ", ".join(f"{ratio:.2f} x {ours}" for ratio, ours in zip(times, OURS))
    print(f"{name:12} {one['step_s']:.3f} s, {one['peak_gib']:.2f} GiB, {ratios}", file=sys.stderr)
print(json.dumps(summary))
