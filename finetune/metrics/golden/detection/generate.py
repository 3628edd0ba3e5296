"""Makes cases.json beside this script: python3 generate.py (pycocotools 2.0.11, numpy 2.4.6).

Random instances and results with what pycocotools' COCOeval says of them. The pooled figures are computed by the plain
function below, since pycocotools has none.
"""
import contextlib, importlib.metadata, io, json, pathlib
import numpy
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

assert importlib.metadata.version("pycocotools") == "2.0.11", importlib.metadata.version("pycocotools")
assert numpy.__version__ == "2.4.6", numpy.__version__
HERE = pathlib.Path(__file__).parent


def drawn(seed, images, classes, per_image, found_per_image, crowds=0.0, ties=False, whole=False, side=300):
    draw = numpy.random.default_rng(seed)
    number = (lambda x: float(round(x))) if whole else (lambda x: round(float(x), 2))
    ids = sorted(int(i) for i in draw.choice(1000, images, replace=False))
    names = [int(c) for c in draw.choice(90, classes, replace=False) + 1]
    annotations, results = [], []
    for image in ids:
        truths = []
        for _ in range(draw.integers(0, per_image + 1)):
            w, h = (draw.choice([16, 32, 48, 96, 128], 2) if whole else draw.uniform(2, side / 2, 2))
            box = [number(x) for x in (*draw.uniform(0, side - 60, 2), w, h)]
            crowd = int(draw.random() < crowds)
            area = number(box[2] * box[3] * (1.0 if whole else draw.uniform(0.5, 1.0)))
            a = {"id": len(annotations) + 1, "image_id": image, "category_id": int(draw.choice(names[:-1])), "bbox": box, "area": area, "iscrowd": crowd}
            if draw.random() < 0.1:
                a["ignore"] = 1  # without effect for boxes: iscrowd replaces it
            truths.append(a)
            annotations.append(a)
        for _ in range(draw.integers(0, found_per_image + 1)):
            if truths and draw.random() < 0.6:
                near = truths[draw.integers(len(truths))]
                shift = draw.normal(0, 0.12, 4) * [near["bbox"][2], near["bbox"][3], near["bbox"][2], near["bbox"][3]]
                if whole:
                    shift = numpy.round(shift / 8) * 8
                box = [number(x) for x in numpy.array(near["bbox"]) + shift]
                box[2:] = [max(x, 0.0) for x in box[2:]]
                name = near["category_id"] if draw.random() < 0.8 else int(draw.choice(names))
            else:
                box = [number(x) for x in (*draw.uniform(0, side - 60, 2), *draw.uniform(0, side / 2, 2))]
                name = int(draw.choice(names))
            score = float(draw.integers(1, 6)) / 5 if ties else round(float(draw.random()), 5)
            results.append({"image_id": image, "category_id": name, "bbox": box, "score": score})
    draw.shuffle(results)
    truth = {"images": [{"id": i} for i in ids], "annotations": annotations, "categories": [{"id": c, "name": f"class {c}"} for c in names]}
    return truth, results


def pooled(truth, results):
    areas, counts = [], []
    for c in sorted(c["id"] for c in truth["categories"]):
        there = {}
        for a in truth["annotations"]:
            if a["category_id"] == c:
                there.setdefault(a["image_id"], []).append([a["bbox"], a["iscrowd"], False])
        n = sum(not crowd for boxes in there.values() for _, crowd, _ in boxes)
        if n == 0:
            continue
        mine = [(i, r) for i, r in enumerate(results) if r["category_id"] == c]
        mine.sort(key=lambda r: (-r[1]["score"], r[1]["image_id"], r[0]))
        tp, fp = [], []
        for _, r in mine:
            best, most = None, -1.0
            for entry in there.get(r["image_id"], []):
                (x, y, w, h), (X, Y, W, H) = r["bbox"], entry[0]
                both = max(min(x + w, X + W) - max(x, X), 0) * max(min(y + h, Y + H) - max(y, Y), 0)
                all = w * h + W * H - both
                iou = both / all if all > 0 else 0.0
                if iou > most:
                    best, most = entry, iou
            if most > 0.5 and best[1]:
                continue
            right = most > 0.5 and not best[2]
            if right:
                best[2] = True
            tp.append(float(right)); fp.append(float(not right))
        tp, fp = numpy.cumsum(tp), numpy.cumsum(fp)
        recall = numpy.concatenate(([0.0], tp / n, [1.0]))
        precision = numpy.concatenate(([0.0], tp / numpy.maximum(tp + fp, 1e-300), [0.0]))
        precision = numpy.maximum.accumulate(precision[::-1])[::-1]
        steps = numpy.where(recall[1:] != recall[:-1])[0]
        areas.append(float(numpy.sum((recall[steps + 1] - recall[steps]) * precision[steps + 1]))); counts.append(n)
    return [float(numpy.mean(areas)), float(numpy.average(areas, weights=counts))]


def case(name, truth, results):
    with contextlib.redirect_stdout(io.StringIO()):
        there = COCO(); there.dataset = json.loads(json.dumps(truth)); there.createIndex()
        run = COCOeval(there, there.loadRes(json.loads(json.dumps(results))), "bbox")
        run.evaluate(); run.accumulate(); run.summarize()
    p = run.eval["precision"][:, :, :, 0, 2]
    of = lambda x: float(x[x > -1].mean()) if (x > -1).any() else -1.0
    return {"name": name, "truth": truth, "results": results, "stats": [float(s) for s in run.stats],
            "per_class": [[of(p[:, :, k]), of(p[0, :, k])] for k in range(p.shape[2])], "pooled": pooled(truth, results)}


cases = [
    case("few", *drawn(1, 4, 3, 4, 6)),
    case("many", *drawn(2, 12, 5, 8, 20)),
    case("crowds", *drawn(3, 10, 4, 8, 20, crowds=0.35)),
    case("equal scores", *drawn(4, 10, 3, 6, 25, ties=True)),
    # sides of 16, 32, 96: sizes and overlaps that lie on the borders
    case("borders", *drawn(5, 10, 3, 8, 20, whole=True, crowds=0.1, ties=True)),
    case("more than 100", *drawn(6, 2, 2, 20, 400, ties=True)),
    case("two classes, one never", *drawn(7, 3, 2, 3, 3)),
]
(HERE / "cases.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
