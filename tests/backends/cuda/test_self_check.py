"""The check of a GPU at its first use, in the simulator: it passes what is right, and names the op of whatever kernel is wrong."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numbacnn.backends import get_ops
from numbacnn.errors import DeviceError, DeviceMemoryError

pytestmark = [pytest.mark.devices("cuda"), pytest.mark.simulator]

OPS = (
    "dense", "dense_backward", "conv2d_block", "conv2d_block_backward", "batch_norm", "batch_norm_backward", "softmax",
    "softmax_cross_entropy", "update", "update",
)  # fmt: skip


def test_what_computes_right_passes(device: Any) -> None:
    from numbacnn.backends.cuda import self_check

    assert tuple(each.op for each in self_check.checks(device.ops)) == OPS
    self_check.check(device.ops)


def arrays_in(arguments: Any) -> Iterator[Any]:
    for each in arguments:
        if isinstance(each, tuple):
            yield from arrays_in(each)
        elif hasattr(each, "copy_to_host"):
            yield each


def wrong_by_one(name: str, launch: Callable[..., None], planted: list[str]) -> Callable[..., None]:
    """``Kernel.launch`` with a kernel of this name that writes one number wrongly, and all others right."""

    def wrong(self: Any, blocks: Any, threads: Any, *args: Any) -> None:
        before = [array.copy_to_host() for array in arrays_in(args)]
        launch(self, blocks, threads, *args)
        if self.name != name:
            return
        for array, old in zip(arrays_in(args), before, strict=True):
            new = array.copy_to_host()
            if written := np.flatnonzero(new.reshape(-1) != old.reshape(-1)).tolist():
                new.reshape(-1)[written[-1]] += 1
                array.copy_to_device(new)
                planted.append(name)
                return

    return wrong


@pytest.mark.parametrize("index", range(len(OPS)))
def test_each_kernel_that_is_wrong_in_a_single_number_is_found_and_its_op_is_named(
    device: Any, index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device's fresh memory holds canaries, so that whatever a kernel writes is seen."""
    from numbacnn.backends.cuda import self_check
    from numbacnn.backends.cuda._jit import Kernel

    ops, launch = device.ops, Kernel.launch
    names: set[str] = set()
    each = list(self_check.checks(ops))[index]
    monkeypatch.setattr(self_check, "checks", lambda ops: [each])

    def listing(self: Kernel, *args: Any) -> None:
        names.add(self.name)
        launch(self, *args)

    monkeypatch.setattr(Kernel, "launch", listing)
    self_check.check(ops)
    assert names
    if OPS[index] == "conv2d_block_backward":  # to which the forward kernel only says where ReLU is open
        names.remove("tiled.conv2d._conv2d_pixels")
    for name in sorted(names):
        planted: list[str] = []
        monkeypatch.setattr(Kernel, "launch", wrong_by_one(name, launch, planted))
        with pytest.raises(
            DeviceError, match=rf"simulator: {OPS[index]}: expected the numbers that the CPU computes, got others in"
        ):
            self_check.check(ops)
        assert planted, name


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS"),
            "dense: expected the numbers that the CPU computes, got RuntimeError: CUDA_ERR",
        ),
        (DeviceMemoryError("the GPU has no room"), "^the GPU has no room$"),
    ],
)
def test_a_kernel_that_fails_is_told_with_its_op(monkeypatch: pytest.MonkeyPatch, error: Exception, told: str) -> None:
    from numbacnn.backends.cuda import self_check
    from numbacnn.backends.cuda._jit import Kernel

    def launch(self: Kernel, *args: Any) -> None:
        raise error

    monkeypatch.setattr(Kernel, "launch", launch)
    with pytest.raises(DeviceError, match=told):
        self_check.check(get_ops("cuda"))


def test_a_number_that_is_none_differs() -> None:
    from numbacnn.backends.cuda.self_check import _differing

    expected = np.array([1.0, 2.0, 3.0])
    for is_exact in (False, True):
        assert _differing(np.array([1, np.nan, 3], np.float32), expected, is_exact) == 1
        assert _differing(np.array([1, 2], np.float32), expected, is_exact) == 3
    assert _differing(np.array([1, 2, 3 + 1e-6], np.float32), expected, False) == 0
    assert _differing(np.array([1, 2, 3 + 1e-6], np.float32), expected, True) == 1


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Any, list[str]]:
    """The module of the check as on a GPU, with a folder for its stamp, and the drivers that a check has been made with."""
    from numbacnn.backends.cuda import self_check
    from numbacnn.backends.kernel_cache import CacheFolder

    checked: list[str] = []
    monkeypatch.setattr(self_check, "SIMULATED", False)
    monkeypatch.setattr(self_check, "_passed", set())
    monkeypatch.setattr(self_check, "kernels_folder", lambda: CacheFolder(tmp_path))
    monkeypatch.setattr(self_check, "gpu_uuid", lambda: "GPU-1")
    monkeypatch.setattr(self_check, "gpu", gpu_of("580.1"))
    monkeypatch.setattr(self_check, "check", lambda ops: checked.append(self_check.gpu().driver))
    return self_check, checked


def test_a_gpu_is_checked_once_and_again_with_another_driver(gpu: tuple[Any, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    self_check, checked = gpu
    announced: list[str] = []
    for _ in range(2):
        get_ops("cuda", on_check=lambda: announced.append("once"))
    assert checked == ["580.1"]
    assert announced == ["once"]
    another_process(monkeypatch, self_check)
    get_ops("cuda")
    assert checked == ["580.1"], "the stamp is not seen by another process"
    monkeypatch.setattr(self_check, "gpu", gpu_of("590.2"))
    get_ops("cuda")
    assert checked == ["580.1", "590.2"]
    monkeypatch.setattr(self_check, "gpu_uuid", lambda: "GPU-2")
    get_ops("cuda")
    assert checked == ["580.1", "590.2", "590.2"]


def test_kernels_for_tf32_are_checked_for_themselves(gpu: tuple[Any, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    self_check, checked = gpu
    for count, precision in ((1, "float32"), (2, "tf32"), (2, "tf32"), (2, "float32")):
        get_ops("cuda", precision=precision)
        another_process(monkeypatch, self_check)
        assert len(checked) == count, precision


def gpu_of(driver: str) -> Callable[..., Any]:
    from numbacnn.backends.cuda._jit import Gpu

    return lambda: Gpu("a GPU", "9.0", 80, 79, driver)


def another_process(monkeypatch: pytest.MonkeyPatch, self_check: Any) -> None:
    monkeypatch.setattr(self_check, "_passed", set())


def test_a_gpu_that_fails_is_checked_again_at_each_use(
    gpu: tuple[Any, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    self_check, _ = gpu

    def fail(ops: Any) -> None:
        raise DeviceError("a GPU: dense: expected ...")

    monkeypatch.setattr(self_check, "check", fail)
    for device in ("cuda", "auto"):  # never another device in silence
        with pytest.raises(DeviceError, match="dense"):
            get_ops(device)
    assert not list(tmp_path.iterdir())
    assert not self_check.has_passed()


def test_a_damaged_stamp_or_no_cache_costs_a_check(
    gpu: tuple[Any, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from numbacnn.backends.kernel_cache import CacheFolder

    self_check, checked = gpu
    get_ops("cuda")
    (stamp,) = tmp_path.iterdir()
    assert self_check.has_passed()
    stamp.write_bytes(stamp.read_bytes()[:-1])
    another_process(monkeypatch, self_check)
    get_ops("cuda")
    assert len(checked) == 2
    monkeypatch.setattr(self_check, "kernels_folder", lambda: CacheFolder(None, "none"))
    another_process(monkeypatch, self_check)
    for _ in range(2):
        get_ops("cuda")
    assert len(checked) == 3


def test_the_check_is_told_of_and_doctor_says_whether_it_has_been_made(
    gpu: tuple[Any, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from numbacnn_cli import device, doctor

    from numbacnn.backends import diagnostics
    from numbacnn.backends.cuda import _jit

    said: list[str] = []
    monkeypatch.setattr(device, "notice", said.append)
    monkeypatch.setattr(_jit, "SIMULATED", False)
    monkeypatch.setattr(_jit, "kernels_folder", gpu[0].kernels_folder)
    monkeypatch.setattr(_jit, "missing_package", lambda: None)
    monkeypatch.setattr(_jit, "why_not", lambda: None)
    monkeypatch.setattr(diagnostics, "gpu", gpu[0].gpu)
    for line in ("its first use will check it against the CPU", "it has been checked against the CPU"):
        assert line in [text for _, text in doctor._cuda_lines(diagnostics._cuda())]
        device.open_device("cuda", None, exact_conv=False)
    assert said == ["checking the GPU against the CPU (once for its driver and these kernels; some are compiled)"]
