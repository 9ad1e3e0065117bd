"""A group of commands that are imported when they are called: --help needs their names and help lines alone."""

import importlib
import keyword
from typing import Any

import click

from numbacnn.spelling import close_matches, did_you_mean


class LazyGroup(click.Group):
    """Commands by name.

    Args:
        summaries: each command's name and its line in --help. A command is a function of that name in the module of that name.
        prefix: stands before the names of modules and functions, as in ``lecture_verify``.
    """

    def __init__(self, *args: Any, summaries: dict[str, str], prefix: str = "", **options: Any) -> None:
        super().__init__(*args, **options)
        self.summaries = summaries
        self.prefix = prefix

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.summaries:
            return None
        name = self.prefix + cmd_name
        name = f"{name}_" if keyword.iskeyword(name) else name  # Python has no module of its own word `import`
        return getattr(importlib.import_module(f".{name}", __package__), name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            hint = did_you_mean(args[0], self.summaries)
            if not hint:
                raise
            raise click.UsageError(error.message + hint, error.ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            close = _options_meant(error.option_name, error.ctx) if error.ctx else []
            if not close:
                raise
            raise click.UsageError(
                f"No such option {error.option_name!r}. Did you mean {' or '.join(close)}?", error.ctx
            ) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries.items()))


def is_alone(ctx: click.Context, output_format: str) -> bool:
    """Whether a group is called without one of its commands, and so to list them.

    Raises:
        click.UsageError: --format stands before a command.
    """
    if ctx.invoked_subcommand is not None and output_format != "text":
        raise click.UsageError(
            f"--format stands after the command: {ctx.command_path} {ctx.invoked_subcommand} --format {output_format}."
        )
    return ctx.invoked_subcommand is None


def _options_meant(given: str, ctx: click.Context) -> list[str]:
    """The options that begin with ``given`` or have it as initials, else the options of similar spelling."""
    options = {name.lstrip("-"): name for option in ctx.command.get_params(ctx) for name in option.opts if name.startswith("--")}
    word = given.lstrip("-")
    initials = {name: "".join(part[0] for part in name.split("-")) for name in options}
    short = [name for name in options if name.startswith(word) or initials[name] == word]
    return [options[name] for name in short or close_matches(word, options)]
