"""All figures of the lecture, and a page that shows them."""

import html
from collections.abc import Callable, Iterator, Mapping, Sequence

from numbacnn.lecture.arithmetic import Arithmetic
from numbacnn.lecture.figure import Figure
from numbacnn.lecture.figures_dense import challenge_figures, dense_figures
from numbacnn.lecture.figures_filters import filter_figures
from numbacnn.lecture.figures_layers import layer_figures
from numbacnn.lecture.figures_training import tensorflow_figures, training_figures
from numbacnn.lecture.figures_xo import xo_figures
from numbacnn.lecture.sections import SECTIONS
from numbacnn.ops import Ops

DRAWN: dict[str, Callable[[Arithmetic], Iterator[Figure]]] = {
    "dense": dense_figures,
    "challenges": challenge_figures,
    "filters": filter_figures,
    "layers": layer_figures,
    "xo": xo_figures,
    "tensorflow": tensorflow_figures,
    "training": training_figures,
}
"""The figures of each section, in the lecture's order."""
PAGE = "index.html"


def figures(ops: Ops, section: str | None = None) -> dict[str, list[Figure]]:
    """Draw the figures, by section; their numbers are computed by the device.

    Args:
        ops: the device, with float64.
        section: a name in ``DRAWN``; None for all.
    """
    arithmetic = Arithmetic(ops)
    return {name: list(draw(arithmetic)) for name, draw in DRAWN.items() if section in (None, name)}


def page(drawn: Mapping[str, Sequence[Figure]]) -> str:
    """A page in HTML with these figures, their slides, and texts in place of pictures; the files lie beside it."""
    parts = []
    for name, figures in drawn.items():
        parts.append(f"<h2>{html.escape(SECTIONS[name].title)}</h2>")
        parts += [_figure(each) for each in figures]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Figures of the lecture</title>\n'
        "<style>\nbody { font-family: sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #212529; }\n"
        "figure { margin: 2em 0; }\nimg { max-width: 100%; height: auto; border: 1px solid #dee2e6; }\n"
        "figcaption { margin-top: 0.5em; }\n</style>\n</head>\n<body>\n<h1>Figures of the lecture</h1>\n"
        "<p>The lecture is &quot;Convolutional Neural Networks&quot; by Amir H. Payberah (KTH), 2021-11-25. numbacnn has computed the "
        f"numbers in these figures.</p>\n{chr(10).join(parts)}\n</body>\n</html>\n"
    )


def _figure(each: Figure) -> str:
    title, slide, alt = (html.escape(text) for text in (each.title, each.slide, each.alt))
    return (
        f'<figure>\n<img src="{each.name}.svg" alt="{alt}">\n'
        f"<figcaption><strong>{title}</strong><br>Slide: {slide}</figcaption>\n</figure>"
    )
