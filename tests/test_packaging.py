"""What is released is whole: the source archive holds what its tests and documents need, and says under which licence."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import pytest
from repository import ROOT

import numbacnn
from numbacnn.backends import packaged_kernels
from numbacnn.backends.kernel_packs import SUFFIX
from numbacnn.version import __version__

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = {name: name.replace("numbacnn_cli", "cli", 1).replace(".", "/") for name in PROJECT["tool"]["setuptools"]["packages"]}
"""The folder of each installed package."""

JUNK = ("__pycache__", ".hypothesis", ".pytest_cache", ".mypy_cache", ".ruff_cache", "runs")

Rule = Callable[[str, list[str]], bool]
RULES: dict[str, Rule] = {
    "include": lambda path, patterns: any(
        fnmatchcase(path, pattern) and path.count("/") == pattern.count("/") for pattern in patterns
    ),
    "graft": lambda path, folders: any(path.startswith(f"{folder}/") for folder in folders),
    "recursive-include": lambda path, given: path.startswith(f"{given[0]}/") and _has_name(path, given[1:]),
    "global-exclude": lambda path, patterns: _has_name(path, patterns),
}
"""The commands of MANIFEST.in that are used there, as setuptools understands them; the last that matches a path decides."""


def _has_name(path: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(PurePosixPath(path).name, pattern) for pattern in patterns)


def is_released(path: str) -> bool:
    """Whether a file belongs to the source archive: by MANIFEST.in, as a module of a package, or as setuptools adds it by itself."""
    released = path in ("MANIFEST.in", "pyproject.toml", "README.md", *PROJECT["project"]["license-files"])
    folder, name = str(PurePosixPath(path).parent), PurePosixPath(path).name
    released |= folder in PACKAGES.values() and name.endswith(".py")
    released |= path in [
        f"{PACKAGES[p]}/{name}" for p, names in PROJECT["tool"]["setuptools"]["package-data"].items() for name in names
    ]
    for line in (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            command, *given = line.split()
            if RULES[command](path, given):
                released = not command.endswith("exclude")
    return released


def files_of_the_project() -> list[str]:
    """What git tracks; in an unpacked source archive, where there is no git, the files that are there."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
        if listed.returncode == 0:  # else a checkout that belongs to another user
            return sorted(name for name in listed.stdout.split("\0") if name and (ROOT / name).exists())
    folders = ("benchmarks", "cli", "data/samples", "docs", "numbacnn", "tests")
    paths = [path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    return sorted(path.as_posix() for path in paths if not set(JUNK) & set(path.parts))


def test_every_file_of_the_project_is_in_the_source_archive() -> None:
    files = files_of_the_project()
    assert [path for path in files if not is_released(path)] == []
    for needed in ("tests/conftest.py", "tests/golden/shapes-cnn.txt", "tests/datasets/test_mnist.py", "tests/devices.py",
                   "docs/cli.md", "data/samples/3-blue-pen.png", "benchmarks/peers.py", "numbacnn/py.typed", "cli/main.py"):  # fmt: skip
        assert needed in files


@pytest.mark.parametrize(
    "path",
    [
        "data/train-images-idx3-ubyte.gz",
        "data/train-images.idx3-ubyte",
        "data/MNIST/raw/t10k-labels-idx1-ubyte",
        "data/mnist.lock",
        "tests/__pycache__/conftest.cpython-311.pyc",
        "docs/.DS_Store",
        "numbacnn/packs/x86-64-v3.pack",
        "runs/last",
        ".venv/pyvenv.cfg",
    ],
)
def test_what_lies_about_in_a_working_copy_is_not_in_the_source_archive(path: str) -> None:
    assert not is_released(path)


def test_a_wheel_takes_the_packs_that_lie_where_the_package_looks_for_them() -> None:
    """In git's folder they are ignored, as they fit one interpreter."""
    (pattern,) = [name for name in PROJECT["tool"]["setuptools"]["package-data"]["numbacnn"] if name.endswith(".pack")]
    place = packaged_kernels.FOLDER.relative_to(Path(numbacnn.__file__).parent)
    assert fnmatchcase(f"{place}/x86-64-v3{SUFFIX}", pattern)
    assert f"numbacnn/{place}/" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()


def test_what_the_source_archive_is_said_to_hold_is_there() -> None:
    for line in (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines():
        command, *given = line.split()
        if command == "include":
            assert [name for name in given if not list(ROOT.glob(name))] == []
        elif command in ("graft", "recursive-include"):
            assert (ROOT / given[0]).is_dir()


def test_the_licence_is_there_and_named() -> None:
    project = PROJECT["project"]
    assert project["license"] == "MIT"
    assert project["license-files"] == ["LICENSE"]
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License\n")
    assert f"Copyright (c) 2026 {project['authors'][0]['name']}\n" in text
    assert not [entry for entry in project["classifiers"] if entry.startswith("License ::")]  # not allowed beside an expression
    assert PROJECT["build-system"]["requires"] == ["setuptools>=77"]  # older ones do not know the expression


def test_every_python_from_the_oldest_on_is_named() -> None:
    versions = [entry.rpartition(" ")[2] for entry in PROJECT["project"]["classifiers"] if re.search(r":: 3\.\d+$", entry)]
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert versions == [f"3.{int(oldest.split('.')[1]) + step}" for step in range(len(versions))]


def test_every_package_of_the_tree_is_installed() -> None:
    folders = {path.parent.relative_to(ROOT).as_posix() for top in ("numbacnn", "cli") for path in (ROOT / top).rglob("*.py")}
    assert set(PACKAGES.values()) == folders
    assert [folder for folder in folders if not (ROOT / folder / "__init__.py").exists()] == []


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    headings = re.findall(r"^## (\d[^\s]*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == __version__


def test_every_link_of_the_documents_leads_to_a_file_that_is_released() -> None:
    found = 0
    for page in (path.relative_to(ROOT) for pattern in ("*.md", "docs/*.md", "data/*.md") for path in ROOT.glob(pattern)):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / page).read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:", target):
                found += 1
                assert is_released((PurePosixPath(page).parent / target).as_posix()), f"{page}: {target}"
                assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"
    assert found >= 8


def test_ci_installs_every_extra_and_runs_tests_that_exist() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (installed,) = re.findall(r"'\.\[(test,[\w,]+)\]'", script)
    twice = {"cuda12"}  # the same kernels, with another compiler
    assert PROJECT["project"]["optional-dependencies"].keys() - twice <= set(installed.split(","))
    tests = re.findall(r"tests/[\w/.]+(?![\w/.*])", script)
    assert [path for path in tests if not (ROOT / path).exists()] == []
    assert "tests/test_sklearn.py" in tests


def test_an_extra_that_an_error_advises_to_install_is_one() -> None:
    advised = {
        extra
        for folder in ("numbacnn", "cli")
        for path in (ROOT / folder).rglob("*.py")
        for extra in re.findall(r"numbacnn\[([\w,]+)\]", path.read_text(encoding="utf-8"))
    }
    assert {"plot", "log", "sklearn", "cuda"} <= advised <= PROJECT["project"]["optional-dependencies"].keys()
