"""Pictures that the command line names, in the form of the images that a network was trained on."""

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numbacnn.checkpoint import TrainedNetwork
from numbacnn.errors import DataError, ModelError, NumbaCNNError
from numbacnn.normalisation import PIXELS
from numbacnn.picture_forms import PHOTOGRAPHS
from numbacnn.pictures import MAX_FILE_BYTES, Picture, read_photograph, read_picture
from numbacnn.pictures.files import PICTURE_ENDINGS, entries, in_other_formats, is_picture, is_picture_in_other_format
from numbacnn.shapes import Shape

from .console import notice

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


def sources(files: tuple[str, ...]) -> Iterator[tuple[str, Path | io.BytesIO | DataError]]:
    """The names and pictures of the arguments; a folder stands for its pictures in natural order, or for an error if it has none."""
    for name in files:
        path = Path(name)
        if name == STDIN:
            yield name, io.BytesIO(sys.stdin.buffer.read(MAX_FILE_BYTES + 1))
        elif path.is_dir():
            inside, unread = _pictures_in(path)
            yield from ((str(p), p) for p in inside)
            if not inside:
                yield name, _no_pictures(name, unread)
            elif unread:
                notice(f"{name}: left out: {in_other_formats(unread)}")
        else:
            yield name, path


def _pictures_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures in a folder, and those in formats that are not read."""
    try:
        files = [path for path in entries(folder) if path.is_file()]
    except OSError:
        files = []
    return [path for path in files if is_picture(path)], [path for path in files if is_picture_in_other_format(path)]


def _no_pictures(name: str, unread: list[Path]) -> DataError:
    got = in_other_formats(unread) if unread else "none. Folders inside of it are not searched: name one of them"
    return DataError(f"{name}: expected a folder of files that end in {', '.join(sorted(PICTURE_ENDINGS))}, got {got}")


def read(name: str, source: Path | io.BytesIO | DataError, form: str, invert: Any, shape: Shape) -> Picture | tuple[str, str]:
    """A picture in the form of a network's images, or its name and the error: one bad file does not stop the others.

    Args:
        name, source: from ``sources``.
        form: one of ``picture_forms.FORMS``.
        invert: ``"auto"``, ``"yes"`` or ``"no"``, for digits.
        shape: (height, width, channels) of the network's images.
    """
    if isinstance(source, DataError):
        return name, str(source)
    if isinstance(source, Path) and not os.path.lexists(source):
        return name, f"{name}: expected a picture's file or a folder of pictures, got a name that does not exist. Check the name"
    try:
        height, width, channels = shape
        if form == PHOTOGRAPHS:
            return read_photograph(source, name=name, size=(height, width), channels=channels)
        return read_picture(source, name=name, invert=invert, size=(height, width))
    except NumbaCNNError as error:
        return name, str(error)
