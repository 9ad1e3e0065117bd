"""What decides the bits of a network beside its settings and data, and so must be equal in all processes that train it."""

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from numbacnn.version import __version__

PACKAGE = Path(__file__).parents[1]
COMPILERS = ("numba", "llvmlite")


def versions() -> str:
    """The program, the digest of its sources and its compilers, in words."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    compilers = ", ".join(f"{name} {_installed(name)}" for name in COMPILERS)
    return f"numbacnn {__version__} (sources {digest.hexdigest()[:8]}), {compilers}"


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # built without its description
        return "of unknown version"
