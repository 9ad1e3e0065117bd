"""C to machine code, by gcc, kept in a folder: what is asked for twice is compiled once."""

import functools
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from .parsing import parse
from .translation import translate

HERE = Path(__file__).parent
OPTIONS = (
    "-O1",
    "-w",
    "-march=native",
    "-ffp-contract=off",
    "-fwrapv",
    "-fno-strict-aliasing",
    "-fno-math-errno",
    "-shared",
    "-fPIC",
)
KERNEL_SOURCES = ("runtime.h",)
DRIVER_SOURCES = ("driver.c", "machine.c", "machine.h", "runtime.h")
SONAME = "libcuda.so.1"
"""By this name cuda.bindings asks for the driver, and gets the library of this name that is already loaded."""


class Built(NamedTuple):
    """A kernel as a shared library.

    Args:
        name: as ``Kernel.name``.
        library: the file.
        blocks: see ``translation.Translation``.
    """

    name: str
    library: Path
    blocks: list[Counter[str]]


def why_not() -> str | None:
    """The reason why nothing can be built; None if it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"the PTX device needs Linux on x86-64, got {sys.platform} on {platform.machine()}"
    return None if shutil.which("gcc") else "the PTX device needs gcc"


def cache_folder() -> Path:
    """Where libraries are kept: below ``PTX_DEVICE_CACHE``, or a folder of the user's in the temporary folder."""
    folder = Path(os.environ.get("PTX_DEVICE_CACHE") or Path(tempfile.gettempdir()) / f"ptx-device-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder}: expected a folder of this user. Set PTX_DEVICE_CACHE")
    return folder


@functools.cache
def _compiler() -> str:
    """What decides the machine code, besides the source."""
    version = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=True).stdout
    flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    return f"{version}\n{flags}"


@functools.cache
def _own_sources() -> bytes:
    return b"\0".join(path.read_bytes() for path in sorted(HERE.glob("*.py")) if not path.name.startswith("test_"))


def _digest(*parts: bytes | str) -> str:
    text = b"\0".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.sha256(text).hexdigest()[:24]


def _compile(library: Path, sources: list[Path], options: tuple[str, ...]) -> None:
    partial = library.with_suffix(f".{os.getpid()}")
    command = ["gcc", *OPTIONS, *options, "-I", str(HERE), "-o", str(partial), *map(str, sources), "-lm", "-ldl", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"gcc: {done.stderr}")
    partial.rename(library)


def build_driver() -> Path:
    """The stand-in for the driver."""
    digest = _digest(_compiler(), *((HERE / name).read_bytes() for name in DRIVER_SOURCES))
    library = cache_folder() / f"driver-{digest}.so"
    if not library.exists():
        _compile(library, [HERE / name for name in DRIVER_SOURCES if name.endswith(".c")], (f"-Wl,-soname,{SONAME}", "-O2"))
    return library


def build_kernel(ptx: str, *, checked: bool = True) -> Built:
    """A kernel, from its PTX.

    Args:
        checked: whether its accesses are checked.

    Raises:
        PtxError: the device does not know something in it.
    """
    digest = _digest(ptx, str(checked), _own_sources(), _compiler(), *((HERE / name).read_bytes() for name in KERNEL_SOURCES))
    library, figures, text = (cache_folder() / f"kernel-{digest}{suffix}" for suffix in (".so", ".json", ".ptx"))
    if not library.exists():
        translation = translate(parse(ptx))
        source = cache_folder() / f"kernel-{digest}.{os.getpid()}.c"
        source.write_text(translation.code)
        text.write_text(ptx)
        figures.write_text(json.dumps([translation.name, translation.blocks]))
        _compile(library, [source], () if checked else ("-DUNCHECKED",))
        source.unlink()
    name, blocks = json.loads(figures.read_text())
    return Built(name, library, [Counter(block) for block in blocks])
