"""Values and gradients of PyTorch and torchvision, in f64 on inputs that f32 holds exactly.

    python generate.py        writes NAME.safetensors here for every function in the last lines

Every case is a prefix `<name>/`: its inputs, its numbers (`how`, i64 or f64), `y`, and `d_<input>` of sum(y * d_y).
"""

import os

import torch
import torchvision
from safetensors.torch import save_file
from torch.nn import functional as F

assert torch.__version__.split("+")[0] == "2.15.0", torch.__version__
assert torchvision.__version__.split("+")[0] == "0.29.2", torchvision.__version__

HERE = os.path.dirname(os.path.abspath(__file__))
generator = torch.Generator().manual_seed(3)


def draw(*shape):
    """Multiples of 1/64 in about (-3, 3): exact in f32, and with ties, as pictures have them."""
    return (torch.randn(*shape, generator=generator).clamp(-3, 3) * 64).round().div(64)


def record(into, name, how, inputs, f):
    leaves = {key: value.double().requires_grad_() for key, value in inputs.items()}
    y = f(**leaves)
    d_y = draw(*(y.shape or (1,))).reshape(y.shape)
    wanted = {key: leaf for key, leaf in leaves.items() if key not in ("rois", "mean", "variance")}
    gradients = torch.autograd.grad((y * d_y.double()).sum(), list(wanted.values()))
    into[f"{name}/how"] = how.clone()
    into[f"{name}/y"] = y.detach().contiguous()
    into[f"{name}/d_y"] = d_y
    for key, value in inputs.items():
        into[f"{name}/{key}"] = value.float().clone(memory_format=torch.contiguous_format)
    for key, gradient in zip(wanted, gradients):
        into[f"{name}/d_{key}"] = gradient.clone(memory_format=torch.contiguous_format)


def conv2d():
    out = {}
    # name, x, w, stride, pads (top, bottom, left, right), dilation, groups
    cases = [
        ("dense_odd", (2, 3, 9, 7), (4, 3, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
        ("stem_parity", (1, 3, 15, 18), (4, 3, 7, 7), (2, 2), (3, 3, 3, 3), (1, 1), 1),
        ("same_even", (2, 3, 8, 11), (4, 3, 3, 3), (2, 2), (0, 1, 1, 1), (1, 1), 1),
        ("dilated", (1, 4, 11, 10), (5, 4, 3, 3), (1, 1), (2, 2, 2, 2), (2, 2), 1),
        ("dilated_strided", (1, 2, 12, 13), (3, 2, 3, 2), (2, 3), (3, 1, 0, 2), (2, 3), 1),
        ("pointwise", (2, 7, 5, 6), (9, 7, 1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1),
        ("pointwise_strided", (1, 6, 7, 8), (5, 6, 1, 1), (2, 2), (0, 0, 0, 0), (1, 1), 1),
        ("grouped", (2, 8, 7, 6), (12, 2, 3, 3), (2, 2), (1, 1, 1, 1), (1, 1), 4),
        ("grouped_wide", (1, 68, 4, 5), (6, 34, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 2),
        ("depthwise", (2, 5, 9, 8), (5, 1, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 5),
        ("depthwise_same", (1, 4, 10, 13), (4, 1, 5, 5), (2, 2), (1, 2, 2, 2), (1, 1), 4),
        ("depthwise_multiplier", (1, 3, 7, 9), (9, 1, 3, 3), (2, 2), (1, 1, 1, 1), (1, 1), 3),
        ("depthwise_dilated", (1, 3, 12, 11), (6, 1, 3, 3), (1, 2), (2, 0, 1, 3), (2, 2), 3),
    ]
    for name, x, w, stride, pads, dilation, groups in cases:
        top, bottom, left, right = pads

        def f(x, w, bias):
            padded = F.pad(x, (left, right, top, bottom))
            return F.conv2d(padded, w, bias, stride=stride, dilation=dilation, groups=groups)

        how = torch.tensor([*stride, *pads, *dilation, groups])
        record(out, name, how, {"x": draw(*x), "w": draw(*w), "bias": draw(w[0])}, f)
    return out


def batch_norm():
    out = {}
    for name, x in (("odd", (3, 4, 5, 7)), ("one_position", (5, 3, 1, 1)), ("one_sample", (1, 2, 3, 2))):
        channels = x[1]
        inputs = {"x": draw(*x) + 2, "weight": draw(channels), "bias": draw(channels)}
        given = {"mean": draw(channels), "variance": draw(channels).abs() + 0.25}
        how = torch.tensor([1e-3], dtype=torch.float64)

        def inference(x, weight, bias, mean, variance):
            return F.batch_norm(x, mean.detach(), variance.detach(), weight, bias, training=False, eps=1e-3)

        record(out, f"inference_{name}", how, inputs | given, inference)
        # Momentum 1 leaves the statistics themselves: the mean and the unbiased variance.
        mean, unbiased = torch.zeros(channels).double(), torch.ones(channels).double()

        def training(x, weight, bias):
            return F.batch_norm(x, mean, unbiased, weight, bias, training=True, momentum=1.0, eps=1e-3)

        record(out, f"training_{name}", how, inputs, training)
        out[f"training_{name}/mean"] = mean
        out[f"training_{name}/unbiased"] = unbiased
    return out


def elementwise():
    out = {}
    x = torch.cat([draw(2, 3, 11).flatten() * 10, torch.tensor([0.0, -0.0, 1e-6, 30, -30, 80, -80, 100, -100])])
    none = torch.zeros(1)
    record(out, "relu", none, {"x": x}, lambda x: F.relu(x))
    record(out, "swish", none, {"x": x}, lambda x: F.silu(x))
    record(out, "sigmoid", none, {"x": x}, lambda x: torch.sigmoid(x))
    record(out, "mean", none, {"x": draw(2, 5, 7, 9)}, lambda x: x.mean((2, 3)))
    return out


def max_pool2d():
    out = {}
    cases = [
        ("stem_parity", (2, 3, 13, 16), (3, 3), (2, 2), (1, 1)),
        ("flat", (1, 2, 6, 9), (2, 3), (1, 2), (1, 0)),
        ("apart", (1, 2, 11, 8), (2, 2), (3, 3), (0, 1)),
    ]
    for name, shape, kernel, stride, padding in cases:
        # Few different numbers, so that windows have ties.
        x = draw(*shape).mul(2).round().div(2)
        how = torch.tensor([*kernel, *stride, *padding])
        record(out, name, how, {"x": x}, lambda x: F.max_pool2d(x, kernel, stride, padding))
    return out


def linear():
    out = {}
    record(out, "odd", torch.zeros(1), {"x": draw(3, 37), "w": draw(11, 37), "bias": draw(11)}, lambda x, w, bias: F.linear(x, w, bias))
    return out


def roi_align():
    out = {}
    rois = torch.tensor(
        [
            [0, 3.25, 5.5, 60.75, 90.125],
            [1, 0, 0, 127, 95],
            [0, 40, 30, 41, 30.5],  # smaller than an element of the map
            [1, -50, -20, 30, 25],  # partly outside
            [0, 100, 70, 190, 150],
            [1, 500, 500, 600, 600],  # wholly outside
            [0, 20, 20, 20, 20],  # empty
            [1, 60, 50, 20, 10],  # inverted
            [0, 31.5, 47.5, 128, 96],
        ]
    )
    for aligned in (False, True):
        for ratio in (0, 2):
            name = f"{'aligned' if aligned else 'legacy'}_{ratio}"
            how = torch.tensor([3, 4, 1 / 8, ratio, aligned], dtype=torch.float64)
            inputs = {"x": draw(2, 3, 12, 16), "rois": rois}

            def f(x, rois):
                return torchvision.ops.roi_align(x, rois.detach(), (3, 4), 1 / 8, ratio, aligned)

            record(out, name, how, inputs, f)
    return out


def transformer():
    out = {}
    none = torch.zeros(1)
    eps = torch.tensor([1e-12], dtype=torch.float64)
    for name, shape in (("odd", (3, 5, 33)), ("base", (2, 768)), ("one_row", (1, 7))):
        inputs = {"x": draw(*shape) + 2, "weight": draw(shape[-1]), "bias": draw(shape[-1])}
        norm = lambda x, weight, bias: F.layer_norm(x, x.shape[-1:], weight, bias, 1e-12)
        record(out, f"layer_norm_{name}", eps, inputs, norm)
        inputs["residual"] = draw(*shape)
        both = lambda x, weight, bias, residual: norm(x + residual, weight, bias)
        record(out, f"residual_layer_norm_{name}", eps, inputs, both)

    for name, (batch, length, heads, d), pairs in (
        ("keys", (3, 7, 2, 5), False),
        ("pairs", (2, 6, 3, 4), True),
        ("wide", (1, 21, 1, 64), False),
        ("unseen", (1, 4, 2, 3), True),
    ):
        shape = (batch, length, length) if pairs else (batch, length)
        seen = (torch.rand(shape, generator=generator) > 0.3).float()
        if name == "unseen":
            seen[0, 1] = 0  # a query that sees no key
        bias = (1 - (seen if pairs else seen[:, None, :])).double()[:, None] * -10000

        def attend(qkv):
            q, k, v = qkv.view(batch, length, 3, heads, d).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
            return y.transpose(1, 2).reshape(batch * length, heads * d)

        how = torch.tensor([batch, length, heads])
        record(out, f"attention_{name}", how, {"qkv": draw(batch * length, 3 * heads * d)}, attend)
        out[f"attention_{name}/seen"] = seen

    for name, (rows, inputs, outputs) in (("narrow", (5, 37, 11)), ("wide", (6, 20, 130))):
        tensors = {"x": draw(rows, inputs) / 4, "w": draw(outputs, inputs) / 4, "bias": draw(outputs)}
        record(out, f"linear_gelu_{name}", none, tensors, lambda x, w, bias: F.gelu(F.linear(x, w, bias)))
        record(out, f"linear_{name}", none, tensors, lambda x, w, bias: F.linear(x, w, bias))
    x = torch.cat([draw(40) * 3, torch.tensor([0.0, -0.0, 1e-6, 0.625, -0.625, 8, -8, 20, -20, 100])])
    record(out, "tanh", none, {"x": x}, torch.tanh)
    record(out, "softmax", none, {"x": draw(3, 4, 19) * 3}, lambda x: x.softmax(-1))

    labels = torch.tensor([2, -1, 0, 0, 1, -1])
    sum_of = lambda logits, labels: F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
    record(out, "cross_entropy", labels, {"logits": draw(6, 3)}, lambda logits: sum_of(logits, labels))
    labels = torch.tensor([40, -1, 0, 69, -1, 3, 40])
    inputs = {"x": draw(7, 12), "w": draw(70, 12) / 2, "bias": draw(70)}
    over = lambda x, w, bias: sum_of(F.linear(x, w, bias), labels)
    record(out, "vocabulary_cross_entropy", labels, inputs, over)

    ids = torch.tensor([[3, 0, 9, 3, 3, 1], [0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 1, 0]])
    tables = {"word": draw(10, 8), "position": draw(7, 8), "segment": draw(2, 8)}
    rows = lambda word, position, segment: word[ids[0]] + position[ids[1]] + segment[ids[2]]
    record(out, "embedding_sum", ids, tables, rows)
    return out


def adamw():
    """Five updates of torch's AdamW in f32, with another gradient and rate each."""
    p, gradients = draw(50), draw(5, 50) / 8
    out = {"adamw/p": p.clone(), "adamw/gradients": gradients}
    parameter = torch.nn.Parameter(p)
    optimiser = torch.optim.AdamW([parameter], betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    for step, gradient in enumerate(gradients):
        optimiser.param_groups[0]["lr"] = 1e-2 / (step + 1)
        parameter.grad = gradient.clone()
        optimiser.step()
    state = optimiser.state[parameter]
    out |= {"adamw/y": parameter.detach(), "adamw/m": state["exp_avg"], "adamw/v": state["exp_avg_sq"]}
    return out


for make in (conv2d, batch_norm, elementwise, max_pool2d, linear, roi_align, transformer, adamw):
    save_file(make(), os.path.join(HERE, f"{make.__name__}.safetensors"))
