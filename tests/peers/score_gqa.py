"""GQA scores: `finetune score gqa` beside the rules of the official evaluator written down in Python.

    cargo build -p finetune
    python tests/peers/score_gqa.py --questions Q.json

Draws predictions and choices for the questions from a seed, scores them with both, and prints one JSON object: the
largest difference of each score. Every third question is taken out of the balanced ones, so that consistency has
entailed questions to look up that are not scored themselves. Ends with 1 if a difference is above 1e-9.
"""

import argparse
import collections
import json
import os
import random
import subprocess
import sys
import tempfile

COMMON = ("color", "material", "shape")


def mean(values):
    values = list(values)
    return 100 * sum(values) / len(values) if values else 0


def steps(question):
    texts = [f"{step['operation']}: {step['argument']}" for step in question["semantic"]]
    return sum(not any(end in text for end in ("exist", "query: name", "choose name")) for text in texts)


def peer(questions, predictions, choices):
    given = {entry["questionId"]: entry["prediction"] for entry in predictions}
    scores = collections.defaultdict(list)
    tables = {name: collections.defaultdict(list) for name in ("structural_type", "semantic_type", "length", "steps")}
    gold, predicted = (collections.defaultdict(collections.Counter) for _ in range(2))
    for name, question in questions.items():
        if not question["isBalanced"]:
            continue
        answer, right = given[name], given[name] == question["answer"]
        types = question["types"]
        scores["accuracy"].append(right)
        scores["open" if types["structural"] == "query" else "binary"].append(right)
        tables["structural_type"][types["structural"]].append(right)
        tables["semantic_type"][types["semantic"]].append(right)
        tables["length"][str(len(question["question"].split()))].append(right)
        tables["steps"][str(steps(question))].append(right)
        for score, group in (("validity", "valid"), ("plausibility", "plausible")):
            scores[score].append(answer in (COMMON if "Common" in types["detailed"] else choices[name][group]))
        others = [other for other in question["entailed"] if other != name]
        if right and others:
            scores["consistency"].append(sum(given[o] == questions[o]["answer"] for o in others) / len(others))
        group = question["groups"]["global"]
        if group is not None:
            gold[group][question["answer"]] += 1
            predicted[group][answer] += 1
    weighted = total = 0
    for group, counts in gold.items():
        count = sum(counts.values())
        weighted += count * sum((predicted[group][a] - n) ** 2 / n for a, n in counts.items())
        total += count
    result = {name: mean(values) for name, values in scores.items()}
    result |= {f"per_{name}": {key: mean(values) for key, values in table.items()} for name, table in tables.items()}
    return result | {"distribution": weighted / total / 100}


def draw(questions, seed):
    """Questions, a third of them unbalanced, with predictions and choices."""
    random.seed(seed)
    answers = sorted({question["answer"] for question in questions.values()} | set(COMMON))
    predictions, choices = [], {}
    for number, (name, question) in enumerate(questions.items()):
        question["isBalanced"] = number % 3 != 2
        right = random.random() < 0.6
        predictions.append({"questionId": name, "prediction": question["answer"] if right else random.choice(answers)})
        valid = random.sample(answers, 40)
        choices[name] = {"valid": valid, "plausible": valid[:15]}
    random.shuffle(predictions)
    return questions, predictions, choices


def difference(ours, peer):
    if isinstance(peer, dict):
        assert ours.keys() == peer.keys(), (ours.keys(), peer.keys())
        return max(difference(ours[key], peer[key]) for key in peer)
    return abs(ours - peer)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--finetune", default="target/debug/finetune")
    parser.add_argument("--questions", required=True)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with open(arguments.questions) as file:
        drawn = draw(json.load(file), arguments.seed)
    command = [arguments.finetune, "score", "gqa", "--json"]
    with tempfile.TemporaryDirectory() as folder:
        for name, value in zip(("questions", "predictions", "choices"), drawn):
            path = os.path.join(folder, f"{name}.json")
            with open(path, "w") as file:
                json.dump(value, file)
            command += [f"--{name}", path]
        ours = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    differences = {name: difference(ours[name], value) for name, value in peer(*drawn).items()}
    print(json.dumps(differences))
    sys.exit(max(differences.values()) > 1e-9)


if __name__ == "__main__":
    main()
