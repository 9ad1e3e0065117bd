"""Memory: what a network takes at least, computed from its shapes, and what the machine has left. Asked before anything is allocated."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from numbacnn.errors import DeviceMemoryError, NumbaCNNError
from numbacnn.graph import Graph
from numbacnn.layers import Add, Dropout, Flatten
from numbacnn.plan import PlannedLayer
from numbacnn.quoting import counted, plain
from numbacnn.shapes import cells
from numbacnn.summary import FLOAT_BYTES

ALWAYS_THERE = 1 << 28
"""Bytes that are not worth a look at the machine, which takes as long as the prediction of a small image."""

ADDRESSES = 1 << 47
"""Bytes that a process can address: the limit on systems that do not say how much memory they have."""

_MEMINFO = Path("/proc/meminfo")
_CGROUPS = Path("/proc/self/cgroup")
_CGROUP_ROOT = Path("/sys/fs/cgroup")


def parameter_bytes(graph: Graph, copies: int = 1) -> int:
    """What a graph's parameters take, ``copies`` times: one, and one for each slot of the optimiser."""
    return copies * FLOAT_BYTES * sum(cells(spec.shape) for spec in graph.parameters.values())


def drawing_bytes(graph: Graph) -> int:
    """What it takes to draw a graph's initial parameters: they are drawn as float64, one after the other."""
    largest = max((cells(spec.shape) for spec in graph.parameters.values()), default=0)
    return parameter_bytes(graph) + 2 * FLOAT_BYTES * largest


def activation_bytes(graph: Graph, plan: Iterable[PlannedLayer], batch_size: int, *, training: bool) -> int:
    """What a batch takes at least: its images and every planned layer's output; in training, the gradients of these outputs too.

    Views are not counted, nor what the algorithm of a layer needs for itself.
    """
    steps = [each for each in plan if not _is_view(each, training)]
    added = {name for each in steps if isinstance(each.layer, Add) for name in each.inputs}  # they share their sum's gradient
    values = cells(graph.input_shape) + sum(cells(graph.shapes[each.name]) for each in steps)
    if training:
        values += sum(cells(graph.shapes[each.name]) for each in steps if each.has_gradient and each.name not in added)
    return batch_size * FLOAT_BYTES * values


def _is_view(step: PlannedLayer, training: bool) -> bool:
    return isinstance(step.layer, Flatten) or (isinstance(step.layer, Dropout) and not (training and step.layer.rate))


def largest_batch(one_image: int, most: int, reusable: int = 0) -> int:
    """The largest batch, of at most ``most`` images, that the memory left may hold; 0 if not even one image fits.

    Args:
        one_image: bytes that each image takes; see ``activation_bytes``.
        reusable: bytes that this process holds for batches already.
    """
    return most if most * one_image <= ALWAYS_THERE else min(most, (_limit() + reusable) // one_image)


def check_batch(graph: Graph, one_image: int, batch_size: int, reusable: int = 0) -> None:
    """Raise DeviceMemoryError if a batch takes more than the memory left; the message says how many images fit."""
    fits = largest_batch(one_image, batch_size, reusable)
    advice = f"Use --batch-size {fits} or less" if fits else "Use smaller images, or fewer filters or units"
    check(batch_size * one_image, f"{plain(graph.name)}: a batch of {counted(batch_size, 'image')}", advice, reusable=reusable)


def check_parameters(graph: Graph, needed: int) -> None:
    """Raise DeviceMemoryError if a graph's parameters, with what goes with them, take more than the memory left."""
    check(needed, f"{plain(graph.name)}: its parameters", "Use fewer units or filters")


def check(needed: int, who: str, advice: str, error: type[NumbaCNNError] = DeviceMemoryError, reusable: int = 0) -> None:
    """Raise an error if ``needed`` bytes are more than the memory left.

    Args:
        who: what needs them, for the message.
        reusable: bytes that this process holds for it already.
    """
    if needed <= ALWAYS_THERE:
        return
    there = _limit() + reusable
    if needed > there:
        raise error(
            f"{who}: expected at most {in_words(there)}, the memory that is free, got at least {in_words(needed)}. {advice}"
        )


def available() -> int | None:
    """The bytes that this process can still take: of the machine, of its container and of its own limit; None if nothing says."""
    found = [_free_in_machine(), *_free_in_cgroups(), _free_in_limit()]
    return min((max(0, count) for count in found if count is not None), default=None)


def in_words(count: int) -> str:
    """A number of bytes in MB or GB, powers of 1,000."""
    return f"{count / 1e9:,.1f} GB" if count >= 10**9 else f"{count / 1e6:,.1f} MB"


def _limit() -> int:
    there = available()
    return ADDRESSES if there is None else there


def _free_in_machine() -> int | None:
    try:
        lines = dict(re.findall(r"^(\w+):\s*(\d+) kB", _MEMINFO.read_text(), re.MULTILINE))
        return 1024 * (int(lines["MemAvailable"]) + int(lines.get("SwapFree", 0)))
    except (OSError, ValueError, KeyError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # all of it, free or not
    except (AttributeError, ValueError, OSError):
        return None


def _free_in_cgroups() -> list[int | None]:
    """What each control group that this process is in has left."""
    try:
        groups = [line.split(":", 2)[1:] for line in _CGROUPS.read_text().splitlines()]
    except (OSError, IndexError):
        return []
    found = []
    for controllers, name in (group for group in groups if len(group) == 2):
        if controllers == "":
            root, files = _CGROUP_ROOT, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root, files = _CGROUP_ROOT / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        folder = root / name.lstrip("/")
        found += [_free_in_cgroup(each, *files) for each in {folder, root}]
    return found


def _free_in_cgroup(folder: Path, limit: str, used: str, reclaimable: str) -> int | None:
    try:
        most = (folder / limit).read_text().strip()
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return None if most == "max" else int(most) - int((folder / used).read_text()) + int(statistics[reclaimable])
    except (OSError, ValueError, KeyError):
        return None


def _free_in_limit() -> int | None:
    """What the limit on this process's addresses leaves (``ulimit -v``)."""
    try:
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError, ValueError, IndexError):
        return None
    return None if most == resource.RLIM_INFINITY else most - pages * resource.getpagesize()
