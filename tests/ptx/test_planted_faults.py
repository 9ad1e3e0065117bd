"""The PTX device finds faults: those of small kernels, and those planted in the PTX of the package's own."""

import re
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from ptx.faulty_kernels import THREADS, FaultyKernel, faulty_kernels
from ptx.session import PtxSession
from ptx.stand_in import Finding, PtxDevice


class PlantedFault(NamedTuple):
    """A change of the PTX of one of the package's kernels.

    Args:
        fault: what is wrong.
        kinds: of finding, of which one must be found; which one depends on the order of threads.
        kernel: its name.
        pattern, replacement: the change, of the first text that fits.
    """

    fault: str
    kinds: tuple[str, ...]
    kernel: str
    pattern: str
    replacement: str


PRODUCT, RELU = "tiled.dense._product", "plain.activations._relu"
PLANTED = (
    PlantedFault("a barrier removed", ("race", "unwritten"), PRODUCT, r"\tbar\.sync[^;]*;", ""),
    PlantedFault("a store to shared memory 4 bytes off", ("race", "unwritten"), PRODUCT, r"(st\.shared\.f32[^;]*\[%\w+)\]", r"\1+4]"),
    PlantedFault("a vector load 4 bytes off", ("misaligned",), PRODUCT, r"(ld\.shared\.v4\.f32[^;]*\[%\w+\+\d+)\]", r"\g<1>4]"),
    PlantedFault("some threads leave before a barrier", ("divergent barrier",), PRODUCT, r"(\tbar\.sync[^;]*;)",
                 r"{.reg .pred %p; .reg .b32 %x; mov.u32 %x, %tid.x; setp.gt.u32 %p, %x, 7; @%p ret;} \1"),
    PlantedFault("a bound off by one", ("out of bounds",), RELU, r"setp\.ge\.s64", "setp.gt.s64"),
    PlantedFault("a bound left out", ("out of bounds",), RELU, r"@%p\d+ bra[^;]*;", ""),
    PlantedFault("a store 4 bytes off", ("out of bounds",), RELU, r"(st\.global\.f32[^;]*\[%\w+)\]", r"\1+4]"),
    PlantedFault("a misaligned store", ("misaligned",), RELU, r"(st\.global\.f32[^;]*\[%\w+)\]", r"\1+2]"),
    PlantedFault("an index divided by two", ("race",), RELU, r"(add\.s64\s+(%rd\d+), %rd\d+, %rd\d+;)(?=\s+shl[^;]*;\s+add[^;]*;\s+st)",
                 r"\1 shr.s64 \2, \2, 1;"),
)  # fmt: skip


def found_by(device: PtxDevice, launch: Callable[[], object]) -> Finding:
    """The fault that a launch must be stopped by; of the first attempt, if the host tries again in another way."""
    with pytest.raises(Exception, match="CUDA_ERROR_"):
        launch()
    finding, *_ = device.findings()
    return finding


@pytest.fixture
def numba_cuda(ptx_device: PtxDevice) -> Any:
    from numba import cuda

    return cuda


FAULTY = [each.fault for each in faulty_kernels(None)]


@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_kernel_is_found_and_its_sound_form_is_not(
    session: PtxSession, ptx_device: PtxDevice, numba_cuda: Any, fault: str
) -> None:
    kernel: FaultyKernel = next(each for each in faulty_kernels(numba_cuda) if each.fault == fault)
    compiled = numba_cuda.jit(kernel.function)

    def launch(number: int) -> None:
        x = numba_cuda.to_device(np.ones(kernel.blocks * THREADS, np.float32))
        y = numba_cuda.device_array(kernel.blocks * THREADS, np.float32)
        compiled[kernel.blocks, THREADS](x, y, number)

    session.faults_planted += 1
    launch(kernel.sound)
    assert ptx_device.findings() == []
    name = f"ptx.faulty_kernels.{kernel.function.__name__}"
    with ptx_device.changed(name, lambda ptx: re.sub(kernel.removed, "", ptx) if kernel.removed else ptx):
        finding = found_by(ptx_device, lambda: launch(kernel.faulty))
    assert finding.kind == kernel.kind, finding
    assert kernel.expected in finding.text
    assert re.search(
        rf"{name}: {kernel.kind}: .*PTX line \d+, .*faulty_kernels\.py:\d+; block \(\d, 0, 0\), thread \(\d+, 0, 0\)",
        finding.text,
    )
    session.faults_found.append(fault)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.fault)
def test_a_fault_planted_in_a_kernel_of_the_package_is_found(
    session: PtxSession, ptx_device: PtxDevice, planted: PlantedFault
) -> None:
    from numbacnn.backends.cuda.ops import CudaOps

    ops = CudaOps()
    generator = np.random.default_rng(0)
    x, w = (ops.asarray(generator.standard_normal(shape).astype(np.float32)) for shape in ((70, 40), (40, 60)))

    def launch() -> None:
        ops.dense(x, w, None) if planted.kernel == PRODUCT else ops.relu(x)

    def change(ptx: str) -> str:
        changed, count = re.subn(planted.pattern, planted.replacement, ptx, count=1)
        assert count == 1, f"{planted.fault}: the PTX of {planted.kernel} has no {planted.pattern!r}"
        return changed

    session.faults_planted += 1
    launch()
    assert ptx_device.findings() == []
    with ptx_device.changed(planted.kernel, change):
        finding = found_by(ptx_device, launch)
    assert finding.kind in planted.kinds, finding
    assert finding.text.startswith(f"{planted.kernel}: ")
    launch()
    assert ptx_device.findings() == []
    session.faults_found.append(planted.fault)


def test_an_instruction_that_the_device_does_not_know_is_named(ptx_device: PtxDevice, numba_cuda: Any) -> None:
    def sleeps(x: Any) -> None:
        numba_cuda.nanosleep(np.uint32(1))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Exception, match="CUDA_ERROR_INVALID_PTX"):
            numba_cuda.jit(sleeps)[1, 32](numba_cuda.to_device(np.zeros(1, np.int32)))
    (error,) = ptx_device.errors
    ptx_device.errors.clear()
    assert re.search(r"sleeps: the PTX device does not know nanosleep\.u32 \(line \d+: nanosleep\.", error), error
