"""Drawings of a network, as text: Mermaid, which Markdown pages show, and SVG, which every browser shows."""

import html
from collections.abc import Sequence

from numbacnn.graph import INPUT
from numbacnn.quoting import plain
from numbacnn.summary import LayerSummary, Summary

_FONT, _CHARACTER, _LINE = 14, 8.6, 20  # pixels: of the font, of one of its characters, of a line of text
_GAP, _MARGIN, _PADDING, _LANE = 28, 24, 10, 18  # between boxes, around the drawing, within a box, between bypassing arrows
_COLOURS = {"Conv2D": "#cfe2ff", "DepthwiseConv2D": "#cfe2ff", "Dense": "#d1e7dd"}
_POOLING, _OTHER = "#fff3cd", "#f1f3f5"


def mermaid(summary: Summary) -> str:
    """A Mermaid flowchart: one box for each layer, an arrow for each input."""
    numbers = _numbers(summary)
    lines = ["flowchart TD"]
    for number, texts in enumerate(_texts(summary)):
        lines.append(f'    n{number}["{"<br/>".join(map(_mermaid_text, texts))}"]')
    lines += [f"    n{numbers[name]} --> n{numbers[row.name]}" for row in summary.layers for name in row.inputs]
    return "\n".join(lines) + "\n"


def svg(summary: Summary) -> str:
    """An SVG picture: boxes from top to bottom, arrows of branches at the right of the boxes that they pass."""
    numbers, texts = _numbers(summary), _texts(summary)
    width = _CHARACTER * max(_columns(line) for lines in texts for line in lines) + 2 * _PADDING
    lanes = _lanes(summary)
    total = width + 2 * _MARGIN + _LANE * (1 + max(lanes.values(), default=-1))
    parts, tops, top = [], [], float(_MARGIN)
    rows: list[LayerSummary | None] = [None, *summary.layers]
    for row, lines in zip(rows, texts, strict=True):
        height = _LINE * len(lines) + 2 * _PADDING
        tops.append((top, height))
        parts.append(
            f'<rect x="{_MARGIN}" y="{top:.1f}" width="{width:.1f}" height="{height}" rx="6" fill="{_colour(row)}" stroke="#495057"/>'
        )
        for index, line in enumerate(lines):
            y = top + _PADDING + _LINE * index + _FONT
            weight = ' font-weight="bold"' if index == 0 else ""
            parts.append(f'<text x="{_MARGIN + _PADDING}" y="{y:.1f}"{weight}>{html.escape(line)}</text>')
        top += height + _GAP
    for row in summary.layers:
        for name in row.inputs:
            start, end = tops[numbers[name]], tops[numbers[row.name]]
            parts.append(_arrow(start, end, width, lanes.get((name, row.name))))
    bottom = top - _GAP + _MARGIN
    title = html.escape(f"The network {plain(summary.model)}, {len(summary.layers)} layers, {summary.parameters:,} parameters")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{total:.0f}" height="{bottom:.0f}" '
        f'viewBox="0 0 {total:.0f} {bottom:.0f}" font-family="monospace" font-size="{_FONT}" fill="#212529">\n'
        f"<title>{title}</title>\n"
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{chr(10).join(parts)}\n</svg>\n'
    )


def _numbers(summary: Summary) -> dict[str, int]:
    return {INPUT: 0} | {row.name: number for number, row in enumerate(summary.layers, 1)}


def _texts(summary: Summary) -> list[list[str]]:
    """The lines of each box: the input's, then each layer's."""
    boxes = [[INPUT, _sides(summary.input_shape)]]
    for row in summary.layers:
        what = [row.type]
        if row.window is not None:
            what.append(_sides(row.window))
        if row.stride is not None and row.stride != (1, 1):
            what.append(f"stride {row.stride[0]}" if row.stride[0] == row.stride[1] else f"stride {_sides(row.stride)}")
        counted = [f"{row.parameters:,} parameters"] if row.parameters else []
        boxes.append([plain(row.name), ", ".join(what), _sides(row.output_shape), *counted])
    return boxes


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _columns(text: str) -> int:
    """The width of a text in characters of a monospaced font, in which those of East Asia take two."""
    return sum(1 if ord(character) < 0x1100 else 2 for character in text)


def _mermaid_text(text: str) -> str:
    """A text that Mermaid takes for nothing else: what is neither a letter, a digit nor harmless is given by its number."""
    return "".join(c if c.isalnum() or c in " ._,-" else f"#{ord(c)};" for c in text)


def _colour(row: LayerSummary | None) -> str:
    kind = "" if row is None else row.type
    return _POOLING if "Pool" in kind else _COLOURS.get(kind, _OTHER)


def _lanes(summary: Summary) -> dict[tuple[str, str], int]:
    """For each arrow that passes other boxes, its lane at their right, from 0: the first that no arrow before it still takes."""
    numbers, lanes, taken = _numbers(summary), {}, list[int]()
    for row in summary.layers:
        for name in row.inputs:
            start, end = numbers[name], numbers[row.name]
            if end == start + 1:
                continue
            lane = next((index for index, free_from in enumerate(taken) if free_from <= start), len(taken))
            taken[lane : lane + 1] = [end]
            lanes[name, row.name] = lane
    return lanes


def _arrow(start: tuple[float, float], end: tuple[float, float], width: float, lane: int | None) -> str:
    line = '<path class="arrow" fill="none" stroke="#495057" stroke-width="1.5"'
    if lane is None:
        x, y = _MARGIN + width / 2, end[0]
        shaft, head = (
            f"M{x:.1f},{start[0] + start[1]:.1f} V{y - 4:.1f}",
            f"M{x - 4:.1f},{y - 8:.1f} L{x:.1f},{y:.1f} L{x + 4:.1f},{y - 8:.1f} z",
        )
    else:
        side, y = _MARGIN + width, end[0] + 0.4 * end[1]
        shaft = f"M{side:.1f},{start[0] + 0.6 * start[1]:.1f} H{side + _LANE * (lane + 1):.1f} V{y:.1f} H{side + 4:.1f}"
        head = f"M{side + 8:.1f},{y - 4:.1f} L{side:.1f},{y:.1f} L{side + 8:.1f},{y + 4:.1f} z"
    return f'{line} d="{shaft}"/><path fill="#495057" d="{head}"/>'
