"""The folder of compiled kernels: found again, never stale, and no reason to fail."""

import hashlib
import json
import os
import pickle
import shutil
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from numbacnn.backends import cpu, kernel_cache
from numbacnn.backends.kernel_files import SUFFIX, KernelFiles

PROGRAM = """
import numpy as np
from numbacnn.backends import compilations, get_ops
ops = get_ops("cpu", 1)
with compilations() as compiled:
    print(ops.relu(np.array([-1, 2], np.float32)).tolist(), end=" ")
print(compiled.count)
"""

DOCTOR = """
import json
from numbacnn.backends import diagnostics
print(json.dumps(diagnostics.report()["kernel_cache"]))
"""

NORMALISE = """
import numpy as np
from numbacnn.backends import get_ops
ops = get_ops("cpu", 1)
x, ones = np.eye(4, dtype=np.float32), np.ones(4, np.float32)
y, mean, variance = ops.batch_norm(x, ones, ones, 1e-3)
ops.batch_norm_backward(x, ones, mean, variance, 1e-3, y)
"""


def run(folder: Path, program: str = PROGRAM, *flags: str) -> str:
    done = subprocess.run(
        [sys.executable, *flags, "-c", program], env={"NUMBA_CACHE_DIR": str(folder), "PATH": ""}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    assert run(folder) != "[0.0, 2.0] 0", "the first run compiles"
    return folder


def test_a_second_process_compiles_nothing(filled: Path) -> None:
    assert run(filled) == "[0.0, 2.0] 0"


@pytest.fixture
def copied(filled: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(filled, folder)
    return folder


def kernels(folder: Path) -> list[Path]:
    files = sorted(folder.rglob(f"*{SUFFIX}"))
    assert files
    return files


def flip_a_bit(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: b"garbage", lambda content: content[:100], flip_a_bit])
def test_damaged_files_cost_a_compilation_and_are_replaced(copied: Path, damage: Callable[[bytes], bytes]) -> None:
    for file in kernels(copied):
        file.write_bytes(damage(file.read_bytes()))
    printed = run(copied)
    assert printed.startswith("[0.0, 2.0] ")
    assert not printed.endswith(" 0")
    assert run(copied) == "[0.0, 2.0] 0", "the damage has been repaired"


def test_files_that_have_changed_places_are_not_taken_for_each_other(copied: Path) -> None:
    """As where an index points to another kernel's code."""
    first, *others = kernels(copied)
    contents = [file.read_bytes() for file in (first, *others)]
    for file, content in zip((*others, first), contents, strict=True):
        file.write_bytes(content if others else flip_a_bit(content))
    assert run(copied).startswith("[0.0, 2.0] ")
    assert run(copied) == "[0.0, 2.0] 0"


# --- files ------------------------------------------------------------------------------------------------------------------------


def make(n: int) -> Callable[[], int]:
    """A factory, as those of tiles: its functions share a name, a file and a line."""

    def function() -> int:
        return n

    return function


def files_of(folder: Path, n: int = 1) -> KernelFiles:
    return KernelFiles(folder, make(n), pickle.dumps)


def test_a_save_that_is_cut_short_leaves_every_other_kernel_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba writes an index, then code under a counted name: killed in between, the next kernel that is saved gets that name."""
    files_of(tmp_path).save(("first",), "code of the first")

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space"):
            files_of(tmp_path).save(("second",), "code of the second")
    files_of(tmp_path, 2).save(("third",), "code of the third")
    found = [files_of(tmp_path, n).load((key,)) for n, key in ((1, "first"), (1, "second"), (2, "third"))]
    assert found == ["code of the first", None, "code of the third"]
    assert {path.suffix for path in tmp_path.iterdir()} == {SUFFIX}, "nothing half-written is left"


def test_kernels_that_cannot_be_saved_are_told_of_and_the_run_goes_on(tmp_path: Path) -> None:
    """A full disk, say; here, files of 1,000 bytes at most. ``doctor``, which computes something itself, says so too."""
    pytest.importorskip("resource")
    program = (
        "import resource\n"
        "from numbacnn.backends import kernel_cache_problem\n"
        "print(kernel_cache_problem() or 'none', end='; ')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        + PROGRAM + "print(kernel_cache_problem())\n" + DOCTOR
    )  # fmt: skip
    first, problem, facts = run(tmp_path, program, "-B").splitlines()  # -B: no half-written bytecode either
    assert first.startswith("none; [0.0, 2.0] "), "the run goes on"
    assert problem == "a compiled kernel could not be saved (File too large)"
    found = json.loads(facts)
    assert (found["writable"], found["kernels"]) == (False, 0)
    assert found["hint"] == f"{found['folder']}: {problem}; make room there, or set NUMBA_CACHE_DIR"


def test_a_run_whose_kernels_are_not_kept_says_so_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from numbacnn_cli import compiling

    said: list[str] = []
    monkeypatch.setattr(compiling, "notice", said.append)
    monkeypatch.setattr(kernel_cache, "_failures", [])
    for _ in range(2):
        with compiling.shown_compilations(), kernel_cache.saving():
            raise OSError(28, "No space left on device")
    (line,) = said
    assert line.startswith("kernels are not kept for later runs: a compiled kernel could not be saved (No space left on device)")


def test_processes_that_save_two_signatures_at_once_find_their_own(tmp_path: Path) -> None:
    program = (
        "import sys, pickle\nfrom pathlib import Path\nfrom numbacnn.backends.kernel_files import KernelFiles\n"
        "def function(): pass\n"
        "files = KernelFiles(Path(sys.argv[1]), function, pickle.dumps)\n"
        "for number in range(300):\n"
        "    files.save((sys.argv[2], number % 3), sys.argv[2])\n"
        "    assert files.load((sys.argv[2], number % 3)) == sys.argv[2], number\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name]) for name in ("one", "two", "three")]
    assert [process.wait() for process in running] == [0, 0, 0]


@pytest.mark.parametrize("bit", range(0, 2000, 7))
def test_no_flipped_bit_is_read(tmp_path: Path, bit: int) -> None:
    """Of sixty bits flipped in compiled files seven made every later run crash."""
    files = files_of(tmp_path)
    files.save(("key",), list(range(20)))
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    path.write_bytes(content)
    assert files.load(("key",)) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_pipe_in_the_place_of_a_kernel_is_not_waited_for(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    files.save(("key",), 1)
    (path,) = tmp_path.iterdir()
    path.unlink()
    os.mkfifo(path, 0o600)
    assert files.load(("key",)) is None


def test_two_gigabytes_of_holes_in_the_place_of_a_kernel_are_not_read(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    files.save(("key",), 1)
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"")
    os.truncate(path, 2 << 30)
    tracemalloc.start()
    try:
        assert files.load(("key",)) is None
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


# --- others -----------------------------------------------------------------------------------------------------------------------

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has other rights")


class Evil:
    """A pickle that writes a file when it is read."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> Any:
        return Path.touch, (self._canary,)


def plant(file: Path, canary: Path) -> None:
    """Put an evil pickle in a kernel's place, with a right checksum."""
    content, payload = file.read_bytes(), pickle.dumps(Evil(canary))
    header = b"\n".join(content.split(b"\n", 3)[:3]) + b"\n"
    file.write_bytes(header + hashlib.sha256(payload).digest() + payload)


def test_what_is_planted_here_would_run(copied: Path, tmp_path: Path) -> None:
    """The tests below would pass if their pickle were no good; in one's own folder, which nobody else can write to, it is read."""
    for file in kernels(copied):
        plant(file, tmp_path / "canary")
    run(copied)
    assert (tmp_path / "canary").exists()


@posix
@pytest.mark.parametrize("inner", [False, True])
def test_pickles_are_not_executed_from_a_folder_that_others_can_write_to(copied: Path, tmp_path: Path, inner: bool) -> None:
    for file in kernels(copied):
        plant(file, tmp_path / "canary")
    folder = kernels(copied)[0].parent
    folder = folder if inner else folder.parent
    folder.chmod(0o777)
    assert run(copied) == "[0.0, 2.0] 1"
    assert not (tmp_path / "canary").exists()
    report = json.loads(run(copied, DOCTOR))
    assert report["folder"] is None
    assert f"others can write to {folder}" in report["hint"]
    assert "chmod 700" in report["hint"]


@posix
def test_pickles_are_not_executed_from_files_that_others_can_write_to(copied: Path, tmp_path: Path) -> None:
    for file in kernels(copied):
        plant(file, tmp_path / "canary")
        file.chmod(0o666)
    assert run(copied).startswith("[0.0, 2.0] ")
    assert not (tmp_path / "canary").exists()
    assert run(copied) == "[0.0, 2.0] 0", "they have been replaced"


@posix
def test_a_folder_of_another_user_is_not_used(copied: Path) -> None:
    program = "import os\nme = os.geteuid()\nos.geteuid = lambda: me + 1\n"
    assert run(copied, program + PROGRAM) == "[0.0, 2.0] 1"
    assert "is another user's" in json.loads(run(copied, program + DOCTOR))["hint"]


@posix
def test_folders_and_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    run(tmp_path / "new" / "cache", "import os\nos.umask(0)\n" + PROGRAM)
    (file,) = kernels(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in file.parents if folder > tmp_path} == {0o700}


def test_kernels_of_another_processor_do_not_count_as_compiled(filled: Path) -> None:
    """A cold start compiles in several processes, unless there are kernels already: those that are of use here."""
    program = "from numbacnn.backends import has_compiled_kernels\nprint(has_compiled_kernels())"
    assert run(filled, program) == "True"
    assert run(filled, "import os\nos.environ['NUMBA_CPU_NAME'] = 'generic'\n" + program) == "False"


def test_kernels_compiled_after_a_look_for_a_gpu_are_those_of_other_runs(filled: Path, tmp_path: Path) -> None:
    """The look sets a variable; then Numba read all of them again, and named the first kernels by another processor."""
    look = "import numba\nfrom numbacnn.backends import why_not_cuda\nwhy_not_cuda()\n"
    assert not run(tmp_path, look + PROGRAM).endswith(" 0")
    assert [path.name for path in kernels(tmp_path)] == [path.name for path in kernels(filled)]
    assert run(filled, look + PROGRAM) == "[0.0, 2.0] 0"


def test_kernels_compiled_with_other_options_are_not_taken_for_usual_ones(filled: Path) -> None:
    """Numba's key of a kernel leaves these options out: code without optimisation served every later run."""
    program = "import os\nos.environ['NUMBA_OPT'] = '0'\n"
    assert not run(filled, program + PROGRAM).endswith(" 0")
    assert run(filled, program + PROGRAM) == "[0.0, 2.0] 0"
    assert run(filled) == "[0.0, 2.0] 0"


def test_normalisation_warns_of_nothing_when_it_is_the_first_that_has_to_be_compiled(tmp_path: Path) -> None:
    """Numba treats the first kernel that a process compiles unlike the others, which would have been silent."""
    assert run(tmp_path, NORMALISE, "-W", "error") == ""


@pytest.mark.parametrize(
    "edited",
    [
        "backends/cpu/_jit.py",
        "backends/cpu/plain/matmul.py",
        "backends/cpu/codegen/tile.py",
        "backends/augmentation.py",
        "shapes.py",
    ],
)
def test_any_edit_of_a_kernel_source_leads_to_another_folder(tmp_path: Path, edited: str) -> None:
    """One of the device's own, one that devices share, or one with a named tuple that kernels take."""
    original = Path(cpu.__file__).parent
    package = original.parents[1]
    shutil.copytree(package, tmp_path / package.name)
    copy = tmp_path / package.name / "backends" / "cpu"
    copied = kernel_cache.source_digest(copy)
    assert copied == kernel_cache.source_digest(original)
    file = tmp_path / package.name / edited
    file.write_text(file.read_text() + "\n# edited\n")
    assert kernel_cache.source_digest(copy) != copied


def test_only_folders_of_its_own_that_were_not_used_for_long_are_removed(tmp_path: Path) -> None:
    for name in ("0123456789ab", "ba9876543210", "my-project", "keep"):
        (tmp_path / name).mkdir()
    for name in ("0123456789ab", "my-project"):
        os.utime(tmp_path / name, (0, 0))
    kernel_cache._forget_old_folders(tmp_path, keep=tmp_path / "keep")
    assert {path.name for path in tmp_path.iterdir()} == {"ba9876543210", "my-project", "keep"}
