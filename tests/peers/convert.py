"""`pretrain convert` and `pretrain forward` on files that PyTorch wrote, beside PyTorch's own outputs.

    python tests/peers/convert.py target/release/pretrain
    python tests/peers/convert.py --golden pretrain/golden/convert

Every layout of names that published models have, each in both of torch's containers and as .safetensors. A figure is the
largest difference of a tensor, divided by its largest number. With `--golden` two small folders and PyTorch's outputs are
written instead, for `cargo test`.
"""

import argparse
import json
import pickle
import subprocess
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from oscar_in_torch import OscarForPretraining, config_json

parser = argparse.ArgumentParser()
parser.add_argument("pretrain", type=Path, nargs="?")
parser.add_argument("--limit", type=float, default=1e-4)
parser.add_argument("--golden", type=Path)
arguments = parser.parse_args()

HIDDEN, WORDS, WIDTH = 48, 211, 38
CONTAINERS = ("zip", "legacy", "safetensors")
DECODER, EMBEDDINGS = "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"


class Case:
    """A model, the state dict of its layout, and the config that stands beside it."""

    def __init__(self, seed, norm=False, classes=2, sizes=(HIDDEN, 2, 4, 96, WORDS, WIDTH)):
        torch.manual_seed(seed)
        hidden, layers, heads, inner, words, width = sizes
        self.config = config_json(hidden, layers, heads, inner, words, width, norm, classes, positions=64)
        self.model = OscarForPretraining(self.config).eval()
        with torch.no_grad():  # layer norms and biases that do nothing would hide errors
            for parameter in self.model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
        self.state = {name: tensor.detach().clone() for name, tensor in self.model.by_published_names().items()}
        self.state[DECODER] = self.state[EMBEDDINGS].clone()
        self.decoder = self.classifier = None
        self.options = []
        self.words, self.hidden, self.width = words, hidden, width

    def without(self, *prefixes):
        self.state = {name: tensor for name, tensor in self.state.items() if not name.startswith(prefixes)}
        return self

    def renamed(self, *pairs):
        for old, new in pairs:
            self.state = {name.replace(old, new): tensor for name, tensor in self.state.items()}
        return self

    def old_norms(self):
        return self.renamed(("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta"))

    def parallel(self):
        self.state = {f"module.{name}": tensor for name, tensor in self.state.items()}
        return self

    def untied(self):
        self.decoder = torch.randn(self.words, self.hidden) * 0.1
        self.state[DECODER] = self.decoder
        return self.without("cls.seq_relationship.")

    def first_captioner(self):
        self.untied().without("cls.predictions.bias")
        with torch.no_grad():
            self.model.bias.zero_()
        self.config["finetuning_task"] = "image_captioning"
        return self.renamed(("cls.predictions.", ""))

    def classified(self, labels, form, pictures=1, scale=2, norm=False, **config):
        inputs, inner = pictures * self.hidden, scale * self.hidden
        if form == "linear":
            self.classifier = nn.Linear(inputs, labels)
        else:
            layers = [nn.Linear(inputs, inner), nn.ReLU(), *([nn.LayerNorm(inner, eps=1e-12)] if norm else [])]
            self.classifier = nn.Sequential(*layers, nn.Linear(inner, labels))
        for name, parameter in self.classifier.named_parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.05)
            self.state[f"classifier.{name}"] = parameter.detach().clone()
        self.pictures = pictures
        self.config.update(num_labels=labels, **config)
        return self.without("cls.")

    def cast(self, dtype):
        """Numbers that the narrow type holds, so that both programs compute with the same ones."""
        for name, parameter in self.model.by_published_names().items():
            parameter.data.copy_(parameter.data.to(dtype).float())
        self.state = {name: tensor.to(dtype) for name, tensor in self.state.items()}
        return self

    def answers(self, path):
        labels = [f"answer {number}" for number in range(self.config["num_labels"])]
        path.write_bytes(pickle.dumps(labels, protocol=2))
        self.options += ["--labels", path]
        return self

    def write(self, folder, container):
        folder.mkdir(parents=True)
        if container == "safetensors":
            save_file({name: tensor.contiguous() for name, tensor in self.state.items()}, folder / "model.safetensors")
        else:
            torch.save(self.state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=container == "zip")
        (folder / "config.json").write_text(json.dumps(self.config, indent=1) + "\n")
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        words = special + [f"w{number}" for number in range(self.words - len(special))]
        (folder / "vocab.txt").write_text("\n".join(words) + "\n")

    def inputs(self):
        samples, tokens, regions = 3, 9, 4
        mask = torch.ones(samples, tokens + regions, dtype=torch.long)
        mask[1, 6:tokens] = 0
        mask[2, -1] = 0
        inputs = {
            "input_ids": torch.randint(0, self.words, (samples, tokens)),
            "token_type_ids": (torch.arange(tokens) >= 5).long().repeat(samples, 1),
            "attention_mask": mask,
            "img_feats": torch.rand(samples, regions, self.width) * 2,
        }
        has = lambda name: any(key.removeprefix("module.").startswith(name) for key in self.state)
        if has("cls.predictions.") or has("transform."):
            labels = torch.full((samples, tokens), -1)
            labels[:, 2] = torch.randint(0, self.words, (samples,))
            inputs["masked_lm_labels"] = labels
        if has("cls.seq_relationship."):
            inputs["contrastive_labels"] = torch.randint(0, self.config.get("num_contrast_classes", 2), (samples,))
        return inputs

    @torch.no_grad()
    def outputs(self, inputs):
        read = ("input_ids", "token_type_ids", "attention_mask", "img_feats")
        hidden, pooled = self.model.encode(**{name: inputs[name] for name in read})
        found = {"hidden": hidden, "pooled": pooled}
        if "masked_lm_labels" in inputs:
            labels = inputs["masked_lm_labels"]
            rows = hidden[:, : labels.shape[1]][labels != -1]
            rows = self.model.transform_norm(F.gelu(self.model.transform(rows)))
            decoder = self.decoder if self.decoder is not None else self.model.bert.embeddings.word_embeddings.weight
            found["mlm_logits"] = F.linear(rows, decoder, self.model.bias)
        if "contrastive_labels" in inputs:
            found["contrastive_logits"] = self.model.relationship(pooled)
        if self.classifier is not None:
            found["classifier_logits"] = self.classifier(self.classified_rows(pooled))
        return found

    def classified_rows(self, pooled):
        return torch.cat([pooled, pooled.flip(0)], 1) if self.pictures == 2 else pooled


def from_transformers(seed):
    """BERT as transformers writes it: no regions, a buffer of positions, bias and decoder twice."""
    from transformers import BertConfig, BertForPreTraining

    case = Case(seed)
    sizes = {key: value for key, value in case.config.items() if not key.startswith(("img", "use_img", "num_contrast"))}
    bert = BertForPreTraining(BertConfig(**sizes)).eval()
    names = case.model.by_published_names()
    state = {name: tensor.detach().clone() for name, tensor in bert.state_dict().items()}
    state["cls.seq_relationship.weight"], state["cls.seq_relationship.bias"] = (
        names[f"cls.seq_relationship.{part}"].detach().clone() for part in ("weight", "bias")
    )
    for name, tensor in state.items():
        if name in names:
            names[name].data.copy_(tensor)
    state["bert.embeddings.position_ids"] = torch.arange(64)[None]
    case.state, case.config = state, {**sizes, "architectures": ["BertForPreTraining"]}
    assert {"cls.predictions.decoder.bias", DECODER} <= set(state)
    return case


def converted(case, folder, container):
    """What `pretrain convert` prints, and the folder it made."""
    source, made = folder / "source", folder / "made"
    case.write(source, container)
    command = [arguments.pretrain, "convert", "--from", source, "--to", made, "--json", *case.options]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout), made


def check(case, container):
    """The worst figure, and how many tensors were compared."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        told, made = converted(case, folder, container)
        written = load_file(made / "model.safetensors")
        assert sorted(written) == sorted(tensor["name"] for tensor in told["tensors"])
        used = {tensor["source"] for tensor in told["tensors"]} - {None}
        assert used | {unused["name"] for unused in told["unused"]} == set(case.state), "a tensor was not told"
        assert used.isdisjoint({unused["name"] for unused in told["unused"]})
        inputs = case.inputs()
        wanted = case.outputs(inputs)
        if "bert.img_embedding.weight" not in written:  # as a training would draw it
            for part in ("weight", "bias"):
                name = f"bert.img_embedding.{part}"
                written[name] = case.model.by_published_names()[name].detach()
            config = json.loads((made / "config.json").read_text())
            (made / "config.json").write_text(json.dumps({**config, "img_feature_dim": case.width}))
            save_file(written, made / "model.safetensors")
        save_file({name: tensor.contiguous() for name, tensor in inputs.items()}, folder / "x.safetensors")
        command = [arguments.pretrain, "forward", "--model", made, "--inputs", folder / "x.safetensors"]
        subprocess.run([*command, "--out", folder / "y.safetensors"], check=True, stdout=subprocess.DEVNULL)
        found = load_file(folder / "y.safetensors")
        if case.classifier is not None:
            case.classifier.load_state_dict(
                {name.removeprefix("classifier."): tensor for name, tensor in written.items() if name.startswith("classifier.")}
            )
            with torch.no_grad():
                found["classifier_logits"] = case.classifier(case.classified_rows(found["pooled"]))
        real = inputs["attention_mask"].bool()
        found["hidden"], wanted["hidden"] = found["hidden"][real], wanted["hidden"][real]
        figures = {
            name: ((found[name] - tensor).abs().max() / tensor.abs().max()).item() for name, tensor in wanted.items()
        }
        assert len(figures) >= 2 and set(found) - set(figures) <= {"mlm_loss", "contrastive_loss"}, sorted(found)
        return max(figures.values()), figures, told


def cases(scratch):
    answers = scratch / "label2ans.pkl"
    return {
        "pre-training, 2 classes": lambda seed: Case(seed),
        "pre-training, 3 classes, region norm": lambda seed: Case(seed, norm=True, classes=3),
        "gamma and beta": lambda seed: Case(seed, norm=True).old_norms(),
        "module. before all": lambda seed: Case(seed).parallel(),
        "BERT of transformers": from_transformers,
        "encoder alone": lambda seed: Case(seed).without("cls."),
        "encoder alone, no prefix": lambda seed: Case(seed).without("cls.").renamed(("bert.", "")),
        "captioning v1": lambda seed: Case(seed).first_captioner(),
        "captioning v1, gamma, module.": lambda seed: Case(seed).first_captioner().old_norms().parallel(),
        "captioning, tied": lambda seed: Case(seed).without("cls.seq_relationship."),
        "captioning, untied": lambda seed: Case(seed, norm=True).untied(),
        "retrieval": lambda seed: Case(seed).classified(2, "linear", finetuning_task="ir"),
        "VQA": lambda seed: Case(seed)
        .classified(29, "linear", finetuning_task="vqa_text", classifier="linear", cls_hidden_scale=3, loss_type="bce")
        .answers(answers),
        "GQA": lambda seed: Case(seed).classified(17, "linear", finetuning_task="gqa", classifier="linear").answers(answers),
        "NLVR2": lambda seed: Case(seed).classified(
            2, "mlp", pictures=2, scale=3, finetuning_task="nlvr", classifier="mlp", cls_hidden_scale=3
        ),
        "NLVR2, region norm": lambda seed: Case(seed, norm=True).classified(
            2, "mlp", pictures=2, norm=True, finetuning_task="nlvr", classifier="mlp", cls_hidden_scale=2, use_layernorm=1
        ),
        "float16": lambda seed: Case(seed).cast(torch.float16),
        "bfloat16": lambda seed: Case(seed).cast(torch.bfloat16),
        "float64": lambda seed: Case(seed).cast(torch.float64),
    }


def write_golden(folder):
    small = (12, 1, 2, 20, 41, 10)
    made = {
        "plus": (Case(1, norm=True, classes=3, sizes=small), "zip"),
        "captioner": (Case(2, sizes=small).first_captioner().old_norms().parallel(), "legacy"),
    }
    for name, (case, container) in made.items():
        case.config["max_position_embeddings"] = 64
        case.write(folder / name, container)
        inputs = case.inputs()
        outputs = {f"expected.{key}": tensor.contiguous() for key, tensor in case.outputs(inputs).items()}
        save_file({**inputs, **outputs}, folder / name / "expected.safetensors")


if arguments.golden:
    write_golden(arguments.golden)
else:
    worst = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        for seed, (name, make) in enumerate(cases(Path(scratch)).items()):
            for container in CONTAINERS:
                figure, figures, told = check(make(seed), container)
                worst = max(worst, figure)
                assert figure <= arguments.limit, (name, container, figures)
            print(f"{name:38} {len(told['tensors']):3} tensors, worst {figure:.1e} of {', '.join(figures)}")
    print(json.dumps({"cases": len(cases(Path())) * len(CONTAINERS), "worst": worst}))
