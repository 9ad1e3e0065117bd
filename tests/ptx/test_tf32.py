"""Products in TF32 from their real PTX: every tile, the instructions of each kernel, and steps of training."""

import numpy as np
import oracle
import pytest
from numpy.typing import NDArray
from ptx.stand_in import PtxDevice
from ptx.steps import noise

from numbacnn.backends import get_ops
from numbacnn.models import PRESETS
from numbacnn.training import Settings, new_state, train

SHAPES = [(130, 20, 10), (130, 9, 30), (129, 17, 70), (5, 300, 10), (31, 9, 30), (33, 8, 65), (3, 40, 200)]
"""(n, k, f): of each tile, with rows, columns and terms left over, and with sums in parts."""

CLOSE = 5e-2
"""Relative L2 error of what two steps have changed in a parameter. Factors are off by 5e-4 at most; most of it is pixels whose sign at
ReLU, or whose rank in a pooling's window, is another."""

STEPS, BATCH_SIZE = 2, 50


def trained(device: str, precision: str) -> tuple[dict[str, NDArray[np.float64]], float]:
    """What steps of ``small`` by SGD, whose changes are those of the gradients, change in each parameter; and the sum of the losses."""
    graph, ops = PRESETS["small"].graph, get_ops(device, precision=precision)
    state = new_state(graph, Settings(epochs=1, batch_size=BATCH_SIZE, optimizer="sgd", learning_rate=0.1), ops)

    def parameters() -> dict[str, NDArray[np.float64]]:
        return {name: np.array(ops.to_host(array), np.float64) for name, array in state.parameters.items()}

    before = parameters()
    for _ in train(state, noise(STEPS * BATCH_SIZE, graph.input_shape), ops):
        pass
    return {name: array - before[name] for name, array in parameters().items()}, state.history[0].loss


def whole(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.integers(-5, 6, shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_of_whole_numbers_are_exact_on_every_tile(ptx_device: PtxDevice, shape: tuple[int, int, int]) -> None:
    from numbacnn.backends.cuda.ops import CudaOps

    n, k, f = shape
    ops, (x, w, bias, dy) = CudaOps("tf32"), whole(0, (n, k), (k, f), (f,), (n, f))
    given = [ops.asarray(each) for each in (x, w, bias, dy)]
    np.testing.assert_array_equal(ops.to_host(ops.dense(*given[:3], relu=True)), np.maximum(x @ w + bias, 0))
    dx, dw, _ = ops.dense_backward(given[0], given[1], given[3])
    np.testing.assert_array_equal(ops.to_host(dx), dy @ w.T)
    np.testing.assert_array_equal(ops.to_host(dw), x.T @ dy)
    assert ptx_device.findings() == []


def test_the_error_of_a_long_sum_is_that_of_its_factors(ptx_device: PtxDevice) -> None:
    from numbacnn.backends.cuda.ops import CudaOps

    generator = np.random.default_rng(1)
    ops, (x, w) = CudaOps("tf32"), (generator.standard_normal(shape).astype(np.float32) for shape in ((70, 784), (784, 40)))
    y = np.array(ops.to_host(ops.dense(ops.asarray(x), ops.asarray(w), None)))
    magnitude = oracle.dense(np.abs(x), np.abs(w))
    error = np.abs(y - oracle.dense(x, w))
    assert (error < 2.0**-10 * magnitude + oracle.rounding(np.float32, 785, magnitude)).all()
    assert error.max() > 1e-4, "float32 would be nearer"


def test_training_steps_are_close_to_those_in_float32_and_only_they_use_tensor_cores(ptx_device: PtxDevice) -> None:
    wanted, loss = trained("cuda", "float32")
    found, their_loss = trained("cuda", "tf32")
    assert their_loss == pytest.approx(loss, rel=1e-3)
    assert their_loss != loss
    for name, change in wanted.items():
        error = np.linalg.norm(found[name] - change) / np.linalg.norm(change)
        assert 0 < error < CLOSE, name
    assert ptx_device.findings() == []

    texts = ptx_device.texts()
    for name in ("dense._product", "conv2d._conv2d_pixels", "conv2d._conv2d_taps"):
        assert texts[f"tiled.{name}"], name
        for text in texts[f"tiled.{name}_tf32"]:
            assert "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32" in text, name
            assert "cvt.rna.tf32.f32" in text, name
    for name, each in texts.items():
        if name.startswith(("plain.", "tiled.")) and not name.endswith("_tf32"):  # the others are kernels of tests
            assert not any("mma.sync" in text or ".tf32" in text for text in each), name
