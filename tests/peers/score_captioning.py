"""Caption scores: `finetune score captioning` beside pycocoevalcap, in one run.

    pip install pycocoevalcap            # 1.2; needs java for its tokenizer and METEOR
    cargo build --release -p finetune
    python tests/peers/score_captioning.py --references R.json --candidates C.json [--meteor]

Prints one JSON object: seconds and processor seconds of both, and their ratios, for tokens + BLEU + ROUGE-L + CIDEr and, with --meteor,
for METEOR (tokens given). Both read the files; the peer's imports are not counted, our process start is.
The scores are compared too.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import subprocess
import tempfile
import time

import pycocoevalcap.meteor.meteor as meteor_module
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer


def read(references_path, candidates_path):
    """Both as {id: [{"caption": text}]}, ids ascending."""
    with open(references_path) as file:
        data = json.load(file)
    references = {}
    if isinstance(data, dict):
        for annotation in data["annotations"]:
            references.setdefault(str(annotation["image_id"]), []).append({"caption": annotation["caption"]})
    else:
        for entry in data:
            references[str(entry["image_id"])] = [{"caption": text} for text in entry["refs"]]
    with open(candidates_path) as file:
        candidates = {str(entry["image_id"]): [{"caption": entry["caption"]}] for entry in json.load(file)}
    ids = sorted(candidates, key=int)
    return {i: references[i] for i in ids}, {i: candidates[i] for i in ids}


def peer_scores(references_path, candidates_path):
    start, cpu_start = time.perf_counter(), cpu()
    references, candidates = read(references_path, candidates_path)
    tokenizer = PTBTokenizer()
    references, candidates = tokenizer.tokenize(references), tokenizer.tokenize(candidates)
    bleu, _ = Bleu(4).compute_score(references, candidates, verbose=0)
    rouge, _ = Rouge().compute_score(references, candidates)
    cider, _ = Cider().compute_score(references, candidates)
    seconds = time.perf_counter() - start, cpu() - cpu_start
    scores = {f"Bleu_{n + 1}": value for n, value in enumerate(bleu)}
    return seconds, scores | {"ROUGE_L": rouge, "CIDEr": cider}, references, candidates


def peer_meteor(references, candidates):
    start, cpu_start = time.perf_counter(), cpu()
    meteor = Meteor()
    score, _ = meteor.compute_score(references, candidates)
    del meteor  # ends its process, so that its processor seconds are known
    return (time.perf_counter() - start, cpu() - cpu_start), {"METEOR": score}


def cpu():
    """Processor seconds of this process and of those that it ran to their end."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def ours(command, repeats):
    """The medians of seconds and processor seconds, and the scores."""
    seconds, used = [], []
    for _ in range(repeats):
        start, cpu_start = time.perf_counter(), cpu()
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        seconds.append(time.perf_counter() - start)
        used.append(cpu() - cpu_start)
    return (sorted(seconds)[repeats // 2], sorted(used)[repeats // 2]), json.loads(output)["corpus"]


def compare(peer_seconds, peer, our_seconds, our):
    """Both seconds are pairs: of the clock, of processors."""
    difference = max(abs(float(value) - our[name]) for name, value in peer.items())
    return {
        "peer_seconds": round(peer_seconds[0], 3),
        "our_seconds": round(our_seconds[0], 4),
        "ratio": round(peer_seconds[0] / our_seconds[0], 1),
        "peer_cpu": round(peer_seconds[1], 3),
        "our_cpu": round(our_seconds[1], 4),
        "cpu_ratio": round(peer_seconds[1] / our_seconds[1], 1),
        "largest_difference": difference,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--finetune", default="target/release/finetune")
    parser.add_argument("--references", required=True)
    parser.add_argument("--candidates", required=True)
    parser.add_argument("--meteor", action="store_true")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()

    base = [arguments.finetune, "score", "captioning", "--json"]
    files = ["--references", arguments.references, "--candidates", arguments.candidates]
    with contextlib.redirect_stdout(io.StringIO()):
        seconds, scores, references, candidates = peer_scores(arguments.references, arguments.candidates)
    result = {
        "references": os.path.basename(arguments.references),
        "images": len(candidates),
        "scores": compare(seconds, scores, *ours([*base, *files], arguments.repeats)),
    }
    if arguments.meteor:
        # Both get the same tokens.
        seconds, scores = peer_meteor(references, candidates)
        with tempfile.TemporaryDirectory() as folder:
            tokens = [os.path.join(folder, name) for name in ("references.json", "candidates.json")]
            with open(tokens[0], "w") as file:
                json.dump(references, file)
            with open(tokens[1], "w") as file:
                json.dump([{"image_id": i, "caption": texts[0]} for i, texts in candidates.items()], file)
            command = [*base, "--references", tokens[0], "--candidates", tokens[1], "--tokenized", "--metrics", "meteor"]
            command += ["--meteor-data", os.path.dirname(meteor_module.__file__)]
            result["meteor"] = compare(seconds, scores, *ours(command, 3))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
