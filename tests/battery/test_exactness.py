"""Equal bits on unlike machines: with vectors of another length, and with another maths library."""

import json
import math
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

from numbacnn.backends import vector_unit

EVERYTHING = """
name = "everything"
input_shape = [28, 28, 1]

[training]
optimizer = "adam"
learning_rate = 0.01
schedule = "one-cycle"
augment = true

[[layers]]
type = "Conv2D"
filters = 16
kernel_size = 5
padding = "same"
activation = "relu"

[[layers]]
type = "Conv2D"
filters = 20
kernel_size = 3
padding = "same"
activation = "relu"

[[layers]]
type = "MaxPool2D"

[[layers]]
type = "Conv2D"
filters = 16
kernel_size = 5
padding = "same"

[[layers]]
type = "BatchNorm"

[[layers]]
type = "Activation"
activation = "elu"

[[layers]]
type = "DepthwiseConv2D"
kernel_size = 3
activation = "silu"

[[layers]]
type = "Conv2D"
filters = 12
kernel_size = 3
groups = 2
dilation_rate = 2
activation = "tanh"

[[layers]]
type = "AvgPool2D"

[[layers]]
type = "Flatten"

[[layers]]
type = "Dense"
units = 40
activation = "sigmoid"

[[layers]]
type = "Dropout"
rate = 0.2

[[layers]]
type = "Dense"
units = 10
activation = "softmax"
"""
"""Every algorithm of a convolution, every function of a maths library, distortions, dropout and a schedule."""

AVX2 = {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": "+avx2,+fma,+avx,+bmi,+bmi2,+f16c,+lzcnt,+movbe,+sse4.2"}

SMALL_ON_DIGITS = "06ac2e634ce02da2970878867547fd565b096ca192a334f9c53b1a248f60715b"
"""``weights_sha256`` of README's first command, less the tests: ``numbacnn train --model small --dataset digits``."""

OTHER_LIBM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <math.h>
#include <string.h>
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }
#define ONE(name, type, near) \\
    type name(type x) { \\
        static type (*own)(type); \\
        if (!own) own = (type (*)(type))real(#name); \\
        type y = own(x); \\
        return isfinite(y) && y != 0 && y != 1 && y != -1 ? near(y, 2 * y) : y; \\
    }
ONE(exp, double, nextafter) ONE(expf, float, nextafterf) ONE(expm1, double, nextafter) ONE(expm1f, float, nextafterf)
ONE(log, double, nextafter) ONE(logf, float, nextafterf) ONE(tanh, double, nextafter) ONE(tanhf, float, nextafterf)
ONE(sin, double, nextafter) ONE(sinf, float, nextafterf) ONE(cos, double, nextafter) ONE(cosf, float, nextafterf)
"""
"""A maths library whose results are the next number beyond the right one."""


def weights(folder: Path, *options: object, **variables: str) -> str:
    """``weights_sha256`` of a training in a process of its own."""
    command = [sys.executable, "-m", "numbacnn", "train", *map(str, options), "--format", "json", "--output", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables}, timeout=600)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["weights_sha256"])


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tmp_path_factory.mktemp("exactness") / "everything.toml"
    model.write_text(EVERYTHING)
    return model


def short(model: Path) -> list[object]:
    """A training of four steps: three whole batches, and a smaller one."""
    return ["--model", model, "--dataset", "digits", "--train-limit", 250, "--test-limit", 50, "--epochs", 1, "--batch-size", 70]


@pytest.fixture(scope="module")
def native(everything: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return weights(tmp_path_factory.mktemp("native"), *short(everything))


def test_the_network_takes_every_algorithm(everything: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "numbacnn", "shapes", str(everything), "--plan", "--batch-size", "70", "--format", "json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = {(step["algorithm"] or "").split(",")[0] for step in json.loads(done.stdout)["steps"]}
    assert {"direct", "winograd", "frequency", "depthwise", "readable"} <= found


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="x86-64-v3 is a processor of the x86 family")
@pytest.mark.skipif(vector_unit()[0] == "SSE", reason="this CPU has no AVX2")
def test_vectors_of_another_length_give_the_same_weights(everything: Path, native: str, tmp_path: Path) -> None:
    """On a CPU with AVX-512 its code of 16 lanes, and the code of 8 lanes of a CPU with AVX2."""
    assert weights(tmp_path / "avx2", *short(everything), "--threads", 1, **AVX2) == native


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("gcc") is None, reason="needs Linux's LD_PRELOAD, and gcc")
def test_another_maths_library_gives_the_same_weights(everything: Path, native: str, tmp_path: Path) -> None:
    source, library = tmp_path / "libm.c", tmp_path / "libm.so"
    source.write_text(OTHER_LIBM)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-fno-builtin", "-o", library, source, "-ldl", "-lm"], check=True)
    seen = subprocess.run(
        [sys.executable, "-c", "import math; print(math.exp(1.5).hex(), math.cos(1.0).hex())"],
        capture_output=True, text=True, check=True, env={**os.environ, "LD_PRELOAD": str(library)},
    )  # fmt: skip
    assert seen.stdout.split() != [math.exp(1.5).hex(), math.cos(1.0).hex()], "the other library is not in use"
    assert weights(tmp_path / "run", *short(everything), LD_PRELOAD=str(library)) == native


@pytest.mark.skipif(vector_unit()[0] == "SSE", reason="this CPU multiplies and adds with two roundings")
def test_readmes_first_training_gives_the_same_weights_everywhere(tmp_path: Path) -> None:
    """README's hash, too: a new one means that every user's network changes, and belongs in CHANGELOG."""
    assert weights(tmp_path / "run", "--model", "small", "--dataset", "digits") == SMALL_ON_DIGITS
    assert SMALL_ON_DIGITS[:8] in (ROOT / "README.md").read_text(encoding="utf-8")
