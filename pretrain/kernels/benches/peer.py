"""PyTorch on the shapes of `shapes.rs`: GFLOP/s forward and backward (both gradients), and the whole trunk; with
`--oscar` on those of `oscar.rs`: milliseconds forward and backward.

Seconds are the process's CPU time, as there.

    python benches/peer.py [--threads 1] [--oscar]
"""

import argparse
import time

import torch
import torchvision
from torch.nn import functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--repeats", type=int, default=10)
parser.add_argument("--oscar", action="store_true")
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


def oscar():
    rows, width, inside, words, heads = 16 * 85, 768, 3072, 30522, 12

    def both(name, f, *shapes):
        leaves = [torch.randn(shape, requires_grad=True) for shape in shapes]
        with torch.no_grad():
            forward = median_seconds(lambda: f(*leaves))

        def step():
            for leaf in leaves:
                leaf.grad = None
            f(*leaves).sum().backward()

        # Training's forward keeps what backward needs; what is left of the step is backward.
        print(f"{name:32} {forward * 1e3:8.2f} {(median_seconds(step) - forward) * 1e3:8.2f}")

    def attend(qkv, rate):
        q, k, v = qkv.view(16, 85, 3, heads, 64).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=rate)
        return y.transpose(1, 2).reshape(rows, width)

    norm = lambda x, w, b: F.layer_norm(x, (width,), w, b, 1e-12)
    x, vector = (rows, width), (width,)
    both("layer norm", norm, x, vector, vector)
    both("dropout + residual + layer norm", lambda x, r, w, b: norm(F.dropout(x, 0.1) + r, w, b), x, x, vector, vector)
    both("dropout", lambda x: F.dropout(x, 0.1), x)
    both("attention", lambda qkv: attend(qkv, 0.0), (rows, 3 * width))
    both("attention with dropout", lambda qkv: attend(qkv, 0.1), (rows, 3 * width))
    for inputs, outputs in ((width, 3 * width), (width, width), (inside, width)):
        both(f"linear {inputs}-{outputs}", F.linear, (rows, inputs), (outputs, inputs), (outputs,))
    gelu = lambda x, w, b: F.gelu(F.linear(x, w, b))
    both("linear + gelu 768-3072", gelu, x, (inside, width), (inside,))
    both("linear 1280-1000, one row", F.linear, (1, 1280), (1000, 1280), (1000,))
    places = torch.arange(84) * 16
    labels = torch.arange(84) * 311
    over = lambda x, w, b: F.cross_entropy(F.linear(x[places], w, b), labels, reduction="sum")
    both("vocabulary cross-entropy", over, x, (words, width), (words,))
    tokens = torch.arange(16 * 35)
    ids = (tokens * 7919 % words, tokens % 35, (tokens % 35 > 20).long())
    tables = ((words, width), (512, width), (2, width))
    both("embedding sum", lambda *t: sum(F.embedding(i, table) for i, table in zip(ids, t)), *tables)
    parameter = torch.nn.Parameter(torch.randn(16 << 20))
    parameter.grad = torch.randn(16 << 20) * 0.1
    for fused in (False, True):
        optimiser = torch.optim.AdamW([parameter], lr=1e-5, fused=fused)
        print(f"adamw of 16 M, fused={fused}: {median_seconds(optimiser.step) * 1e3:.1f} ms")
    print(f"norm of 16 M: {median_seconds(lambda: parameter.grad.norm()) * 1e3:.1f} ms")


print(f"torch {torch.__version__}, {arguments.threads} threads")
if arguments.oscar:
    oscar()
    raise SystemExit
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
