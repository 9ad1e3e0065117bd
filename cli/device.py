"""The device of a command, and the notice of which one ``--device auto`` has chosen."""

from numbacnn.backends import get_ops, gpu, why_not_cuda
from numbacnn.backends.precisions import FLOAT32
from numbacnn.ops import Ops

from .console import notice

CHECKING = "checking the GPU against the CPU (once for its driver and these kernels; some are compiled)"


def open_device(device: str, threads: int | None, exact_conv: bool, precision: str = FLOAT32) -> Ops:
    """Open the device that these options, ``--device`` and so on, ask for; for ``auto``, say which one and why."""
    ops = get_ops(device, threads, exact_conv=exact_conv, precision=precision, on_check=lambda: notice(CHECKING))
    if device == "auto":
        missing = why_not_cuda()
        notice(f"--device auto: {ops.name}, {f'as {missing.what}' if missing else f'on {gpu().name}'}")
    return ops
