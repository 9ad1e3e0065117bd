"""Which GPU a process takes, where several on one host train together: one each."""

import os

VISIBLE = "CUDA_VISIBLE_DEVICES"


def take_gpu(local_rank: int) -> None:
    """Let this process see one GPU alone: that of its number on the host, of those that it was given.

    It must not have used CUDA yet. A scheduler may give each process a GPU of its own: that one is kept. Without a GPU for this number,
    the process sees none, and opening the device says so.
    """
    given = os.environ.get(VISIBLE)
    if given is None:
        os.environ[VISIBLE] = str(local_rank)
        return
    devices = [name.strip() for name in given.split(",") if name.strip()]
    if len(devices) > 1:
        os.environ[VISIBLE] = devices[local_rank] if local_rank < len(devices) else ""
