"""Pictures that are ready for a network: PNGs of a network's size, which are not brought into the form of digits once more.

A picture that was turned or lit on purpose looks like one that needs to be put right. A text in the file says that it does not.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

_KEY, _READY = "numbacnn", "ready"


def png_bytes(pixels: NDArray[np.uint8], *, ready: bool = False) -> bytes:
    """Grey pixels (height, width) as a PNG file.

    Args:
        ready: whether ``read_picture`` is to take them as they are, if they are of the size that it is asked for.
    """
    about = PngInfo()
    if ready:
        about.add_text(_KEY, _READY)
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "PNG", compress_level=1, pnginfo=about)
    return packed.getvalue()


def is_ready(image: Image.Image) -> bool:
    """Whether an open picture says so."""
    return image.format == "PNG" and image.info.get(_KEY) == _READY
