"""Reads a data set with pyarrow and Hugging Face datasets, with nothing of this project installed.

    python read_shards.py DATASET CAPTIONS

CAPTIONS is the file in COCO's layout that the data set was built from: all its pictures and captions must be there.
"""

import argparse
import glob
import json
import os

import numpy
import pyarrow.parquet
from datasets import Image, load_dataset

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("dataset")
parser.add_argument("captions")
arguments = parser.parse_args()
with open(arguments.captions) as file:
    captions = json.load(file)
expected = len(captions["images"]), len(captions["annotations"])

shards = sorted(glob.glob(os.path.join(arguments.dataset, "shard-*.parquet")))
rows = texts = 0
for shard in shards:
    for row in pyarrow.parquet.read_table(shard).to_pylist():
        rows += 1
        texts += len(row["texts"])
        for picture in row["images"]:
            features = numpy.frombuffer(picture["features"], dtype="<f4").reshape(picture["regions"], -1)
            assert numpy.isfinite(features).all()
            assert len(picture["boxes"]) == picture["regions"] * 16
assert (rows, texts) == expected, (rows, texts, expected)

loaded = load_dataset("parquet", data_files=shards, split="train", cache_dir=os.path.join(arguments.dataset, "_cache"))
assert len(loaded) == rows
image = loaded.features["images"].feature["image"]
assert isinstance(image, Image), image
assert loaded[0]["key"] and loaded[0]["images"][0]["regions"] > 0
print(f"pyarrow and datasets read {rows} rows and {texts} texts of {len(shards)} shards")
