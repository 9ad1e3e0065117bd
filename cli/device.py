"""The device of a command: chosen in one place, and what was chosen is said."""

from numbacnn.backends import get_ops, gpu, why_not_cuda
from numbacnn.ops import Ops

from .console import notice


def open_device(device: str, threads: int | None, exact_conv: bool) -> Ops:
    """The ops that ``--device``, ``--threads`` and ``--exact-conv`` ask for. Says on stderr what ``auto`` has chosen, and why."""
    ops = get_ops(device, threads, exact_conv=exact_conv)
    if device == "auto":
        missing = why_not_cuda()
        notice(f"--device auto: {ops.name}, {f'as {missing.what}' if missing else f'on {gpu().name}'}")
    return ops
