"""Reads a drawn corpus with the field's own readers and checks the layouts that have none.

    pipeline synth --images 200 --seed 1 --out corpus
    pip install numpy pillow pycocotools pycocoevalcap
    python tests/peers/synth_layouts.py corpus
"""

import collections
import csv
import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

from PIL import Image
from pycocotools.coco import COCO


def load(path):
    return json.loads(path.read_text())


def quietly(path):
    with redirect_stdout(io.StringIO()):
        return COCO(str(path))


def coco(root):
    import numpy

    masks = 0
    for split in ["train", "val", "test"]:
        captions = quietly(root / f"coco/annotations/captions_{split}2014.json")
        instances = quietly(root / f"coco/annotations/instances_{split}2014.json")
        assert set(captions.imgs) == set(instances.imgs)
        for image in instances.imgs.values():
            with Image.open(root / f"coco/{split}2014" / image["file_name"]) as picture:
                assert picture.size == (image["width"], image["height"]) and picture.format == "JPEG"
            assert len(captions.getAnnIds(imgIds=[image["id"]])) == 5
            for annotation in instances.loadAnns(instances.getAnnIds(imgIds=[image["id"]])):
                mask = instances.annToMask(annotation)
                assert mask.shape == (image["height"], image["width"])
                assert mask.sum() == annotation["area"]
                rows, columns = numpy.nonzero(mask)
                x, y, w, h = annotation["bbox"]
                assert (columns.min(), rows.min()) == (x, y)
                assert (columns.max() + 1, rows.max() + 1) == (x + w, y + h)
                masks += 1
    return masks


def caption_scores(root):
    """A caption against the other four of its picture: the scorers accept the files and see agreement."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    texts = collections.defaultdict(list)
    for annotation in load(root / "coco/annotations/captions_val2014.json")["annotations"]:
        texts[annotation["image_id"]].append(annotation["caption"].lower().rstrip("."))
    own = {image: captions[:1] for image, captions in texts.items()}
    others = {image: captions[1:] for image, captions in texts.items()}
    keys = list(own)
    wrong = {key: own[keys[at - 1]] for at, key in enumerate(keys)}
    with redirect_stdout(io.StringIO()):
        cider = [Cider().compute_score(others, of)[0] for of in [own, wrong]]
        rouge = Rouge().compute_score(others, own)[0]
        bleu = Bleu(4).compute_score(others, own)[0]
    assert cider[0] > 3 * cider[1], cider
    return {"CIDEr": cider[0], "CIDEr of another picture": cider[1], "ROUGE-L": rouge, "BLEU-1": bleu[0]}


def vqa(root):
    count = 0
    for split in ["train", "val", "test"]:
        questions = load(root / f"vqa/v2_OpenEnded_mscoco_{split}2014_questions.json")
        annotations = load(root / f"vqa/v2_mscoco_{split}2014_annotations.json")
        images = {image["id"] for image in load(root / f"coco/annotations/captions_{split}2014.json")["images"]}
        assert questions["data_subtype"] == annotations["data_subtype"] == f"{split}2014"
        by_id = {question["question_id"]: question for question in questions["questions"]}
        assert len(by_id) == len(questions["questions"]) == len(annotations["annotations"])
        for one in annotations["annotations"]:
            assert set(one) == {
                "question_type", "multiple_choice_answer", "answers", "image_id", "answer_type", "question_id",
            }
            question = by_id[one["question_id"]]
            assert question["image_id"] == one["image_id"] and one["image_id"] in images
            assert question["question"].lower().startswith(one["question_type"])
            assert [answer["answer_id"] for answer in one["answers"]] == list(range(1, 11))
            assert all(answer["answer_confidence"] in {"yes", "maybe", "no"} for answer in one["answers"])
            most = collections.Counter(answer["answer"] for answer in one["answers"]).most_common(1)[0][0]
            assert one["multiple_choice_answer"] == most
            assert one["answer_type"] in {"yes/no", "number", "other"}
            count += 1
    return count


FIELDS = {
    "semantic", "entailed", "equivalent", "question", "imageId", "isBalanced", "groups", "answer",
    "semanticStr", "annotations", "types", "fullAnswer",
}


def gqa(root):
    count = 0
    for split in ["train", "val", "testdev"]:
        if split == "train":
            parts = sorted((root / "gqa/train_all_questions").iterdir())
            questions = {key: value for part in parts for key, value in load(part).items()}
        else:
            questions = load(root / f"gqa/{split}_all_questions.json")
        balanced = load(root / f"gqa/{split}_balanced_questions.json")
        choices = load(root / f"gqa/{split}_choices.json")
        graphs = load(root / f"gqa/{split}_sceneGraphs.json")
        assert balanced == {key: value for key, value in questions.items() if value["isBalanced"]}
        assert set(choices) == set(questions)
        answers = collections.defaultdict(collections.Counter)
        for key, one in questions.items():
            assert set(one) == FIELDS, set(one) ^ FIELDS
            objects = graphs[one["imageId"]]["objects"]
            assert key in one["equivalent"] and key not in one["entailed"]
            for other in one["entailed"] + one["equivalent"]:
                assert questions[other]["imageId"] == one["imageId"]
            assert all(questions[other]["answer"] == one["answer"] for other in one["equivalent"])
            assert one["answer"] in choices[key]["valid"] and one["answer"] in choices[key]["plausible"]
            assert set(one["types"]) == {"structural", "semantic", "detailed"}
            assert one["types"]["structural"] in {"verify", "query", "choose", "logical", "compare"}
            for at, step in enumerate(one["semantic"]):
                assert set(step) == {"operation", "dependencies", "argument"}
                assert all(before < at for before in step["dependencies"])
            for part, text in [("question", one["question"]), ("fullAnswer", one["fullAnswer"])]:
                words = [word.strip("?.,") for word in text.split()]
                for span, found in one["annotations"][part].items():
                    start, _, end = span.partition(":")
                    name = " ".join(words[int(start) : int(end or int(start) + 1)])
                    assert name == objects[found]["name"]
            if one["isBalanced"]:
                answers[one["question"]][one["answer"]] += 1
            count += 1
        for question, counts in answers.items():
            assert len(counts) > 1 and len(set(counts.values())) == 1, (question, counts)
        for image, graph in graphs.items():
            with Image.open(root / f"gqa/images/{split}/{image}.jpg") as picture:
                assert picture.size == (graph["width"], graph["height"])
            for one in graph["objects"].values():
                assert set(one) == {"name", "x", "y", "w", "h", "attributes", "relations"}
                assert all(relation["object"] in graph["objects"] for relation in one["relations"])
    return count


def nlvr2(root):
    count = 0
    for split in ["train", "dev", "test1"]:
        truths = collections.defaultdict(collections.Counter)
        for line in (root / f"nlvr2/data/{split}.json").read_text().splitlines():
            one = json.loads(line)
            name, set_, pair, number = one["identifier"].split("-")
            assert name == split and one["label"] in {"True", "False"}
            for side in [0, 1]:
                assert (root / f"nlvr2/images/{split}/{split}-{set_}-{pair}-img{side}.jpg").exists()
            truths[set_, number, one["sentence"]][one["label"]] += 1
            count += 1
        assert all(counts == {"True": 2, "False": 2} for counts in truths.values())
    return count


def open_images(root):
    with open(root / "open-images/class-descriptions-boxable.csv") as file:
        classes = dict(csv.reader(file))
    hierarchy = load(root / "open-images/bbox_labels_hierarchy.json")
    below = []
    stack = [hierarchy]
    while stack:
        node = stack.pop()
        below.append(node["LabelName"])
        stack.extend(node.get("Subcategory", []))
    assert sorted(below) == sorted([*classes, "/m/0bl9f"])
    count = 0
    for boxes, pictures in [
        ("open-images/train-annotations-bbox.csv", "open-images/train"),
        ("open-images/validation-annotations-bbox.csv", "nocaps/val"),
    ]:
        with open(root / boxes) as file:
            for row in csv.DictReader(file):
                assert (root / pictures / f"{row['ImageID']}.jpg").exists() and len(row["ImageID"]) == 16
                assert row["LabelName"] in classes
                corners = [float(row[name]) for name in ["XMin", "XMax", "YMin", "YMax"]]
                assert 0 <= corners[0] < corners[1] <= 1 and 0 <= corners[2] < corners[3] <= 1
                count += 1
    return count


def nocaps(root):
    file = load(root / "nocaps/nocaps_val_captions.json")
    domains = collections.Counter(image["domain"] for image in file["images"])
    assert set(domains) == {"in-domain", "near-domain", "out-domain"}
    for image in file["images"]:
        assert (root / "nocaps/val" / image["file_name"]).exists()
        assert image["file_name"] == image["open_images_id"] + ".jpg"
    return dict(domains)


def crops(root):
    train, val = ({folder.name for folder in (root / "crops" / split).iterdir()} for split in ["train", "val"])
    assert train == val and len(train) >= 20
    return len(train)


def main():
    root = Path(sys.argv[1])
    for check in [coco, caption_scores, vqa, gqa, nlvr2, open_images, nocaps, crops]:
        print(f"{check.__name__:16}{check(root)}")


if __name__ == "__main__":
    main()
