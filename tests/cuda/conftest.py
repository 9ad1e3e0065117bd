"""The CUDA kernels, in Numba's simulator or on a GPU; where there is neither, every test here is skipped with the reason.

    pytest tests/cuda                              on a GPU
    NUMBA_ENABLE_CUDASIM=1 pytest tests/cuda       anywhere, one thread at a time in Python

``tests/test_cuda_simulator.py`` does the latter as part of the whole suite. Nothing of the device is imported before a test asks for
a fixture: whether Numba simulates is settled at that moment.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before ``-m`` is looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if HERE in item.path.parents]
    if not ours:
        return
    from numbacnn.backends import why_not_cuda
    from numbacnn.backends.cuda._jit import SIMULATED

    reason = why_not_cuda()
    for item in ours:
        if not SIMULATED:
            item.add_marker(pytest.mark.gpu)
        if reason:
            item.add_marker(pytest.mark.skip(reason=str(reason)))
        elif not SIMULATED and item.get_closest_marker("simulator"):
            item.add_marker(pytest.mark.skip(reason="for the simulator: a GPU is given float32 alone"))


@pytest.fixture(autouse=True)
def simulator() -> Iterator[None]:
    """The simulator waits for the threads of a block by looking again and again: let them have their turns sooner."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Every device array lies between guard bytes; looked at after each call of ``run``, and in the end."""
    from canaries import Canaries

    from numbacnn.backends.cuda.memory import arena

    guarded = Canaries()
    monkeypatch.setattr(arena, "_allocate", guarded.allocate)
    yield guarded
    guarded.check()


@pytest.fixture
def ops(canaries: Any) -> Any:
    """The CUDA device."""
    from numbacnn.backends.cuda.ops import CudaOps

    return CudaOps()


@pytest.fixture
def cpu() -> Any:
    """The CPU, to compare with. Its kernels are real ones in the simulator's process too."""
    from numbacnn.backends import get_ops

    return get_ops("cpu")


@pytest.fixture
def run(canaries: Any) -> Any:
    """Call an op on NumPy arrays, checked: see ``Canaries.run``."""
    return canaries.run
