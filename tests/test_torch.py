"""Against PyTorch, where it happens to be installed: operations forward and backward, and a whole training step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import numbacnn.functional as F
from numbacnn.backends import get_ops
from numbacnn.graph import without_softmax
from numbacnn.initializers import initial_parameters
from numbacnn.models import PRESETS
from numbacnn.network import backward, forward

torch = pytest.importorskip("torch", reason="PyTorch is not installed; it is gigabytes, and no dependency of the tests")


SEEDS = st.integers(0, 9999)


def tensor(array: np.ndarray, gradient: bool = True):  # type: ignore[no-untyped-def]
    return torch.tensor(array, requires_grad=gradient)


def nchw(x):  # type: ignore[no-untyped-def]
    return x.permute(0, 3, 1, 2)


def nhwc(x):  # type: ignore[no-untyped-def]
    return x.permute(0, 2, 3, 1)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(seed=SEEDS)
def test_convolution_and_its_gradients_equal_pytorchs(seed: int) -> None:
    generator = np.random.default_rng(seed)
    n, channels, filters = (int(k) for k in generator.integers(1, 6, 3))
    kernel, strides = generator.integers(1, 5, 2), tuple(int(s) for s in generator.integers(1, 4, 2))
    size = kernel + generator.integers(0, 8, 2)
    (top, bottom), (left, right) = padding = tuple((int(a), int(b)) for a, b in generator.integers(0, 3, (2, 2)))
    x, w = generator.normal(size=(n, *size, channels)), generator.normal(size=(*kernel, channels, filters))
    bias = generator.normal(size=filters)
    tx, tw, tb = tensor(x), tensor(w), tensor(bias)
    padded = torch.nn.functional.pad(nchw(tx), (left, right, top, bottom))
    ty = nhwc(torch.nn.functional.conv2d(padded, tw.permute(3, 2, 0, 1).contiguous(), tb, stride=strides))
    y = F.conv2d(x, w, bias, strides=strides, padding=padding)
    np.testing.assert_allclose(y, ty.detach().numpy(), atol=1e-10)
    dy = generator.normal(size=y.shape)
    ty.backward(torch.tensor(dy))
    for ours, theirs in zip(F.conv2d_backward(x, w, dy, strides=strides, padding=padding), (tx, tw, tb), strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), atol=1e-10)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=SEEDS)
def test_max_pooling_and_its_gradient_equal_pytorchs(seed: int) -> None:
    generator = np.random.default_rng(seed)
    pool, strides = tuple(int(k) for k in generator.integers(1, 4, 2)), tuple(int(s) for s in generator.integers(1, 4, 2))
    x = generator.normal(size=(3, *(np.array(pool) + generator.integers(0, 7, 2)), 4))
    tx = tensor(x)
    ty = nhwc(torch.nn.functional.max_pool2d(nchw(tx), pool, strides))
    np.testing.assert_array_equal(F.max_pool2d(x, pool, strides=strides), ty.detach().numpy())
    dy = generator.normal(size=tuple(ty.shape))
    ty.backward(torch.tensor(dy))
    np.testing.assert_allclose(F.max_pool2d_backward(x, dy, pool, strides=strides), tx.grad.numpy(), atol=1e-12)


def test_cross_entropy_equals_pytorchs() -> None:
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(0, 30, (50, 7)), generator.integers(0, 7, 50)
    z = tensor(logits)
    theirs = torch.nn.functional.cross_entropy(z, torch.tensor(labels))
    theirs.backward()
    loss, gradient = F.softmax_cross_entropy(logits, labels)
    assert loss == pytest.approx(theirs.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, z.grad.numpy(), atol=1e-14)


def test_a_training_step_of_the_lectures_cnn_equals_pytorchs() -> None:
    graph = without_softmax(PRESETS["cnn"].graph)
    parameters = initial_parameters(graph, 0, np.float64)
    generator = np.random.default_rng(1)
    x, labels = generator.random((6, 28, 28, 1)), generator.integers(0, 10, 6)
    ops = get_ops("cpu")
    passed = forward(graph, ops, parameters, x, training=True)
    losses, _, dlogits = ops.softmax_cross_entropy(passed.y, labels)
    gradients = backward(ops, parameters, passed, dlogits)
    tensors = {name: tensor(array) for name, array in parameters.items()}
    theirs = torch.nn.functional.cross_entropy(lectures_cnn(tensors, torch.tensor(x)), torch.tensor(labels))
    theirs.backward()
    assert float(losses.mean()) == pytest.approx(theirs.item(), rel=1e-12)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, tensors[name].grad.numpy(), atol=1e-12, err_msg=name)


def lectures_cnn(p, x):  # type: ignore[no-untyped-def]
    functional = torch.nn.functional
    for name in ("conv1", "conv2"):
        y = functional.conv2d(nchw(x), p[f"{name}/kernel"].permute(3, 2, 0, 1).contiguous(), p[f"{name}/bias"], padding=2)
        x = nhwc(functional.max_pool2d(functional.relu(y), 2))
    hidden = functional.relu(x.flatten(1) @ p["dense1/kernel"] + p["dense1/bias"])
    return hidden @ p["dense2/kernel"] + p["dense2/bias"]
