"""Options that are found to be wrong only when the network is known: usage errors all the same."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from numbacnn.errors import ModelError, ShapeError


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
