"""The folder of a training run: what is in it, and when it is written."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numbacnn.checkpoint import TrainedNetwork, load_checkpoint, save_checkpoint, save_network
from numbacnn.errors import CheckpointError
from numbacnn.files import make_folder, write_atomically
from numbacnn.ops import Ops
from numbacnn.training.events import EpochRecord
from numbacnn.training.state import State, from_checkpoint, to_checkpoint

PREVIOUS = "previous"
MODEL_FILE = "model.safetensors"


class RunFolder:
    """``model.safetensors``, ``checkpoint.safetensors``, ``history.jsonl`` and ``config.toml`` of one run.

    A new run leaves what an earlier one left in the folder as it is until it has completed an epoch of its own; then it moves
    those files to ``previous/`` (``previous-2/``, ...). Stopped before that, it leaves ``unfinished.safetensors`` beside them.
    """

    def __init__(self, path: Path):
        self.path = path
        self.model = path / MODEL_FILE
        self.checkpoint = path / "checkpoint.safetensors"
        self.unfinished = path / "unfinished.safetensors"
        self.history = path / "history.jsonl"
        self.config = path / "config.toml"
        self._is_ours = False

    def prepare(self) -> None:
        """Make the folder, and be sure it can be written to, before any time is spent."""
        make_folder(self.path, "Give another folder with --output")

    def resume(self, ops: Ops) -> tuple[State, dict[str, Any]]:
        """The state that was saved here, and what was saved beside it.

        Raises:
            CheckpointError: there is none, or it cannot be read.
        """
        source = self.unfinished if self.unfinished.exists() else self.checkpoint
        if not source.exists():
            raise CheckpointError(f"{source}: there is no run to resume. Start without --resume, or give its --output")
        state = from_checkpoint(load_checkpoint(source), ops, str(source))
        self._is_ours = source == self.checkpoint
        return state

    def save_checkpoint(self, state: State, ops: Ops, about: dict[str, Any]) -> None:
        """Keep all that is needed to go on, and whatever an earlier run has left."""
        target = self.checkpoint if self._is_ours or not self._earlier_files() else self.unfinished
        save_checkpoint(target, to_checkpoint(state, ops, about))

    def save_epoch(self, state: State, ops: Ops, network: TrainedNetwork | None, config: str, about: dict[str, Any]) -> None:
        """After an epoch: the network if it is to be kept (else None), history, settings and, last, the checkpoint."""
        self._set_earlier_run_aside()
        if network is not None:
            save_network(self.model, network)
        write_atomically(self.history, history_lines(state.history).encode())
        write_atomically(self.config, config.encode())
        save_checkpoint(self.checkpoint, to_checkpoint(state, ops, about))
        self.unfinished.unlink(missing_ok=True)

    def previous(self) -> Path:
        """Where the files of an earlier run will go: the first folder that is not there yet."""
        names = (PREVIOUS, *(f"{PREVIOUS}-{number}" for number in range(2, 1_000_000)))
        return next(self.path / name for name in names if not (self.path / name).exists())

    def _earlier_files(self) -> list[Path]:
        return [file for file in (self.model, self.checkpoint, self.history, self.config) if file.exists()]

    def _set_earlier_run_aside(self) -> None:
        earlier = [] if self._is_ours else self._earlier_files()
        self._is_ours = True
        if not earlier:
            return
        target = self.previous()
        make_folder(target, "Give another folder with --output")
        for file in earlier:
            try:
                os.replace(file, target / file.name)
            except OSError as error:
                raise CheckpointError(f"{file}: cannot be moved to {target}: {error.strerror}. Give another --output") from None


def history_lines(history: list[EpochRecord]) -> str:
    """One JSON object per epoch and line; validation only where images were held out."""
    rows = ({key: value for key, value in asdict(record).items() if value is not None} for record in history)
    return "".join(json.dumps(row) + "\n" for row in rows)
