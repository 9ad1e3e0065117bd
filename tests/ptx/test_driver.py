"""The stand-in for the driver, through numba-cuda and cuda.bindings: memory, streams, events, launches, errors."""

from typing import Any

import numpy as np
import pytest
from ptx.stand_in import PtxDevice


@pytest.fixture
def numba_cuda(ptx_device: PtxDevice) -> Any:
    from numba import cuda

    return cuda


def test_arrays_come_back_as_they_were(numba_cuda: Any) -> None:
    host = np.arange(1000, dtype=np.float32).reshape(10, 100)
    device = numba_cuda.to_device(host)
    np.testing.assert_array_equal(device.copy_to_host(), host)
    np.testing.assert_array_equal(device[3:5].copy_to_host(), host[3:5])
    other = numba_cuda.device_array_like(device)
    other.copy_to_device(device)
    np.testing.assert_array_equal(other.copy_to_host(), host)


def test_memory_is_counted_and_given_back(numba_cuda: Any) -> None:
    from cuda.bindings import driver

    info = numba_cuda.current_context().get_memory_info
    before = info()
    _, address = driver.cuMemAlloc(1 << 20)
    assert info().free == before.free - (1 << 20)
    driver.cuMemFree(address)
    assert info() == before


def test_more_memory_than_there_is_is_a_shortage(ptx_device: PtxDevice) -> None:
    from numbacnn.backends.cuda import memory
    from numbacnn.errors import DeviceMemoryError

    with pytest.raises(DeviceMemoryError, match="no room for 99,999,999,999 bytes more"):
        memory._bytes(99_999_999_999)


def test_memory_that_was_given_back_is_no_longer_there(ptx_device: PtxDevice) -> None:
    from cuda.bindings import driver

    _, address = driver.cuMemAlloc(64)
    host = np.zeros(64, np.uint8)
    assert driver.cuMemcpyHtoD(address, host.ctypes.data, 64)[0] == 0
    assert driver.cuMemcpyHtoD(int(address) + 1, host.ctypes.data, 64)[0] == driver.CUresult.CUDA_ERROR_INVALID_VALUE
    assert driver.cuMemFree(address)[0] == 0
    assert driver.cuMemcpyDtoH(host.ctypes.data, address, 64)[0] == driver.CUresult.CUDA_ERROR_INVALID_VALUE


def test_memory_is_filled(ptx_device: PtxDevice) -> None:
    from cuda.bindings import driver

    _, address = driver.cuMemAlloc(32)
    assert driver.cuMemsetD32(address, 0x01020304, 8)[0] == 0
    assert driver.cuMemsetD8(int(address) + 4, 9, 4)[0] == 0
    host = np.zeros(8, np.uint32)
    assert driver.cuMemcpyDtoH(host.ctypes.data, address, 32)[0] == 0
    assert host.tolist() == [0x01020304, 0x09090909, *[0x01020304] * 6]
    driver.cuMemFree(address)


def test_events_on_a_stream_are_in_order(numba_cuda: Any) -> None:
    stream, start, end = numba_cuda.stream(), numba_cuda.event(), numba_cuda.event()
    start.record(stream)
    array = numba_cuda.to_device(np.ones(100_000), stream=stream)
    end.record(stream)
    end.synchronize()
    assert numba_cuda.event_elapsed_time(start, end) >= 0
    stream.synchronize()
    assert array.copy_to_host(stream=stream).sum() == 100_000


@pytest.mark.parametrize(("blocks", "threads"), [(1, 2048), ((1, 70000), 32), (1, (8, 8, 128))])
def test_a_launch_beyond_the_limits_of_a_gpu_is_refused(numba_cuda: Any, blocks: Any, threads: Any) -> None:
    def nothing(x: Any) -> None:
        pass

    with pytest.raises(Exception, match="CUDA_ERROR_INVALID_VALUE"):
        numba_cuda.jit(nothing)[blocks, threads](numba_cuda.to_device(np.zeros(1)))


def test_each_launch_takes_threads_in_another_order(numba_cuda: Any) -> None:
    def order(count: Any, places: Any) -> None:
        places[numba_cuda.grid(1)] = numba_cuda.atomic.add(count, 0, 1)

    compiled, found = numba_cuda.jit(order), set()
    for _ in range(3):
        places = numba_cuda.to_device(np.zeros(64, np.int32))
        compiled[4, 16](numba_cuda.to_device(np.zeros(1, np.int32)), places)
        host = places.copy_to_host()
        assert sorted(host) == list(range(64))
        found.add(host.tobytes())
    assert len(found) == 3


def test_machine_code_is_refused(ptx_device: PtxDevice) -> None:
    from cuda.bindings import driver

    error, _ = driver.cuLibraryLoadData(b"\x7fELF" + bytes(60), [], [], 0, [], [], 0)
    assert error == driver.CUresult.CUDA_ERROR_INVALID_PTX
    assert ptx_device.errors == ["PTX: expected one .entry, got 0"]
    ptx_device.errors.clear()
