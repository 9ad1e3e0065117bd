"""Paths on the command line and in environment variables: the one place where ``~`` becomes the home folder.

Shells expand ``--output ~/x``, but neither ``--output=~/x`` nor a variable's ``~/x`` in a file of settings.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from numbacnn.models import PRESETS
from numbacnn.quoting import short
from numbacnn.spelling import did_you_mean

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class PathText(click.ParamType):
    """A text that names a file: not empty, and with the home folder for a ``~`` at its beginning.

    Args:
        expected: the text's meaning, for the message where it is empty.
        advice: its end.
    """

    name = "text"

    def __init__(self, expected: str = "a path", advice: str = "Use . for the current folder.") -> None:
        self.expected = expected
        self.advice = advice

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = os.fspath(value)
        if not text.strip() or "\0" in text:
            got = "a NUL character in it" if "\0" in text else "an empty text" if not text else "spaces alone"
            self.fail(f"expected {self.expected}, got {got}. {self.advice}", param, ctx)
        return os.path.expanduser(text)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        """Let the shell complete the names of files."""
        from click.shell_completion import CompletionItem  # of no use to other commands

        return [CompletionItem(incomplete, type="file")]


class UserPath(PathText):
    """A path, of a file or a folder."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return Path(super().convert(value, param, ctx))


class ModelText(PathText):
    """A preset, a model file, a trained network or the folder of its run. A word that is neither a preset nor looks like a path is a
    preset misspelt; what looks like a path is looked for when it is read."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = super().convert(value, param, ctx)
        if text not in PRESETS and not (os.path.lexists(text) or any(character in text for character in "/\\.~")):
            meant = did_you_mean(text, PRESETS)
            presets = f"Presets: {', '.join(PRESETS)}"
            self.fail(
                f"expected a preset, a .toml model file or a .safetensors network, got {short(text)}.{meant} {presets}.",
                param,
                ctx,
            )
        return text


class OutputFile(UserPath):
    """A file to be written, whose name ends in one of several ways.

    Args:
        endings: ``".png"``, ``".svg"``, in small letters; capitals are taken too.
    """

    def __init__(self, *endings: str) -> None:
        super().__init__()
        self.endings = endings

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = super().convert(value, param, ctx)
        if path.suffix.lower() not in self.endings:
            *most, last = self.endings
            expected = f"{', '.join(most)} or {last}" if most else last
            self.fail(f"expected a name that ends in {expected}, got {str(value)!r}.", param, ctx)
        return path


PLOTS = (".png", ".svg", ".pdf")
"""The endings of files that ``numbacnn.plotting`` draws."""

MODEL = ModelText("a preset's name or a file", "'numbacnn models' lists the presets.")
DATASET = PathText("a data set's name or a path", "'numbacnn train --help' lists the names.")
PICTURE = PathText("a picture's file, a folder, or - for stdin", "Name one, as in 'numbacnn predict photo.png'.")
