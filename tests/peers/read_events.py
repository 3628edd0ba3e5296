"""Reads a run's event files with TensorBoard and compares them with its metrics.jsonl.

    python read_events.py RUN [--scalars N]

Every figure of metrics.jsonl must be there once, at its step, as TensorBoard sees it after its own clean-up of restarts.
"""
import argparse
import json
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

parser = argparse.ArgumentParser()
parser.add_argument("run", type=Path)
parser.add_argument("--scalars", type=int, default=1, help="at least so many figures")
arguments = parser.parse_args()

wanted = {}
for line in (arguments.run / "metrics.jsonl").read_text().splitlines():
    figures = json.loads(line)
    step, kind = figures.pop("step"), figures.pop("kind")
    for name, value in figures.items():
        if value is not None:
            assert (f"{kind}/{name}", step) not in wanted, f"{kind}/{name} twice at step {step}"
            wanted[f"{kind}/{name}", step] = value

events = EventAccumulator(str(arguments.run), size_guidance={"scalars": 0})
events.Reload()
found = {}
for tag in events.Tags()["scalars"]:
    for event in events.Scalars(tag):
        assert (tag, event.step) not in found, f"TensorBoard shows {tag} twice at step {event.step}"
        found[tag, event.step] = event.value

assert found.keys() == wanted.keys(), sorted(found.keys() ^ wanted.keys())[:10]
for key, value in wanted.items():
    assert abs(found[key] - value) <= 1e-6 * max(1.0, abs(value)), (key, found[key], value)
assert len(found) >= arguments.scalars, len(found)
print(f"{len(found)} figures agree")
