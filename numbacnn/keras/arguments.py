"""Names and arguments that Keras has and numbacnn has not: the error says what is there, or which word was meant."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from numbacnn.quoting import short
from numbacnn.spelling import did_you_mean


def no_such_name(module: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error for a name that a module lacks."""
    names = sorted(known)
    meant = "" if name.startswith("__") else did_you_mean(name, names)
    return AttributeError(f"module {module!r} has no attribute {name!r}.{meant} It has {', '.join(names)}", name=name)


def supported_by(function: Callable[..., Any], *without: str) -> list[str]:
    """The names of a function's arguments, but ``self``, those left over, and those in ``without``."""
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.kind is not each.VAR_KEYWORD and each.name not in ("self", *without)]


def check_arguments(who: str, supported: Sequence[str], others: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Refuse the arguments that a call has left over, except those at Keras's default, which change nothing.

    Args:
        who: the name of the function in messages.
        supported: the arguments that it takes.
        others: the arguments left over.
        defaults: Keras's default of each argument of Keras's that is not supported.

    Raises:
        TypeError: the message names the argument meant, or those there are.
    """
    for name, value in others.items():
        if name not in defaults:
            raise TypeError(
                f"{who} takes no argument {short(name)}.{did_you_mean(name, [*supported, *defaults])} It takes {', '.join(supported)}"
            )
        check_default(who, name, value, defaults[name], supported)


def check_default(who: str, name: str, value: Any, default: Any, supported: Iterable[str] = ()) -> None:
    """Refuse any value but Keras's default of an argument that is not supported.

    Raises:
        TypeError: it is another value.
    """
    if value is default or (isinstance(value, (str, int, float)) and value == default):
        return
    instead = ", ".join(supported)
    raise TypeError(
        f"{who}: {name}={short(value)} is not supported, only {name}={default!r}. Leave it out"
        + (f"; supported are {instead}" if instead else "")
    )
