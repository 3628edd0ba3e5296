"""Writes whole checkpoints of a few kilobytes: every tensor is one number of a shared storage, repeated by strides of 0.

The i-th tensor by name (counters left out) holds i / 1024 everywhere.
"""
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import timm
import torch
import torchvision

assert torch.__version__.startswith("2.15.0"), torch.__version__
assert timm.__version__ == "1.0.31", timm.__version__

HERE = Path(__file__).parent
storage = torch.arange(1024, dtype=torch.float32) / 1024


def repeated(model, numbers, prefix=""):
    state = model.state_dict()
    keys = sorted(key for key in state if not key.endswith("num_batches_tracked"))
    number = {key: numbers[i : i + 1] for i, key in enumerate(keys)}
    return OrderedDict(
        (prefix + key, number[key].expand(tensor.shape) if key in number else torch.tensor(17))
        for key, tensor in state.items()
    )


with torch.device("meta"):
    b0 = timm.create_model("efficientnet_b0", num_classes=10)
    theirs = torchvision.models.efficientnet_b0(num_classes=10)
    x50 = timm.create_model("resnext50_32x4d", num_classes=10)

trained = {
    "epoch": 3,
    "arch": "efficientnet_b0",
    "args": Namespace(lr=0.1),
    "state_dict": repeated(b0, torch.zeros(1024), "module."),
    "state_dict_ema": repeated(b0, storage, "module."),
    "optimizer": {"state": {0: {"square_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
}
torch.save(trained, HERE / "wrapped_zip.pth")
torch.save(repeated(theirs, storage.half()), HERE / "torchvision_half_zip.pth")
torch.save({"model": repeated(x50, storage)}, HERE / "model_legacy.pth", _use_new_zipfile_serialization=False)
