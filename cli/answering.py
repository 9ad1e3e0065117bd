"""Pictures to answers, any number of them: processes read the next ones while this one answers those that have been read."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from numbacnn.backends import threads as machine
from numbacnn.checkpoint import TrainedNetwork
from numbacnn.errors import DeviceError
from numbacnn.pictures import Picture
from numbacnn.quoting import plain
from numbacnn.shapes import cells

from .answers import Answer, Answers
from .blas import one_thread
from .compiling import announced_compilations
from .device import open_device
from .in_order import LostError, in_order
from .picture_reading import Given, Reading, Source, Unread

MANY = 64
"""One process has read fewer pictures before others have started."""

PIECE = 16
"""Pictures that a process reads at a time."""

BATCH = 8
"""Pieces that the network takes at a time."""

MOST_WORKERS, DEFAULT_WORKERS = 256, 8
"""The most processes, and the most unless the user asks for more: one network keeps few of them busy."""

_SMALL_IMAGE = 1 << 20  # values; larger ones are not prepared before it is known that there is memory for one


class Answered(NamedTuple):
    """Some answers, and the distance beyond which a picture is unlike the training images; None if nothing tells."""

    answers: list[Answer]
    threshold: float | None


class Answering(NamedTuple):
    """How pictures are answered.

    Args:
        path: of the network.
        reading: how they are read.
        device, threads, exact_conv, precision: to compute on, as ``device.open_device`` takes them.
        workers: processes that read; None leaves it to the number of pictures.
    """

    path: Path
    network: TrainedNetwork
    reading: Reading
    device: str
    threads: int | None
    exact_conv: bool
    precision: str
    workers: int | None

    def __call__(self, pictures: Sequence[Source]) -> Generator[Answered, None, None]:
        """The answers in the order of the pictures, a batch at a time; the processes end with the iterator.

        Raises:
            DeviceError: a process cannot be started, or was killed. All errors of ``Answers``.
        """
        if not pictures:
            return
        processes = self._processes(len(pictures))
        pieces = (pictures[first : first + PIECE] for first in range(0, len(pictures), PIECE))
        with ExitStack() as stack:

            def begin() -> Iterator[list[Picture | Unread]]:
                try:
                    return stack.enter_context(in_order(self.reading.several, pieces, processes))
                except OSError as error:
                    raise DeviceError(
                        f"--workers: expected {processes} processes, got fewer: {error.strerror or error}. Use --workers 1"
                    ) from None

            is_small = cells(self.reading.shape) <= _SMALL_IMAGE
            read = begin() if is_small else None  # they have read some before Numba and the kernels are there
            stack.enter_context(announced_compilations())
            if processes > 1:
                stack.enter_context(one_thread())
            ops = open_device(self.device, self.threads, self.exact_conv, self.precision)
            answers = Answers(self.path, self.network, ops, self.reading.form)
            read = read or begin()
            threshold = None if answers.likeness is None else answers.likeness.threshold
            try:
                while batch := list(chain.from_iterable(islice(read, BATCH))):
                    yield Answered(answers(batch), threshold)
            except LostError as error:
                names = [plain(each.name if isinstance(each, Given) else each) for each in (error.piece[0], error.piece[-1])]
                raise DeviceError(
                    f"{' ... '.join(dict.fromkeys(names))}: the process that read them was killed, for want of memory perhaps. "
                    "Use fewer --workers; the same command with --output FILE.jsonl goes on where it was stopped"
                ) from None

    def _processes(self, pictures: int) -> int:
        workers = self.workers
        if workers is None:
            workers = 1 if pictures < MANY else min(self.threads or machine.available(), DEFAULT_WORKERS)
        return max(1, min(workers, -(-pictures // PIECE)))
