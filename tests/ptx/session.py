"""``pytest --ptx``: the tests of CUDA kernels, in a process whose GPU is the PTX device, and what it has found."""

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from .stand_in import PtxDevice, Unavailable, put_in_place

HERE = Path(__file__).parent
OPS = HERE.parent / "backends"


class PtxSession:
    """A plugin of pytest. The device is put in place when it is made: before any test is imported.

    Args:
        device: None where it cannot be put in place.
        reason: why not.
        faults_found: the planted faults that the device has found, and how many there were.
    """

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.device: PtxDevice | None = None
        self.reason = ""
        self.faults_found: list[str] = []
        self.faults_planted = 0
        try:
            self.device = put_in_place()
        except Unavailable as error:
            self.reason = str(error)

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Folders without kernels need not be imported."""
        others = collection_path.parent == HERE.parent and collection_path not in (HERE, OPS)
        return True if others and collection_path.name != "conftest.py" else None

    @pytest.hookimpl(trylast=True)  # tests/backends/conftest.py has marked what runs CUDA kernels
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        left = [item for item in items if not _is_ours(item)]
        items[:] = [item for item in items if item not in left]
        config.hook.pytest_deselected(items=left)
        if self.device is None:
            for item in items:
                item.add_marker(pytest.mark.skip(reason=self.reason), append=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """A test in which the device finds a fault fails, whatever becomes of the error that the launch raises."""
        error: BaseException | None = None
        result = None
        try:
            result = yield
        except BaseException as raised:
            error = raised
        if self.device is not None:
            found = [*(finding.text for finding in self.device.findings()), *self.device.errors]
            self.device.errors.clear()
            if found:
                raise AssertionError("the PTX device found:\n" + "\n".join(found)) from error
        if error is not None:
            raise error
        return result

    def not_run(self) -> list[str]:
        """The kernels of the package that no test has run."""
        from numbacnn.backends.cuda._jit import kernels

        assert self.device is not None
        run = self.device.kernels
        return sorted({kernel.name for kernel in kernels} - run)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """The whole run fails if it has left out a kernel."""
        if self.device is not None and _is_whole(session.config) and self.not_run() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        if self.device is None:
            return
        from numbacnn.backends.cuda._jit import kernels

        ours = {kernel.name for kernel in kernels}
        planted = f"{len(self.faults_found)} of {self.faults_planted} planted faults found, " if self.faults_planted else ""
        terminalreporter.write_line(
            f"PTX device: {len(ours & self.device.kernels)} of {len(ours)} kernels, {self.device.launches:,} launches, "
            f"{self.device.checks:,} accesses checked, {planted}{time.perf_counter() - self.begun:.0f} seconds"
        )
        if _is_whole(config) and (left := self.not_run()):
            terminalreporter.write_line(f"kernels that did not run: {', '.join(left)}")


def _is_whole(config: pytest.Config) -> bool:
    """Whether no tests are chosen."""
    return config.args_source == pytest.Config.ArgsSource.TESTPATHS and not config.option.keyword


def _is_ours(item: pytest.Item) -> bool:
    """Whether a test is one of this folder, or of an op on a GPU."""
    if HERE in item.path.parents:
        return True
    return OPS in item.path.parents and item.get_closest_marker("gpu") is not None and not item.get_closest_marker("simulator")
