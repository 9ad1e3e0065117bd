"""Every op on every device: one table of cases, which the fixture ``device`` hands to each of them.

    pytest tests/backends                              on the CPU, and on a GPU where there is one
    NUMBA_ENABLE_CUDASIM=1 pytest tests/backends       the CUDA kernels anywhere, one thread at a time in Python

``test_cuda_simulator.py`` does the latter as part of the whole suite. Where there is neither a GPU nor the simulator, the cases of CUDA
are skipped with one reason. A test that takes ``dtype`` too runs in each type that its device is given.
"""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from devices import guarded, one_thread

DTYPES = {"plain": (np.float32, np.float64), "fast": (np.float32,), "cuda": (np.float32,)}


def devices_of(node: pytest.Item) -> tuple[str, ...]:
    """The devices that a test is for."""
    mark = node.get_closest_marker("devices")
    return mark.args if mark else ("plain", "cuda")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "device" not in metafunc.fixturenames:
        return
    names = devices_of(metafunc.definition)
    if "dtype" in metafunc.fixturenames:
        pairs = [pytest.param(name, dtype, id=f"{name}-{dtype.__name__}") for name in names for dtype in DTYPES[name]]
        metafunc.parametrize(("device", "dtype"), pairs, indirect=["device"])
    else:
        metafunc.parametrize("device", names, indirect=True)


def is_cuda(item: pytest.Item) -> bool:
    """Whether a test, or this case of it, runs CUDA kernels."""
    callspec = getattr(item, "callspec", None)
    return devices_of(item) == ("cuda",) or (callspec is not None and callspec.params.get("device") == "cuda")


@pytest.hookimpl(tryfirst=True)  # before ``-m`` is looked at
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    ours = [item for item in items if config.rootpath / "tests" / "backends" in item.path.parents]
    if not ours:
        return
    from numbacnn.backends import why_not_cuda
    from numbacnn.backends.cuda._jit import SIMULATED

    if SIMULATED:  # a process of its own: the CPU's cases, and what is too large for it, run elsewhere
        left = [item for item in ours if not is_cuda(item) or item.get_closest_marker("large")]
        items[:] = [item for item in items if item not in left]
        config.hook.pytest_deselected(items=left)
        return
    reason = why_not_cuda()
    for item in filter(is_cuda, ours):
        item.add_marker(pytest.mark.gpu)
        if reason:
            item.add_marker(pytest.mark.skip(reason=str(reason)))
        elif item.get_closest_marker("simulator"):
            item.add_marker(pytest.mark.skip(reason="for the simulator: a GPU is given float32 alone"))


@pytest.fixture(autouse=True)
def simulator() -> Iterator[None]:
    """The simulator waits for the threads of a block by looking again and again: let them have their turns sooner."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def device(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The device under test, see ``devices.Device``; cases come from ``pytest_generate_tests``."""
    with guarded(request.param) as device:
        yield device


@pytest.fixture(name="one_thread")
def on_one_thread() -> Iterator[None]:
    """See ``devices.one_thread``."""
    with one_thread():
        yield
