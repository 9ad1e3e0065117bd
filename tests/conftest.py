"""Fixtures that several test files share."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from battery_cases import Battery, Row, table
from repository import ROOT

MNIST_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

BATTERY_ROWS = pytest.StashKey[list[Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--battery", action="store_true", help="run all cases of tests/battery, not the first of each kind")
    parser.addoption(
        "--ptx", action="store_true", help="run the tests of CUDA kernels on the PTX device of tests/ptx, and no others"
    )
    parser.addoption("--battery-case", type=int, metavar="N", help="run case N alone; choose the test with -k")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[BATTERY_ROWS] = []
    if config.getoption("--ptx"):
        from ptx.session import PtxSession

        config.pluginmanager.register(PtxSession(), "ptx")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.getoption("--battery") and config.stash[BATTERY_ROWS]:
        figures = table(config.stash[BATTERY_ROWS])
        terminalreporter.write_line(figures)
        if os.environ.get("REGENERATE_GOLDEN"):
            document = ROOT / "docs" / "reliability.md"
            head, _, rest = document.read_text(encoding="utf-8").partition("<!-- battery -->\n")
            _, _, tail = rest.partition("<!-- end of battery -->")
            document.write_text(f"{head}<!-- battery -->\n{figures}\n<!-- end of battery -->{tail}", encoding="utf-8")


@pytest.fixture(scope="session")
def battery(pytestconfig: pytest.Config) -> Battery:
    """Cases of the battery: ``for case in battery("title", smoke=10, whole=1000): with case: ...``; see battery_cases.py."""
    return Battery(
        pytestconfig.getoption("--battery"), pytestconfig.getoption("--battery-case"), pytestconfig.stash[BATTERY_ROWS]
    )


@pytest.fixture(scope="module")
def heeded_signals() -> Iterator[None]:
    """SIGINT and SIGHUP as in a terminal. A script ignores SIGINT in what it starts with &, nohup ignores SIGHUP, and programs inherit
    that: without this, tests that send a signal would fail there."""
    usual = {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL}
    ignored = [name for name in usual if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) == signal.SIG_IGN]
    for name in ignored:
        signal.signal(getattr(signal, name), usual[name])
    yield
    for name in ignored:
        signal.signal(getattr(signal, name), signal.SIG_IGN)


def _holds_mnist(folder: Path) -> bool:
    return all((folder / name).exists() or (folder / f"{name}.gz").exists() for name in MNIST_FILES)


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """A folder with the four real files of MNIST; tests that need them are skipped where there is none."""
    folder = Path(os.environ.get("NUMBACNN_DATA_DIR") or ROOT / "data")
    if _holds_mnist(folder):
        return folder
    pytest.skip("needs the real MNIST files: 'numbacnn download mnist', or set NUMBACNN_DATA_DIR")


@pytest.fixture
def numbacnn(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a process of its own, in an empty folder: ``numbacnn("shapes", "cnn")``."""

    def run(*args: object, env: dict[str, str] | None = None, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("NUMBACNN_")}
        environment |= {"PYTHONUTF8": "1", **(env or {})}
        done = subprocess.run(
            [sys.executable, "-c", "from numbacnn_cli.main import run; run()", *map(str, args)],
            cwd=cwd, env=environment, capture_output=True, timeout=600,
        )  # fmt: skip
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
