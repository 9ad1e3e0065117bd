"""The pictures that ``inspect --output`` writes: a summary that answers first, then a sheet for each layer."""

from pathlib import Path

from numbacnn.files import make_folder
from numbacnn.inspection.sheet import Answer, Captioned, filters_sheet, layer_sheet, summary_sheet
from numbacnn.inspection.tiles import image_pixels

from .findings import Findings, Seen, Why
from .new_files import write_new
from .png_files import holds_picture

LONGEST_NAME = 40
"""Characters of a layer's name in a file's: systems take 255 bytes in all."""


def write_sheets(found: Findings, folder: Path, force: bool) -> list[Path]:
    """Draw all sheets, then write them; returns their paths, the summary first.

    Raises:
        CheckpointError, DataError: a file cannot be written, or is another one and ``force`` is false. Nothing is written then.
    """
    files = {folder / name: png for name, png in _sheets(found).items()}
    make_folder(folder, "Give another folder with --output")
    write_new(files, lambda path: holds_picture(path, files[path]), "the picture to be drawn", force)
    return list(files)


def _sheets(found: Findings) -> dict[str, bytes]:
    """PNGs by their names: numbered, so that they stand in the network's order, and no layer's name can be another file's."""
    assert found.seen is not None
    assert found.why is not None
    sheets = {"summary.png": _summary(found, found.seen, found.why)}
    for number, layer in enumerate(found.seen.trace.layers, 1):
        sheets[f"{number:02}-{layer.name[:LONGEST_NAME]}.png"] = layer_sheet(layer)
    if found.filters is not None:
        title = f"{found.filters.layer}: its filters"
        sheets[f"filters-{found.filters.layer[:LONGEST_NAME]}.png"] = filters_sheet(
            found.filters.values, title, found.filters.in_colour
        )
    return sheets


def _summary(found: Findings, seen: Seen, why: Why) -> bytes:
    names = [found.class_name(number) for number in range(len(found.network.class_names))]
    likes = [
        Captioned(image_pixels(each.image), f"{names[each.label]}  {each.similarity:.4f}")
        for each in (found.likes.images if found.likes else ())
    ]
    answer, subject = names[seen.answer], seen.subject
    return summary_sheet(Answer(
        title=f"{answer}: {seen.probabilities[seen.answer]:.2%}",
        lines=(f"{subject.name}: {found.about(subject)}", f"{found.network.graph.name}, {found.path}"),
        image=image_pixels(subject.image), names=names, layers=seen.trace.layers, probabilities=seen.probabilities, heat=why.heat,
        heat_words=why.in_words(answer), likes=likes,
    ))  # fmt: skip
