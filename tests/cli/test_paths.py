"""Paths on the command line: ``~`` is the home folder wherever a path is taken, and an empty path is a mistake."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from command_line import every_command
from numbacnn_cli.main import app
from numbacnn_cli.paths import OutputFile, PathText, UserPath
from repository import ROOT

from numbacnn.backends.kernel_cache import cache_folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, beside the current folder."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


def path_parameters() -> Iterator[tuple[str, click.Parameter]]:
    for words, command in every_command():
        name = " ".join(words)
        for parameter in command.params:
            if isinstance(parameter.type, PathText):
                yield name, parameter


def parsed(name: str, parameter: click.Parameter, value: str) -> object:
    command = {" ".join(words): command for words, command in every_command()}[name]
    option = [f"{parameter.opts[0]}={value}"] if isinstance(parameter, click.Option) else []
    required = [
        each.opts[0] for each in command.params if isinstance(each, click.Option) and each.required and each is not parameter
    ]
    arguments = [
        value if each is parameter else _some(each.type)
        for each in command.params
        if isinstance(each, click.Argument) and (each is parameter or each.required)
    ]
    assert parameter.name is not None
    parent = click.Context(
        app, info_name="numbacnn", help_option_names=["-h", "--help"]
    )  # a command keeps the help option of its first one
    found = command.make_context(name, [*option, *(f"{each}=./x" for each in required), *arguments], parent).params[
        parameter.name
    ]
    return found[0] if isinstance(found, tuple) else found


def _some(kind: click.ParamType) -> str:
    return kind.choices[0] if isinstance(kind, click.Choice) else f"x{kind.endings[0]}" if isinstance(kind, OutputFile) else "./x"


PATH_PARAMETERS = list(path_parameters())


def test_every_path_of_every_command_is_of_this_type() -> None:
    found = {f"{name} {parameter.opts[0]}" for name, parameter in PATH_PARAMETERS}
    assert found == {
        "train --model", "train --config", "train --data-dir", "train --log-dir", "train --output",
        "sweep --model", "sweep --config", "sweep --data-dir", "sweep --output", "plot run", "plot --data-dir",
        "plot --output",
        "evaluate --model", "evaluate --data-dir", "predict files", "play --model", "play --versus", "play --data-dir",
        "predict --model", "shapes model", "shapes --compare", "shapes --diagram",
        "download --data-dir", "samples folder", "lecture xo --image", "lecture worksheet --output",
        "lecture worksheet --check", "lecture filter image", "lecture filter --filter", "lecture filter --gif",
        "lecture figure --output", "lecture figures --output", "lecture ladder --output", "lecture ladder --data-dir",
        "lecture challenges --plot", "lecture challenges --data-dir", "warmup models", "warmup --pack", "warmup --from",
        "bench kernels --model", "bench kernels --plot",
        "shapes --image", "shapes --data-dir", "inspect image", "inspect --model", "inspect --output", "inspect --data-dir",
        "inspect --over-epochs", "evaluate --sheet", "predict --output",
        "export model", "export file", "import file", "import model",
    }  # fmt: skip
    for source in (ROOT / "cli").glob("*.py"):
        assert not re.search(r"click\.(Path|File)\b", source.read_text(encoding="utf-8")), source.name


@pytest.mark.parametrize(("name", "parameter"), PATH_PARAMETERS, ids=lambda value: getattr(value, "name", value))
def test_a_tilde_after_an_equals_sign_is_the_home_folder(name: str, parameter: click.Parameter, home: Path) -> None:
    """``--output=~/x`` made a folder called ~."""
    ending = parameter.type.endings[0] if isinstance(parameter.type, OutputFile) else ""
    found = parsed(name, parameter, f"~/data of mine{ending}")
    assert os.fspath(found) == str(home / f"data of mine{ending}")  # type: ignore[call-overload]
    assert isinstance(found, Path if isinstance(parameter.type, UserPath) else str)
    if not ending:
        assert os.fspath(parsed(name, parameter, "~")) == str(home)  # type: ignore[call-overload]
    for kept in ("./a~", "a/~/b", "./~", "~nobody-of-this-name/x"):
        assert Path(str(parsed(name, parameter, f"{kept}{ending}"))) == Path(f"{kept}{ending}")


@pytest.mark.parametrize(("name", "parameter"), PATH_PARAMETERS, ids=lambda value: getattr(value, "name", value))
@pytest.mark.parametrize("empty", ["", "  ", "a\0b"])
def test_an_empty_path_is_a_usage_error(name: str, parameter: click.Parameter, empty: str) -> None:
    """``--output ""`` trained into the current folder, as an unset variable of a script makes it."""
    with pytest.raises(click.UsageError, match=r"expected .*, got (an empty text|spaces alone|a NUL character in it)\. "):
        parsed(name, parameter, empty)


def test_a_tilde_in_the_variable_of_the_data_folder_is_the_home_folder(home: Path) -> None:
    variables = {"NUMBACNN_DATA_DIR": "~/mnist", "NUMBACNN_MNIST_MIRRORS": "http://127.0.0.1:9/"}
    done = CliRunner(env=variables).invoke(app, ["download"])
    assert done.exit_code == 1
    assert (home / "mnist").is_dir()
    assert list(Path.cwd().iterdir()) == []


def test_a_tilde_in_the_variable_of_the_kernel_cache_is_the_home_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "~/kernels")
    folder = cache_folder(ROOT / "numbacnn" / "backends" / "cpu", "a version of this test").path
    assert folder is not None
    assert folder.is_relative_to(home / "kernels")
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(("name", "parameter"), PATH_PARAMETERS, ids=str)
def test_the_shell_completes_every_path(name: str, parameter: click.Parameter) -> None:
    option = [parameter.opts[0]] if isinstance(parameter, click.Option) else []
    words = {"COMP_WORDS": " ".join(["numbacnn", name, *option, "dat"]), "COMP_CWORD": str(1 + len(name.split()) + len(option))}
    done = CliRunner(env=words | {"_NUMBACNN_COMPLETE": "bash_complete"}).invoke(app, [], prog_name="numbacnn")
    assert done.output == "file,dat\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_that_the_readme_names_is_there(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("click.shell_completion.BashComplete._check_version", lambda self=None: None)  # that of the bash here
    done = CliRunner(env={"_NUMBACNN_COMPLETE": f"{shell}_source"}).invoke(app, [], prog_name="numbacnn")
    assert "_NUMBACNN_COMPLETE" in done.output
    assert f"{shell}_source" in (ROOT / "README.md").read_text(encoding="utf-8")
