"""Repeats the rows of a feature TSV under new ids, to get a file large enough to time.

    python repeat_tsv.py airsplay_train2014_obj36.tsv 2000 > 2000.tsv
"""

import sys

with open(sys.argv[1]) as file:
    rows = [line.rstrip("\n").split("\t", 1)[1] for line in file if line.strip()]
for at in range(int(sys.argv[2])):
    print(f"COCO_train2014_{at + 1:012d}\t{rows[at % len(rows)]}")
