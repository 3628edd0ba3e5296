"""Writes pieces.json and network.json: what torchvision says of a detector's pieces, and of a whole small one in f64.

The network is torchvision's RegionProposalNetwork and RoIHeads around a ResNeXt of one block a stage, normalisation in
evaluation mode; the branch for attributes stands beside it. Weights, picture and inputs are hashes of their places, which
the tests make anew. Samplers take everything there is, so that no chance is left. Recorded of the network: proposals,
losses, of every gradient its root mean square, its product with a hash and its first numbers, and what is detected.
"""

import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torchvision.models.detection import _utils as det_utils
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import batched_nms, box_iou, nms, roi_align

assert torch.__version__.split("+")[0] == "2.15.0", torch.__version__
assert torchvision.__version__.split("+")[0] == "0.29.2", torchvision.__version__
HERE = Path(__file__).parent
torch.set_default_dtype(torch.float64)


def hashed(stream, count):
    """`count` numbers in [-1, 1): murmur's finaliser of the place."""
    x = (np.arange(count, dtype=np.uint64) + stream * 0x9E3779B9) & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x ^= x >> shift
        x = (x * factor) & 0xFFFFFFFF
    x ^= x >> 16
    return x.astype(np.float64) / 2**31 - 1.0


def drawn(stream, *shape):
    return torch.tensor(hashed(stream, int(np.prod(shape))).astype(np.float32)).double().reshape(shape)


def boxes(stream, count, width, height):
    """Some reach out of the picture, some are narrow."""
    v = drawn(stream, count, 4)
    x, y = (v[:, 0] * 0.6 + 0.5) * width, (v[:, 1] * 0.6 + 0.5) * height
    w, h = (v[:, 2].abs() * 0.6 + 0.002) * width, (v[:, 3].abs() * 0.6 + 0.002) * height
    return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1).float().double()


def listed(tensor):
    return tensor.detach().float().double().tolist()


# ---- pieces
pieces = {}
generator = AnchorGenerator(((24, 32, 64, 130),), ((0.5, 1.0, 2.0, 0.3),))
image = ImageList(torch.zeros(1, 3, 48, 64), [(48, 64)])
pieces["anchors"] = listed(generator(image, [torch.zeros(1, 4, 3, 4)])[0])
a, b = boxes(1, 40, 100, 80), boxes(2, 30, 100, 80)
pieces["overlaps"] = listed(box_iou(a, b))
coder = det_utils.BoxCoder((10.0, 10.0, 5.0, 5.0))
steps = drawn(3, 40, 4) * torch.tensor([3.0, 3.0, 4.0, 30.0])
pieces["encoded"] = listed(coder.encode_single(a[:30], b))
pieces["decoded"] = listed(coder.decode_single(steps, a))
pieces["clipped"] = listed(torchvision.ops.clip_boxes_to_image(a, (80, 100)))
heap, scores = boxes(4, 200, 60, 60), drawn(5, 200)
pieces["nms"] = {str(t): nms(heap, scores, t).tolist() for t in (0.3, 0.5, 0.7)}
kinds = (drawn(6, 200) * 4).floor().long()
pieces["batched_nms"] = batched_nms(heap, scores, kinds, 0.5).tolist()
for low_quality, (high, low) in ((True, (0.7, 0.3)), (False, (0.5, 0.5))):
    match = det_utils.Matcher(high, low, allow_low_quality_matches=low_quality)
    pieces[f"matches_{low_quality}".lower()] = match(box_iou(a[:5], heap * 1.5)).tolist()
pieces["smooth_l1"] = float(F.smooth_l1_loss(steps, drawn(7, 40, 4), beta=1 / 9, reduction="sum"))
pieces["entropy"] = float(F.binary_cross_entropy_with_logits(steps, (drawn(8, 40, 4) > 0).double(), reduction="sum"))
(HERE / "pieces.json").write_text(json.dumps(pieces))


# ---- the network
class Block(nn.Module):
    def __init__(self, inputs, width, outputs, stride, groups):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class Stem(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16)

    def forward(self, x):
        return F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)


N_CLASSES, N_ATTRIBUTES, SIZE = 5, 4, (96, 128)
TRUTH = torch.tensor([[10.0, 12.0, 70.0, 80.0], [60.0, 5.0, 120.0, 50.0], [80.0, 60.0, 110.0, 90.0]])
LABELS = torch.tensor([2, 5, 1])
ATTRIBUTES = [[1, 3], [], [2]]
BINS, SAMPLES, MAP, WIDTH = 6, 2, 128, 256

body = nn.Sequential(OrderedDict([
    ("stem", Stem()),
    ("layer1", nn.Sequential(Block(16, 16, 32, 1, 4))),
    ("layer2", nn.Sequential(Block(32, 32, 64, 2, 4))),
    ("layer3", nn.Sequential(Block(64, 64, 128, 2, 4))),
]))
layer4 = nn.Sequential(Block(128, 128, 256, 2, 4))
anchors = AnchorGenerator(((24, 48),), ((0.5, 1.0, 2.0),))
head = RPNHead(MAP, 6)
score, step = nn.Linear(WIDTH, N_CLASSES + 1), nn.Linear(WIDTH, 4 * (N_CLASSES + 1))
embedding, hidden = nn.Embedding(N_CLASSES + 1, 8), nn.Linear(WIDTH + 8, 16)
attribute_score = nn.Linear(16, N_ATTRIBUTES + 1)

# so that neither the classifiers nor the steps are beyond doubt
SMALLER = {"bbox_pred": 0.25, "cls_score": 0.03125, "fc_attr": 0.25, "attr_score": 0.5}
named = {}
for prefix, module in [
    ("backbone.body", body), ("roi_heads.box.feature_extractor.head.layer4", layer4),
    ("rpn.head.conv", head.conv[0][0]), ("rpn.head.cls_logits", head.cls_logits),
    ("rpn.head.bbox_pred", head.bbox_pred), ("roi_heads.box.predictor.cls_score", score),
    ("roi_heads.box.predictor.bbox_pred", step), ("attribute.predictor.cls_embedding", embedding),
    ("attribute.predictor.fc_attr", hidden), ("attribute.predictor.attr_score", attribute_score),
]:
    module.eval()
    tensors = list(module.named_parameters()) + list(module.named_buffers())
    named.update((f"{prefix}.{key}", tensor) for key, tensor in tensors if "num_batches" not in key)
for stream, key in enumerate(sorted(named)):
    tensor = named[key]
    v = drawn(100 + stream, *tensor.shape)
    if key.endswith("running_var"):
        v = 1 + 0.5 * v
    elif tensor.dim() == 1:
        v = 0.1 * v + (1.0 if "bn" in key and key.endswith("weight") or "downsample.1.weight" in key else 0.0)
    else:
        v = v * float(np.float32(np.sqrt(6.0 / np.prod(tensor.shape[1:]))))
        for layer, factor in SMALLER.items():
            v = v * (factor if key.endswith(f"{layer}.weight") else 1.0)
    tensor.data.copy_(v.float().double())


class Head(nn.Module):
    def forward(self, regions):
        return layer4(regions).mean((2, 3))


class Pool(nn.Module):
    def forward(self, features, proposals, _):
        return roi_align(features["0"], proposals, (BINS, BINS), 1 / 16, SAMPLES)


class Predict(nn.Module):
    def forward(self, vectors):
        return score(vectors), step(vectors)


ALL = 10**6
rpn = RegionProposalNetwork(
    anchors, head, 0.7, 0.3, ALL, 0.5, dict(training=60, testing=50), dict(training=30, testing=20), 0.7
)
heads = RoIHeads(Pool(), Head(), Predict(), 0.5, 0.5, ALL, 0.5, None, 0.12, 0.5, 24)
x = drawn(99, 1, 3, *SIZE)
image, targets = ImageList(x, [SIZE]), [{"boxes": TRUTH, "labels": LABELS}]
features = OrderedDict([("0", body(x))])

rpn.train()
proposals, losses = rpn(image, features, targets)
recorded = {"training_proposals": listed(proposals[0])}
sampled, _, labels, regression = heads.select_training_samples(proposals, targets)
recorded["sampled"] = listed(sampled[0])
vectors = Head()(Pool()(features, sampled, None))
classifier, box = fastrcnn_loss(*Predict()(vectors), labels, regression)
losses.update(classifier=classifier, box=box)

# the attributes of what is no background: soft targets over a region's attributes, the mean over all of these regions
is_thing = labels[0] > 0
matched = det_utils.Matcher(0.5, 0.5, allow_low_quality_matches=False)(box_iou(TRUTH, sampled[0]))
soft = torch.zeros(int(is_thing.sum()), N_ATTRIBUTES + 1)
for row, truth in enumerate(matched[is_thing].tolist()):
    for attribute in ATTRIBUTES[truth]:
        soft[row, attribute] = 1 / len(ATTRIBUTES[truth])


def attributes_of(vectors, labels):
    return attribute_score(F.relu(hidden(torch.cat([vectors, embedding(labels)], 1))))


logits = attributes_of(vectors[is_thing], labels[0][is_thing])
losses["attributes"] = -(soft * F.log_softmax(logits, 1)).sum(1).mean()
weights = dict(loss_objectness=1.0, loss_rpn_box_reg=1.0, classifier=1.0, box=1.0, attributes=0.5)
total = sum(weights[key] * loss for key, loss in losses.items())
recorded["losses"] = {key: float(loss.detach()) for key, loss in losses.items()}
recorded["total"] = float(total.detach())
learned = {key: tensor for key, tensor in named.items() if tensor.requires_grad}
gradients = dict(zip(learned, torch.autograd.grad(total, list(learned.values()))))
recorded["gradients"] = {
    key: {
        "rms": float(gradient.square().mean().sqrt()),
        "product": float(gradient.flatten() @ torch.tensor(hashed(7, gradient.numel()))),
        "first": listed(gradient.flatten()[:4]),
    }
    for key, gradient in sorted(gradients.items())
}

rpn.eval()
heads.eval()
with torch.no_grad():
    objectness, steps = head([features["0"]])
    recorded["objectness"] = listed(objectness[0].permute(0, 2, 3, 1).flatten())
    proposals, _ = rpn(image, features)
    recorded["proposals"] = listed(proposals[0])
    detections, _ = heads(features, proposals, image.image_sizes)
    recorded["detections"] = {key: listed(value) for key, value in detections[0].items()}
    vectors = Head()(Pool()(features, proposals, None))
    recorded["vectors_rms"] = listed(vectors.square().mean(1).sqrt())
    pooled = Head()(Pool()(features, [detections[0]["boxes"]], None))
    recorded["attributes"] = listed(attributes_of(pooled, detections[0]["labels"]).softmax(1))
(HERE / "network.json").write_text(json.dumps(recorded))
print(len(named), sum(t.numel() for t in named.values()), recorded["losses"], len(detections[0]["scores"]))
print(recorded["detections"]["scores"][:3], detections[0]["labels"].tolist(), is_thing.sum())
