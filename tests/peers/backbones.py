"""`finetune backbone bench` beside PyTorch (channels last, f32 and bf16) and onnxruntime (f32), in one run on one machine.

    python tests/peers/backbones.py target/release/finetune [--rounds 3] [--threads 2] [--cases b0 ...] [--train]

Every figure comes from a process of its own, so that peak memory can be compared; rounds go through all sides one after the
other, and a side's time is the median over its rounds of each round's median. Weights are drawn: speed does not depend on
them. PyTorch runs timm's models in inference mode; a training step is logits, cross-entropy, all gradients and SGD with
momentum, on both sides. Needs torch, timm, onnx, onnxruntime.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CASES = {
    "b0": ("efficientnet_b0", 8, 224),
    "b4": ("efficientnet_b4", 2, 380),
    "resnext50": ("resnext50_32x4d", 8, 224),
    "resnext101": ("resnext101_32x8d", 4, 224),
    "b0-1": ("efficientnet_b0", 1, 224),
    "b4-1": ("efficientnet_b4", 1, 380),
    "resnext50-1": ("resnext50_32x4d", 1, 224),
    "resnext101-1": ("resnext101_32x8d", 1, 224),
}
TRAINED = ("b0", "resnext50")
FORWARD = ("ours f32", "onnxruntime f32", "torch f32", "ours bf16", "torch bf16")
TRAIN = ("ours f32", "torch f32")


def median_time(work, repeats):
    for _ in range(2):
        work()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"median_s": statistics.median(seconds), "peak_rss_bytes": peak}


def network(arch):
    import timm

    return timm.create_model(arch, pretrained=False)


def torch_side(arch, batch, size, dtype, mode, threads, repeats):
    import torch
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(threads)
    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
    model = network(arch).to(kind).to(memory_format=torch.channels_last)
    x = (torch.rand(batch, 3, size, size) * 4 - 2).to(kind).to(memory_format=torch.channels_last)
    if mode == "forward":
        model.eval()

        def work():
            with torch.inference_mode():
                model(x)
    else:
        model.train()
        optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
        targets = torch.full((batch, 1000), 1e-3)

        def work():
            optimiser.zero_grad(set_to_none=True)
            cross_entropy(model(x), targets).backward()
            optimiser.step()

    return median_time(work, repeats)


def onnx_side(path, batch, size, threads, repeats):
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    x = (np.random.default_rng(3).random((batch, 3, size, size)) * 4 - 2).astype(np.float32)
    return median_time(lambda: session.run(None, {"x": x}), repeats)


def export(arch, batch, size, path):
    import torch

    x = torch.rand(batch, 3, size, size)
    torch.onnx.export(network(arch).eval(), (x,), path, input_names=["x"], output_names=["y"], dynamo=False)


def worker(task):
    side = task.pop("side")
    sides = {"torch": torch_side, "onnx": onnx_side, "export": export}
    print(json.dumps(sides[side](**task)))


def asked(**task):
    command = [sys.executable, __file__, "--worker", json.dumps(task)]
    threads = str(task.get("threads", 2))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.strip().splitlines()[-1])


def measured(side, case, mode, arguments, onnx):
    arch, batch, size = CASES[case]
    who, dtype = side.split()
    threads, repeats = arguments.threads, arguments.repeats
    if who == "ours":
        command = [arguments.finetune, "backbone", "bench", "--arch", arch, "--batch", batch, "--size", size]
        command += ["--dtype", dtype, "--mode", mode, "--threads", threads, "--repeats", repeats, "--json"]
        done = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
        return json.loads(done.stdout)
    if who == "torch":
        return asked(side="torch", arch=arch, batch=batch, size=size, dtype=dtype, mode=mode, threads=threads, repeats=repeats)
    return asked(side="onnx", path=str(onnx), batch=batch, size=size, threads=threads, repeats=repeats)


def table(mode, sides, cases, arguments):
    print(f"\n{mode}, {arguments.threads} threads, ms (peak MiB)\n")
    columns = [*sides, "f32 over the best f32", "bf16 over torch's", "bf16 over our f32", "share of peak f32, bf16"]
    if mode == "train":
        columns = [*sides, "over torch f32", "share of peak"]
    print("| case | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))
    for case in cases:
        found = {side: [] for side in sides}
        with tempfile.TemporaryDirectory() as folder:
            onnx = Path(folder) / "network.onnx"
            if mode == "forward":
                arch, batch, size = CASES[case]
                asked(side="export", arch=arch, batch=batch, size=size, path=str(onnx))
            for _ in range(arguments.rounds):
                for side in sides:
                    found[side].append(measured(side, case, mode, arguments, onnx))
        seconds = {side: statistics.median(run["median_s"] for run in runs) for side, runs in found.items()}
        peaks = {side: max(run["peak_rss_bytes"] for run in runs) for side, runs in found.items()}
        share = {side: statistics.median(run.get("limit_share", 0) for run in runs) for side, runs in found.items()}
        cells = [f"{1000 * seconds[side]:.1f} ({peaks[side] >> 20})" for side in sides]
        if mode == "forward":
            best = min(seconds["onnxruntime f32"], seconds["torch f32"])
            cells += [
                f"{best / seconds['ours f32']:.2f}",
                f"{seconds['torch bf16'] / seconds['ours bf16']:.2f}",
                f"{seconds['ours f32'] / seconds['ours bf16']:.2f}",
                f"{share['ours f32']:.2f}, {share['ours bf16']:.2f}",
            ]
        else:
            cells += [f"{seconds['torch f32'] / seconds['ours f32']:.2f}", f"{share['ours f32']:.2f}"]
        arch, batch, size = CASES[case]
        print(f"| {arch}, {batch} x {size} | " + " | ".join(cells) + " |", flush=True)


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--worker":
        return worker(json.loads(sys.argv[2]))
    parser = argparse.ArgumentParser()
    parser.add_argument("finetune", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--train", action="store_true", help="training steps instead of inference")
    arguments = parser.parse_args()
    if arguments.train:
        table("train", TRAIN, [case for case in arguments.cases if case in TRAINED], arguments)
    else:
        table("forward", FORWARD, arguments.cases, arguments)


if __name__ == "__main__":
    main()
