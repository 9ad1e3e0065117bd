"""Whether this process is one of several that a launcher has started, by its environment. Imports nothing that takes time.

    launcher                                rank                     ranks
    mpiexec of MPICH, Intel MPI; srun       PMI_RANK                 PMI_SIZE
    mpiexec of Open MPI                     OMPI_COMM_WORLD_RANK     OMPI_COMM_WORLD_SIZE
    srun                                    SLURM_PROCID             SLURM_STEP_NUM_TASKS

A shell of ``sbatch`` or ``salloc`` has SLURM_NTASKS, but is no step of several tasks: what is started in it is alone.
"""

import os
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

_VARIABLES = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
)

OF_HYDRA = "MPI_LOCALNRANKS"
"""Set by the mpiexec of MPICH and Intel MPI, and by no other."""

_PREFIXES = ("PMI_", "PMIX_", "OMPI_COMM_WORLD_", "OMPI_MCA_ess", "MPI_LOCAL", "HYDI_", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS")

TO_BE_HEARD = 0.3
"""Seconds that a launcher gets to pass on what a process has said, before it is told to end all of them."""


class Launch(NamedTuple):
    """The place of a process among those that were started together.

    Args:
        rank, size: its number, from 0 on, and how many there are: two or more.
        local_rank: its number among those of this host.
        variable: of the environment, that says how many there are.
        is_open_mpi: whether Open MPI has started them; None if it may have been any MPI.
    """

    rank: int
    size: int
    local_rank: int
    variable: str
    is_open_mpi: bool | None = None


def find(environ: Mapping[str, str] = os.environ) -> Launch | None:
    """How this process was launched; None if it is the only one, or the child of one that was launched."""
    for rank, size, local_rank in _VARIABLES:
        ranks = _number(environ.get(size))
        if ranks is None:
            continue
        if ranks < 2 or _is_inherited(environ):
            return None
        own = _number(environ.get(rank)) or 0
        local = _number(environ.get(local_rank))
        is_open_mpi = True if size.startswith("OMPI_") else False if OF_HYDRA in environ else None
        return Launch(own, ranks, own if local is None else local, size, is_open_mpi)
    return None


def without(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment for a program that this process starts: it is none of those that were started together."""
    return {name: value for name, value in environ.items() if not name.startswith(_PREFIXES)}


def abort(environ: Mapping[str, str] = os.environ) -> None:
    """Ask the launcher to end all processes, where MPI cannot: others may wait in its start for ever.

    By the words of PMI 1, which Hydra (the mpiexec of MPICH and Intel MPI) reads. Source: MPICH, src/pmi.
    """
    with suppress(OSError, ValueError):
        if _is_socket(int(environ.get("PMI_FD", ""))):
            time.sleep(TO_BE_HEARD)
            os.write(int(environ["PMI_FD"]), b"cmd=init pmi_version=1 pmi_subversion=1\ncmd=abort exitcode=1\n")


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _is_inherited(environ: Mapping[str, str]) -> bool:
    """Whether the launcher's variables were meant for the process that has started this one: its connection is closed here."""
    descriptor = environ.get("PMI_FD")
    return descriptor is not None and not (descriptor.isdecimal() and _is_socket(int(descriptor)))


def _is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False
