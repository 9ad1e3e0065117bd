"""``predict --output FILE.jsonl``: one line of JSON for each picture, written as it is answered, and continued by the same command.

Only whole lines count: what a killed process left half-written at the end is cut off. A line names the network and the options that
its answer depends on, so that no file mixes the answers of two.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from numbacnn.errors import CheckpointError
from numbacnn.files import check_replaceable, lock, write_atomically
from numbacnn.quoting import short

from .console import json_text

ADVICE = "Give another file with --output"

LONGEST_LINE = 1 << 24
"""Bytes: those of a network with half a million classes."""

_BEGINNING = b'{"file": "'


class AnswersFile:
    """The file, open for this process alone.

    Args:
        about: what the answers depend on, by the names that every line has: ``weights_sha256`` and options.

    Raises:
        CheckpointError: it cannot be written to, another process writes to it, or it holds something else.
    """

    def __init__(self, path: Path, about: Mapping[str, str]) -> None:
        self.path, self._about = path, dict(about)
        check_replaceable(path, ADVICE)
        self._is_new = not path.exists()
        self._open()

    def __enter__(self) -> "AnswersFile":
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):  # what matters has been written, or an error tells of it
            if self._is_new and not os.fstat(self._file.fileno()).st_size:
                self.path.unlink()
            self._file.close()

    def left_of(self, names: Mapping[str, object]) -> list[str]:
        """The names of those pictures that are still to be answered. The errors of such pictures are taken out of the file.

        Raises:
            CheckpointError: the file cannot be read or written, or holds something else.
        """
        done: set[str] = set()
        failed: set[str] = set()
        whole = 0
        for line, row in self._rows():
            whole += len(line)
            (failed if "error" in row else done).add(row["file"])
        self._cut(whole)
        if again := {name for name in failed if name in names}:
            kept = (line for line, row in self._rows() if not ("error" in row and row["file"] in again))
            if os.name != "posix":  # Windows replaces no open file
                self._file.close()
            write_atomically(self.path, kept, advice=ADVICE)
            self._file.close()
            self._open()
        return [name for name in names if name not in done]

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add answers, which have ``about`` among their values.

        Raises:
            CheckpointError: the disk is full, say.
        """
        rest = memoryview("".join(f"{json_text(row)}\n" for row in rows).encode())
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._problem(error) from None

    def flush(self) -> None:
        """Bring all answers to the disk.

        Raises:
            CheckpointError: the disk fails.
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._problem(error) from None

    def _open(self) -> None:
        try:
            self._file: BinaryIO = open(self.path, "ab", buffering=0)  # noqa: SIM115  closed at the end
        except OSError as error:
            raise self._problem(error) from None
        if lock(self._file.fileno()) is False:
            self._file.close()
            raise CheckpointError(f"{self.path}: another process writes to it. Wait for its end, or g{ADVICE[1:]}")

    def _rows(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """The whole lines and what they say."""
        try:
            with open(self.path, "rb") as file:
                for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 1):
                    if line.endswith(b"\n"):
                        yield line, self._row(line, number)
                    elif not (line.startswith(_BEGINNING) or _BEGINNING.startswith(line)) or len(line) == LONGEST_LINE:
                        raise self._foreign(number, line)
        except OSError as error:
            raise self._problem(error) from None

    def _row(self, line: bytes, number: int) -> dict[str, Any]:
        """What a line says.

        Raises:
            CheckpointError: it is no answer, or one of another network, or of other options.
        """
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or not isinstance(row.get("file"), str) or not self._about.keys() <= row.keys():
            raise self._foreign(number, line)
        for name, value in self._about.items():
            if row[name] != value:
                raise CheckpointError(
                    f"{self.path}, line {number}: expected answers with {name} {short(value)}, got one with {short(row[name])}. "
                    f"{ADVICE}, or the network and options that it was begun with"
                )
        return row

    def _foreign(self, number: int, line: bytes) -> CheckpointError:
        return CheckpointError(
            f"{self.path}, line {number}: expected an answer of 'numbacnn predict --output', got {short(line[:100])}. {ADVICE}"
        )

    def _cut(self, whole: int) -> None:
        """Cut off what follows the last whole line."""
        try:
            if os.fstat(self._file.fileno()).st_size > whole:
                os.truncate(self._file.fileno() if os.truncate in os.supports_fd else self.path, whole)
        except OSError as error:
            raise self._problem(error) from None

    def _problem(self, error: OSError) -> CheckpointError:
        return CheckpointError(
            f"{self.path}: cannot be written: {error.strerror or error}. Its whole lines are kept. Make room or g{ADVICE[1:]}"
        )
