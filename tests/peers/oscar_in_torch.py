"""Our own assembly of Oscar's pre-training model on transformers' BertModel, for comparison."""

import json

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel


def config_json(hidden, layers, heads, inner, words, width, norm, classes, dropout=0.1, positions=512):
    """Keys of a published config.json."""
    return {
        "vocab_size": words,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "hidden_act": "gelu",
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
        "max_position_embeddings": positions,
        "type_vocab_size": 2,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "img_feature_dim": width,
        "img_feature_type": "faster_r-cnn",
        "use_img_layernorm": int(norm),
        "img_layer_norm_eps": 1e-12,
        "num_contrast_classes": classes,
    }


class OscarForPretraining(nn.Module):
    """Words, tags and regions through one encoder; heads for hidden tokens and for what belongs together."""

    def __init__(self, config, attention="eager"):
        super().__init__()
        bert = BertConfig(**{key: config[key] for key in config if not key.startswith(("img", "use_img", "num_contrast"))})
        bert._attn_implementation = attention
        self.bert = BertModel(bert)
        hidden = config["hidden_size"]
        self.bert.img_embedding = nn.Linear(config["img_feature_dim"], hidden)
        if config["use_img_layernorm"]:
            self.bert.LayerNorm = nn.LayerNorm(hidden, eps=config["img_layer_norm_eps"])
        self.drop = nn.Dropout(config["hidden_dropout_prob"])
        self.transform = nn.Linear(hidden, hidden)
        self.transform_norm = nn.LayerNorm(hidden, eps=config["layer_norm_eps"])
        self.bias = nn.Parameter(torch.zeros(config["vocab_size"]))
        self.relationship = nn.Linear(hidden, config["num_contrast_classes"])
        for module in (self.bert.img_embedding, self.transform, self.relationship):
            nn.init.normal_(module.weight, std=config["initializer_range"])
            nn.init.zeros_(module.bias)

    def encode(self, input_ids, token_type_ids, attention_mask, img_feats):
        words = self.bert.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)
        regions = self.bert.img_embedding(img_feats)
        if hasattr(self.bert, "LayerNorm"):
            regions = self.bert.LayerNorm(regions)
        x = torch.cat([words, self.drop(regions)], 1)
        mask = None
        if attention_mask is not None:
            mask = attention_mask[:, None, None] if attention_mask.dim() == 2 else attention_mask[:, None]
            mask = (1 - mask.to(x.dtype)) * -10000.0
        for layer in self.bert.encoder.layer:
            x = layer(x, mask)
            x = x[0] if isinstance(x, tuple) else x
        return x, self.bert.pooler(x)

    def token_logits(self, rows):
        return F.linear(
            self.transform_norm(F.gelu(self.transform(rows))), self.bert.embeddings.word_embeddings.weight, self.bias
        )

    def losses(self, hidden, pooled, masked_lm_labels, contrastive_labels, gathered=True):
        """Both means; with `gathered` logits of labelled rows only."""
        if gathered:
            asked = masked_lm_labels != -1
            logits, labels = self.token_logits(hidden[:, : asked.shape[1]][asked]), masked_lm_labels[asked]
        else:  # as published: at every position, regions too
            logits = self.token_logits(hidden).flatten(0, 1)
            labels = F.pad(masked_lm_labels, (0, hidden.shape[1] - masked_lm_labels.shape[1]), value=-1).flatten()
        contrastive_logits = self.relationship(pooled)
        return {
            "mlm_logits": logits,
            "mlm_loss": F.cross_entropy(logits, labels, ignore_index=-1),
            "contrastive_logits": contrastive_logits,
            "contrastive_loss": F.cross_entropy(contrastive_logits, contrastive_labels),
        }

    def everything(self, input_ids, token_type_ids, attention_mask, img_feats, masked_lm_labels, contrastive_labels):
        """All outputs and gradients by the names of `pretrain forward`."""
        hidden, pooled = self.encode(input_ids, token_type_ids, attention_mask, img_feats)
        found = {"hidden": hidden, "pooled": pooled, **self.losses(hidden, pooled, masked_lm_labels, contrastive_labels)}
        self.zero_grad()
        (found["mlm_loss"] + found["contrastive_loss"]).backward()
        gradients = {f"grad.{name}": parameter.grad for name, parameter in self.by_published_names().items()}
        return {**found, **gradients}

    def by_published_names(self):
        names = {
            "transform.": "cls.predictions.transform.dense.",
            "transform_norm.": "cls.predictions.transform.LayerNorm.",
            "relationship.": "cls.seq_relationship.",
        }
        renamed = {}
        for name, parameter in self.named_parameters():
            for ours, published in names.items():
                if name.startswith(ours):
                    name = published + name.removeprefix(ours)
            renamed["cls.predictions.bias" if name == "bias" else name] = parameter
        return renamed

    def save(self, folder, config):
        """A model folder, with the tied matrix twice, as published files have it."""
        tensors = {name: parameter.detach().contiguous() for name, parameter in self.by_published_names().items()}
        tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"].clone()
        save_file(tensors, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(config))
