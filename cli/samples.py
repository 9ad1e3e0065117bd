"""``numbacnn samples``: pictures to try ``predict`` on, in the many forms of users' pictures."""

from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from numbacnn.datasets import digits
from numbacnn.files import make_folder
from numbacnn.quoting import counted

from . import options
from .compiling import announced_compilations
from .console import print_json, stdout
from .new_files import write_new
from .paths import UserPath
from .png_files import holds_picture, png_bytes

SAMPLES_SEED = 20
ENLARGED = 6


@click.command()
@click.argument("folder", type=UserPath(), default=Path("samples"))
@click.option(
    "--seed",
    type=options.WholeNumber(0, 2**31),
    default=SAMPLES_SEED,
    show_default=True,
    metavar="N",
    help="Seed of the ten digits.",
)
@options.force
@options.reporting
def samples(folder: Path, seed: int, force: bool, output_format: str) -> None:
    """Draw ten sample pictures into FOLDER: one of each digit, each in another form (colours, sizes, transparency, 16 bits ...).

    Files that hold these pictures already stay as they are.

    Example: numbacnn samples my-samples
    """
    from numbacnn.backends import get_ops

    get_ops("cpu")
    make_folder(folder)
    with announced_compilations():
        images, labels = digits.draw(10, seed=seed)
    files: dict[Path, bytes] = {}
    for image, label in zip(images, labels.tolist(), strict=True):
        name, convert = FORMS[label]
        files[folder / f"{label}-{name}.png"] = png_bytes(convert(image))
    written = write_new(files, lambda path: holds_picture(path, files[path]), "the picture to be drawn", force)
    if output_format == "json":
        print_json({"folder": str(folder), "files": list(map(str, files)), "wrote": list(map(str, written))})
    else:
        console = stdout()
        there = len(files) - len(written)
        console.print_wrapped(
            f"wrote {counted(len(written), 'picture')} to {folder}{f'; {there} were there already' * bool(there)}"
        )
        console.print(f"next: numbacnn predict {folder}", soft_wrap=True)


def _enlarged(image: NDArray[np.uint8], factor: int = ENLARGED) -> NDArray[np.uint8]:
    """The digit larger, its edge as sharp as a pen's."""
    side = image.shape[0] * factor
    smooth = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)).astype(np.float64)
    return np.clip((smooth - 96) * 4, 0, 255).astype(np.uint8)


def _on_canvas(ink: NDArray[np.uint8], height: int, width: int, top: int, left: int) -> NDArray[np.uint8]:
    canvas = np.zeros((height, width), np.uint8)
    canvas[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return canvas


def _blend(ink: NDArray[np.uint8], pen: tuple[int, int, int], paper: tuple[int, int, int]) -> Image.Image:
    share = ink[..., None] / 255
    return Image.fromarray((share * pen + (1 - share) * paper).round().astype(np.uint8))


def _transparent(image: NDArray[np.uint8]) -> Image.Image:
    ink = _enlarged(image)
    return Image.fromarray(np.dstack([np.zeros((*ink.shape, 3), np.uint8), ink]))


FORMS: dict[int, tuple[str, Any]] = {
    0: ("as-in-mnist", Image.fromarray),
    1: ("black-on-white", lambda image: Image.fromarray(255 - _enlarged(image))),
    2: ("off-centre", lambda image: Image.fromarray(255 - _on_canvas(_enlarged(image), 420, 360, 30, 170))),
    3: ("blue-pen", lambda image: _blend(_enlarged(image), (25, 45, 150), (252, 250, 240))),
    4: ("transparent", _transparent),
    5: ("chalk", lambda image: _blend(_enlarged(image), (235, 235, 225), (30, 70, 50))),
    6: ("one-bit", lambda image: Image.fromarray(255 - _enlarged(image)).convert("1")),
    7: ("sixteen-bits", lambda image: Image.fromarray(_enlarged(image).astype(np.uint16) * 257)),
    8: ("palette", lambda image: _blend(_enlarged(image), (160, 20, 20), (255, 255, 255)).quantize(16)),
    9: ("small-on-large", lambda image: Image.fromarray(255 - _on_canvas(_enlarged(image, 3), 500, 640, 350, 60))),
}
