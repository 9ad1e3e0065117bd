"""Programs in the place of files: none is executed, none writes outside its place, and what is said of it is one line."""

import io
import json
import marshal
import os
import pickle
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from battery_cases import Battery
from damage import ESCAPES, from_parts, is_harmless
from numbacnn_cli.main import _guarded
from PIL import Image

import numbacnn as nc
from numbacnn.checkpoint import TrainedNetwork, save_network
from numbacnn.initializers import initial_parameters

CANARY = "canary"


class Payload:
    """Its pickle makes a file where it is read."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (CANARY,)


CODE = f"import os; os.mkdir({CANARY!r})"
PICKLE = pickle.dumps(Payload())


def network(name: str = "net", layer: str = "dense1", classes: tuple[str, ...] = ("a", "b", "c")) -> bytes:
    """A network file with any names, which no constructor has looked at."""
    graph = nc.sequential(nc.Flatten(), nc.Dense(3, activation="softmax"), input_shape=(28, 28, 1))
    save_network(Path("good"), TrainedNetwork(graph, initial_parameters(graph, 0), ("a", "b", "c"), {}))
    data = Path("good").read_bytes()
    os.unlink("good")
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    about = json.loads(header["__metadata__"]["numbacnn"])
    about["graph"]["name"], about["class_names"] = name, list(classes)
    about["graph"]["layers"][1]["name"] = layer
    header["__metadata__"]["numbacnn"] = json.dumps(about)
    for key in ("kernel", "bias"):
        header[f"{layer}/{key}"] = header.pop(f"dense1/{key}")
    return from_parts(header, data[8 + length :])


def described(about: dict[str, Any]) -> bytes:
    """A file of no arrays with this description."""
    return from_parts({"__metadata__": {"numbacnn": json.dumps(about)}}, b"")


def numpy_object() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Payload()], object), allow_pickle=True)
    return file.getvalue()


def zipped(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("up", ".."), content)
    return file.getvalue()


def linked() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, "."
        archive.addfile(link)
        inside = tarfile.TarInfo(f"out/{CANARY}")
        inside.size = 1
        archive.addfile(inside, io.BytesIO(b"x"))
    return file.getvalue()


LAMBDA = {
    "module": "keras.layers",
    "class_name": "Lambda",
    "config": {"function": {"class_name": "__lambda__", "config": {"code": CODE}}},
}
PLAIN = {"input_shape": [28, 28, 1], "layers": [{"type": "Flatten"}]}

PAYLOADS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a pickle of PyTorch": ("m.pt", lambda: zipped(archive__data_pkl=PICKLE, archive__version=b"3")),
    "a bare pickle": ("m.safetensors", lambda: PICKLE),
    "an npz with an object": ("m.npz", lambda: zipped(**{"x.npy": numpy_object()})),
    "an npy with an object": ("m.npy", numpy_object),
    "a pickle in an array's name": (
        "m.safetensors",
        lambda: from_parts({PICKLE.decode("latin-1"): {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}, b""),
    ),
    "a pickle in the arrays": (
        "m.safetensors",
        lambda: from_parts({"x": {"dtype": "U8", "shape": [len(PICKLE)], "data_offsets": [0, len(PICKLE)]}}, PICKLE),
    ),
    "a compiled kernel of Numba": ("m.nbc", lambda: PICKLE + PICKLE),
    "HDF5 with a pickle": ("m.h5", lambda: b"\x89HDF\r\n\x1a\n" + PICKLE),
    "a Lambda of Keras": ("m.keras", lambda: zipped(**{"config.json": json.dumps(LAMBDA).encode()})),
    "a module and a class in JSON": (
        "m.safetensors",
        lambda: described({"kind": "network", "format": 1, "graph": LAMBDA, "class_names": ["a"], "training": {}}),
    ),
    "marshalled code": ("m.safetensors", lambda: marshal.dumps(compile(CODE, "x", "exec"))),
    "a tag of YAML": ("m.toml", lambda: f'!!python/object/apply:os.mkdir ["{CANARY}"]'.encode()),
    "a class in TOML": ("m.toml", lambda: f'__class__ = "os.mkdir"\n__reduce__ = ["os.mkdir", ["{CANARY}"]]\n'.encode()),
    "an expression in TOML": (
        "m.toml",
        lambda: f"input_shape = [28, 28, 1]\n[[layers]]\ntype = '''__import__(\"os\").mkdir(\"{CANARY}\")'''".encode(),
    ),
    "Python in the place of TOML": ("m.toml", CODE.encode),
    "a zip that climbs out": ("m.safetensors", lambda: zipped(**{f"up__{CANARY}": b"x"})),
    "a link in an archive": ("m.safetensors", linked),
    "a layer that is a path": ("m.safetensors", lambda: network(layer=f"../../{CANARY}")),
    "a network that is a path": ("m.safetensors", lambda: network(name=f"../../{CANARY}")),
    "escapes in a layer's name": ("m.safetensors", lambda: network(layer=ESCAPES)),
    "escapes in a class name": ("m.safetensors", lambda: network(classes=(ESCAPES, "b", "c"))),
    "escapes in a network's name": ("m.safetensors", lambda: network(name=ESCAPES)),
    "escapes in a file's name": (f"{ESCAPES.replace('/', '')}.toml", lambda: b"x"),
}

COMMANDS = (
    ("shapes", "FILE"), ("shapes", "FILE", "--plan"), ("shapes", "FILE", "--compare", "FILE"),
    ("predict", "FILE", "--model", "FILE"), ("predict", "3.png", "--model", "FILE"),
    ("evaluate", "--model", "FILE", "--dataset", "digits", "--test-limit", "10"), ("warmup", "FILE"),
    ("train", "--model", "FILE", "--dataset", "digits", "--train-limit", "20", "--test-limit", "10", "--epochs", "1"),
    ("train", "--resume", "--output", "out"), ("predict", "3.png"),
)  # fmt: skip
"""FILE stands for the payload's file; it is also the checkpoint of out/, and the network trained last."""

READABLE = {"escapes in a class name"}


def prepare(folder: Path, name: str) -> str:
    """Put a payload wherever a command reads a file; returns its file's name."""
    file, make = PAYLOADS[name]
    content = make()
    Image.new("L", (28, 28)).save("3.png")
    Path("out").mkdir()
    Path("runs").mkdir()
    Path("run").mkdir()
    for place in (file, "out/checkpoint.safetensors", "run/model.safetensors"):
        (folder / place).write_bytes(content)
    Path("runs/last").write_bytes(os.fsencode(folder / "run"))
    return file


def check(code: int, out: str, error: str, before: set[Path], folder: Path, is_readable: bool) -> None:
    """One line, nothing that a terminal obeys, and no file but those of a run."""
    assert code in (0, 1)
    assert "Traceback" not in error
    assert all(map(is_harmless, (out + error).split("\n"))), ascii(out + error)
    assert "\nError: forged" not in out + error
    last = error.splitlines()[-1] if error else ""
    if code:
        assert last.startswith("Error: ")
        assert len(last) < 500, last
    assert not [path for root in (folder, folder.parent) for path in root.rglob(f"*{CANARY}*")]
    assert {path for path in folder.iterdir() if path.name != ".lock"} == before
    assert code or is_readable


@pytest.mark.parametrize("name", PAYLOADS)
def test_no_file_is_executed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "inner" / "most"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    file = prepare(folder, name)
    before = set(folder.iterdir())
    for command in COMMANDS:
        monkeypatch.setattr(sys, "argv", ["numbacnn", *(file if word == "FILE" else word for word in command)])
        code = _guarded()
        shown = capsys.readouterr()
        check(code, shown.out, shown.err, before, folder, name in READABLE)


def test_the_canary_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(PICKLE)
    assert (tmp_path / CANARY).is_dir()


def test_a_payload_on_the_real_command_line_is_one_line(
    battery: Battery, numbacnn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = list(PAYLOADS)
    for case in battery("programs in the place of files, on the command line", smoke=3, whole=len(names)):
        with case:
            folder = tmp_path / f"{case.index}"
            folder.mkdir()
            monkeypatch.chdir(folder)
            file = prepare(folder, names[case.index])
            before = set(folder.iterdir())
            command = COMMANDS[(0, 3)[case.index % 2]]
            done = numbacnn(*(file if word == "FILE" else word for word in command), cwd=folder)
            check(done.returncode, done.stdout, done.stderr, before, folder, names[case.index] in READABLE)
