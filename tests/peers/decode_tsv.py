"""The peer of `pipeline build`: what people do today to read LXMERT's TSV. It decodes and writes nothing.

    python decode_tsv.py FEATURES.tsv        prints one JSON line: rows, seconds, rows_per_s
"""

import base64
import csv
import json
import sys
import time

import numpy

csv.field_size_limit(sys.maxsize)
FIELDS = ["img_id", "img_h", "img_w", "objects_id", "objects_conf", "attrs_id", "attrs_conf", "num_boxes", "boxes", "features"]
TYPES = {"objects_id": "<i8", "objects_conf": "<f4", "attrs_id": "<i8", "attrs_conf": "<f4", "boxes": "<f4", "features": "<f4"}

start = time.perf_counter()
rows = 0
with open(sys.argv[1]) as file:
    for item in csv.DictReader(file, FIELDS, delimiter="\t"):
        count = int(item["num_boxes"])
        for key, dtype in TYPES.items():
            item[key] = numpy.frombuffer(base64.b64decode(item[key]), dtype=dtype)
        item["features"] = item["features"].reshape(count, -1)
        rows += 1
seconds = time.perf_counter() - start
print(json.dumps({"rows": rows, "seconds": round(seconds, 4), "rows_per_s": round(rows / seconds, 1)}))
