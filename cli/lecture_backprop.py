"""``numbacnn lecture backprop``: backpropagation through one convolution, with its sums written out."""

from typing import Any

import click
import numpy as np

from numbacnn.backends import get_ops
from numbacnn.lecture.backprop import backprop
from numbacnn.lecture.checks_training import number, sum_of_products
from numbacnn.lecture.vectors import vectors

from . import options
from .compiling import announced_compilations
from .console import print_json, stdout
from .matrix import Matrix

MOST_SUMS = 16
"""Sums of H that are written out."""


@click.command("backprop")
@click.option("--x", type=Matrix(), help="The input X; by default 1 2 3; 4 5 6; 7 8 9.")
@click.option("--w", type=Matrix(), help="The filter W; by default 1 2; -3 0.5.")
@click.option("--target", type=Matrix(), help="What H should be: E is half the squared error then, else the sum of H.")
@click.option("--eta", type=options.PositiveNumber(), default=0.01, show_default=True, help="Learning rate.")
@click.option("--stride", type=options.COUNT, default=1, show_default=True, metavar="N", help="Cells between two windows.")
@click.option(
    "--padding", type=click.Choice(["valid", "same"]), default="valid", show_default=True, help="Zeros around X, or none."
)
@options.reporting
def lecture_backprop(x: Any, w: Any, target: Any, eta: float, stride: int, padding: str, output_format: str) -> None:
    """Convolve X with W, send the error E back, and update W: every sum with its numbers, beside finite differences.

    A matrix is written row by row, with semicolons between rows.

    \b
    Example: numbacnn lecture backprop
             numbacnn lecture backprop --target "0 1; 2 -1" --eta 0.1
    """
    slide = vectors()["backprop_3x3_2x2"]
    x = np.array(slide["x"]) if x is None else x
    w = np.array(slide["kernel"]) if w is None else w
    with announced_compilations():
        found = backprop(get_ops("cpu", plain=True), x, w, target, eta, stride, padding)
    if output_format == "json":
        keys = ("x", "w", "h", "dh", "dw", "dx", "w_next", "eta", "error", "dw_by_differences")
        print_json({key: _plain(getattr(found, key)) for key in keys})
        return
    console = stdout()
    for title, matrix in (("X", found.x), ("W", found.w), ("H = X convolved with W", found.h)):
        _print_matrix(console, title, matrix)
    for i, j in list(np.ndindex(*found.h.shape))[:MOST_SUMS]:
        console.print(f"  h{_index(i, j)} = {sum_of_products(found.forward_terms(i, j))} = {found.h[i, j]:.10g}")
    if found.h.size > MOST_SUMS:
        console.print(f"  and {found.h.size - MOST_SUMS} more sums")
    _print_matrix(console, "dE/dH", found.dh)
    how = "sum of H" if target is None else "half the sum of (H - target)^2"
    console.print(f"E = {how} = {found.error:.10g}")
    for u, v in np.ndindex(*found.w.shape):
        console.print(f"  dE/dw{_index(u, v)} = {sum_of_products(found.terms(u, v))} = {found.dw[u, v]:.10g}")
    _print_matrix(console, "dE/dW by finite differences", found.dw_by_differences)
    largest = float(np.abs(found.dw - found.dw_by_differences).max())
    console.print(f"  they differ by {largest:.1e} at most")
    _print_matrix(console, "dE/dX", found.dx)
    for u, v in np.ndindex(*found.w.shape):
        step = f"{found.w[u, v]:.10g} - {found.eta:.10g} * {number(float(found.dw[u, v]))}"
        console.print(f"  w{_index(u, v)} next = {step} = {found.w_next[u, v]:.10g}")


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _index(u: int, v: int) -> str:
    """Row and column, counted from 1 as on the slides."""
    return f"{u + 1}{v + 1}" if max(u, v) < 9 else f"[{u + 1},{v + 1}]"


def _print_matrix(console: Any, title: str, matrix: Any) -> None:
    console.print(title)
    shown = [[f"{float(value) + 0.0:.10g}" for value in row] for row in matrix]
    width = max(len(value) for row in shown for value in row)
    for row in shown:
        console.print("  " + "  ".join(f"{value:>{width}}" for value in row))
