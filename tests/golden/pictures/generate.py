"""Small files of pictures as the tools that people use write them, for pipeline/src/pictures.

Run in this folder. The pictures are 1 x 1 PNGs and text: nothing here is decoded.
"""

import io
import tarfile

import datasets
import pyarrow
import pyarrow.parquet
import webdataset

assert (datasets.__version__, pyarrow.__version__, webdataset.__version__) == ("5.2.0", "26.0.1", "1.0.2")

from PIL import Image


def png(at):
    file = io.BytesIO()
    Image.new("RGB", (1, 1), (at, 2 * at, 255 - at)).save(file, "PNG")
    return file.getvalue()


NAMES = ["0001.png", "COCO_train_000000000009.png", "b" * 120 + ".png"]

# datasets: the Image feature, in its own schema.
rows = {
    "image": [{"bytes": png(at), "path": name} for at, name in enumerate(NAMES)] + [None],
    "label": [1, 2, 3, 4],
}
features = datasets.Features({"image": datasets.Image(decode=False), "label": datasets.Value("int64")})
datasets.Dataset.from_dict(rows, features=features).to_parquet("datasets.parquet")

# pyarrow with its own settings, several row groups, ids beside the pictures.
table = pyarrow.table({"id": ["x1", "x2", "x3"], "picture": pyarrow.array([png(at) for at in range(3)], pyarrow.large_binary())})
pyarrow.parquet.write_table(table, "pyarrow.parquet", row_group_size=2, compression="zstd", data_page_version="2.0")

# Python's tarfile, in the two forms that it knows for long names.
for name, form in [("gnu.tar", tarfile.GNU_FORMAT), ("pax.tar", tarfile.PAX_FORMAT)]:
    with tarfile.open(name, "w", format=form) as tar:
        for at, entry in enumerate(NAMES + ["ä/1.png"]):
            info = tarfile.TarInfo("folder/" + entry)
            info.size = len(png(at))
            tar.addfile(info, io.BytesIO(png(at)))
        link = tarfile.TarInfo("folder/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "0001.png"
        tar.addfile(link)

# webdataset: a sample with several fields.
with webdataset.TarWriter("webdataset.tar", encoder=False) as sink:
    for at in range(3):
        sink.write({"__key__": f"part/{at:04}", "png": png(at), "seg.png": png(9), "json": b"{}", "__url__": "x"})
