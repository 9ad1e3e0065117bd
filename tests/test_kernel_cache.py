"""The folder of compiled kernels: found again, never stale, and no reason to fail."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from numbacnn.backends import cpu, kernel_cache

PROGRAM = """
import numpy as np
from numbacnn.backends import compilations, get_ops
ops = get_ops("cpu", 1)
with compilations() as compiled:
    print(ops.relu(np.array([-1, 2], np.float32)).tolist(), end=" ")
print(compiled.count)
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


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_damaged_files_cost_a_compilation_and_are_replaced(
    filled: Path, tmp_path: Path, ending: str, content: bytes | None
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(filled, folder)
    for file in folder.rglob(f"*{ending}"):
        file.write_bytes(file.read_bytes()[:100] if content is None else content)
    printed = run(folder)
    assert printed.startswith("[0.0, 2.0] ")
    assert not printed.endswith(" 0")
    assert run(folder) == "[0.0, 2.0] 0", "the damage has been repaired"


def test_normalisation_warns_of_nothing_when_it_is_the_first_that_has_to_be_compiled(tmp_path: Path) -> None:
    """Numba treats the first kernel that a process compiles unlike the others, which would have been silent."""
    assert run(tmp_path, NORMALISE, "-W", "error") == ""


@pytest.mark.parametrize("edited", ["cpu/matmul.py", "distortion.py"])
def test_any_edit_of_a_kernel_source_leads_to_another_folder(tmp_path: Path, edited: str) -> None:
    """One of the device's own, or one that devices share: constants of it are compiled into kernels."""
    original = Path(cpu.__file__).parent
    shutil.copytree(original.parent, tmp_path / "backends")
    copy = tmp_path / "backends" / "cpu"
    copied = kernel_cache.source_digest(copy)
    assert copied == kernel_cache.source_digest(original)
    file = copy.parent / edited
    file.write_text(file.read_text() + "\n# edited\n")
    assert kernel_cache.source_digest(copy) != copied


def test_only_folders_of_its_own_that_were_not_used_for_long_are_removed(tmp_path: Path) -> None:
    for name in ("0123456789ab", "ba9876543210", "my-project", "keep"):
        (tmp_path / name).mkdir()
    for name in ("0123456789ab", "my-project"):
        os.utime(tmp_path / name, (0, 0))
    kernel_cache._forget_old_folders(tmp_path, keep=tmp_path / "keep")
    assert {path.name for path in tmp_path.iterdir()} == {"ba9876543210", "my-project", "keep"}
