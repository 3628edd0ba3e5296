"""Backbones beside timm and torchvision: the same weights, the same pictures, logits and all five stages.

    cargo build --release -p finetune
    python tests/peers/backbone_parity.py [CASE ...] [--finetune target/release/finetune] [--list]

needs torch, torchvision, timm, safetensors. Weights are random; their running statistics are those of one batch (a forward
pass in training mode with momentum 1), because with random statistics a network says the same of every picture. A distance
is the largest difference over the largest number of the reference's tensor; it may be 1e-4. The last columns put both beside
the reference in float64: the largest distance of the six tensors. What the network says of two pictures must differ by 1e-2 at
least, or the case proves nothing.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file

BOUND = 1e-4
# library, network, height, width, how the weights are kept, what the command is told beside the name
CASES = {
    "timm-efficientnet_b0": ("timm", "efficientnet_b0", 225, 191, "safetensors", []),
    "timm-efficientnet_b1": ("timm", "efficientnet_b1", 97, 130, "pth", []),
    "timm-efficientnet_b3": ("timm", "efficientnet_b3", 130, 97, "legacy", ["--flavour", "timm"]),
    "timm-efficientnet_b7": ("timm", "efficientnet_b7", 97, 66, "safetensors", []),
    "timm-tf_efficientnet_b0": ("timm", "tf_efficientnet_b0", 224, 190, "wrapped", []),
    "timm-tf_efficientnet_b2": ("timm", "tf_efficientnet_b2", 131, 98, "safetensors", ["--flavour", "tf"]),
    "timm-tf_efficientnet_b5": ("timm", "tf_efficientnet_b5", 98, 129, "safetensors", []),
    "torchvision-efficientnet_b0": ("torchvision", "efficientnet_b0", 191, 226, "pth", []),
    "torchvision-efficientnet_b4": ("torchvision", "efficientnet_b4", 97, 130, "safetensors", []),
    "torchvision-efficientnet_b5": ("torchvision", "efficientnet_b5", 130, 97, "legacy", ["--flavour", "torchvision"]),
    "timm-resnext50_32x4d": ("timm", "resnext50_32x4d", 225, 191, "safetensors", []),
    "torchvision-resnext50_32x4d": ("torchvision", "resnext50_32x4d", 97, 130, "pth", []),
    "timm-resnext101_32x8d": ("timm", "resnext101_32x8d", 97, 131, "wrapped", []),
    "torchvision-resnext101_64x4d": ("torchvision", "resnext101_64x4d", 129, 98, "safetensors", []),
}


def prepared(library, name):
    """A network in evaluation whose statistics are those of its activations."""
    model = timm.create_model(name) if library == "timm" else getattr(torchvision.models, name)()
    norms = [(key, module) for key, module in model.named_modules() if isinstance(module, torch.nn.BatchNorm2d)]
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, norm in norms:
            # None is the identity, so that every one of the four vectors shows. The branches of ResNeXt are weak beside the
            # shortcuts: where they are not, a hundred layers multiply rounding until torch is 4e-4 from its own float64.
            weak = name.startswith("resnext") and key.endswith("bn3")
            norm.weight.uniform_(*((0.1, 0.4) if weak else (0.5, 1.5)), generator=generator)
            norm.bias.normal_(0, 0.1, generator=generator)
            norm.momentum = 1.0
        model.train()
        for module in model.modules():
            if isinstance(module, (torch.nn.Dropout, torchvision.ops.StochasticDepth)):
                module.eval()
        model(torch.randn(4, 3, 128, 128, generator=generator))
    return model.eval()


def reference(library, name, model, x):
    """Logits and the five stages."""
    with torch.no_grad():
        if library == "timm":
            features = timm.create_model(name, features_only=True).eval().to(x.dtype)
            missing = features.load_state_dict(model.state_dict(), strict=False).missing_keys
            assert not missing, missing
            return [model(x), *features(x)]
        stages, hooks = [], []
        if name.startswith("resnext"):
            hooks.append(model.maxpool.register_forward_hook(lambda _, inputs, __: stages.append(inputs[0].clone())))
            taps = [model.layer1, model.layer2, model.layer3, model.layer4]
        else:
            taps = [model.features[i] for i in (1, 2, 3, 5, 7)]
        for tap in taps:
            hooks.append(tap.register_forward_hook(lambda _, __, output: stages.append(output.clone())))
        logits = model(x)
        for hook in hooks:
            hook.remove()
        return [logits, *stages]


def keep(model, kind, folder):
    state = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    path = folder / ("weights.safetensors" if kind == "safetensors" else "weights.pth")
    if kind == "safetensors":
        save_file(state, path)
    elif kind == "wrapped":
        parallel = {f"module.{key}": tensor for key, tensor in state.items()}
        torch.save({"epoch": 1, "args": Namespace(lr=0.1), "state_dict": parallel}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "pth")
    return path


def distance(ours, theirs):
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--finetune", default="target/release/finetune")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(CASES))
        return
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}")
    print("| case | picture | weights | logits | stage1 | stage2 | stage3 | stage4 | stage5 | two pictures | ours to f64 | theirs to f64 |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    failed = []
    for case in arguments.cases or CASES:
        library, name, height, width, kind, told = CASES[case]
        torch.manual_seed(0)
        model = prepared(library, name)
        x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(2))
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            weights, inputs, out = keep(model, kind, folder), folder / "x.safetensors", folder / "y.safetensors"
            save_file({"x": x}, inputs)
            command = [arguments.finetune, "backbone", "forward", "--arch", name, "--weights", weights]
            printed = subprocess.run(
                [*command, "--inputs", inputs, "--out", out, "--json", *told], check=True, capture_output=True
            ).stdout
            assert json.loads(printed)["shapes"]["logits"] == [2, 1000]
            ours = load_file(out)
        theirs = reference(library, name, model, x)
        names = ["logits", *(f"stage{i}" for i in range(1, 6))]
        assert sorted(ours) == sorted(names)
        exact = reference(library, name, model.double(), x.double())
        from_exact = [
            max(distance(tensor.double(), true) for tensor, true in zip(tensors, exact, strict=True))
            for tensors in ([ours[key] for key in names], theirs)
        ]
        distances = [distance(ours[key], tensor) for key, tensor in zip(names, theirs, strict=True)]
        apart = distance(theirs[0][:1], theirs[0][1:])
        figures, exactness = [" | ".join(f"{value:.1e}" for value in values) for values in (distances, from_exact)]
        print(f"| {case} | {height} x {width} | {kind} | {figures} | {apart:.2f} | {exactness} |", flush=True)
        if max(distances) > BOUND or apart < 1e-2:
            failed.append(case)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
