"""``mpiexec -n 4 numbacnn train``: the first rank is the command, and the others train with it, silently.

    the first rank                        the others
    reads the command line                wait
    ---------------------- options, or how the command has ended ----------------------
    open the device, and tell of themselves: all must compute the same bits
    reads the data, begins the run        wait
    ------------------ data and state, or how the command has ended -------------------
    train in step; the first rank shows and saves
    writes the report                     wait
    --------------------------- how the command has ended ------------------------------

A rank that fails tells the others (``MpiRanks.fail``), so that none waits for it.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from numbacnn.backends import get_ops, kernel_cache_problem, processor, rounds_once, threads
from numbacnn.engines import launch
from numbacnn.errors import DeviceError, NumbaCNNError, TrainingError
from numbacnn.groups import group_count
from numbacnn.quoting import counted
from numbacnn.ranks import ALONE

from . import console
from .main import is_expected, show_traceback, words
from .signals import Terminated, is_first_to_say, leave_by, noted_signals, received

if TYPE_CHECKING:
    from numbacnn.checkpoint import Checkpoint
    from numbacnn.datasets import Dataset
    from numbacnn.engines.mpi import Failure, MpiRanks
    from numbacnn.ops import Ops
    from numbacnn.training import State

    from .train_options import TrainOptions
    from .train_run import Run


class _Begin(NamedTuple):
    """What the others need to open their devices."""

    device: str
    threads: int | None
    exact_conv: bool
    processor: str | None


class _SetUp(NamedTuple):
    """What there is to train."""

    exact_conv: bool
    precision: str
    dataset: "Dataset"
    checkpoint: "Checkpoint"


class _End(NamedTuple):
    """How the command has ended."""

    code: int


class Facts(NamedTuple):
    """What must be equal on all ranks, and where each of them is.

    Args:
        host: its name.
        problem: why its device cannot be opened; empty if it is open.
        versions: of the program and the compiler, and the digest of its sources, in words.
        fuses: whether its processor multiplies and adds with a single rounding.
        device: the name of the one that it has opened.
    """

    host: str
    problem: str
    versions: str = ""
    fuses: bool = True
    device: str = "cpu"


class Crew:
    """The ranks of one training, as seen from its command: one process alone has nobody to ask."""

    size = 1
    threads: int | None = None
    """Of this rank, if nobody asks for another number; None for all that the machine grants."""

    def start(self, call: "TrainOptions") -> "TrainOptions":
        """Open the devices of all ranks; returns the options that are theirs."""
        return call

    def check_batch(self, images: int) -> None:
        """Raise TrainingError if a batch of so many images is too small for the ranks."""

    def begin(self, run: "Run") -> None:
        """Give the data and the state to all ranks, and compile the kernels."""

    def agree(self, number: int | None) -> int | None:
        """The signal that stops all ranks after the same step, from that which this one has received."""
        return number

    def check_weights(self, state: "State", ops: "Ops") -> None:
        """Raise TrainingError if the ranks' weights are not equal."""

    def end(self) -> None:
        """The training is over: the first rank goes on alone."""


class RankedCommand(click.Command):
    """A command that may be started several times by a launcher: the first rank reads the command line."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        place = None if parent is None else launch.find()  # without one, another command asks what options mean
        if place is None:
            return super().make_context(info_name, args, parent, **extra)
        if place.rank:
            return self.context_class(self, info_name=info_name, parent=parent)
        try:
            return super().make_context(info_name, args, parent, **extra)
        except (click.ClickException, click.exceptions.Exit) as error:
            if (ranks := _join(place, lambda text: None)) is not None:
                ranks.broadcast(_End(error.exit_code))
                _finish(ranks)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        place = launch.find()
        if place is None:
            ctx.obj = Crew()
            return super().invoke(ctx)
        ctx.obj = None
        if place.rank:
            return _follow(place)
        if (ranks := _join(place, console.error)) is None:
            return 1
        crew = _Led(ranks)
        ctx.obj = crew
        try:
            code = super().invoke(ctx)
        except BaseException as error:
            if crew.fail(error):
                return 1
            raise
        crew.dismiss(code)
        return code


def _join(place: launch.Launch, say: Callable[[str], object]) -> "MpiRanks | None":
    """The ranks; None if this process cannot be one of them, which the first one of each host says."""
    from numbacnn.engines.mpi import MpiRanks

    try:
        return MpiRanks(place)
    except DeviceError as error:
        if place.local_rank == 0:
            say(str(error))
            launch.abort()
        return None


class _Led(Crew):
    """The crew as its first rank leads it.

    Args:
        ranks: all of them.
    """

    def __init__(self, ranks: "MpiRanks"):
        self._ranks, self.size = ranks, ranks.size
        self._is_training = False
        self._ops: Ops  # once training has begun

    def start(self, call: "TrainOptions") -> "TrainOptions":
        begin = _Begin(call.device, call.threads, call.exact_conv, processor.pinned())
        self._ranks.broadcast(begin)
        self.threads, facts = _open(self._ranks, begin)
        if problem := unlike(facts):
            raise DeviceError(problem)
        device = device_of_all(call.device, facts)
        if call.device == "auto":
            console.notice(f"--device auto: {device}, as {'each rank has' if device == 'cuda' else 'not every rank has'} a GPU")
        return replace(call, device=device)

    def check_batch(self, images: int) -> None:
        most = group_count(images) if images >= group_count(images) else 1
        if self.size > most:
            raise TrainingError(
                f"mpiexec: expected at most {counted(most, 'rank')} for a batch of {counted(images, 'image')}, got {self.size}. "
                "Start fewer, or give a larger --batch-size"
            )

    def begin(self, run: "Run") -> None:
        from numbacnn.training import to_checkpoint

        self._ranks.broadcast(
            _SetUp(run.origin.exact_conv, run.origin.precision, run.dataset, to_checkpoint(run.state, run.ops, {}))
        )
        self._is_training, self._ops = True, run.ops
        _prepare(self._ranks, run.state, run.ops)

    def agree(self, number: int | None) -> int | None:
        return self._ranks.largest(number or 0) or None

    def check_weights(self, state: "State", ops: "Ops") -> None:
        _check_weights(self._ranks, state, ops)

    def end(self) -> None:
        self._is_training = False
        self._ops.ranks = ALONE

    def fail(self, error: BaseException) -> bool:
        """The command ends by an exception: end the others too. Returns whether the user has been told."""
        from numbacnn.engines.mpi import NoAnswerError

        if self._is_training or isinstance(error, NoAnswerError):
            return _fail(self._ranks, error).is_told and isinstance(error, Exception)
        code = error.exit_code if isinstance(error, (click.ClickException, click.exceptions.Exit)) else 1
        number = received()
        self.dismiss(code if number is None else 128 + number)
        return False

    def dismiss(self, code: int) -> None:
        """The command has ended with this exit code."""
        self._ranks.broadcast(_End(code))
        _finish(self._ranks)


def _follow(place: launch.Launch) -> int:
    """Be a rank that is not the first; returns the exit code."""
    is_first_to_say()  # nothing: that is for the first rank
    with noted_signals():
        if (ranks := _join(place, console.error)) is None:
            return 1
        try:
            return _obey(ranks)
        except Exception as error:
            return _fail(ranks, error).code


def _obey(ranks: "MpiRanks") -> int:
    begin = ranks.broadcast()
    if isinstance(begin, _Begin):
        processor.pin(begin.processor)
        share, facts = _open(ranks, begin)
        if unlike(facts):
            return _until_dismissed(ranks)
        set_up = ranks.broadcast()
        if isinstance(set_up, _SetUp):
            _train_along(ranks, set_up, device_of_all(begin.device, facts), begin.threads or share)
            return _until_dismissed(ranks)
        begin = set_up
    _finish(ranks)
    return int(begin.code)


def _finish(ranks: "MpiRanks") -> None:
    """Leave the others at the end."""
    from numbacnn.engines.mpi import leave

    ranks.finish()
    leave_by(leave)


def _fail(ranks: "MpiRanks", error: BaseException) -> "Failure":
    """Leave the others with an error, or after a signal, of which the first rank tells by itself."""
    from numbacnn.engines.mpi import leave

    number = received() if isinstance(error, Terminated) else None
    if number is None:
        failure = ranks.fail(error, words(error), 1, _say)
    else:
        failure = ranks.fail(error, "", 128 + number, lambda text: None)
    leave_by(leave)
    return failure


def _until_dismissed(ranks: "MpiRanks") -> int:
    end = ranks.broadcast()
    _finish(ranks)
    return int(end.code)


def _train_along(ranks: "MpiRanks", set_up: _SetUp, device: str, number_of_threads: int) -> None:
    """Train in step with the first rank."""
    from numbacnn.training import EpochDone, StepDone, from_checkpoint, train

    ops = get_ops(device, number_of_threads, exact_conv=set_up.exact_conv, precision=set_up.precision)
    state, _ = from_checkpoint(set_up.checkpoint, ops, "the first rank's state")
    _prepare(ranks, state, ops)
    for event in train(state, set_up.dataset, ops):
        if isinstance(event, EpochDone):
            _check_weights(ranks, state, ops)
        if isinstance(event, (StepDone, EpochDone)) and ranks.largest(received() or 0) and state.epoch < state.settings.epochs:
            return


def _open(ranks: "MpiRanks", begin: _Begin) -> tuple[int, list[Facts]]:
    """Open the device of each rank: the threads of this one, and what is known of all."""
    share = _share_of_threads(ranks)
    try:
        facts = _facts(ranks, begin.device, begin.threads or share)
    except NumbaCNNError as error:
        facts = Facts(ranks.host, str(error))
    return share, ranks.gather_objects(facts)


def _share_of_threads(ranks: "MpiRanks") -> int:
    """The threads of this rank by default: what is available, divided by the ranks of this host that may use the same processors."""
    own = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset({0})
    places = ranks.gather_objects((ranks.host, own))
    return max(1, threads.available() // sum(host == ranks.host and bool(processors & own) for host, processors in places))


def _facts(ranks: "MpiRanks", device: str, number_of_threads: int) -> Facts:
    from numbacnn.engines.alike import versions
    from numbacnn.engines.devices import take_gpu

    if device != "cpu":
        take_gpu(ranks.local_rank)
    ops = get_ops(device, number_of_threads)
    return Facts(ranks.host, "", versions(), rounds_once(), ops.name)


def device_of_all(asked: str, facts: list[Facts]) -> str:
    """The device of every rank; ``auto`` takes GPUs if each rank has one."""
    if asked != "auto":
        return asked
    return "cuda" if all(each.device == "cuda" for each in facts) else "cpu"


def unlike(facts: list[Facts]) -> str:
    """Why these ranks cannot train together; empty if they can."""
    first = facts[0]
    for rank, each in enumerate(facts):
        name = f"rank {rank} of {len(facts)} on {each.host}"
        if each.problem:
            return first.problem or f"{name}: {each.problem}"
        if each.versions != first.versions:
            return (
                f"mpiexec: expected the same program on all ranks, got {first.versions} on rank 0 on {first.host}, "
                f"and {each.versions} on {name}. Install the same on every host"
            )
        if each.fuses != first.fuses:
            has, lacks = (f"rank 0 on {first.host}", name) if first.fuses else (name, f"rank 0 on {first.host}")
            return (
                f"mpiexec: expected processors that all have fma, or all lack it, got one with it for {has}, and one without for "
                f"{lacks}. Their networks would not be equal: leave one kind out"
            )
    return ""


def _prepare(ranks: "MpiRanks", state: "State", ops: "Ops") -> None:
    """Compile the kernels, on the first rank of each host; the others find them in the cache. Share memory, and train together."""
    from numbacnn.training import warm_up

    if ranks.local_rank == 0 or kernel_cache_problem():
        warm_up(state.graph, state.settings, ops)
    ranks.meet()
    state.parameters, state.slots = ranks.share_large(state.parameters), ranks.share_large(state.slots)
    ops.ranks = ranks


def _check_weights(ranks: "MpiRanks", state: "State", ops: "Ops") -> None:
    from numbacnn.checkpoint import weights_sha256

    digests = ranks.gather_objects(
        weights_sha256(state.graph, {name: ops.to_host(array) for name, array in state.parameters.items()})
    )
    for rank, digest in enumerate(digests):
        if digest != digests[0]:
            raise TrainingError(
                f"epoch {state.epoch}: expected equal weights on all ranks, got others on {ranks.name(rank)}. "
                "Training stopped; files of earlier epochs are as they were"
            )


def _say(text: str) -> None:
    """Print an error that is under way, as the program does."""
    if "--debug" in sys.argv or not is_expected(sys.exception()):
        show_traceback()
    console.error(text)
    sys.stderr.flush()
