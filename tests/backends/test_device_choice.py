"""``--device``: what is chosen is said, what is missing is named with its remedy, who asks for no GPU pays for none."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from repository import ROOT

from numbacnn.backends import diagnostics, get_ops, why_not_cuda
from numbacnn.backends.cuda import _jit
from numbacnn.errors import DeviceError

Run = Callable[..., subprocess.CompletedProcess[str]]

SIMULATOR = {"NUMBA_ENABLE_CUDASIM": "1"}
NET = 'input_shape = [28, 28, 1]\n\n[[layers]]\ntype = "Flatten"\n\n[[layers]]\ntype = "Dense"\nunits = 10\nactivation = "softmax"\n'
FEW = ("--dataset", "digits", "--train-limit", 6, "--test-limit", 4, "--epochs", 1)

needs_numba_cuda = pytest.mark.skipif(
    _jit.SIMULATED or _jit.missing_package() is not None, reason=str(_jit.missing_package() or "the simulator is on")
)
needs_simulator = pytest.mark.skipif(_jit.numba_cuda is None, reason=str(_jit.missing_package()))
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
    missing = why_not_cuda()
    assert missing is not None
    assert missing.what in line


@needs_no_gpu
def test_auto_says_that_it_takes_the_cpu_and_why(numbacnn: Run, net: Path) -> None:
    done = numbacnn("train", "--model", net, *FEW, "--device", "auto", "--format", "json")
    assert json.loads(done.stdout)["device"] == "cpu"
    (line,) = [line for line in done.stderr.splitlines() if "auto" in line]
    missing = why_not_cuda()
    assert missing is not None
    assert line == f"--device auto: cpu, as {missing.what}"


NO_NUMBA_CUDA = """
import importlib.metadata, sys
sys.meta_path = [each for each in sys.meta_path if type(each).__name__ != "NumbaCudaFinder"]  # numba-cuda's way in
found = importlib.metadata.version
def version(name):
    if name == "numba-cuda":
        raise importlib.metadata.PackageNotFoundError(name)
    return found(name)
importlib.metadata.version = version
"""
"""As where only Numba is installed."""

NO_CUDA_AT_ALL = NO_NUMBA_CUDA + "sys.modules['numba.cuda'] = None\n"
"""As where Numba has no CUDA of its own either."""

ANOTHER_NUMBA_CUDA = """
import importlib.metadata, sys
found = importlib.metadata.version
importlib.metadata.version = lambda name: "{version}" if name == "numba-cuda" else found(name)
sys.modules["numba.cuda"] = None  # it cannot even be imported
"""


ENVIRONMENTS = [
    (NO_NUMBA_CUDA, "the package numba-cuda is not installed|install it: pip install 'numbacnn[cuda]'"),
    (NO_CUDA_AT_ALL, "the package numba-cuda is not installed|install it: pip install 'numbacnn[cuda]'"),
    *(
        (ANOTHER_NUMBA_CUDA.format(version=version), f"numba-cuda {version} is installed, expected 0.30.4 or later, before 0.31|")
        for version in ("0.24.0", "0.30.3", "0.31.0", "1.0")
    ),
]
"""Programs that make an environment without a usable numba-cuda, and what is then missing."""


@pytest.mark.parametrize(("environment", "missing"), ENVIRONMENTS)
def test_without_a_usable_numba_cuda_the_package_is_what_is_missing(environment: str, missing: str) -> None:
    """What Numba itself has of CUDA is deprecated, and not what kernels were checked with."""
    program = environment + "from numbacnn.backends import why_not_cuda\nprint(*why_not_cuda(), sep='|')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env={"PATH": ""})
    assert done.stdout.startswith(missing), done.stderr


@pytest.mark.parametrize(("environment", "missing"), ENVIRONMENTS[:3])
def test_without_a_usable_numba_cuda_its_tests_are_skipped_with_one_reason_and_none_fails(environment: str, missing: str) -> None:
    program = environment + (
        "import pytest\n"
        "raise SystemExit(pytest.main(['-p', 'no:cacheprovider', '-rs', '-k', 'not exact_in_float32', 'tests/gpu/test_compilation.py', "
        "'tests/gpu/test_training_on_gpu.py', 'tests/backends/test_dropout.py']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    lines = done.stdout.splitlines()
    assert done.returncode in (0, pytest.ExitCode.NO_TESTS_COLLECTED), done.stdout
    assert "skipped" in lines[-1]
    assert all(missing.split("|")[0] in line for line in lines if line.startswith("SKIPPED")), done.stdout


def test_the_versions_of_numba_cuda_are_those_of_the_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    oldest, too_new = (".".join(map(str, version)) for version in (_jit.OLDEST, _jit.TOO_NEW))
    for extra in ("cuda", "cuda12"):
        assert any(each.startswith("numba-cuda[") and f">={oldest},<{too_new};" in each for each in extras[extra])


@needs_numba_cuda
def test_small_grids_are_not_warned_of_though_numba_was_imported_before() -> None:
    """Numba reads its settings when it is imported, and again at each compilation."""
    program = (
        "import numba, warnings\n"
        "from numbacnn.backends.cuda._jit import cuda_config\n"
        "before = cuda_config.CUDA_LOW_OCCUPANCY_WARNINGS\n"
        "cuda_config.reload_config()\n"
        "print(before, cuda_config.CUDA_LOW_OCCUPANCY_WARNINGS)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS"}
    for chosen, printed in (({}, "0 0"), ({"NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS": "1"}, "1 1")):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment | chosen)
        assert done.stdout.strip() == printed, done.stderr


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


@needs_simulator
def test_the_simulator_trains_and_says_what_it_is(numbacnn: Run, net: Path) -> None:
    done = numbacnn("train", "--model", net, *FEW, "--device", "auto", "--format", "json", env=SIMULATOR)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["device"] == "cuda"
    assert "--device auto: cuda, on Numba's simulator" in done.stderr
    assert "cuda (Numba's simulator), seed 0" in done.stderr


@needs_simulator
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


@needs_simulator
def test_warmup_goes_through_every_kernel_in_the_simulator_too(numbacnn: Run, net: Path) -> None:
    net.write_text(NET.replace("28, 28", "2, 2"))
    rows = json.loads(numbacnn("warmup", net, "--device", "cuda", "--format", "json", env=SIMULATOR).stdout)
    assert {row["for"]: row["compiled"] for row in rows}["net"] == 0, "it compiles nothing, and says so"


@needs_simulator
def test_doctor_says_simulator_where_that_is_what_runs(numbacnn: Run) -> None:
    facts = json.loads(numbacnn("doctor", "--format", "json", env=SIMULATOR).stdout)["cuda"]
    assert (facts["usable"], facts["simulator"], facts["why_not"]) == (True, True, None)
    assert "Numba's simulator" in numbacnn("doctor", env=SIMULATOR).stdout


# --- TF32 ----------------------------------------------------------------------------------------------------------------------------


@needs_no_gpu
@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "warmup"])
def test_tf32_on_the_cpu_is_an_error_and_writes_nothing(numbacnn: Run, net: Path, tmp_path: Path, command: str) -> None:
    if command in ("evaluate", "predict"):
        assert numbacnn("train", "--model", net, *FEW, "--output", tmp_path / "run").returncode == 0
    trained = ("--model", tmp_path / "run" / "model.safetensors")
    given = {
        "train": ("--model", net, *FEW, "--output", tmp_path / "out"),
        "evaluate": (*trained, "--dataset", "digits", "--test-limit", 4),
        "predict": (*trained, "digits:0"),
        "warmup": (net,),
    }[command]
    before = sorted(tmp_path.rglob("*"))
    for device in ("cpu", "auto"):
        done = numbacnn(command, *given, "--precision", "tf32", "--device", device)
        assert done.returncode == 1
        assert done.stdout == ""
        assert f"--precision tf32: expected --device cuda, as only GPUs multiply in TF32, got --device {device}" in done.stderr
        assert "Use --device cuda, or --precision float32" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


@needs_simulator
def test_a_run_in_tf32_says_so_and_is_resumed_in_it_alone(numbacnn: Run, net: Path, tmp_path: Path) -> None:
    net.write_text(
        NET.replace('"Flatten"', '"MaxPool2D"\npool_size = 9\n\n[[layers]]\ntype = "Flatten"')
    )  # 3 x 3: the simulator is slow

    def train(*given: object) -> subprocess.CompletedProcess[str]:
        return numbacnn("train", *given, "--device", "cuda", "--output", "run", "--format", "json", env=SIMULATOR)

    begun = train("--model", net, *FEW, "--precision", "tf32")
    assert begun.returncode == 0, begun.stderr
    assert "cuda (Numba's simulator, TF32), seed 0" in begun.stderr
    assert json.loads(begun.stdout)["precision"] == "tf32"
    assert tomllib.loads((tmp_path / "run" / "config.toml").read_text("utf-8"))["precision"] == "tf32"
    refused = train("--resume", "--epochs", 2, "--precision", "float32")
    assert refused.returncode == 1
    assert "the run was started with --precision tf32, got float32. Leave --precision out" in refused.stderr
    resumed = train("--resume", "--epochs", 2)
    assert json.loads(resumed.stdout)["precision"] == "tf32", resumed.stderr
    assert "TF32" in resumed.stderr


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        ("half", "precision: expected one of float32, tf32, got 'half'"),
        ("tf32", "--precision tf32: expected --device cuda, as only GPUs multiply in TF32, got --device cpu"),
    ],
)
def test_a_precision_that_the_cpu_has_not_is_refused(precision: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        get_ops("cpu", precision=precision)


# --- doctor -----------------------------------------------------------------------------------------------------------------------


@needs_no_gpu
def test_doctor_reports_what_is_missing_and_the_packages_that_are_there(numbacnn: Run) -> None:
    facts = json.loads(numbacnn("doctor", "--format", "json").stdout)["cuda"]
    assert facts["usable"] is False
    assert "To use a GPU, install" in facts["why_not"]
    printed = numbacnn("doctor").stdout
    assert all(f"{name} {version}" in printed for name, version in facts["packages"].items())


@needs_numba_cuda
def test_doctor_shows_the_folder_of_the_gpus_kernels_beside_the_cpus(numbacnn: Run, tmp_path: Path) -> None:
    environment = {"NUMBA_CACHE_DIR": str(tmp_path)}
    facts = json.loads(numbacnn("doctor", "--format", "json", env=environment).stdout)
    found, cpus = facts["cuda"]["kernel_cache"], facts["kernel_cache"]
    assert found["folder"] != cpus["folder"]
    assert (found["kernels"], found["bytes"], found["writable"], found["hint"]) == (0, 0, True, None)
    (Path(found["folder"]) / "a.kernel").write_bytes(b"1234")
    printed = " ".join(numbacnn("doctor", env=environment).stdout.split())
    assert f"its kernel cache: {found['folder']}: 1 kernel, " in printed


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
