"""Makes the golden files beside this script: python3 generate.py (torch 2.15.0, numpy 2.4.6).

Every file holds data that expected.json states a second time, written by json and not by pickle.
Pickles from Python 2 are spelled out by hand, opcode by opcode, as cPickle wrote them.
"""
import argparse, collections, io, json, pathlib, pickle, zipfile
import numpy, torch

assert torch.__version__.split("+")[0] == "2.15.0", torch.__version__
assert numpy.__version__ == "2.4.6", numpy.__version__
HERE = pathlib.Path(__file__).parent
expected = {}


def bits(t):
    return t.detach().contiguous().view(torch.uint8).flatten().tolist() if t.numel() and t.dim() else (
        t.detach().reshape(1).view(torch.uint8).tolist() if t.numel() else [])


def write(name, data):
    (HERE / name).write_bytes(data)


# --- label maps, document frequencies, all kinds of values: protocols 0 to 5
labels = {"yes": 3, "no": 9, "caf\u00e9 \U0001f600": 2, "it's": -1, "big": 2**40}
df = {"document_frequency": collections.defaultdict(float, {("a",): 997.0, ("a", "dog"): 40.5, ("a", "dog", "is", "<eos>"): 2.0}),
      "ref_len": 1000}
for p in range(6):
    write(f"labels_{p}.pkl", pickle.dumps(labels, protocol=p))
    write(f"df_{p}.pkl", pickle.dumps(df, protocol=p))
    shared = ["shared"]
    write(f"kinds_{p}.pkl", pickle.dumps({
        "none": None, "flags": [True, False], "big": 2**100, "negative": -(2**100), "float": [0.1, float("inf"), -0.0],
        "bytes": b"\x00\xff\n", "set": {7}, "frozen": frozenset(["x"]), "nested": [(1, (2, [3]))], "shared": [shared, shared],
        "array": numpy.arange(6, dtype="<f4").reshape(2, 3), "fortran": numpy.asfortranarray(numpy.arange(6, dtype=">i2").reshape(2, 3)),
        "scalars": [numpy.float32(0.5), numpy.int64(-7), numpy.bool_(True), numpy.uint64(2**63)],
        "space": argparse.Namespace(lr=5e-5, name="run"), "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
        "counter": collections.Counter("aab"), "bytearray": bytearray(b"ab"), "empty": [(), [], {}, "", b""],
    }, protocol=p))
expected["labels"] = labels
expected["df"] = {" ".join(k): v for k, v in df["document_frequency"].items()}
# Python 2.7's cPickle.dump({'yes': 3, 'caf\xc3\xa9': 9, u'no': True}, f, 0) and protocol 2
write("labels_py2_0.pkl", b"(dp1\nS'yes'\np2\nI3\nsS'caf\\xc3\\xa9'\np3\nI9\nsVno\np4\nI01\ns.")
write("labels_py2_2.pkl", b"\x80\x02}q\x01(U\x03yesq\x02K\x03U\x05caf\xc3\xa9q\x03K\x09X\x02\x00\x00\x00noq\x04\x88u.")

# --- torch archives, zip and legacy
g = torch.Generator().manual_seed(7)
features = {262144: torch.rand(3, 5, generator=g), "391895": torch.rand(2, 5, generator=g), 9: torch.empty(0, 5)}
base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
state = collections.OrderedDict([
    ("bert.embeddings.word_embeddings.weight", torch.nn.Parameter(base)), ("cls.decoder.weight", base),
    ("transposed", base.t()), ("sliced", base[1:, 1:3]), ("row", base[1]), ("expanded", torch.tensor([1.5]).expand(2, 3)),
    ("bf16", torch.arange(3, dtype=torch.bfloat16)), ("f16", torch.arange(3, dtype=torch.float16)),
    ("f64", torch.tensor([0.1], dtype=torch.float64)), ("i64", torch.tensor([[-1, 2**40]])), ("i32", torch.arange(2, dtype=torch.int32)),
    ("i16", torch.arange(2, dtype=torch.int16)), ("i8", torch.tensor([-3], dtype=torch.int8)), ("u8", torch.tensor([250], dtype=torch.uint8)),
    ("bool", torch.tensor([True, False])), ("scalar", torch.tensor(2.5)), ("empty", torch.empty(0)), ("c64", torch.tensor([1 + 2j])),
])
state._metadata = collections.OrderedDict([("", {"version": 1})])
tagged = torch.nn.Parameter(torch.ones(2)); tagged.tag = "kept"
mixed = {"epoch": 3, "args": argparse.Namespace(lr=0.1), "model": {"w": tagged, "l": [base, base[0]]}, "u16": torch.tensor([65535], dtype=torch.uint16),
         "dtype": torch.float32, "size": base.shape, "device": torch.device("cuda", 1)}
captions = {391895: ["a man rides", "b", "c", "d", "e"], 522418: ["f", "g", "h", "i", "j"]}


def tensors(value, path=""):
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from tensors(v, f"{path}.{k}" if path else str(k))
    elif isinstance(value, list):
        for i, v in enumerate(value):
            yield from tensors(v, f"{path}.{i}" if path else str(i))


for name, value in [("features", features), ("state", state), ("mixed", mixed), ("captions", captions)]:
    for form, is_zip in [("zip", True), ("legacy", False)]:
        if (name, form) == ("mixed", "legacy"):
            value = {k: v for k, v in value.items() if k != "u16"}  # not expressible there
        out = io.BytesIO()
        torch.save(value, out, _use_new_zipfile_serialization=is_zip)
        write(f"{name}_{form}.pt", out.getvalue())
        expected[f"{name}_{form}.pt"] = [
            {"name": n, "dtype": str(t.dtype)[6:], "shape": list(t.shape), "bytes": bits(t)} for n, t in tensors(value)]
# re-packed by an archiver
stored = zipfile.ZipFile(HERE / "state_zip.pt")
with zipfile.ZipFile(HERE / "state_deflated.pt", "w", zipfile.ZIP_DEFLATED) as out:
    for item in stored.infolist():
        out.writestr(zipfile.ZipInfo(item.filename), stored.read(item), zipfile.ZIP_DEFLATED)
expected["state_deflated.pt"] = expected["state_zip.pt"]

(HERE / "expected.json").write_text(json.dumps(expected, indent=None, separators=(",", ":")) + "\n")
