"""Packs of compiled kernels: another machine's cache needs no compiler, and no file that is not whole is laid into it."""

import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Done, run_here

import numbacnn
from numbacnn.backends import cpu, kernel_cache, kernel_packs, packaged_kernels, processor
from numbacnn.backends.kernel_cache import CacheFolder
from numbacnn.backends.kernel_files import KernelFiles, is_whole
from numbacnn.backends.kernel_packs import MANIFEST, Pack, make_pack
from numbacnn.errors import DeviceError
from numbacnn.quoting import counted

LEVEL = processor.settle().name

PROGRAM = f"""
import sys
from pathlib import Path
import numpy as np
from numbacnn.backends import compilations, get_ops, processor
processor.pin({LEVEL!r})
ops = get_ops("cpu", 1)
with compilations() as compiled:
    print(ops.relu(np.array([-1, 2], np.float32)).tolist(), compiled.count)
"""
PACK = PROGRAM + "from numbacnn.backends.kernel_packs import make_pack\nPath(sys.argv[1]).write_bytes(make_pack().content)"
TAKE = "import sys\nfrom numbacnn_cli.main import run\nrun()"

WARM = "[0.0, 2.0] 0"
"""What PROGRAM prints where it has compiled nothing."""


def run(cache: Path, program: str, *args: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, in a folder from which it imports the package first."""
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, args)],
        env={"NUMBA_CACHE_DIR": str(cache), "PATH": ""}, cwd=folder, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    done = run(folder / "cache", PACK, folder / "one.pack")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() != WARM, "the first run compiles"
    return folder / "one.pack"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder that this process lays kernels into."""
    folder = tmp_path / "kernels"
    folder.mkdir()
    monkeypatch.setattr(kernel_packs, "_folder", lambda level: CacheFolder(folder))
    return folder


def take(path: Path) -> Done:
    return run_here("warmup", "--from", path)


def refused(path: Path, cache: Path, expected: str) -> str:
    """The one message of a pack of which nothing was laid."""
    done = take(path)
    assert (done.code, done.out) == (1, ""), done
    notice, message = done.err.splitlines()
    assert notice.startswith("A pack is a program")
    assert message.startswith(f"Error: {path}: "), message
    assert expected in message
    assert not list(cache.iterdir())
    return message


# --- another machine ------------------------------------------------------------------------------------------------------------------


def test_a_machine_with_the_pack_compiles_nothing(pack: Path, tmp_path: Path) -> None:
    cache = tmp_path / "new" / "cache"
    done = run(cache, TAKE, "warmup", "--from", pack, "--format", "json", "--processor", LEVEL)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["processor"], facts["new"], facts["present"]) == (LEVEL, len(Pack(pack)), 0)
    assert done.stderr == "A pack is a program: take packs only from people you trust.\n"
    assert run(cache, PROGRAM).stdout.strip() == WARM
    if hasattr(os, "geteuid"):
        laid = list(cache.rglob("*.kernel"))
        assert {stat.S_IMODE(file.stat().st_mode) for file in laid} == {0o600}
        assert {stat.S_IMODE(folder.stat().st_mode) for folder in laid[0].parents if folder > tmp_path} == {0o700}


def test_a_pack_taken_twice_is_laid_once(pack: Path, cache: Path) -> None:
    count = len(Pack(pack))
    first, second = (json.loads(run_here("warmup", "--from", pack, "--format", "json").out) for _ in range(2))
    assert [first["new"], first["present"], second["new"], second["present"]] == [count, 0, 0, count]


def test_a_damaged_kernel_in_the_cache_is_replaced(pack: Path, cache: Path) -> None:
    take(pack)
    file = next(cache.iterdir())
    file.write_bytes(file.read_bytes()[:-1])
    assert take(pack).code == 0
    assert is_whole(file.name, file.read_bytes())


def test_a_package_that_lies_elsewhere_finds_the_same_kernels(pack: Path, tmp_path: Path) -> None:
    """A path of the machine in a kernel's key would make every kernel of a pack useless on all others."""
    shutil.copytree(Path(numbacnn.__file__).parent, tmp_path / "numbacnn")
    assert run(pack.parent / "cache", PROGRAM, folder=tmp_path).stdout.strip() == WARM


@pytest.mark.skipif(LEVEL == processor.NATIVE, reason="kernels are compiled for this very processor here")
def test_a_pack_of_another_level_goes_to_the_folder_of_that_level(pack: Path) -> None:
    """As on a machine with longer vectors than the one that has compiled."""
    done = run(pack.parent / "native", TAKE, "warmup", "--from", pack, "--processor", "native")
    assert done.returncode == 0, done.stderr
    assert f"Use --processor {LEVEL}, or set NUMBACNN_PROCESSOR={LEVEL}" in done.stderr
    assert run(pack.parent / "native", PROGRAM).stdout.strip() == WARM


def test_packs_of_the_same_kernels_are_equal(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    KernelFiles(cache, take, lambda data: data).save("key", b"code")
    assert make_pack() == make_pack()


# --- what does not fit, or is no pack -------------------------------------------------------------------------------------------------

Files = dict[str, bytes]


def files_in(pack: Path) -> Files:
    with zipfile.ZipFile(pack) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files: Files, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def with_manifest(files: Files, change: Callable[[dict[str, Any]], Any]) -> Files:
    manifest = json.loads(files[MANIFEST])
    return files | {MANIFEST: json.dumps(change(manifest)).encode()}


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("python", "cpython-399", "got one for Python cpython-399"),
        ("numba", "0.1", "got one for Numba 0.1"),
        ("llvmlite", "0.1", "got one for llvmlite 0.1"),
        ("platform", "plan9", "got one for the platform plan9"),
        ("model", "pentium", "got one for pentium"),
        ("folder", "0123456789ab", "got one for 0123456789ab of numbacnn"),
    ],
)
def test_a_pack_from_another_kind_of_machine_says_what_differs(
    pack: Path, cache: Path, tmp_path: Path, field: str, value: str, expected: str
) -> None:
    path = tmp_path / "other.pack"
    path.write_bytes(zipped(with_manifest(files_in(pack), lambda manifest: manifest | {field: value})))
    message = refused(path, cache, expected)
    assert "expected a pack for" in message
    assert "numbacnn warmup --all" in message


def test_all_that_differs_is_said_in_one_message(pack: Path, cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.pack"
    other = {"python": "cpython-399", "numba": "0.1"}
    path.write_bytes(zipped(with_manifest(files_in(pack), lambda manifest: manifest | other)))
    refused(path, cache, "got one for Python cpython-399, Numba 0.1. ")


def test_a_pack_for_longer_vectors_than_the_processor_has_is_refused(
    pack: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "missing", lambda name: ["avx512f"] if name == "x86-64-v4" else [])
    path = tmp_path / "other.pack"
    path.write_bytes(zipped(with_manifest(files_in(pack), lambda manifest: manifest | {"processor": "x86-64-v4"})))
    refused(path, cache, "expected a pack for x86-64-v3 or native, got one for x86-64-v4, which needs avx512f")


def first_kernel(files: Files) -> str:
    return next(name for name in files if name != MANIFEST)


def without(files: Files, name: str) -> Files:
    return {each: content for each, content in files.items() if each != name}


def renamed(files: Files, name: str) -> Files:
    """A pack and its manifest with another name of a kernel."""
    old = first_kernel(files)

    def change(manifest: dict[str, Any]) -> Any:
        return manifest | {"files": {name if each == old else each: about for each, about in manifest["files"].items()}}

    return with_manifest(without(files, old) | {name: files[old]}, change)


def replaced(files: Files, content: bytes) -> Files:
    """A pack and its manifest with other bytes for a kernel, which the manifest describes rightly."""
    name = first_kernel(files)
    about = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return with_manifest(files | {name: content}, lambda manifest: manifest | {"files": manifest["files"] | {name: about}})


def manifest_with(**values: Any) -> Callable[[Files], bytes]:
    return lambda files: zipped(with_manifest(files, lambda manifest: manifest | values))


def twice(files: Files) -> bytes:
    name, buffer = first_kernel(files), io.BytesIO(zipped(files))
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(name, files[name])
    return buffer.getvalue()


def bomb(files: Files) -> bytes:
    """A kernel of 100 MB of zeros in a small file."""
    return zipped(files | {first_kernel(files): bytes(100 << 20)})


def hidden_bomb(files: Files) -> bytes:
    """A kernel that unpacks to far more than the zip says."""
    name = first_kernel(files)
    size = len(files[name]).to_bytes(4, "little")
    return bomb(files).replace((100 << 20).to_bytes(4, "little"), size)


BAD: dict[str, tuple[Callable[[Files], bytes], str]] = {
    "no zip": (lambda files: b"no zip at all", "no zip, or is damaged"),
    "empty": (lambda files: b"", "no zip, or is damaged"),
    "cut short": (lambda files: zipped(files)[:-100], "no zip, or is damaged"),
    "another zip": (lambda files: zipped({"a.txt": b"text"}), "a manifest.json in it"),
    "no JSON": (lambda files: zipped(files | {MANIFEST: b"{"}), "JSON in manifest.json"),
    "nested JSON": (lambda files: zipped(files | {MANIFEST: b"[" * 100_000}), "JSON in manifest.json"),
    "a list": (lambda files: zipped(files | {MANIFEST: b"[]"}), "an object in manifest.json"),
    "a long manifest": (lambda files: zipped(files | {MANIFEST: b" " * (2 << 20)}), "at most 1048576 bytes"),
    "a later format": (manifest_with(format=2), "a pack of format 1, got format 2"),
    "a true format": (manifest_with(format=True), "a pack of format 1"),
    "a number for a text": (manifest_with(numba=66), "a text for 'numba'"),
    "an unknown processor": (manifest_with(processor="x86-64-v9"), "got 'x86-64-v9'"),
    "no files": (manifest_with(files={}), "1 to 2000 kernels"),
    "a list of files": (manifest_with(files=["a.kernel"]), "1 to 2000 kernels"),
    "no size": (manifest_with(files={"a-" + "0" * 32 + ".kernel": {"sha256": "0"}}), "bytes and a sha256"),
    "a negative size": (manifest_with(files={"a-" + "0" * 32 + ".kernel": {"bytes": -1, "sha256": "0"}}), "bytes and a sha256"),
    "a path upwards": (lambda files: zipped(renamed(files, "../a-" + "0" * 32 + ".kernel")), "names of kernels"),
    "an absolute path": (lambda files: zipped(renamed(files, "/tmp/a-" + "0" * 32 + ".kernel")), "names of kernels"),
    "a program": (lambda files: zipped(renamed(files, "sitecustomize.py")), "names of kernels"),
    "another kernel's name": (lambda files: zipped(renamed(files, "a-" + "0" * 32 + ".kernel")), "as manifest.json describes it"),
    "a file too many": (lambda files: zipped(files | {"../evil.py": b""}), "got others too: ../evil.py"),
    "a file too few": (lambda files: zipped(without(files, first_kernel(files))), "got a pack without "),
    "a name twice": (twice, "each name once"),
    "no kernel": (lambda files: zipped(replaced(files, b"no kernel")), "as manifest.json describes it"),
    "other bytes": (lambda files: zipped(files | {first_kernel(files): b"other"}), "as manifest.json describes it"),
    "a bomb": (bomb, "got 104857600"),
    "a hidden bomb": (hidden_bomb, "damaged"),
    "another compression": (lambda files: zipped(files, zipfile.ZIP_BZIP2), "stored or deflated"),
    "a million files": (lambda files: zipped({str(number): b"" for number in range(4001)}), "at most 2000 kernels"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_is_no_whole_pack_is_refused_and_nothing_is_laid(pack: Path, cache: Path, tmp_path: Path, kind: str) -> None:
    make, expected = BAD[kind]
    path = tmp_path / "bad.pack"
    path.write_bytes(make(files_in(pack)))
    refused(path, cache, expected)


def test_paths_that_are_no_files_are_refused(cache: Path, tmp_path: Path) -> None:
    refused(tmp_path / "none.pack", cache, "No such file")
    refused(tmp_path, cache, "expected a file, got a folder")


def test_no_flipped_bit_changes_what_is_laid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """A bit of a date in the zip changes nothing; any other is found."""
    KernelFiles(cache, take, lambda data: data).save("key", b"code of a kernel")
    (file,) = cache.iterdir()
    expected, path, refusals = {file.name: file.read_bytes()}, tmp_path / "flipped.pack", 0
    content = make_pack().content
    for bit in range(0, len(content) * 8, 3):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            assert Pack(path).kernels() == expected
        except DeviceError:
            refusals += 1
    assert refusals > 0.7 * len(content) * 8 / 3


def test_no_pickle_of_a_pack_is_loaded(pack: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any) -> None:
        raise AssertionError("a pickle was loaded")

    monkeypatch.setattr("pickle.loads", load)
    monkeypatch.setattr("pickle.load", load)
    assert take(pack).code == 0


def test_a_full_disk_leaves_no_kernel_of_the_pack(pack: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = kernel_packs.write_whole

    def write(path: Path, content: bytes, mode: int) -> None:
        if list(cache.iterdir()):
            raise OSError(28, "No space left on device")
        kept(path, content, mode)

    monkeypatch.setattr(kernel_packs, "write_whole", write)
    kernels = {f"{number}": b"content" for number in range(3)}
    with pytest.raises(DeviceError, match=r"No space left on device\. No kernel was kept\. Make room"):
        kernel_packs.lay(kernels, cache)
    assert not list(cache.iterdir())


def test_a_cache_that_cannot_be_written_to_is_one_message(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_packs, "_folder", lambda level: CacheFolder(None, "others can write to /cache"))
    done = take(pack)
    assert done.code == 1
    assert done.err.splitlines()[1:] == [
        f"Error: {pack}: expected a cache to lay kernels into, got none: others can write to /cache. "
        "Set NUMBA_CACHE_DIR to a folder of your own"
    ]
    with pytest.raises(DeviceError, match="--pack: expected a cache of compiled kernels, got none: others can write"):
        make_pack()


def test_an_empty_cache_makes_no_pack(cache: Path) -> None:
    with pytest.raises(DeviceError, match=r"expected compiled kernels in .*, got none"):
        make_pack()
    (cache / "a.kernel").write_bytes(b"damaged")
    with pytest.raises(DeviceError, match=r"expected compiled kernels in .*, got none"):
        make_pack()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("small --from x.pack", "MODEL has no effect beside --from"),
        ("--all --from x.pack", "--all has no effect beside --from"),
        ("--pack y.pack --from x.pack", "--pack has no effect beside --from"),
        ("--from x.pack --device cuda", "--from goes with --device cpu"),
        ("--pack x.pack --device auto", "--pack goes with --device cpu"),
        ("--pack x.zip", "ends in .pack"),
        ("--force", "--force goes with --pack"),
    ],
)
def test_options_that_do_not_go_together_are_misuse(words: str, expected: str) -> None:
    done = run_here("warmup", *words.split())
    assert done.code == 2
    assert expected in done.err


def test_another_file_is_not_replaced_by_a_pack(tmp_path: Path) -> None:
    (tmp_path / "x.pack").write_text("mine")
    done = run_here("warmup", "softmax", "--pack", tmp_path / "x.pack")
    assert done.code == 1
    assert "--force" in done.err
    assert (tmp_path / "x.pack").read_text() == "mine"


# --- packs in the package -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def package(pack: Path, tmp_path: Path) -> Path:
    """A folder with an installed package that carries the pack."""
    site = tmp_path / "site"
    shutil.copytree(Path(numbacnn.__file__).parent, site / "numbacnn", ignore=shutil.ignore_patterns("packs"))
    (site / "numbacnn" / "packs").mkdir()
    shutil.copy(pack, site / "numbacnn" / "packs")
    return site


def test_a_package_with_a_pack_compiles_nothing_on_first_use(package: Path, tmp_path: Path) -> None:
    done = run(tmp_path / "cache", PROGRAM, folder=package)
    assert (done.stdout.strip(), done.stderr) == (WARM, "")


def test_a_damaged_pack_in_the_package_costs_a_compilation(package: Path, tmp_path: Path) -> None:
    (file,) = (package / "numbacnn" / "packs").iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    done = run(tmp_path / "cache", PROGRAM, folder=package)
    assert done.stdout.startswith("[0.0, 2.0] ")
    assert (done.stdout.strip() != WARM, done.stderr) == (True, "")


def test_the_pack_of_the_package_is_looked_at_only_where_the_cache_is_empty(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from numbacnn.backends.cpu import _jit

    looks: list[Path] = []
    monkeypatch.setattr(packaged_kernels, "lay_packaged", looks.append)
    monkeypatch.setattr(_jit, "cache_folder", lambda sources: CacheFolder(tmp_path))
    _jit._cache_folder.__wrapped__()
    assert looks == [tmp_path]
    (tmp_path / "a.kernel").touch()
    _jit._cache_folder.__wrapped__()
    assert looks == [tmp_path]


def test_doctor_names_the_packs_of_the_package(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged_kernels, "FOLDER", tmp_path)
    assert "kernel packs" not in run_here("doctor").out
    (tmp_path / "good.pack").write_bytes(pack.read_bytes())
    (tmp_path / "cut.pack").write_bytes(pack.read_bytes()[:100])
    old = with_manifest(files_in(pack), lambda manifest: manifest | {"python": "cpython-399"})
    (tmp_path / "old.pack").write_bytes(zipped(old))
    found = json.loads(run_here("doctor", "--format", "json").out)["kernel_cache"]["packs"]
    count = len(Pack(pack))
    assert [(each["name"], each["kernels"]) for each in found] == [("cut.pack", None), ("good.pack", count), ("old.pack", count)]
    shown = " ".join(run_here("doctor").out.split())
    assert "cut.pack: not used: expected a pack of kernels, got a file that is no zip, or is damaged" in shown
    assert f"good.pack: {counted(count, 'kernel')} for {LEVEL}, fits" in shown
    assert "old.pack: not used: expected a pack for Python cpython-" in shown


def test_another_sources_folder_is_named_by_its_level() -> None:
    sources = Path(cpu.__file__).parent
    names = {kernel_cache.folder_name(sources, compiled_for=level) for level in processor.PROCESSORS}
    assert len(names) == len(processor.PROCESSORS)
    assert kernel_cache.folder_name(sources) in names
