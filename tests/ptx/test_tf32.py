"""Products in TF32 from their real PTX: every tile, the instructions of each kernel, and steps of training."""

import numpy as np
import oracle
import pytest
from ptx.stand_in import PtxDevice
from ptx.test_training import trained

SHAPES = [(130, 20, 10), (130, 9, 30), (129, 17, 70), (5, 300, 10), (31, 9, 30), (33, 8, 65), (3, 40, 200)]
"""(n, k, f): of each tile, with rows, columns and terms left over, and with sums in parts."""

CLOSE = 2e-2
"""Relative L2 error of what two steps have changed in a parameter. Factors are off by 5e-4 at most, and Adam divides a gradient by its
own size."""


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


def test_only_kernels_for_tf32_have_instructions_of_tensor_cores(ptx_device: PtxDevice) -> None:
    """By the kernels that a step has run in either precision."""
    for precision in ("float32", "tf32"):
        trained("cuda", "cnn", precision)
    products = ("dense._product", "conv2d._conv2d_pixels", "conv2d._conv2d_taps", "conv2d._conv2d_turned")
    texts = ptx_device.texts()
    for name in products:
        assert texts[f"tiled.{name}"], name
        for text in texts[f"tiled.{name}_tf32"]:
            assert "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32" in text, name
            assert "cvt.rna.tf32.f32" in text, name
    for name, found in texts.items():
        if not name.endswith("_tf32"):
            assert not any("mma" in text or "tf32" in text for text in found), name


@pytest.mark.parametrize("preset", ["small", "cnn"])
def test_two_training_steps_are_close_to_those_in_float32(ptx_device: PtxDevice, preset: str) -> None:
    before, expected, loss = trained("cpu", preset)
    _, found, their_loss = trained("cuda", preset, "tf32")
    assert their_loss == pytest.approx(loss, rel=1e-3)
    assert their_loss != loss
    for name, array in expected.items():
        wanted, change = (each.astype(np.float64) - before[name] for each in (array, found[name]))
        error = np.linalg.norm(change - wanted) / np.linalg.norm(wanted)
        assert error < CLOSE, name
    assert ptx_device.findings() == []
