"""VQA accuracy: `finetune score vqa` beside Python evaluators of the same rules, in one run.

    cargo build --release -p finetune
    python tests/peers/score_vqa.py --questions Q.json --annotations A.json --results R.json [--official FOLDER]

The plain evaluator is written here, as fast as Python allows. The official one is run too where a folder holds it:
`vqaTools/vqa.py` and `vqaEvaluation/vqaEval.py` of github.com/GT-Vision-Lab/VQA, brought to Python 3.

Prints one JSON object: the medians of the seconds of all and their ratios, and the same of processor seconds, which
other work on the machine disturbs less. All read the files; our process start is counted, Python's is not.
`--times N` gives all of them the same questions N times, under other ids.
Rules: leave one annotator out, min(1, matches / 3); texts are normalised where annotators differ.
"""

import argparse
import contextlib
import importlib
import io
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time

MARKS = ';/[]"{}()=+\\_-><@`,?!'
NUMBERS = dict(zip("none zero one two three four five six seven eight nine ten".split(), "0 0 1 2 3 4 5 6 7 8 9 10".split()))
ARTICLES = {"a", "an", "the"}
# Words that get their apostrophe back.
SPELLINGS = """'ow's'at 'twas ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't
needn't not've o'clock oughtn't shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're
there's they'd they'd've they'll they're they've wasn't we'd've we've weren't what'll what're what's what've when's where'd
where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all
y'all'd've y'all'll you'd you'd've you'll you're you've""".split()
CONTRACTIONS = {
    word[:position] + word[position + 1 :]: word
    for word in SPELLINGS
    for position, letter in enumerate(word)
    if letter == "'"
}
COMMA_IN_NUMBER = re.compile(r"\d,\d")
STOP = re.compile(r"\.(?!\d)")


def tidy(text):
    return text.replace("\n", " ").replace("\t", " ").strip()


def normalise(text):
    out = text
    for mark in MARKS:
        if mark + " " in text or " " + mark in text or COMMA_IN_NUMBER.search(text):
            out = out.replace(mark, "")
        else:
            out = out.replace(mark, " ")
    out = STOP.sub("", out, count=32)
    words = [NUMBERS.get(word, word) for word in out.lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def accuracy(answers, given):
    answers, given = [tidy(answer) for answer in answers], tidy(given)
    if len(set(answers)) > 1:
        answers, given = [normalise(answer) for answer in answers], normalise(given)
    total = 0
    for left_out in range(len(answers)):
        others = answers[:left_out] + answers[left_out + 1 :]
        total += min(1, others.count(given) / 3)
    return total / len(answers)


def peer(arguments):
    start, cpu_start = time.perf_counter(), time.process_time()
    with open(arguments.questions) as file:
        asked = {question["question_id"] for question in json.load(file)["questions"]}
    with open(arguments.annotations) as file:
        annotations = json.load(file)["annotations"]
    with open(arguments.results) as file:
        given = {result["question_id"]: result["answer"] for result in json.load(file)}
    assert asked == set(given)
    by_type = {}
    for annotation in annotations:
        value = accuracy([answer["answer"] for answer in annotation["answers"]], given[annotation["question_id"]])
        for name in ("overall", annotation["answer_type"], annotation["question_type"]):
            by_type.setdefault(name, []).append(value)
    scores = {name: 100 * sum(values) / len(values) for name, values in by_type.items()}
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    return seconds, cpu, scores["overall"], len(annotations)


def official(arguments):
    """The same of the official evaluator, imported before."""
    start, cpu_start = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):  # it draws a progress bar
        asked = importlib.import_module("vqaTools.vqa").VQA(arguments.annotations, arguments.questions)
        given = asked.loadRes(arguments.results, arguments.questions)
        evaluator = importlib.import_module("vqaEvaluation.vqaEval").VQAEval(asked, given, n=10)
        evaluator.evaluate()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    return seconds, cpu, evaluator.accuracy["overall"], len(evaluator.evalQA)


def repeat(arguments, folder):
    """Writes the three files with every entry `times` times, each time with other question ids."""
    for name, key in (("questions", "questions"), ("annotations", "annotations"), ("results", None)):
        with open(getattr(arguments, name)) as file:
            data = json.load(file)
        entries = data[key] if key else data
        step = 1 + max(entry["question_id"] for entry in entries)
        entries[:] = [
            entry | {"question_id": entry["question_id"] + step * time} for time in range(arguments.times) for entry in entries
        ]
        setattr(arguments, name, os.path.join(folder, f"{name}.json"))
        with open(getattr(arguments, name), "w") as file:
            json.dump(data, file)


def medians(runs):
    """Of seconds and of processor seconds."""
    middle = len(runs) // 2
    return [sorted(run[part] for run in runs)[middle] for part in (0, 1)]


def cpu_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--finetune", default="target/release/finetune")
    for name in ("questions", "annotations", "results"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--official", metavar="FOLDER")
    parser.add_argument("--times", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.times > 1:
            repeat(arguments, folder)
        print(json.dumps(run(arguments)))


def run(arguments):
    peers = {"plain": peer}
    if arguments.official:
        sys.path.insert(0, arguments.official)
        peers["official"] = official
        official(arguments)  # imports
    command = [arguments.finetune, "score", "vqa", "--json"]
    for name in ("questions", "annotations", "results"):
        command += [f"--{name}", getattr(arguments, name)]
    ours, theirs = [], {name: [] for name in peers}
    for _ in range(arguments.repeats):
        for name, run_peer in peers.items():
            theirs[name].append(run_peer(arguments))
        start, cpu_start = time.perf_counter(), cpu_of_children()
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        ours.append((time.perf_counter() - start, cpu_of_children() - cpu_start))
    our_seconds, our_cpu = medians(ours)
    overall = json.loads(output)["overall"]
    result = {"questions": theirs["plain"][0][3], "our_seconds": round(our_seconds, 4), "our_cpu": round(our_cpu, 4)}
    for name, runs in theirs.items():
        seconds, cpu = medians(runs)
        result[name] = {
            "seconds": round(seconds, 4),
            "ratio": round(seconds / our_seconds, 1),
            "cpu": round(cpu, 4),
            "cpu_ratio": round(cpu / our_cpu, 1),
            "largest_difference": abs(overall - runs[0][2]),
        }
    return result


if __name__ == "__main__":
    main()
