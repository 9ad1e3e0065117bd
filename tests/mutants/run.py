"""The tests' own test: put each fault of ``faults.py`` into a copy of the tree, and see a test fail.

    python tests/mutants/run.py                 every mutant
    python tests/mutants/run.py NAME ...        some of them
    python tests/mutants/run.py --list          their names

A mutant is killed if pytest reports a failed test in the copy, and if the same test passes without the fault. One that does not compile
does not count. Needs what the tests need, numba-cuda for the mutants of CUDA kernels: they run in Numba's simulator.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))  # run as a script, this file is in no package

from mutants.faults import MUTANTS, Mutant  # noqa: E402

COPIED = ("numbacnn", "cli", "tests", "pyproject.toml")
SECONDS = 600
"""The most that a mutant may take; one that hangs is not killed."""

BROKEN = re.compile(
    r"TypingError|LoweringError|NameError|UnboundLocalError|SyntaxError|ImportError|ModuleNotFoundError|Numba\w*Warning"
)
"""Errors of a mutant that is no program: a test that imports it would fail whatever it tests."""

FAILED = re.compile(r"^FAILED (\S+::.*?)(?: - (.*))?$", re.MULTILINE)


class Outcome(NamedTuple):
    """What became of a mutant: the test that failed, or the reason why the mutant counts as not killed."""

    killed_by: str | None
    problem: str
    seconds: float


class Copy:
    """A copy of the tree in a folder of its own, in which pytest can be run."""

    def __init__(self, folder: Path) -> None:
        folder = folder.resolve()
        self.root, self.installed, self.cache = folder / "tree", folder / "installed", folder / "compiled"
        self.root.mkdir()
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self.root / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
            else:
                shutil.copy(source, self.root)
        shutil.copytree(self.root / "cli", self.installed / "numbacnn_cli")  # its name once it is installed

    def apply(self, mutant: Mutant) -> None:
        """Put the fault into the copy.

        Raises:
            ValueError: the text to be changed does not occur exactly once.
        """
        path = self.root / mutant.file
        path.write_text(mutant.applied_to(path.read_text(encoding="utf-8")), encoding="utf-8")

    def environment(self, *, simulated: bool = False, own_cache: bool = False) -> dict[str, str]:
        """Variables for a process in which this copy, and nothing that is installed, is ``numbacnn``.

        Args:
            simulated: whether Numba simulates the GPU.
            own_cache: whether compiled kernels are kept with the copy, and not in the user's folder.
        """
        left = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "NUMBA_ENABLE_CUDASIM"))}
        left["PYTHONPATH"] = os.pathsep.join((str(self.root), str(self.installed)))
        left["PYTHONDONTWRITEBYTECODE"] = "1"
        left["COLUMNS"] = "1000"  # pytest cuts its lines to the width
        if simulated:
            left["NUMBA_ENABLE_CUDASIM"] = "1"
        if own_cache:
            left["NUMBA_CACHE_DIR"] = str(self.cache)
        return left

    def check_imports(self) -> None:
        """Exit unless the packages that a test imports are those of the copy."""
        code = "import numbacnn, numbacnn_cli; print(numbacnn.__file__); print(numbacnn_cli.__file__)"
        done = subprocess.run(
            [sys.executable, "-c", code], env=self.environment(), cwd=self.root.parent, capture_output=True, text=True
        )
        found = done.stdout.split("\n")
        if done.returncode or not (found[0].startswith(str(self.root)) and found[1].startswith(str(self.installed))):
            sys.exit(f"expected the packages of {self.root}, got {done.stdout}{done.stderr}")

    def pytest(
        self, tests: Iterable[str], *, simulated: bool, own_cache: bool, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run tests, given as ``path::name`` below tests/, up to the first that fails."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfs", "--tb=no", "-p", "no:cacheprovider"]
        return subprocess.run(
            [*command, *(f"tests/{test}" for test in tests)],
            cwd=self.root, env=self.environment(simulated=simulated, own_cache=own_cache), timeout=timeout,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


def without_faults(mutants: Sequence[Mutant]) -> float:
    """Run the tests of all mutants on an unchanged copy: they must pass. Returns the seconds that it took."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        copy.check_imports()
        for simulated in (False, True):
            tests = dict.fromkeys(mutant.test for mutant in mutants if mutant.is_simulated == simulated)
            if tests:
                done = copy.pytest(tests, simulated=simulated, own_cache=False)
                if done.returncode or ("SKIPPED" in done.stdout and simulated):
                    sys.exit(f"without a fault, the tests of the mutants must pass:\n{done.stdout}")
    return time.perf_counter() - start


def outcome_of(mutant: Mutant) -> Outcome:
    """Run a mutant's test on a copy with its fault."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        copy.apply(mutant)
        try:
            done = copy.pytest([mutant.test], simulated=mutant.is_simulated, own_cache=mutant.changes_kernels, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return Outcome(None, f"no end after {SECONDS} s", time.perf_counter() - start)
    seconds = time.perf_counter() - start
    if done.returncode == 0:
        return Outcome(None, "survived", seconds)
    failed = FAILED.search(done.stdout)
    if done.returncode != 1 or not failed:
        return Outcome(None, f"pytest exits with {done.returncode} and no failed test: {done.stdout[-300:]}", seconds)
    if BROKEN.search(failed[2] or ""):
        return Outcome(None, f"no program: {failed[2]}", seconds)
    return Outcome(failed[1].removeprefix("tests/"), "", seconds)


def main() -> int:
    """Print a table of the mutants asked for. Returns 1 unless all are killed."""
    parser = argparse.ArgumentParser(description="Put faults into copies of the tree, and see the tests find them.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants to run; all by default")
    parser.add_argument("--list", action="store_true", help="print the names and files")
    given = parser.parse_args()
    known = {mutant.name: mutant for mutant in MUTANTS}
    if unknown := [name for name in given.names if name not in known]:
        parser.error(f"no such mutant: {', '.join(unknown)}. --list prints the names")
    mutants = [known[name] for name in given.names] or list(MUTANTS)
    if given.list:
        print("\n".join(f"{mutant.name} | {mutant.file}" for mutant in mutants))
        return 0
    print(f"without a fault, their tests pass ({without_faults(mutants):.0f} s)\n\nmutant | file | killed by", flush=True)
    killed, start = 0, time.perf_counter()
    for mutant in mutants:
        outcome = outcome_of(mutant)
        killed += outcome.killed_by is not None
        by = outcome.killed_by or f"NOT KILLED: {outcome.problem}"
        print(f"{mutant.name} | {mutant.file} | {by} ({outcome.seconds:.0f} s)", flush=True)
    print(f"\n{killed} of {len(mutants)}, in {time.perf_counter() - start:.0f} s")
    return 0 if killed == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
