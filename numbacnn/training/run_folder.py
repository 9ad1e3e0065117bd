"""The folder of a training run: its files, and the order in which they are written."""

import contextlib
import filecmp
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numbacnn.checkpoint import (
    Checkpoint,
    TrainedNetwork,
    load_checkpoint,
    load_likeness,
    save_checkpoint,
    save_likeness,
    save_network,
    weights_sha256,
)
from numbacnn.errors import CheckpointError
from numbacnn.files import make_folder, remove_file, remove_leftovers, sync_file, sync_folder, write_atomically
from numbacnn.likeness import Likeness
from numbacnn.ops import Ops
from numbacnn.training.events import EpochRecord
from numbacnn.training.history import history_csv
from numbacnn.training.run_files import is_lock, is_of_a_run
from numbacnn.training.saving import from_checkpoint, to_checkpoint
from numbacnn.training.state import State

PREVIOUS = "previous"
HALF_MADE = ".previous-half-made"
"""The folder of an earlier run until it is whole. No user would choose the name, so what a killed process left is removed."""
MODEL_FILE = "model.safetensors"
FEATURES_FILE = "features.safetensors"
HISTORY_FILE = "history.jsonl"
ANOTHER_FOLDER = "Give another folder with --output"


class RunFolder:
    """``model.safetensors``, ``checkpoint.safetensors``, ``history.jsonl``, ``history.csv`` and ``config.toml`` of one run.

    A run is on the disk from its beginning, so ``--resume`` takes the run begun last, and no other. While an earlier run is in
    the folder, a new one has only ``unfinished.safetensors`` beside it. Once the new run has completed an epoch, the earlier one
    goes to ``previous/`` (``previous-2/``, ...) as a whole, and the new one takes its place:

        unfinished.safetensors    the new run's epoch, and the name of the folder to come
        previous/                 links to the earlier run's files, in a folder made under another name
        the five files            of the new run, each replaced as a whole; the checkpoint last
        unfinished.safetensors    removed

    If that is cut short anywhere, ``unfinished.safetensors`` is still in the folder and says what remains to be done.

    A sixth file, ``features.safetensors``, is written at the end of the training. It is bound to its network by the digest of the
    weights, and removed before another network is written beside it.
    """

    def __init__(self, path: Path):
        self.path = path
        self.model = path / MODEL_FILE
        self.checkpoint = path / "checkpoint.safetensors"
        self.unfinished = path / "unfinished.safetensors"
        self.history = path / HISTORY_FILE
        self.table = path / "history.csv"
        self.config = path / "config.toml"
        self.features = path / FEATURES_FILE
        self._is_ours = False
        self.is_only_begun = False

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Make the folder and lock it, so that no other process trains into it. The lock ends with the process, however it ends.

        Raises:
            CheckpointError: the folder cannot be written to, or another process holds it.
        """
        from filelock import FileLock, Timeout  # imported late for the start-up time

        make_folder(self.path, ANOTHER_FOLDER)
        lock_file = self.path / ".lock"
        if not is_lock(lock_file):
            raise self._not_of_a_run(lock_file, "an empty file, the lock of a training")
        lock = FileLock(lock_file)
        try:
            lock.acquire(blocking=False)
            self._remove_half_written()
        except Timeout:
            raise CheckpointError(
                f"{self.path}: another training is writing to this folder. Wait until it has ended, or give another one with --output"
            ) from None
        except (NotImplementedError, OSError):
            pass  # a file system without locks is no reason not to train
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # it would hide the error that matters; the lock ends with the process anyway
                lock.release()

    def check_names(self) -> None:
        """Raise if a file of the user's own has one of the names that a run writes: it would be moved, or replaced.

        History and settings are a run's only beside a network or checkpoint: the user may have copied them from another folder.

        Raises:
            CheckpointError: with the name.
        """
        files = [file for file in (*self._files(), self.unfinished) if os.path.lexists(file)]
        of_a_run = {file for file in files if is_of_a_run(file)}
        is_run_folder = any(file.suffix == self.model.suffix for file in of_a_run)
        for file in files:
            if file not in of_a_run or not is_run_folder:
                raise self._not_of_a_run(file, "a file of an earlier run")

    def _not_of_a_run(self, file: Path, expected: str) -> CheckpointError:
        return CheckpointError(
            f"{file}: expected {expected}, got another file, or a damaged one. It stays as it is: "
            "give another folder with --output, or rename the file"
        )

    def begin(self, state: State, ops: Ops, about: dict[str, Any]) -> Path | None:
        """Put a new run on the disk, before any time is spent on it.

        Returns:
            the new folder of an earlier run that was stopped in its first epoch; None if there was none.
        """
        moved = None
        earlier_in = self._taking_over_from()
        if earlier_in and _same_run(self.unfinished, self.checkpoint):  # all that was left to do
            remove_file(self.unfinished)
            earlier_in = None
        if self._has_trained(self.unfinished):
            moved = self.previous()
            of_the_run = {} if earlier_in is None else {file: file.name for file in self._replaced_since(earlier_in)}
            self._make_folder(moved, {**of_the_run, self.unfinished: self.checkpoint.name})
        if earlier_in:
            # A run that was killed while it took over leaves some of its files beside some of the run before it. Each of the two
            # is complete in a folder of its own: the killed one was moved above, the earlier one before it was killed.
            for file in self._files():
                remove_file(file)
        self._is_ours = earlier_in is not None or not self.earlier_files()
        self.save_checkpoint(state, ops, about)
        self.is_only_begun = True
        if self._is_ours:
            remove_file(self.unfinished)
        return moved

    def abandon(self) -> bool:
        """Forget a run that has failed before its first step; ``--resume`` takes the run before it. Returns whether it has."""
        if self.is_only_begun:
            remove_file(self._target())
        return self.is_only_begun

    def load(self) -> Checkpoint:
        """The checkpoint of the run begun last.

        Raises:
            CheckpointError: there is none, or it cannot be read.
        """
        return load_checkpoint(self.resumable())

    def resume(self, checkpoint: Checkpoint, ops: Ops) -> State:
        """The state of a checkpoint from ``load``; the run goes on in this folder.

        Raises:
            CheckpointError: a field of it is missing or not as expected.
        """
        source = self.resumable()
        state, _ = from_checkpoint(checkpoint, ops, str(source))
        self._is_ours = source == self.checkpoint or self._taking_over_from() is not None
        return state

    def resumable(self) -> Path:
        """The file of the run begun last.

        Raises:
            CheckpointError: there is none.
        """
        source = self.unfinished if self.unfinished.exists() else self.checkpoint
        if not source.exists():
            raise CheckpointError(f"{source}: there is no run to resume. Start without --resume, or give its --output")
        return source

    def is_complete(self) -> bool:
        """Whether all files of the completed epochs are written."""
        return not self.unfinished.exists() and all(file.exists() for file in self._files() if file != self.features)

    def save_checkpoint(self, state: State, ops: Ops, about: dict[str, Any]) -> None:
        """Write the checkpoint; the files of an earlier run stay."""
        save_checkpoint(self._target(), to_checkpoint(state, ops, about))
        self.is_only_begun = False

    def save_epoch(self, state: State, ops: Ops, network: TrainedNetwork | None, config: str, about: dict[str, Any]) -> None:
        """After an epoch, write the network if it is to be kept (else None), history, settings and, last, the checkpoint."""
        if not self._is_ours:
            self._move_earlier_run(state, ops, about)
        if network is not None:
            remove_file(self.features)
            save_network(self.model, network)
        write_atomically(self.history, history_lines(state.history).encode())
        write_atomically(self.table, history_csv(state.history).encode())
        write_atomically(self.config, config.encode())
        self.save_checkpoint(state, ops, about)
        remove_file(self.unfinished)

    def has_features_of(self, network: TrainedNetwork) -> bool:
        """Whether the features of this network's training images are written."""
        try:
            load_likeness(self.features, network.graph, network.parameters)
        except CheckpointError:
            return False
        return True

    def save_features(self, likeness: Likeness, network: TrainedNetwork) -> None:
        """After the training, write the features of its images."""
        save_likeness(self.features, likeness, weights_sha256(network.graph, network.parameters))

    def previous(self) -> Path:
        """The folder for an earlier run: the first name that is free."""
        names = (PREVIOUS, *(f"{PREVIOUS}-{number}" for number in range(2, 1_000_000)))
        return next(self.path / name for name in names if not os.path.lexists(self.path / name))

    def earlier_files(self) -> list[Path]:
        """The files of an earlier run that is worth keeping: one with a network, or with at least one step."""
        files = [] if self._is_ours else [file for file in self._files() if file.exists()]
        return files if files != [self.checkpoint] or self._has_trained(self.checkpoint) else []

    def _remove_half_written(self) -> None:
        """Remove the temporary files of processes that were killed while they wrote; each is as large as the file it was to be."""
        for file in (*self._files(), self.unfinished):
            remove_leftovers(file)
        shutil.rmtree(self.path / HALF_MADE, ignore_errors=True)

    def _files(self) -> tuple[Path, ...]:
        return self.model, self.history, self.table, self.config, self.features, self.checkpoint

    def _target(self) -> Path:
        return self.checkpoint if self._is_ours else self.unfinished

    def _taking_over_from(self) -> Path | None:
        """The folder that the unfinished run has moved the earlier one to, if it was stopped before all of its own files were there."""
        try:
            earlier_in = load_checkpoint(self.unfinished).state["about"].get(PREVIOUS)
        except (CheckpointError, KeyError, TypeError, AttributeError):
            return None
        if not isinstance(earlier_in, str) or not any((self.path / earlier_in / file.name).exists() for file in self._files()):
            return None
        return self.path / earlier_in

    def _replaced_since(self, earlier_in: Path) -> list[Path]:
        """The network, history and settings that are no longer those of the earlier run, whose files were linked to this folder."""
        files = [file for file in self._files() if file != self.checkpoint and file.exists()]
        return [file for file in files if not _same_content(file, earlier_in / file.name)]

    def _has_trained(self, checkpoint: Path) -> bool:
        """Whether a checkpoint holds more than the beginning of a run; an unreadable one counts as trained."""
        if not checkpoint.exists():
            return False
        try:
            return load_checkpoint(checkpoint).state["counters"]["step"] != 0
        except (CheckpointError, KeyError, TypeError):
            return True

    def _move_earlier_run(self, state: State, ops: Ops, about: dict[str, Any]) -> None:
        if earlier := self.earlier_files():
            target = self.previous()
            self.save_checkpoint(state, ops, about | {PREVIOUS: target.name})
            self._make_folder(target, {file: file.name for file in earlier})
        self._is_ours = True

    def _make_folder(self, target: Path, files: dict[Path, str]) -> None:
        """Make a folder that holds links to these files under these names, all at once."""
        temporary = self.path / HALF_MADE
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            for file, name in files.items():
                _link(file, temporary / name)
            sync_folder(temporary)
            os.replace(temporary, target)
            sync_folder(self.path)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise CheckpointError(
                f"{self.path}: the earlier run in it cannot be moved to {target}: {error.strerror or error}. {ANOTHER_FOLDER}"
            ) from None


def _same_run(first: Path, second: Path) -> bool:
    """Whether two checkpoints are of one run at one step."""
    try:
        states = [dict(load_checkpoint(file).state) for file in (first, second)]
    except CheckpointError:
        return False
    for state in states:
        state["about"] = {key: value for key, value in state["about"].items() if key != PREVIOUS}
    return states[0] == states[1]


def _same_content(first: Path, second: Path) -> bool:
    return second.exists() and filecmp.cmp(first, second, shallow=False)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)  # a symbolic link may be relative, and would lead nowhere from another folder
    except OSError:  # a file system without links, as on memory sticks
        shutil.copy2(source, target)
        sync_file(target)


def history_lines(history: list[EpochRecord]) -> str:
    """One JSON object per epoch and line; no validation fields without validation images, null without test images."""
    absent = {"validation_loss", "validation_accuracy"}
    rows = ({key: value for key, value in asdict(record).items() if value is not None or key not in absent} for record in history)
    return "".join(json.dumps(row) + "\n" for row in rows)
