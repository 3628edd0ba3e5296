"""`finetune detector` beside a PyTorch assembly of VinVL's X152-C4 from torchvision's pieces: the same numbers, and the time.

    python tests/peers/detector.py target/release/finetune [--size 600 1000] [--threads 2] [--repeats 1] [--keep FOLDER]

Weights are drawn, and normalisation is given the statistics of one drawn picture, so that numbers stay near 1 through 155
layers. They are saved as the released file is (torch.save of {"model": ...}, prefix `module.`, the shared last stage and
the anchors a second time) and imported by `finetune detector convert`; then both sides look at the same prepared picture.
Compared: the map, what is said of every anchor, and, at our proposals, vectors, logits, steps and attributes. Timed: all of
it, with each side's own proposals. Needs torch, torchvision, safetensors, and 2 GB on the disk.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("finetune")
parser.add_argument("--size", type=int, nargs=2, default=[600, 1000], metavar=("HEIGHT", "WIDTH"))
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--repeats", type=int, default=1)
parser.add_argument("--keep", help="a folder for weights and inputs instead of a temporary one")
given = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = os.environ["RAYON_NUM_THREADS"] = str(given.threads)

import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torchvision.models.resnet import Bottleneck, ResNet  # noqa: E402
from torchvision.ops import nms, roi_align  # noqa: E402

torch.set_num_threads(given.threads)
torch.manual_seed(5)
CLASSES, ATTRIBUTES, STRIDE = 1594, 524, 16
SIZES, RATIOS = (32, 64, 128, 256, 512), (0.5, 1.0, 2.0)


def cell_anchors():
    """maskrcnn-benchmark's rule, with its widths of x2 - x1 + 1."""
    anchors = []
    for ratio in RATIOS:
        width = round((STRIDE * STRIDE / ratio) ** 0.5)
        height = round(width * ratio)
        for size in SIZES:
            w, h = width * size / STRIDE, height * size / STRIDE
            centre = (STRIDE - 1) / 2
            anchors.append([centre - (w - 1) / 2, centre - (h - 1) / 2, centre + (w - 1) / 2, centre + (h - 1) / 2])
    return torch.tensor(anchors)


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = ResNet(Bottleneck, [3, 8, 36, 3], groups=32, width_per_group=8, num_classes=1)
        for module in self.net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        self.conv, self.cls_logits = nn.Conv2d(1024, 1024, 3, padding=1), nn.Conv2d(1024, 15, 1)
        self.bbox_pred = nn.Conv2d(1024, 60, 1)
        self.cls_score, self.box_pred = nn.Linear(2048, CLASSES + 1), nn.Linear(2048, 4 * (CLASSES + 1))
        self.cls_embedding, self.fc_attr = nn.Embedding(CLASSES + 1, 256), nn.Linear(2048 + 256, 512)
        self.attr_score = nn.Linear(512, ATTRIBUTES + 1)
        for layer in (self.conv, self.cls_logits, self.bbox_pred, self.cls_score, self.box_pred):
            nn.init.normal_(layer.weight, std=0.01)

    def map(self, x):
        net = self.net
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        return net.layer3(net.layer2(net.layer1(x)))

    def anchors_said(self, features):
        hidden = F.relu(self.conv(features))
        objectness = self.cls_logits(hidden).permute(0, 2, 3, 1).flatten()
        return objectness, self.bbox_pred(hidden).permute(0, 2, 3, 1).reshape(-1, 4)

    def proposals(self, features, objectness, steps, size):
        rows, columns = features.shape[2:]
        shift_y, shift_x = torch.meshgrid(torch.arange(rows) * STRIDE, torch.arange(columns) * STRIDE, indexing="ij")
        shifts = torch.stack([shift_x, shift_y, shift_x, shift_y], -1).reshape(-1, 1, 4)
        anchors = (shifts + cell_anchors()).reshape(-1, 4)
        scores, best = objectness.topk(min(6000, len(objectness)))
        anchors, steps = anchors[best], steps[best]
        w, h = anchors[:, 2] - anchors[:, 0] + 1, anchors[:, 3] - anchors[:, 1] + 1
        x, y = anchors[:, 0] + 0.5 * w, anchors[:, 1] + 0.5 * h
        limit = torch.log(torch.tensor(1000 / 16))
        x, y = steps[:, 0] * w + x, steps[:, 1] * h + y
        w, h = steps[:, 2].clamp(max=limit).exp() * w, steps[:, 3].clamp(max=limit).exp() * h
        boxes = torch.stack([x - w / 2, y - h / 2, x + w / 2 - 1, y + h / 2 - 1], 1)
        boxes[:, 0::2] = boxes[:, 0::2].clamp(0, size[1] - 1)
        boxes[:, 1::2] = boxes[:, 1::2].clamp(0, size[0] - 1)
        # a pixel more to the right and below is the legacy measure
        kept = nms(boxes + torch.tensor([0.0, 0.0, 1.0, 1.0]), scores, 0.7)[:300]
        return boxes[kept]

    def vectors(self, features, boxes):
        regions = roi_align(features, [boxes], (14, 14), 1 / STRIDE, 0)
        return self.net.layer4(regions).mean((2, 3))

    def attributes(self, vectors, scores):
        labels = scores[:, 1:].argmax(1) + 1
        return self.attr_score(F.relu(self.fc_attr(torch.cat([vectors, self.cls_embedding(labels)], 1))))

    def forward(self, x):
        features = self.map(x)
        objectness, steps = self.anchors_said(features)
        boxes = self.proposals(features, objectness, steps, x.shape[2:])
        vectors = self.vectors(features, boxes)
        scores, box_steps = self.cls_score(vectors), self.box_pred(vectors)
        return len(boxes), scores, box_steps, self.attributes(vectors, scores)

    def released(self):
        own = {
            "conv": "rpn.head.conv", "cls_logits": "rpn.head.cls_logits", "bbox_pred": "rpn.head.bbox_pred",
            "cls_score": "roi_heads.box.predictor.cls_score", "box_pred": "roi_heads.box.predictor.bbox_pred",
            "cls_embedding": "attribute.predictor.cls_embedding", "fc_attr": "attribute.predictor.fc_attr",
            "attr_score": "attribute.predictor.attr_score",
        }
        named = {"rpn.anchor_generator.cell_anchors.0": cell_anchors()}
        for key, tensor in self.state_dict().items():
            if "num_batches" in key or key.startswith("net.fc."):
                continue
            if key.startswith("net.layer4."):
                for head in ("roi_heads.box", "attribute"):
                    named[f"{head}.feature_extractor.head.{key[4:]}"] = tensor
            elif key.startswith("net."):
                stem = "stem." if key.startswith(("net.conv1", "net.bn1")) else ""
                named[f"backbone.body.{stem}{key[4:]}"] = tensor
            else:
                layer, part = key.split(".")
                named[f"{own[layer]}.{part}"] = tensor
        return {f"module.{key}": tensor for key, tensor in named.items()}


def run(*arguments):
    done = subprocess.run([given.finetune, "detector", *map(str, arguments), "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


with tempfile.TemporaryDirectory() as temporary, torch.no_grad():
    folder = Path(given.keep or temporary)
    folder.mkdir(exist_ok=True)
    model = Detector()
    model.train()
    x = F.interpolate(torch.randn(1, 3, 19, 32), size=(300, 500), mode="bicubic") * 40 + torch.randn(1, 3, 300, 500) * 10
    features = model.map(x)
    whole = torch.tensor([[0.0, 0.0, 499.0, 299.0], [50.0, 50.0, 200.0, 200.0], [250.0, 20.0, 400.0, 280.0]])
    model.net.layer4(roi_align(features, [whole], (14, 14), 1 / STRIDE, 0))
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
    torch.save({"model": model.released(), "iteration": 1}, folder / "released.pth")
    for name, count in (("classes", CLASSES), ("attributes", ATTRIBUTES)):
        (folder / f"{name}.txt").write_text("".join(f"{name} {i}\n" for i in range(count)))
    converted = run(
        "convert", "--from", folder / "released.pth", "--classes", folder / "classes.txt",
        "--attributes", folder / "attributes.txt", "--to", folder / "model",
    )
    assert converted["parameters"]["total"] == 148_037_055, converted

    height, width = given.size
    x = F.interpolate(torch.randn(1, 3, height // 32, width // 32), size=(height, width), mode="bicubic") * 40
    x = (x + torch.randn(1, 3, height, width) * 10).contiguous()
    save_file({"x": x}, folder / "x.safetensors")
    said = run(
        "forward", "--model", folder / "model", "--inputs", folder / "x.safetensors",
        "--out", folder / "y.safetensors", "--repeats", given.repeats + 1,
    )
    ours = load_file(folder / "y.safetensors")

    seconds = []
    x_last = x.contiguous(memory_format=torch.channels_last)
    fast = model.to(memory_format=torch.channels_last)
    for _ in range(given.repeats + 1):
        started = time.perf_counter()
        n_proposals, *_ = fast(x_last)
        seconds.append(time.perf_counter() - started)

    features = model.map(x)
    objectness, steps = model.anchors_said(features)
    vectors = model.vectors(features, ours["proposals"])
    scores = model.cls_score(vectors)
    theirs = {
        "map": features, "objectness": objectness, "anchor_steps": steps, "vectors": vectors, "scores": scores,
        "box_steps": model.box_pred(vectors), "attributes": model.attributes(vectors, ours["scores"]),
    }
    apart = {
        key: float((ours[key] - tensor).abs().max() / tensor.abs().max()) for key, tensor in theirs.items()
    }
    # proposals are compared by what both make of the same numbers: last bits decide which of two equal boxes is kept
    own = model.proposals(ours["map"], ours["objectness"], ours["anchor_steps"], (height, width))
    same = own.shape == ours["proposals"].shape and float((own - ours["proposals"]).abs().max()) < 1e-2
    result = {
        "size": given.size, "threads": given.threads, "parameters": converted["parameters"]["total"],
        "proposals": [len(ours["proposals"]), n_proposals],
        "proposals_same": same,
        "apart": apart,
        "seconds_ours": sorted(said["seconds"][1:])[given.repeats // 2],
        "seconds_torch": sorted(seconds[1:])[given.repeats // 2],
    }
    result["times_faster"] = result["seconds_torch"] / result["seconds_ours"]
    print(json.dumps(result))
    assert same and max(apart.values()) < 1e-3, apart
