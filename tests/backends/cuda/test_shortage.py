"""A GPU whose memory does not suffice: the message names the bytes, and a batch size that was seen to fit."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.datasets import Dataset
from numbacnn.errors import DeviceMemoryError
from numbacnn.graph import without_softmax
from numbacnn.initializers import initial_parameters
from numbacnn.network import to_device
from numbacnn.prediction import predict
from numbacnn.training import Settings, new_state, train

pytestmark = [pytest.mark.devices("cuda"), pytest.mark.simulator]

SHAPE = (4, 4, 1)
IMAGES = 32


class OutOfMemory(Exception):
    """As the driver's error of this kind; where there is no driver, its class cannot be imported."""

    code = 2


class OutOfCode(Exception):
    """An error whose code is no number, as those of many libraries."""

    code = None


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the device hold so many bytes for steps."""
    from numbacnn.backends.cuda import memory

    real = memory.cuda.device_array

    def set_limit(size: int) -> None:
        def device_array(count: int, dtype: Any) -> Any:
            if memory.arena.size + count > size:
                raise OutOfMemory
            return real(count, dtype)

        monkeypatch.setattr(memory.cuda, "device_array", device_array)
        memory.arena.forget()

    return set_limit


def net() -> nc.Graph:
    layers = nc.Conv2D(2, 3, activation="relu", padding="same"), nc.BatchNorm(), nc.Flatten(), nc.Dense(3, activation="softmax")
    return nc.sequential(*layers, input_shape=SHAPE, name="net")


def images() -> Dataset:
    generator = np.random.default_rng(0)
    pixels, labels = generator.integers(0, 256, (IMAGES, *SHAPE), np.uint8), (np.arange(IMAGES) % 3).astype(np.uint8)
    return Dataset("noise", pixels, labels, pixels[:1], labels[:1], ("a", "b", "c"), "drawn here")


def one_step(batch_size: int) -> int:
    """Bytes that a step takes."""
    from numbacnn.backends.cuda.memory import arena

    ops = get_ops("cuda")
    arena.forget()
    for _ in train(new_state(net(), Settings(epochs=1, batch_size=batch_size), ops), images(), ops):
        return arena.size
    raise AssertionError


def test_training_names_the_bytes_and_a_batch_size_that_fits(limit: Callable[[int], None]) -> None:
    suffices = one_step(8)
    limit(suffices)
    with pytest.raises(DeviceMemoryError) as caught:
        one_step(IMAGES)
    found = re.fullmatch(
        r"the GPU has no room for ([\d,]+) bytes more: [\d,]+ are free. --batch-size 32 is too large: (\d+) fits",
        str(caught.value),
    )
    assert found is not None, str(caught.value)
    assert int(found[1].replace(",", "")) == caught.value.asked > 0
    assert 7 <= int(found[2]) <= 8
    one_step(int(found[2]))


def test_nothing_is_changed_by_trying(limit: Callable[[int], None]) -> None:
    ops = get_ops("cuda")
    state = new_state(net(), Settings(epochs=1, batch_size=IMAGES), ops)
    before = {name: ops.to_host(array) for name, array in {**state.parameters, **state.slots}.items()}
    limit(one_step(8))
    with pytest.raises(DeviceMemoryError):
        next(iter(train(state, images(), ops)))
    for name, array in {**state.parameters, **state.slots}.items():
        np.testing.assert_array_equal(ops.to_host(array), before[name], err_msg=name)


def test_where_not_even_one_image_fits_this_is_said(limit: Callable[[int], None]) -> None:
    limit(100)
    with pytest.raises(DeviceMemoryError, match="too large: not even a single image fits"):
        one_step(IMAGES)


def test_images_that_do_not_fit_are_named_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    from numbacnn.backends.cuda import memory

    def to_device(host: Any) -> Any:
        raise OutOfMemory

    monkeypatch.setattr(memory.cuda, "to_device", to_device)
    with pytest.raises(DeviceMemoryError, match=r"no room for 6,000 bytes more: [\d,]+ are free") as caught:
        memory.to_device(np.zeros(1500, np.float32))
    assert caught.value.asked == 6000


def test_a_prediction_takes_fewer_images_at_a_time(limit: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    from numbacnn.backends.cuda.memory import arena

    ops, graph = get_ops("cuda"), without_softmax(net())
    monkeypatch.setattr(type(ops), "inference_batch", IMAGES)
    parameters, pixels = to_device(ops, initial_parameters(graph, 0)), images().train_images
    arena.forget()
    whole = predict(graph, ops, parameters, pixels).logits
    limit(arena.size // 3)
    np.testing.assert_allclose(predict(graph, ops, parameters, pixels).logits, whole, rtol=1e-6, atol=1e-7)
    limit(100)
    with pytest.raises(DeviceMemoryError, match="no room"):
        predict(graph, ops, parameters, pixels)


class CUDAError(Exception):
    """As cuda-core's, which has no code: its text begins with the name of the driver's error."""


def test_memory_that_a_launch_lacks_is_told_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel's code is loaded by its first launch: here, of batches of more than 8 images, there is no room for it."""
    from numbacnn.backends.cuda._jit import Kernel

    real = Kernel.launch

    def launch(self: Kernel, blocks: Any, threads: Any, *args: Any) -> None:
        if self.name.endswith("_softmax_cross_entropy") and len(args[0]) > 8:
            raise CUDAError("CUDA_ERROR_OUT_OF_MEMORY: The API call failed because it was unable to allocate enough memory")
        real(self, blocks, threads, *args)

    monkeypatch.setattr(Kernel, "launch", launch)
    with pytest.raises(DeviceMemoryError) as caught:
        one_step(IMAGES)
    assert re.fullmatch(
        r"the GPU has no room to run plain\.loss\._softmax_cross_entropy: [\d,]+ bytes are free. "
        r"--batch-size 32 is too large: [78] fits",
        str(caught.value),
    ), str(caught.value)


@pytest.mark.parametrize("error", [CUDAError("CUDA_ERROR_ILLEGAL_ADDRESS: it cannot go on"), SystemError("no code"), OutOfCode()])
def test_other_errors_of_a_launch_are_what_they_are(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    from numbacnn.backends.cuda._jit import Kernel

    def launch(self: Kernel, blocks: Any, threads: Any, *args: Any) -> None:
        raise error

    monkeypatch.setattr(Kernel, "launch", launch)
    with pytest.raises(type(error)) as caught:
        one_step(1)
    assert caught.value is error
