"""Trainings under MPI beside those of threads and of one rank; a rank that is killed, and one that is stopped.

    python tests/peers/mpi_ranks.py BINARIES

BINARIES is a folder with `pipeline`, and `pretrain` built with `--features mpi`. Draws a small corpus, pre-trains on it for 20
steps with one rank, with two threads and with `mpirun -n 2`, and compares all weights: MPI has the bits of threads, and
both are within 1e-5 of one rank. Then the same under `--launch`, where rank 1 is first killed and then stopped: all ranks must be
started again from the last checkpoint within the timeout and what a start takes, and the weights must be the same bits.
Needs mpirun and numpy.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

STEPS = 20
TIMEOUT = 5
MPIRUN = ["mpirun", "--oversubscribe", "-n", "2"]
ALLOWED = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def run(*command):
    done = subprocess.run([str(part) for part in command], env={**os.environ, **ALLOWED}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"


def weights(run):
    """All numbers of a model, in the order of the file."""
    file = (run / "model/model.safetensors").read_bytes()
    header = int.from_bytes(file[:8], "little")
    described = json.loads(file[8 : 8 + header])
    described.pop("__metadata__", None)
    assert all(tensor["dtype"] == "F32" for tensor in described.values())
    return np.frombuffer(file[8 + header :], "<f4")


def settings(folder, out):
    data = {split: f'[{{ path = "{folder / split}" }}]' for split in ("train", "val")}
    sets = [
        f"model.tokenizer={folder / 'words'}",
        f"data.train={data['train']}",
        f"data.held_out={data['val']}",
        f"schedule.steps={STEPS}",
        "run.checkpoint_every=1",
    ]
    config = Path(__file__).parents[2] / "pretrain/configs/debug.toml"
    return ["run", config, *(part for each in sets for part in ("--set", each)), "--out", out]


def draw(pipeline, pretrain, folder):
    corpus = folder / "corpus"
    run(pipeline, "synth", "--images", 60, "--seed", 3, "--out", corpus)
    for split in ("train", "val"):
        spec = corpus / f"specs/captions-{split}.toml"
        run(pipeline, "build", spec, "--set", "backbone=efficientnet_half", "--out", folder / split)
    run(pipeline, "vocabulary", folder / "train", "--out", folder / "words")


def ranks(launcher):
    """Process ids of the ranks below a launcher: they say their rank in the environment."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            status = (entry / "stat").read_text().rsplit(") ", 1)[1].split()
            parent = int(status[1])
            grandparent = int((Path("/proc") / status[1] / "stat").read_text().rsplit(") ", 1)[1].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        if status[0] == "Z" or grandparent != launcher.pid and parent != launcher.pid:
            continue
        for variable in environment:
            if variable.startswith(b"OMPI_COMM_WORLD_RANK="):
                found[int(variable.split(b"=")[1])] = int(entry.name)
    return found


def wait_until(what, holds, seconds=120):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what} did not come to be within {seconds} s"
        time.sleep(0.01)


def lose_ranks(pretrain, folder, out):
    """A training whose rank 1 is killed, then stopped; seconds until all ranks were new."""
    command = [pretrain, *settings(folder, out), "--launch", " ".join(MPIRUN), "--collective-timeout", TIMEOUT]
    log = folder / "log"
    with log.open("w") as errors:
        launcher = subprocess.Popen([str(part) for part in command], env={**os.environ, **ALLOWED}, stdout=subprocess.DEVNULL, stderr=errors)
    metrics = out / "metrics.jsonl"
    lines = lambda: len(metrics.read_text().splitlines()) if metrics.exists() else 0
    took = []
    try:
        for kind in (signal.SIGKILL, signal.SIGSTOP):
            goal = lines() + 2
            wait_until("two more steps", lambda: lines() >= goal and len(ranks(launcher)) == 2)
            before = ranks(launcher)
            since = time.monotonic()
            os.kill(before[1], kind)
            new = lambda: (now := ranks(launcher)) and len(now) == 2 and not set(now.values()) & set(before.values())
            wait_until("two new ranks", new, seconds=TIMEOUT + 60)
            took.append(time.monotonic() - since)
        assert launcher.wait(timeout=240) == 0, log.read_text()
    finally:
        if launcher.poll() is None:
            launcher.terminate()
    restarts = log.read_text().count("all start again from the last checkpoint")
    assert restarts == 2, f"{restarts} restarts: {log.read_text()}"
    return took


def main():
    binaries = Path(sys.argv[1]).resolve()
    pipeline, pretrain = binaries / "pipeline", binaries / "pretrain"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        draw(pipeline, pretrain, folder)
        run(pretrain, *settings(folder, folder / "alone"))
        run(pretrain, *settings(folder, folder / "threads"), "--ranks", 2)
        run(*MPIRUN, pretrain, *settings(folder, folder / "mpi"))
        alone, threads, mpi = (weights(folder / name) for name in ("alone", "threads", "mpi"))
        assert len(mpi) > 10_000 and np.array_equal(mpi.view("u4"), threads.view("u4")), "MPI is not threads"
        apart = np.abs(mpi - alone).max()
        assert 0 < apart < 1e-5, f"two ranks and one are {apart} apart"
        took = lose_ranks(pretrain, folder, folder / "lost")
        assert np.array_equal(weights(folder / "lost").view("u4"), mpi.view("u4")), "another model came out"
    print(
        f"MPI: {STEPS} steps of 2 ranks have the bits of 2 threads, {apart:.1e} from 1 rank; killed and stopped "
        f"(timeout {TIMEOUT} s): all ranks new after {took[0]:.1f} and {took[1]:.1f} s, the same bits in the end"
    )


if __name__ == "__main__":
    main()
