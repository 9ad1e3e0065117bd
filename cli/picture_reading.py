"""Pictures brought into the form of a network's images: by this process, or by others that do nothing else.

Imports nothing of networks: such a process is there sooner, and takes less memory.
"""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numbacnn.errors import DataError, NumbaCNNError
from numbacnn.picture_forms import DIGITS, PHOTOGRAPHS
from numbacnn.pictures import Picture, read_photograph, read_picture
from numbacnn.shapes import Shape


class Given(NamedTuple):
    """What an argument stands for that is no file: the bytes of stdin, or the error of a folder without pictures."""

    name: str
    content: bytes | DataError


Source = str | Given
"""The path of a picture's file, or what is in its place."""


class Unread(NamedTuple):
    """A picture that cannot be read: its name, and the error's message."""

    name: str
    error: str


class Reading(NamedTuple):
    """How pictures are read.

    Args:
        form: one of ``picture_forms.FORMS``.
        invert: ``"auto"``, ``"yes"`` or ``"no"``, for digits.
        shape: (height, width, channels) of the network's images.
    """

    form: str
    invert: Any
    shape: Shape

    def one(self, source: Source) -> Picture | Unread:
        """A picture, or its error: one bad file does not stop the others."""
        name, content = (source, Path(source)) if isinstance(source, str) else source
        if isinstance(content, DataError):
            return Unread(name, str(content))
        if isinstance(content, Path) and not os.path.lexists(content):
            expected = "expected a picture's file or a folder of pictures, got a name that does not exist. Check the name"
            return Unread(name, f"{name}: {expected}")
        file = io.BytesIO(content) if isinstance(content, bytes) else content
        height, width, channels = self.shape
        try:
            if self.form == PHOTOGRAPHS:
                return read_photograph(file, name=name, size=(height, width), channels=channels)
            return read_picture(file, name=name, invert=self.invert, size=(height, width))
        except NumbaCNNError as error:
            return Unread(name, str(error))

    def several(self, sources: Sequence[Source]) -> list[Picture | Unread]:
        """Several, with all that can be known of them without the network."""
        found = [self.one(source) for source in sources]
        if self.form == DIGITS:
            for each in found:
                if isinstance(each, Picture):
                    each.parts  # noqa: B018  counted here, and kept
        return found
