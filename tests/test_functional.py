"""What every operation of ``functional`` owes its caller, whatever it computes.

It equals the oracle; any memory layout gives the same bits; nothing is modified; the type is kept; an empty batch is a batch; one
thread or two, the same bits; what cannot be computed is refused with a message.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import oracle
import pytest
from repository import TESTS

from numbacnn import functional as F
from numbacnn.errors import DeviceError, NumbaCNNError
from numbacnn.layers.activation import ACTIVATIONS

numba = pytest.importorskip("numba")

WINDOW = {"strides": (1, 2), "padding": "same"}
GAPS = {"dilation_rate": (2, 1), "groups": 2}
N = "n"  # stands for the batch size below

# name: how to call it, and its arguments' shapes
OPERATIONS = {
    "conv2d": (
        lambda api, x, kernel, bias, **k: api.conv2d(x, kernel, bias, **WINDOW, **k),
        {"x": (N, 9, 8, 5), "kernel": (3, 2, 5, 6), "bias": (6,)},
    ),
    "conv2d_backward": (
        lambda api, x, kernel, dy, **k: api.conv2d_backward(x, kernel, dy, **WINDOW, **k),
        {"x": (N, 9, 8, 5), "kernel": (3, 2, 5, 6), "dy": (N, 9, 4, 6)},
    ),
    "conv2d in groups": (
        lambda api, x, kernel, bias, **k: api.conv2d(x, kernel, bias, **WINDOW, **GAPS, **k),
        {"x": (N, 9, 8, 4), "kernel": (3, 2, 2, 6), "bias": (6,)},
    ),
    "conv2d_backward in groups": (
        lambda api, x, kernel, dy, **k: api.conv2d_backward(x, kernel, dy, **WINDOW, **GAPS, **k),
        {"x": (N, 9, 8, 4), "kernel": (3, 2, 2, 6), "dy": (N, 9, 4, 6)},
    ),
    "avg_pool2d of padding too": (
        lambda api, x, **k: api.avg_pool2d(x, (3, 2), **WINDOW, count_include_pad=True, **k),
        {"x": (N, 9, 8, 5)},
    ),
    "avg_pool2d_backward of padding too": (
        lambda api, x, dy, **k: api.avg_pool2d_backward(x, dy, (3, 2), **WINDOW, count_include_pad=True, **k),
        {"x": (N, 9, 8, 5), "dy": (N, 9, 4, 5)},
    ),
    "dense": (lambda api, *a, **k: api.dense(*a, **k), {"x": (N, 19), "kernel": (19, 7), "bias": (7,)}),
    "dense_backward": (lambda api, *a, **k: api.dense_backward(*a, **k), {"x": (N, 19), "kernel": (19, 7), "dy": (N, 7)}),
    "softmax_cross_entropy": (lambda api, *a, **k: api.softmax_cross_entropy(*a, **k), {"logits": (N, 10), "labels": (N,)}),
    "cross_entropy": (lambda api, *a, **k: api.cross_entropy(*a, **k), {"probabilities": (N, 10), "targets": (N, 10)}),
    "dropout": (lambda api, x, **k: api.dropout(x, 0.3, 1, 2, **k), {"x": (N, 9, 8, 5)}),
    "dropout of rate 0": (lambda api, x, **k: api.dropout(x, 0.0, 1, 2, **k), {"x": (N, 9, 8, 5)}),
}
for pool in ("max_pool2d", "avg_pool2d"):
    OPERATIONS[pool] = (lambda api, x, pool=pool, **k: getattr(api, pool)(x, (3, 2), **WINDOW, **k), {"x": (N, 9, 8, 5)})
    OPERATIONS[f"{pool}_backward"] = (
        lambda api, x, dy, pool=pool, **k: getattr(api, f"{pool}_backward")(x, dy, (3, 2), **WINDOW, **k),
        {"x": (N, 9, 8, 5), "dy": (N, 9, 4, 5)},
    )
for activation in ACTIVATIONS:
    shape = (N, 10) if activation == "softmax" else (N, 9, 8, 5)
    OPERATIONS[activation] = (lambda api, x, name=activation, **k: getattr(api, name)(x, **k), {"x": shape})
    OPERATIONS[f"{activation}_backward"] = (
        lambda api, x, dy, name=activation, **k: getattr(api, f"{name}_backward")(x, dy, **k),
        {"x": shape, "dy": shape},
    )
EVERY_OP = pytest.mark.parametrize("name", OPERATIONS)
EVERY_OP_OF_A_DEVICE = pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "cross_entropy"])
BOTH_TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def arguments(name, n=7, dtype=np.float32):
    generator = np.random.default_rng(0)
    shapes = {key: tuple(n if side == N else side for side in shape) for key, shape in OPERATIONS[name][1].items()}

    def values(key, shape):
        if key in ("probabilities", "targets"):
            return generator.uniform(0, 1, shape).astype(dtype)
        return generator.integers(0, 10, shape) if key == "labels" else generator.standard_normal(shape).astype(dtype)

    return {key: values(key, shape) for key, shape in shapes.items()}


def call(name, given, api=F, **options):
    """The results, always as a tuple of arrays; of the oracle's function of that name with ``api=oracle``."""
    result = OPERATIONS[name][0](api, *given.values(), **options)
    return tuple(np.asarray(part) for part in (result if isinstance(result, tuple) else (result,)))


def assert_same_bits(results, others):
    for one, other in zip(results, others, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


@EVERY_OP
@BOTH_TYPES
def test_every_operation_equals_the_oracle(name, dtype):
    """With the strides, padding and sizes that it was given: the kernels themselves are tested in ``tests/backends``."""
    given = arguments(name, dtype=dtype)
    for one, other in zip(call(name, given), call(name, given, api=oracle), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1000 * np.finfo(dtype).eps)


def fortran(array):
    return np.asfortranarray(array)


def backwards(array):
    """The same values, walked with negative strides."""
    return np.ascontiguousarray(array[(slice(None, None, -1),) * array.ndim])[(slice(None, None, -1),) * array.ndim]


def every_other(array):
    """The same values, with gaps in between that hold NaN (or a label that is none)."""
    wide = np.full([2 * side for side in array.shape], 99 if array.dtype.kind == "i" else np.nan, array.dtype)
    wide[(slice(None, None, 2),) * array.ndim] = array
    return wide[(slice(None, None, 2),) * array.ndim]


def read_only(array):
    frozen = array.copy()
    frozen.flags.writeable = False
    return frozen


def unaligned(array):
    """The same values, one byte past an aligned address, as arrays mapped from a file can be."""
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view()
    moved = raw[: array.nbytes].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def big_endian(array):
    return array.astype(array.dtype.newbyteorder(">"))


def repeated(array):
    """One row standing for all of them, with a stride of 0."""
    return np.broadcast_to(array[:1], array.shape)


@EVERY_OP
@pytest.mark.parametrize("layout", [fortran, backwards, every_other, read_only, unaligned])
def test_any_memory_layout_gives_the_same_bits(name, layout):
    given = arguments(name)
    assert_same_bits(call(name, {key: layout(array) for key, array in given.items()}), call(name, given))


@EVERY_OP
def test_broadcast_views_give_the_same_bits_as_copies(name):
    given = {key: repeated(array) for key, array in arguments(name).items()}
    assert_same_bits(call(name, given), call(name, {key: array.copy() for key, array in given.items()}))


@EVERY_OP
def test_one_array_may_serve_as_two_arguments(name):
    given = arguments(name)
    if "dy" not in given or given["dy"].shape != given["x"].shape:
        pytest.skip("the arguments differ in shape")
    assert_same_bits(call(name, {"x": given["x"], "dy": given["x"]}), call(name, {"x": given["x"], "dy": given["x"].copy()}))


@EVERY_OP
@BOTH_TYPES
def test_inputs_are_never_modified(name, dtype):
    given = arguments(name, dtype=dtype)
    before = {key: array.copy() for key, array in given.items()}
    call(name, given)
    for key in given:
        np.testing.assert_array_equal(given[key], before[key], err_msg=key)


@EVERY_OP
def test_results_share_no_memory_with_the_inputs_or_each_other(name):
    """Whoever writes into a result must not change an image, nor the result of the next call."""
    given = arguments(name)
    results = call(name, given)
    again = call(name, given)
    for index, result in enumerate(results):
        others = [*given.values(), *again, *results[:index]]
        assert not any(np.shares_memory(result, other) for other in others)
        assert result.flags.writeable


@EVERY_OP
@BOTH_TYPES
def test_results_keep_the_inputs_type(name, dtype):
    results = call(name, arguments(name, dtype=dtype))
    arrays = results[1:] if name.endswith("cross_entropy") else results  # the loss is a Python float
    assert all(array.dtype == dtype for array in arrays)


@EVERY_OP
@pytest.mark.parametrize("dtype", [np.float16, np.int64, np.uint8, np.bool_, np.complex64, np.longdouble, object])
def test_other_types_are_refused_by_name(name, dtype):
    given = {key: array if key == "labels" else np.ones_like(array).astype(dtype) for key, array in arguments(name).items()}
    with pytest.raises(NumbaCNNError, match=np.dtype(dtype).name):
        call(name, given)


@EVERY_OP
def test_big_endian_numbers_are_computed_or_refused_but_never_misread(name):
    given = arguments(name)
    try:
        results = call(name, {key: big_endian(array) for key, array in given.items()})
    except NumbaCNNError:
        return
    for one, other in zip(results, call(name, given), strict=True):
        np.testing.assert_array_equal(one, other)


MIXED = [(name, key) for name, (_, shapes) in OPERATIONS.items() for key in shapes if len(set(shapes) - {"labels"}) > 1]


@pytest.mark.parametrize(("name", "odd"), MIXED)
def test_mixed_types_are_refused_naming_both(name, odd):
    given = arguments(name)
    given[odd] = given[odd].astype(np.float64)
    with pytest.raises(NumbaCNNError, match=r"(?s)float32.*float64|float64.*float32"):
        call(name, given)


@EVERY_OP
@BOTH_TYPES
def test_an_empty_batch_gives_empty_results_of_the_right_shapes(name, dtype):
    """Gradients of parameters, which do not count images, are zeros."""
    if name.endswith("cross_entropy"):
        pytest.skip("the mean of no losses is refused")
    full = call(name, arguments(name, n=7, dtype=dtype))
    empty = call(name, arguments(name, n=0, dtype=dtype))
    for some, none in zip(full, empty, strict=True):
        expected = (0, *some.shape[1:]) if some.shape[0] == 7 and (some.ndim, len(full)) != (1, 3) else some.shape
        assert none.shape == expected
        assert none.dtype == dtype
        assert not none.any()


@EVERY_OP
@BOTH_TYPES
def test_an_image_gets_the_same_bits_alone_and_in_a_batch(name, dtype):
    if name.startswith("dropout") or name.endswith("cross_entropy"):
        pytest.skip("depends on the batch by design")
    given = arguments(name, n=9, dtype=dtype)
    counted = [key for key in given if OPERATIONS[name][1][key][0] == N]
    whole = call(name, given)[0]
    for k in range(9):
        one = call(name, {key: array[k : k + 1] if key in counted else array for key, array in given.items()})[0]
        np.testing.assert_array_equal(one, whole[k : k + 1])


@EVERY_OP
@BOTH_TYPES
@pytest.mark.parametrize("n", [1, 7, 130])
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core: the test with processes covers it")
def test_one_thread_and_two_give_the_same_bits(name, dtype, n):
    """A call leaves the number of threads as the process has set it."""
    given = arguments(name, n=n, dtype=dtype)
    before, results = numba.get_num_threads(), []
    for count in (1, 2):
        numba.set_num_threads(count)
        results.append(call(name, given))
        assert numba.get_num_threads() == count
    numba.set_num_threads(before)
    assert_same_bits(*results)


def digest() -> str:
    """Of the results of every operation, on a batch larger than any number of threads here."""
    sha = hashlib.sha256()
    for name in OPERATIONS:
        for result in call(name, arguments(name, n=67)):
            sha.update(result.tobytes())
    return sha.hexdigest()


def run_python(program: str, numba_threads: str) -> str:
    """The output of a fresh process in which Numba has this many threads."""
    path = os.pathsep.join([str(TESTS), str(Path(oracle.__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "NUMBA_NUM_THREADS": numba_threads, "PYTHONPATH": path}
    return subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True).stdout


def test_processes_with_one_two_and_five_threads_give_the_same_bits():
    """Five do not divide a batch of 67 evenly, and are more than many machines have cores."""
    program = """
import numba, test_functional as t
print(t.digest(), numba.get_num_threads())
"""
    printed = [run_python(program, str(count)).split() for count in (1, 2, 5)]
    assert [threads for _, threads in printed] == ["1", "2", "5"]
    assert len({bits for bits, _ in printed}) == 1


def test_a_process_whose_numba_may_use_one_thread_computes_with_one():
    """NUMBA_NUM_THREADS=1 is how many users keep Numba to one core: fewer threads than processors are no error."""
    program = "import numpy as np, numbacnn.functional as F, numba; print(F.relu(np.ones(2)).sum(), numba.get_num_threads())"
    assert run_python(program, "1").split() == ["2.0", "1"]


@EVERY_OP_OF_A_DEVICE
def test_the_device_can_be_named(name):
    given = arguments(name)
    assert_same_bits(call(name, given, device="cpu"), call(name, given))


@EVERY_OP_OF_A_DEVICE
def test_an_unknown_device_is_refused_by_name(name):
    with pytest.raises(DeviceError, match="abacus"):
        call(name, arguments(name), device="abacus")
