"""Pictures that the command line names, in the form of the images that a network was trained on."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from numbacnn.checkpoint import TrainedNetwork
from numbacnn.errors import DataError, ModelError
from numbacnn.normalisation import PIXELS
from numbacnn.picture_forms import PHOTOGRAPHS
from numbacnn.pictures import MAX_FILE_BYTES
from numbacnn.pictures.files import PICTURE_ENDINGS, entry_names, in_other_formats, is_picture, is_picture_in_other_format

from .console import notice
from .picture_reading import Given, Source

STDIN = "-"


def picture_form(network: TrainedNetwork, name: object, given: str | None = None) -> str:
    """How a picture takes the form of a network's images: as given, or as the network's file says; in colour, always as a photograph.

    Args:
        name: the network's, for messages.
        given: one of ``picture_forms.FORMS``, or None.

    Raises:
        ModelError: no picture has that form.
    """
    channels = network.graph.input_shape[2]
    if channels not in (1, 3):
        raise ModelError(f"{name}: takes images of {channels} channels; pictures have 1 or 3. Choose another --model")
    if network.normalisation.dtype != PIXELS.dtype:
        raise ModelError(
            f"{name}: was trained on floats, whose scale only you know; pictures are pixels. Use nc.load(...).predict(images), "
            "or train on pixels 0...255 (uint8)"
        )
    return PHOTOGRAPHS if channels == 3 else given or network.pictures


def sources(files: tuple[str, ...]) -> list[Source]:
    """What the arguments stand for; a folder for its pictures in natural order, or for an error if it has none."""
    found: list[Source] = []
    for name in files:
        if name == STDIN:
            found.append(Given(name, sys.stdin.buffer.read(MAX_FILE_BYTES + 1)))
        elif os.path.isdir(name):
            inside, unread = _pictures_in(Path(name))
            found += inside or [Given(name, _no_pictures(name, unread))]
            if inside and unread:
                notice(f"{name}: left out: {in_other_formats(unread)}")
        else:
            found.append(name)
    return found


def _pictures_in(folder: Path) -> tuple[list[str], list[Path]]:
    """The paths of the pictures in a folder, and those in formats that are not read."""
    pictures, unread = [], []
    with suppress(OSError):
        for name in entry_names(folder):
            path = folder / name
            if is_picture(path) and path.is_file():
                pictures.append(str(path))
            elif is_picture_in_other_format(path) and path.is_file():
                unread.append(path)
    return pictures, unread


def _no_pictures(name: str, unread: list[Path]) -> DataError:
    got = in_other_formats(unread) if unread else "none. Folders inside of it are not searched: name one of them"
    return DataError(f"{name}: expected a folder of files that end in {', '.join(sorted(PICTURE_ENDINGS))}, got {got}")
