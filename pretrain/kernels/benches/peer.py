"""PyTorch on the shapes of `shapes.rs`: GFLOP/s forward and backward (both gradients), and the whole trunk.

Seconds are the process's CPU time, as there.

    python benches/peer.py [--threads 1]
"""

import argparse
import time

import torch
import torchvision
from torch.nn import functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--repeats", type=int, default=10)
arguments = parser.parse_args()
torch.set_num_threads(arguments.threads)

CONVOLUTIONS = [
    ("resnext stem 7x7/2", (1, 3, 600, 1000), (64, 3, 7, 7), 2),
    ("resnext layer1 1x1 256-128", (1, 256, 150, 250), (128, 256, 1, 1), 1),
    ("resnext layer1 grouped 4", (1, 128, 150, 250), (128, 4, 3, 3), 1),
    ("resnext layer2 grouped 8", (1, 256, 75, 125), (256, 8, 3, 3), 1),
    ("resnext layer3 grouped 16", (1, 512, 38, 63), (512, 16, 3, 3), 1),
    ("resnext layer4 grouped 32", (1, 1024, 19, 32), (1024, 32, 3, 3), 1),
    ("resnext layer4 1x1 1024-2048", (1, 1024, 19, 32), (2048, 1024, 1, 1), 1),
    ("b0 stem 3x3/2", (8, 3, 224, 224), (32, 3, 3, 3), 2),
    ("b0 depthwise 3x3/2 at 112", (8, 96, 112, 112), (96, 1, 3, 3), 2),
    ("b0 depthwise 5x5 at 28", (8, 240, 28, 28), (240, 1, 5, 5), 1),
    ("b0 depthwise 3x3 at 7", (8, 1152, 7, 7), (1152, 1, 3, 3), 1),
    ("b0 1x1 112-672 at 14", (8, 112, 14, 14), (672, 112, 1, 1), 1),
]


def median_seconds(f):
    f()
    times = []
    for _ in range(arguments.repeats):
        start = time.process_time()
        f()
        times.append(time.process_time() - start)
    return sorted(times)[len(times) // 2]


print(f"torch {torch.__version__}, {arguments.threads} threads")
for name, x_shape, w_shape, stride in CONVOLUTIONS:
    x, w = torch.randn(x_shape, requires_grad=True), torch.randn(w_shape, requires_grad=True)
    how = {"stride": stride, "padding": w_shape[2] // 2, "groups": x_shape[1] // w_shape[1]}
    y = F.conv2d(x, w, **how)
    operations = 2 * y.numel() * w[0].numel()
    with torch.no_grad():
        forward = median_seconds(lambda: F.conv2d(x, w, **how))
    d_y = torch.ones_like(y)
    backward = median_seconds(lambda: torch.autograd.grad(y, (x, w), d_y, retain_graph=True))
    print(f"{name:32} {operations / forward / 1e9:8.1f} {2 * operations / backward / 1e9:8.1f}")

model = torchvision.models.resnext50_32x4d(weights=None).eval()
trunk = torch.nn.Sequential(*list(model.children())[:-2])
x = torch.randn(1, 3, 600, 1000)
with torch.no_grad():
    print(f"resnext50_32x4d at 600x1000: {median_seconds(lambda: trunk(x)):.3f} s")
