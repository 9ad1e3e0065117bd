"""Options that are found to be wrong only when others, or the network, are known: usage errors all the same."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from click.core import ParameterSource

from numbacnn.errors import ModelError, ShapeError


def check_heeded(ctx: click.Context, reason: str, *names: str) -> None:
    """Raise if the user gave one of these options, which would have no effect.

    Args:
        reason: why: ``--check marks answers``.
        names: of the options in the function of the command.

    Raises:
        UsageError: with the option and the reason.
    """
    for parameter in ctx.command.params:
        if parameter.name in names and ctx.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} has no effect here: {reason}. Leave it out.")


@contextmanager
def usage_of(option: str) -> Iterator[None]:
    """Within it, an error of the network means that the option names a layer or a cell that it does not have.

    Raises:
        BadParameter: with the words of the error.
    """
    try:
        yield
    except (ModelError, ShapeError) as error:
        raise click.BadParameter(f"{error}.", param_hint=f"'{option}'") from None
