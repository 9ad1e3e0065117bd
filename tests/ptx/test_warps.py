"""The lanes of a warp, which hand each other values, on the PTX device."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ptx.stand_in import PtxDevice

WARP = 32
FULL = 0xFFFFFFFF
LANES = np.arange(WARP)


@pytest.fixture
def numba_cuda(ptx_device: PtxDevice) -> Any:
    from numba import cuda

    return cuda


def run(cuda: Any, kernel: Any, threads: int = WARP) -> NDArray[np.int32]:
    """What a kernel writes of 100 and more."""
    x, y = cuda.to_device(np.arange(100, 100 + threads, dtype=np.int32)), cuda.to_device(np.zeros(threads, np.int32))
    cuda.jit(kernel)[1, threads](x, y)
    return y.copy_to_host()


def test_a_lane_gets_the_value_of_another(numba_cuda: Any) -> None:
    cuda = numba_cuda

    def below(x: Any, y: Any) -> None:
        y[cuda.threadIdx.x] = cuda.shfl_up_sync(FULL, x[cuda.threadIdx.x], 3)

    def above(x: Any, y: Any) -> None:
        y[cuda.threadIdx.x] = cuda.shfl_down_sync(FULL, x[cuda.threadIdx.x], 3)

    def crossed(x: Any, y: Any) -> None:
        y[cuda.threadIdx.x] = cuda.shfl_xor_sync(FULL, x[cuda.threadIdx.x], 5)

    def fifth(x: Any, y: Any) -> None:
        y[cuda.threadIdx.x] = cuda.shfl_sync(FULL, x[cuda.threadIdx.x], 5)

    np.testing.assert_array_equal(run(cuda, below), 100 + np.where(LANES < 3, LANES, LANES - 3))
    np.testing.assert_array_equal(run(cuda, above), 100 + np.where(LANES > 28, LANES, LANES + 3))
    np.testing.assert_array_equal(run(cuda, crossed), 100 + (LANES ^ 5))
    np.testing.assert_array_equal(run(cuda, fifth), np.full(WARP, 105))


def test_a_sum_over_each_warp_by_halves(numba_cuda: Any) -> None:
    cuda = numba_cuda

    def total(x: Any, y: Any) -> None:
        value, offset = x[cuda.threadIdx.x], 16
        while offset:
            value += cuda.shfl_xor_sync(FULL, value, offset)
            offset //= 2
        y[cuda.threadIdx.x] = value

    found = run(cuda, total, 3 * WARP).reshape(3, WARP)
    np.testing.assert_array_equal(
        found, np.arange(100, 100 + 3 * WARP).reshape(3, WARP).sum(axis=1, keepdims=True) + np.zeros(WARP)
    )


def test_votes_of_a_warp(numba_cuda: Any) -> None:
    cuda = numba_cuda

    def odd(x: Any, y: Any) -> None:
        y[cuda.threadIdx.x] = cuda.ballot_sync(FULL, x[cuda.threadIdx.x] % 2 == 1)

    def some_and_all(x: Any, y: Any) -> None:
        value = x[cuda.threadIdx.x]
        y[cuda.threadIdx.x] = (
            (1 if cuda.any_sync(FULL, value == 131) else 0)
            + (2 if cuda.any_sync(FULL, value == 132) else 0)
            + (4 if cuda.all_sync(FULL, value >= 100) else 0)
            + (8 if cuda.all_sync(FULL, value >= 101) else 0)
        )

    assert (run(cuda, odd).view(np.uint32) == 0xAAAAAAAA).all()
    assert (run(cuda, some_and_all) == 1 + 4).all()


PRODUCT = """
.version 9.0
.target sm_90
.address_size 64
.visible .entry product(.param .u64 given, .param .u64 found)
{
.reg .b64 %given, %found, %lane; .reg .b32 %x; .reg .b32 %a<4>, %b<2>; .reg .f32 %c<4>;
ld.param.u64 %given, [given];
ld.param.u64 %found, [found];
mov.u32 %x, %laneid;
mul.wide.u32 %lane, %x, 48;
add.s64 %given, %given, %lane;
mul.wide.u32 %lane, %x, 16;
add.s64 %found, %found, %lane;
ld.global.v4.b32 {%a0, %a1, %a2, %a3}, [%given];
ld.global.v2.b32 {%b0, %b1}, [%given+16];
ld.global.v4.f32 {%c0, %c1, %c2, %c3}, [%given+32];
mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%c0, %c1, %c2, %c3}, {%a0, %a1, %a2, %a3}, {%b0, %b1}, {%c0, %c1, %c2, %c3};
st.global.v4.f32 [%found], {%c0, %c1, %c2, %c3};
ret;
}
"""


def test_a_product_of_matrices_by_a_warp(numba_cuda: Any) -> None:
    """The lanes' parts of the matrices are those of the PTX ISA, "Matrix Fragments for mma.m16n8k8": .tf32."""
    from cuda.bindings import driver

    generator = np.random.default_rng(0)
    left, right, start = (generator.integers(-8, 9, shape).astype(np.float32) for shape in ((16, 8), (8, 8), (16, 8)))
    group, place = LANES // 4, LANES % 4
    given = np.zeros((WARP, 12), np.float32)
    given[:, 0], given[:, 1], given[:, 2], given[:, 3] = (
        left[group, place], left[group + 8, place], left[group, place + 4], left[group + 8, place + 4]
    )  # fmt: skip
    given[:, 4], given[:, 5] = right[place, group], right[place + 4, group]
    cells = [(group, 2 * place), (group, 2 * place + 1), (group + 8, 2 * place), (group + 8, 2 * place + 1)]
    for k, cell in enumerate(cells):
        given[:, 8 + k] = start[cell]
    x, y = numba_cuda.to_device(given), numba_cuda.to_device(np.zeros((WARP, 4), np.float32))
    _, library = driver.cuLibraryLoadData(PRODUCT.encode(), [], [], 0, [], [], 0)
    _, kernel = driver.cuLibraryGetKernel(library, b"product")
    addresses = np.array([x.device_ctypes_pointer.value, y.device_ctypes_pointer.value], np.uint64)
    pointers = np.array([addresses.ctypes.data, addresses.ctypes.data + 8], np.uint64)
    (error,) = driver.cuLaunchKernel(driver.CUfunction(int(kernel)), 1, 1, 1, WARP, 1, 1, 0, 0, pointers.ctypes.data, 0)
    assert error == 0
    found, expected = y.copy_to_host(), left @ right + start
    for k, cell in enumerate(cells):
        np.testing.assert_array_equal(found[:, k], expected[cell])
