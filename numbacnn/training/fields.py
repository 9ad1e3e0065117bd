"""Plain values from a file, read field by field: a wrong one is an error that names it, what was expected and what the file has."""

from collections.abc import Callable, Mapping
from typing import Any

from numbacnn.errors import CheckpointError
from numbacnn.plain_numbers import is_number, is_whole
from numbacnn.quoting import plain, short

ADVICE = "Start without --resume"
_MISSING = object()


class Fields:
    """An object of a file: its values by their keys.

    Args:
        values: the object.
        path: of the object within the file, for messages: ``counters``; empty for the whole.
        source: the file, for messages.

    Raises:
        CheckpointError: it is no object; and, from every method, a value is missing or not as expected.
    """

    def __init__(self, values: Any, path: str, source: str):
        self._path, self._source = path, source
        if not isinstance(values, Mapping):
            raise CheckpointError(f"{source}: {path or 'its state'}: expected an object, got {short(values)}. {ADVICE}")
        self._values = values

    def whole(self, key: str, least: int = 0) -> int:
        """A whole number of at least ``least``."""
        return self.take(key, f"a whole number of at least {least}", lambda value: is_whole(value, least))

    def whole_or_none(self, key: str, least: int = 0) -> int | None:
        """A whole number of at least ``least``, or null; a missing one is null."""
        expected = f"a whole number of at least {least} or null"
        return self.take(key, expected, lambda value: value is None or is_whole(value, least), None)

    def number(self, key: str) -> float:
        """A finite number."""
        return self.take(key, "a finite number", is_number)

    def number_or_none(self, key: str) -> float | None:
        """A finite number or null; a missing one is null."""
        return self.take(key, "a finite number or null", lambda value: value is None or is_number(value), None)

    def text(self, key: str) -> str:
        """A text."""
        return self.take(key, "a text", lambda value: isinstance(value, str))

    def items(self, key: str) -> list[Any]:
        """A list."""
        return self.take(key, "a list", lambda value: isinstance(value, list))

    def fields(self, key: str) -> "Fields":
        """An object."""
        return Fields(self.take(key, "an object", lambda value: isinstance(value, Mapping)), self._name(key), self._source)

    def plain(self) -> dict[str, Any]:
        """All values, as they are."""
        return dict(self._values)

    def take(self, key: str, expected: str, is_expected: Callable[[Any], bool], default: Any = _MISSING) -> Any:
        """The value of a key, or the default for a missing one."""
        value = self._values.get(key, default)
        if value is _MISSING or not is_expected(value):
            raise self.error(key, expected)
        return value

    def check_keys(self, known: set[str]) -> None:
        """Raise if a key is not known."""
        for key in self._values:
            if key not in known:
                raise self.error(key, f"no such field, only {', '.join(sorted(known))}")

    def error(self, key: str, expected: str) -> CheckpointError:
        """The error that a value is not as expected."""
        got = short(self._values[key]) if key in self._values else "none"
        return CheckpointError(f"{self._source}: {plain(self._name(key))}: expected {expected}, got {got}. {ADVICE}")

    def _name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key
