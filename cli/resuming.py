"""The folder that ``train --resume`` takes, and the note of the run begun last that it is found by."""

import os
from pathlib import Path

from numbacnn.errors import CheckpointError
from numbacnn.training.run_folder import RunFolder

from .model_source import LAST_RUN, read_model, read_note, write_note
from .train_options import TrainOptions

LAST_BEGUN = LAST_RUN.with_name("last-begun")
"""The note of the run begun or resumed last. ``LAST_RUN`` names the last one that has ended, which need not be the same."""


def check_output(folder: Path, resume: bool) -> None:
    """Raise if the folder would take the place of a note.

    Raises:
        CheckpointError: with the note; or there is no current folder.
    """
    try:
        current = Path.cwd()
    except OSError as error:
        raise CheckpointError(f"{folder}: the current folder is gone: {error.strerror}. Change to another one") from None
    path = Path(os.path.normpath(current / folder))
    for note in (LAST_RUN, LAST_BEGUN):
        if path.is_relative_to(current / note) and not (resume and note.is_dir()):  # earlier versions made such a folder
            way_out = "Leave --output out to resume that run" if resume else "Give another folder with --output"
            raise CheckpointError(
                f"{folder}: expected a folder for a run, got {note}, the name of the note of the last run. {way_out}"
            )


def folder_to_resume(options: TrainOptions) -> RunFolder:
    """The folder of ``--output``; else of the model and data set that the user named; else of the run begun last from here.

    Raises:
        CheckpointError: there is no run in it.
    """
    last = read_note(LAST_BEGUN) or read_note(LAST_RUN)
    if options.output is None and last is not None and not options.named & {"model", "dataset"}:
        folder = RunFolder(last)
    else:
        folder = RunFolder(options.output or options.folder(read_model(options.model).graph.name))
    check_output(folder.path, resume=True)
    try:
        folder.resumable()
    except CheckpointError as error:
        if last is None or last.absolute() == folder.path.absolute():
            raise
        raise CheckpointError(f"{error}. The run begun last from here is in {last}") from None
    return folder


def note_begun(folder: Path) -> Path | None:
    """Note that a run begins, or goes on, in this folder.

    Returns:
        the folder noted before.
    """
    before = read_note(LAST_BEGUN)
    write_note(LAST_BEGUN, folder)
    return before


def forget_begun(before: Path | None) -> None:
    """Take back a note of ``note_begun``, whose result this is."""
    if before is not None:
        write_note(LAST_BEGUN, before)
    else:
        LAST_BEGUN.unlink(missing_ok=True)
