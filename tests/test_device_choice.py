"""``--device``: what is chosen is said, what is missing is named with its remedy, who asks for no GPU pays for none."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from numbacnn.backends import diagnostics, why_not_cuda
from numbacnn.backends.cuda import _jit

Run = Callable[..., subprocess.CompletedProcess[str]]

SIMULATOR = {"NUMBA_ENABLE_CUDASIM": "1"}
NET = 'input_shape = [28, 28, 1]\n\n[[layers]]\ntype = "Flatten"\n\n[[layers]]\ntype = "Dense"\nunits = 10\nactivation = "softmax"\n'
FEW = ("--dataset", "digits", "--train-limit", 6, "--test-limit", 4, "--epochs", 1)

needs_numba_cuda = pytest.mark.skipif(
    _jit.SIMULATED or getattr(_jit.cuda, "implementation", "") != "NVIDIA",
    reason="numba-cuda is not installed: pip install 'numbacnn[cuda]'; or the simulator is on",
)
needs_no_gpu = pytest.mark.skipif(not _jit.SIMULATED and why_not_cuda() is None, reason="there is a GPU")


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.toml"
    path.write_text(NET)
    return path


@needs_no_gpu
@pytest.mark.parametrize("command", ["train", "warmup"])
def test_asking_for_cuda_without_a_gpu_names_what_is_missing_and_the_remedy(numbacnn: Run, net: Path, command: str) -> None:
    given = ("--model", net, *FEW) if command == "train" else (net,)
    done = numbacnn(command, *given, "--device", "cuda")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: --device cuda: ")
    assert "Use --device cpu, or install" in line
    assert "numba-cuda is not installed" in line or "no usable NVIDIA driver (CUDA driver library cannot be found)" in line


@needs_no_gpu
def test_auto_says_that_it_takes_the_cpu_and_why(numbacnn: Run, net: Path) -> None:
    done = numbacnn("train", "--model", net, *FEW, "--device", "auto", "--format", "json")
    assert json.loads(done.stdout)["device"] == "cpu"
    (line,) = [line for line in done.stderr.splitlines() if "auto" in line]
    missing = why_not_cuda()
    assert missing is not None
    assert line == f"--device auto: cpu, as {missing.what}"


def test_without_numba_cuda_the_package_is_what_is_missing() -> None:
    """What Numba itself has of CUDA is deprecated, and not what kernels were checked with."""
    program = (
        "import sys\n"
        "sys.meta_path = [each for each in sys.meta_path if type(each).__name__ != 'NumbaCudaFinder']\n"  # numba-cuda's way in
        "from numbacnn.backends import why_not_cuda\n"
        "print(*why_not_cuda(), sep='|')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env={"PATH": ""})
    assert done.stdout.startswith("the package numba-cuda is not installed|install it: pip install 'numbacnn[cuda]'"), done.stderr


@needs_numba_cuda
@pytest.mark.parametrize(
    ("error", "available", "library", "what", "remedy"),
    [
        (
            "\nCUDA driver library cannot be found.\nmore\n",
            False,
            None,
            "no usable NVIDIA driver (CUDA driver library cannot",
            "ubuntu",
        ),
        ("Call to cuInit results in CUDA_ERROR_NO_DEVICE (100)", False, None, "CUDA_ERROR_NO_DEVICE", "nvidia-smi"),
        (None, False, "NVVM", "the library NVVM", "pip install 'numbacnn[cuda]'"),
        (None, True, "nvJitLink", "the library nvJitLink", "pip install 'numbacnn[cuda]'"),
        (None, False, None, "finds no GPU", "nvidia-smi"),
    ],
)
def test_each_missing_piece_is_named(
    monkeypatch: pytest.MonkeyPatch, error: str | None, available: bool, library: str | None, what: str, remedy: str
) -> None:
    monkeypatch.setattr(_jit.cuda, "cuda_error", lambda: error)
    monkeypatch.setattr(_jit.cuda, "is_available", lambda: available)
    monkeypatch.setattr(_jit, "missing_library", lambda: library)
    missing = _jit.why_not()
    assert missing is not None
    assert what in missing.what
    assert remedy in missing.remedy


@needs_numba_cuda
def test_a_gpu_that_this_cuda_does_not_compile_for_is_told_of_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_jit.cuda, "cuda_error", lambda: None)
    monkeypatch.setattr(_jit.cuda, "is_available", lambda: True)
    monkeypatch.setattr(_jit.cuda, "gpus", [SimpleNamespace(compute_capability=(3, 5))])
    missing = _jit.why_not()
    assert missing is not None
    assert "compute capability 3.5" in missing.what
    assert "numbacnn[cuda12]" in missing.remedy
    monkeypatch.setattr(_jit.cuda, "gpus", [SimpleNamespace(compute_capability=(9, 0))])
    assert _jit.why_not() is None


@needs_numba_cuda
def test_a_library_that_cannot_be_loaded_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from cuda.bindings import nvvm

    def lost() -> None:
        raise RuntimeError("DynamicLibNotFoundError")

    monkeypatch.setattr(nvvm, "version", lost)
    assert _jit.missing_library() == "NVVM"


# --- the simulator ----------------------------------------------------------------------------------------------------------------


def test_the_simulator_trains_and_says_what_it_is(numbacnn: Run, net: Path) -> None:
    done = numbacnn("train", "--model", net, *FEW, "--device", "auto", "--format", "json", env=SIMULATOR)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["device"] == "cuda"
    assert "--device auto: cuda, on Numba's simulator" in done.stderr
    assert "cuda (Numba's simulator), seed 0" in done.stderr


def test_a_network_trained_by_the_simulator_is_evaluated_by_it(numbacnn: Run, net: Path) -> None:
    done = numbacnn("train", "--model", net, *FEW, "--device", "cuda", "--output", "out", "--format", "json", env=SIMULATOR)
    trained = json.loads(done.stdout)
    found = [
        json.loads(
            numbacnn(
                "evaluate", "--model", "out/model.safetensors", "--dataset", "digits", "--test-limit", 4, "--device", device,
                "--format", "json", env=SIMULATOR,
            ).stdout
        )
        for device in ("cpu", "cuda")
    ]  # fmt: skip
    for each in found:
        assert each["loss"] == pytest.approx(trained["test_loss"], rel=1e-5)


def test_warmup_goes_through_every_kernel_in_the_simulator_too(numbacnn: Run, net: Path) -> None:
    net.write_text(NET.replace("28, 28", "2, 2"))
    rows = json.loads(numbacnn("warmup", net, "--device", "cuda", "--format", "json", env=SIMULATOR).stdout)
    assert {row["for"]: row["compiled"] for row in rows}["net"] == 0, "it compiles nothing, and says so"


def test_doctor_says_simulator_where_that_is_what_runs(numbacnn: Run) -> None:
    facts = json.loads(numbacnn("doctor", "--format", "json", env=SIMULATOR).stdout)["cuda"]
    assert (facts["usable"], facts["simulator"], facts["why_not"]) == (True, True, None)
    assert "Numba's simulator" in numbacnn("doctor", env=SIMULATOR).stdout


# --- doctor -----------------------------------------------------------------------------------------------------------------------


@needs_no_gpu
def test_doctor_reports_what_is_missing_and_the_packages_that_are_there(numbacnn: Run) -> None:
    facts = json.loads(numbacnn("doctor", "--format", "json").stdout)["cuda"]
    assert facts["usable"] is False
    assert "To use a GPU, install" in facts["why_not"]
    printed = numbacnn("doctor").stdout
    assert all(f"{name} {version}" in printed for name, version in facts["packages"].items())


def test_packages_of_two_cudas_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def environment(**packages: str) -> bool:
        found = [SimpleNamespace(name=name.replace("_", "-"), version=version) for name, version in packages.items()]
        monkeypatch.setattr(diagnostics.importlib.metadata, "distributions", lambda: found)
        return diagnostics._cuda()["mixed"]

    assert not environment(nvidia_nvvm="13.0.88", cuda_bindings="13.5.0", numpy="2.4.6", nvidia_nvjitlink="13.0.88")
    assert not environment(nvidia_cuda_nvcc_cu12="12.9.86", cuda_bindings="12.9.4")
    assert environment(nvidia_nvjitlink_cu12="12.9.86", nvidia_nvjitlink="13.0.88")
    assert environment(cuda_bindings="12.9.4", nvidia_nvvm="13.0.88")


# --- what it costs ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args", [["--help"], ["shapes", "cnn"], ["shapes", "cnn", "--plan"], ["warmup", "net.toml", "--device", "cpu"]]
)
def test_who_does_not_ask_for_a_gpu_does_not_import_numba_cuda(net: Path, args: list[str]) -> None:
    program = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('numba.cuda' in sys.modules, file=sys.stderr))\n"
        f"sys.argv[1:] = {args!r}\n"
        "from numbacnn_cli.main import run; run()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=net.parent)
    assert done.stderr.splitlines()[-1] == "False", done.stderr
