"""Every CUDA kernel, compiled for real GPUs with the types of its launches: neither a GPU nor its driver is needed.

The types come from training runs and predictions of every preset, and from calls of every op, on a device that records launches. The
tests find errors that the simulator cannot: double precision, too few registers, too much shared memory.
"""

import math
import os
import pickle
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cuda_compiler import ARCHITECTURES, WITH_TF32, MachineCode, cache_keys, compile_kernel, why_not
from repository import TESTS

from numbacnn.backends import compilations, kernel_cache
from numbacnn.backends.cuda import _jit, self_check
from numbacnn.backends.kernel_files import KernelFiles
from numbacnn.backends.precisions import PRECISIONS, TF32
from numbacnn.datasets import Dataset
from numbacnn.graph import without_softmax
from numbacnn.layers.activation import ACTIVATIONS
from numbacnn.models import PRESETS
from numbacnn.ops import Ops
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.prediction import predict
from numbacnn.shapes import Window2D, pool_window2d, window2d
from numbacnn.training import Settings, new_state, train, warm_up
from numbacnn.values import Augmentation, AugmentKey, ConvBlock, DropoutKey

if reason := why_not():
    pytest.skip(reason, allow_module_level=True)

from cuda_recorder import Launch, recording  # fails without numba-cuda, so after the skip

MORE_SIGNATURES: dict[str, str] = {}
"""Kernels launched with more than one set of types, with the reason."""

LOCAL_MEMORY: dict[str, str] = {}
"""Kernels with an array in local memory, with the reason."""

MOST_SHARED = 48 * 1024
MOST_THREADS = 1024
REGISTERS = 64 * 1024
"""Limits of a block on each of the architectures."""
MOST_BLOCKS = (2**31 - 1, 65535, 65535)

Key = tuple[_jit.Kernel, tuple[Any, ...], str]
"""A kernel, the types of its arguments, an architecture."""

BATCH_SIZES = (1, 2, 100, 8000)
"""Large ones cost nothing, since nothing is computed."""


@pytest.fixture(scope="module")
def launches() -> set[Launch]:
    """The launches of all presets and all ops."""
    with recording() as (ops, found):
        for precision in PRECISIONS:
            ops.precision = precision
            for batch_size in BATCH_SIZES:
                for name in PRESETS:
                    run_preset(ops, name, batch_size)
            for optimizer in OPTIMIZERS:
                run_preset(ops, "cnn", 2, optimizer=optimizer)
            run_every_op(ops)
        return set(found)


@pytest.mark.parametrize("name", PRESETS)
def test_after_a_warmup_a_run_compiles_nothing(name: str) -> None:
    """At the default batch size: tiles, and so kernels, depend on it."""
    preset = PRESETS[name]
    settings = Settings(epochs=1, optimizer=preset.recipe.optimizer, augment=preset.recipe.augment)
    with recording() as (ops, found):
        warm_up(preset.graph, settings, ops)
        compiled = {(launch.kernel, launch.types) for launch in found}
        run_preset(ops, name, settings.batch_size, images=3000)
        assert {(launch.kernel, launch.types) for launch in found} == compiled


def run_preset(ops: Ops, name: str, batch_size: int, images: int | None = None, **settings: Any) -> None:
    """A training step (or several, for more ``images``) if the preset is a classifier, and a prediction."""
    preset = PRESETS[name]
    graph = preset.graph
    pixels = np.zeros((images or batch_size, *graph.input_shape), np.uint8)
    given = Settings(epochs=1, batch_size=batch_size, optimizer=preset.recipe.optimizer, augment=preset.recipe.augment)
    state = new_state(graph, replace(given, **settings), ops)
    if len(graph.output_shape) == 1:
        names = tuple(map(str, range(graph.output_shape[0])))
        labels = np.zeros(len(pixels), np.uint8)
        for _ in train(state, Dataset("zeros", pixels, labels, pixels[:1], labels[:1], names, "nowhere"), ops):
            pass
    predict(without_softmax(graph), ops, state.parameters, pixels)


def run_every_op(ops: Ops) -> None:
    """Every op of the contract, with all its options."""

    def zeros(*shape: int) -> Any:
        return ops.asarray(np.zeros(shape, np.float32))

    for n, channels, filters, window in convolutions():
        x, kernel = (
            zeros(n, *(axis.size for axis in window), channels),
            zeros(*(axis.kernel for axis in window), channels, filters),
        )
        dy = zeros(n, *window.out, filters)
        pool = pool_window2d(window.out, (2, 2), (2, 2), "valid")
        overlapping = pool_window2d(window.out, (3, 3), (1, 1), "same")
        for bias in (None, zeros(filters)):
            ops.conv2d(x, kernel, bias, window)
            for block in (ConvBlock(window, relu, fused) for relu in (False, True) for fused in (None, pool, overlapping)):
                y, saved = ops.conv2d_block(x, kernel, bias, block)
                for needs_dx in (False, True):
                    ops.conv2d_block_backward(saved, kernel, ops.zeros_like(y), block, needs_dx=needs_dx)
        ops.conv2d_backward(x, kernel, dy, window)
        ops.conv2d_backward(x, kernel, dy, window, needs_dx=False)
    for window in (pool_window2d((9, 8), (2, 2), (2, 2), "valid"), pool_window2d((9, 8), (3, 2), (2, 1), "same")):
        y, winners = ops.max_pool2d(zeros(3, 9, 8, 5), window)
        ops.max_pool2d_backward(y, winners, window)
        for counted in (False, True):
            ops.avg_pool2d_backward(ops.avg_pool2d(zeros(3, 9, 8, 5), window, counted), window, counted)
    for n, k, f in ((n, k, f) for n in (1, 100, 8000) for k in (3, 784) for f in (2, 10, 30, 60, 1024)):
        for bias in (None, zeros(f)):
            ops.dense(zeros(n, k), zeros(k, f), bias)
            ops.dense(zeros(n, k), zeros(k, f), bias, relu=True)
        for factored in (False, True):
            ops.dense_backward(zeros(n, k), zeros(k, f), zeros(n, f), factored=factored)
        run_updates(ops, n, k, f)
    run_updates(ops, 1, 128 * 132, 30)  # as many high tiles as an H100 has multiprocessors
    x = zeros(7, 28, 28, 3)
    ops.split(ops.concatenate([ops.add(x, x), x]), [2, 4])
    for name in ACTIVATIONS:
        getattr(ops, f"{name}_backward")(getattr(ops, name)(x), x)
    ops.dropout(x, 0.3, DropoutKey(1, 2, 3))
    ops.dropout(x, 0.0, DropoutKey(1, 2, 3))
    for batch in (x, zeros(7, 5), zeros(8000, 64)):
        gamma = zeros(batch.shape[-1])
        _, mean, variance = ops.batch_norm(batch, gamma, gamma, 1e-3)
        ops.batch_norm_backward(batch, gamma, mean, variance, 1e-3, batch)
        ops.batch_norm_inference(batch, gamma, gamma, mean, variance, 1e-3)
        ops.batch_norm_backward(batch, None, *ops.batch_norm(batch, None, None, 1e-3)[1:], 1e-3, batch)
    ops.gather_images(ops.asarray(np.zeros((9, 28, 28, 3), np.uint8)), ops.asarray(np.arange(7)), 1 / 255)
    ops.augment(x, Augmentation(), AugmentKey(1, 2))


def run_updates(ops: Ops, n: int, k: int, f: int) -> None:
    """All updates, for gradients as arrays and as factors, with and without a check of the loss."""
    labels, logits = ops.asarray(np.zeros(5, np.int64)), ops.asarray(np.zeros((5, 10), np.float32))
    losses, correct, _ = ops.softmax_cross_entropy(logits, labels)
    for check in (None, ops.record_step(ops.new_epoch_losses(2), 1, losses, correct)):
        w, m, v, x, dy = (ops.asarray(np.zeros(shape, np.float32)) for shape in ((k, f), (k, f), (k, f), (n, k), (n, f)))
        for gradient in (w, ops.dense_backward(x, w, dy, factored=True)[1]):
            for optimizer in OPTIMIZERS.values():
                ops.update(w, (m, v)[: len(optimizer.slots)], gradient, optimizer.rule(0.1, 1), check)
        ops.moving_average_update(dy[0], dy[0], 0.9, check)
    ops.to_host(ops.dense_backward(x, w, dy, factored=True)[1])


def convolutions() -> Iterator[tuple[int, int, int, Window2D]]:
    """Images, channels, filters, and a window."""
    for n, channels, filters in ((1, 1, 1), (2, 1, 32), (3, 32, 64), (100, 3, 5), (8000, 16, 16), (1, 8, 128)):
        yield n, channels, filters, window2d((14, 14), (5, 5), (1, 1), "same")
        yield n, channels, filters, window2d((13, 14), (3, 2), (2, 1), "valid")
        yield n, channels, filters, window2d((14, 14), (1, 1), (1, 1), "valid")
    yield 2, 1, 4, window2d((14, 14), (3, 3), (1, 1), "same", (2, 2))
    for channels in (8, 32, 64):  # few pixels: the low tiles
        yield 1, channels, channels, window2d((7, 7), (3, 3), (1, 1), "same")


def test_compiled_kernels_are_kept_in_checksummed_files() -> None:
    assert {type(kernel._compiled._cache._cache_file) for kernel in _jit.kernels} == {KernelFiles}


def test_kernels_of_one_factory_saved_at_the_same_time_are_each_found_as_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All tiles share a name, a file and a line. Numba's index, if another process saves in between, gives one tile the other's code."""
    compiler = SimpleNamespace(magic_tuple=tuple)
    tiles = [kernel for kernel in _jit.kernels if kernel.name == "tiled.dense._product"]
    files = [
        (KernelFiles(tmp_path, tile.function, pickle.dumps), tile._compiled._cache._index_key((), compiler)) for tile in tiles
    ]
    assert len(tiles) > 3
    real, waiting = os.replace, list(enumerate(files))

    def replace(source: Any, target: Any) -> None:
        """Between the writing of a file and its name, another process saves the next tile."""
        save_next()
        real(source, target)

    def save_next() -> None:
        if waiting:
            number, (file, key) = waiting.pop()
            file.save(key, number)

    monkeypatch.setattr(os, "replace", replace)
    save_next()
    assert [file.load(key) for file, key in files] == list(range(len(tiles)))


def test_a_kernel_that_cannot_be_saved_is_told_of_and_costs_no_other_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = _jit.kernels[0]._compiled
    files = KernelFiles(tmp_path, _jit.kernels[0].function, pickle.dumps)
    files.save("another", "kept")
    monkeypatch.setattr(kernel_cache, "_failures", [])
    monkeypatch.setattr(compiled._cache, "_cache_file", files)
    compiled._cache.save_overload((), compiled)
    assert kernel_cache.failure_to_save().startswith("a compiled kernel could not be saved (")
    assert files.load("another") == "kept"


def test_a_kernel_is_found_in_the_cache_by_another_process() -> None:
    """The key of a kernel is made of its closure, device functions included: no address and no random number may be in it."""
    here, elsewhere = cache_keys(), subprocess.run(
        [sys.executable, "-c", "import cuda_compiler; print(*cuda_compiler.cache_keys(), sep='\\n')"],
        cwd=TESTS, env={**os.environ, "PYTHONHASHSEED": "1"}, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    assert here == elsewhere
    assert len(set(here)) == len(_jit.kernels), "two kernels have one key"


def test_a_compilation_that_fails_is_reported_as_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else all later compilations would count as parts of it, and no second of theirs."""
    monkeypatch.setattr(_jit, "kernels", [])

    @_jit.kernel
    def broken(x: Any) -> None:
        x[0] = x.nonesuch

    with compilations() as compiled, pytest.raises(Exception):  # noqa: B017  a typing error on a GPU, else a missing driver
        broken.launch(1, 32, np.zeros(1, np.float32))
    assert compiled.count == 1
    assert compiled.seconds > 0


def test_a_self_check_compiles_nothing_that_training_does_not(launches: set[Launch]) -> None:
    """Nor does it launch kernels with other types: what it finds right is what training runs. Its whole numbers are exact in float32."""
    with recording() as (ops, found):
        for each in self_check.checks(ops):
            each.compute()
            assert all(self_check.CLOSE * np.abs(numbers).max() < 0.01 for numbers in each.expected), "what is close is far off"
        checked = {(launch.kernel, launch.types) for launch in found}
    assert checked <= {(launch.kernel, launch.types) for launch in launches}
    assert {"tiled.dense._product", "tiled.product._add_parts", "tiled.conv2d._conv2d_turned", "plain.updates._adam"} <= {
        kernel.name for kernel, _ in checked
    }
    sizes = self_check.SIZES
    window = sizes.kernel**2 * max(sizes.channels, sizes.filters)
    longest = max(sizes.rows, sizes.inputs, sizes.units, window, sizes.images * sizes.side**2)
    assert longest * self_check.MOST**2 + self_check.MOST < 2**24


def test_every_kernel_is_launched_by_some_network_or_op(launches: set[Launch]) -> None:
    launched = {launch.kernel for launch in launches}
    assert not [kernel.name for kernel in _jit.kernels if kernel not in launched]


def test_a_kernel_has_one_set_of_types(launches: set[Launch]) -> None:
    """So it is compiled once. An argument that is sometimes a number and sometimes an array would cost a second compilation."""
    signatures = defaultdict(set)
    for launch in launches:
        signatures[launch.kernel].add(launch.types)
    several = {kernel.name: found for kernel, found in signatures.items() if len(found) > 1}
    assert several.keys() == MORE_SIGNATURES.keys(), several


def test_no_argument_is_double_or_strided(launches: set[Launch]) -> None:
    for launch in launches:
        for kind in launch.types:
            assert "float64" not in str(kind), launch
            assert getattr(kind, "layout", "C") == "C", launch


def test_grids_and_blocks_are_of_a_size_that_every_gpu_takes(launches: set[Launch]) -> None:
    for launch in launches:
        assert 1 <= launch.block_size <= MOST_THREADS, launch
        assert all(1 <= side <= most for side, most in zip(launch.blocks, MOST_BLOCKS, strict=False)), launch
        assert launch.block_size % 32 == 0, f"{launch}: expected full warps of 32 threads"


@pytest.fixture(scope="module")
def machine_code(launches: set[Launch]) -> dict[Key, MachineCode]:
    """The machine code of kernels, for the types of each launch and every architecture: of all in float32, and in TF32 of those that
    ``cnn`` launches, for architectures that know it."""
    with recording() as (ops, found):
        ops.precision = TF32
        run_preset(ops, "cnn", Settings().batch_size)
    return {
        (kernel, types, architecture): code
        for kernel, types in {(launch.kernel, launch.types) for launch in launches if not is_tf32(launch.kernel)}
        | {(launch.kernel, launch.types) for launch in found}
        for architecture, code in compile_kernel(kernel, types, WITH_TF32 if is_tf32(kernel) else ARCHITECTURES).items()
    }


def is_tf32(kernel: _jit.Kernel) -> bool:
    return kernel.name.endswith("_tf32")


def title(key: Key) -> str:
    kernel, types, architecture = key
    return f"{kernel.name} {types} on {architecture}"


def test_no_kernel_spills_registers_or_uses_local_memory(machine_code: dict[Key, MachineCode]) -> None:
    assert not {title(key): code.spilled for key, code in machine_code.items() if code.spilled}
    assert {key[0].name for key, code in machine_code.items() if code.stack} == LOCAL_MEMORY.keys()


def test_no_kernel_computes_in_double_precision(machine_code: dict[Key, MachineCode]) -> None:
    assert not {title(key): code.double for key, code in machine_code.items() if code.double}


def test_a_block_fits_into_registers_and_shared_memory(
    launches: set[Launch], machine_code: dict[Key, MachineCode], capsys: pytest.CaptureFixture[str]
) -> None:
    assert not {title(key): code.shared for key, code in machine_code.items() if code.shared > MOST_SHARED}
    for launch in launches:
        codes = (machine_code.get((launch.kernel, launch.types, architecture)) for architecture in ARCHITECTURES)
        for architecture, code in zip(ARCHITECTURES, codes, strict=True):
            if code is None:
                assert is_tf32(launch.kernel), launch
                continue
            in_use = (
                math.ceil(code.registers / 8) * 8 * math.ceil(launch.block_size / 32) * 32
            )  # allotted in eights, to whole warps
            assert in_use <= REGISTERS, (launch, architecture)
    signatures = {(launch.kernel, launch.types) for launch in launches}
    hungriest, largest = (max(machine_code.items(), key=lambda item: getattr(item[1], what)) for what in ("registers", "shared"))
    with capsys.disabled():
        print(
            f"\n{len(_jit.kernels)} kernels, {sum(map(is_tf32, _jit.kernels))} of them in TF32, {len(signatures)} signatures, "
            f"{len(launches)} launches; {', '.join(ARCHITECTURES)}: at most {hungriest[1].registers} registers "
            f"({hungriest[0][0].name}), {largest[1].shared:,} bytes shared ({largest[0][0].name})"
        )
