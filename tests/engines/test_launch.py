"""Who has started this process: only those that one launcher has started together are ranks."""

import os
import socket
import subprocess
import sys

import pytest

from numbacnn.engines.launch import Launch, find, without

SBATCH = {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_JOB_ID": "7", "SLURM_TASKS_PER_NODE": "2(x2)"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"PMI_RANK": "2", "PMI_SIZE": "4", "MPI_LOCALRANKID": "0"}, Launch(2, 4, 0, "PMI_SIZE")),
        (
            {"PMI_RANK": "2", "PMI_SIZE": "4", "MPI_LOCALRANKID": "0", "MPI_LOCALNRANKS": "2"},
            Launch(2, 4, 0, "PMI_SIZE", is_open_mpi=False),
        ),
        ({"PMI_RANK": "2", "PMI_SIZE": "4"}, Launch(2, 4, 2, "PMI_SIZE")),
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, None),
        (
            {"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_LOCAL_RANK": "1", "PMIX_RANK": "3"},
            Launch(3, 8, 1, "OMPI_COMM_WORLD_SIZE", is_open_mpi=True),
        ),
        (
            {**SBATCH, "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "1"},
            Launch(3, 4, 1, "SLURM_STEP_NUM_TASKS"),
        ),
        (SBATCH, None),
        ({**SBATCH, "SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"PMI_RANK": "x", "PMI_SIZE": "many"}, None),
    ],
)
def test_the_environment_tells_the_rank_and_the_number_of_ranks(environ: dict[str, str], expected: Launch | None) -> None:
    assert find(environ) == expected


def test_a_child_of_a_rank_is_no_rank() -> None:
    """It inherits the variables, but not the connection to the launcher, or has neither if it is started by ``without``."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        environ = {"PMI_RANK": "1", "PMI_SIZE": "2", "PMI_FD": str(ours.fileno()), "HOME": "/home"}
        assert find(environ) == Launch(1, 2, 1, "PMI_SIZE")
        program = "from numbacnn.engines.launch import find; print(find())"
        child = subprocess.run([sys.executable, "-c", program], env=os.environ | environ, capture_output=True, text=True)
        assert child.stdout.strip() == "None"
    assert without(environ) == {"HOME": "/home"}
    assert find(without({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2", "PMIX_RANK": "0"})) is None
    assert find(without(SBATCH | {"SLURM_STEP_NUM_TASKS": "2"})) is None


@pytest.mark.parametrize("environ", [{}, SBATCH, {"PMI_RANK": "0", "PMI_SIZE": "1"}], ids=["plain", "sbatch", "mpiexec -n 1"])
def test_one_process_alone_does_not_import_mpi4py(environ: dict[str, str], tmp_path: object) -> None:
    program = (
        "import sys; sys.argv[1:] = ['train', '--model', 'softmax', '--dataset', 'digits', '--train-limit', '50', "
        "'--test-limit', '20', '--epochs', '1', '--output', 'out', '--threads', '1', '--format', 'json']\n"
        "from numbacnn_cli.main import main\n"
        "code = main(); print(code, 'mpi4py' in sys.modules, 'numbacnn.engines.mpi' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | environ, capture_output=True, text=True, cwd=str(tmp_path)
    )
    assert found.stdout.splitlines()[-1] == "0 False False", found.stderr
    assert '"ranks": 1' in found.stdout
