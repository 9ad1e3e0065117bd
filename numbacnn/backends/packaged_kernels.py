"""Packs of compiled kernels that came with the installed package: ``numbacnn/packs/*.pack``, taken on first use.

A wheel may carry them (CONTRIBUTING.md). They are as trustworthy as the package. A pack that is damaged, or for another interpreter or
processor, is left alone: its kernels are compiled, as without it.
"""

import contextlib
from pathlib import Path
from typing import Any

from numbacnn.backends.kernel_packs import ADVICE, SUFFIX, Pack, lay
from numbacnn.errors import DeviceError

FOLDER = Path(__file__).parents[1] / "packs"


def packaged() -> list[Path]:
    """The packs of the package, by name."""
    return sorted(FOLDER.glob(f"*{SUFFIX}"))


def lay_packaged(folder: Path) -> None:
    """Lay the kernels of the pack that is for this folder of the cache into it, if there is one and the disk has room."""
    for path in packaged():
        with contextlib.suppress(DeviceError):
            pack = Pack(path)
            if pack.target.folder == folder.name:
                lay(pack.kernels(), folder)
                return


def packaged_report() -> list[dict[str, Any]]:
    """Each pack, for ``doctor``: its name, its processor and number of kernels (None if it is damaged), and why it is not used."""
    return [_described(path) for path in packaged()]


def _described(path: Path) -> dict[str, Any]:
    try:
        pack = Pack(path)
        problem = pack.misfit()
        pack.kernels()
    except DeviceError as error:
        problem = str(error).removeprefix(f"{path}: ").removesuffix(f". {ADVICE}")
        return {"name": path.name, "processor": None, "kernels": None, "problem": problem}
    return {"name": path.name, "processor": pack.target.processor, "kernels": len(pack), "problem": problem or None}
