"""``numbacnn lecture challenges``: a dense network and a CNN on images that are turned, lit, bent, scaled, moved, and shuffled."""

from pathlib import Path
from typing import Any

import click

from numbacnn.lecture.challenges import UNCHANGED, Challenges, contest, verdict
from numbacnn.lecture.contenders import command
from numbacnn.lecture.perturbations import FAMILIES
from numbacnn.plotting import Panel, check_plotting, save_panels
from numbacnn.quoting import counted

from . import contests, options
from .compiling import announced_compilations
from .console import notice, print_json, stdout
from .layout import Column, Table
from .new_files import check_new
from .paths import PLOTS, OutputFile
from .signals import Terminated, noted_signals
from .sparkline import sparkline
from .tables import percent, table


@click.command("challenges")
@contests.models(("dense128", "small"), 2)
@click.option("--plot", type=OutputFile(*PLOTS), metavar="FILE",
              help="Draw the curves to a file too: .png, .svg or .pdf; needs pip install 'numbacnn[plot]'.")  # fmt: skip
@options.force
@contests.sharing
def lecture_challenges(
    names: tuple[str, ...],
    plot: Path | None,
    force: bool,
    epochs: int,
    seeds: int,
    output_format: str,
    **shared: Any,
) -> None:
    """Train networks on images as they are, and measure them on test images that are changed, more and more.

    The families of changes are the lecture's five difficulties (rotation, lighting, deformation, scale, viewpoint) and shift. Then each
    network is trained anew on images whose pixels are all rearranged in one and the same way. By default, the two networks have about as
    many parameters. The last lines say where each is ahead by more than chance. Stopped by Ctrl-C, it prints what was measured.

    \b
    Example: numbacnn lecture challenges
             numbacnn lecture challenges --models dense128,small,cnn --plot challenges.png
    """
    check_new(plot, force, "--plot")
    if plot is not None:
        check_plotting()
    with announced_compilations():
        opened = contests.open_contest(names, **shared)
        watch = contests.view(opened, 2 * len(names) * seeds)
        found: Challenges | None = None
        try:
            for so_far in contest(opened.contenders, opened.dataset, opened.ops, epochs=epochs, seeds=seeds, watch=watch):
                found = so_far
        except Terminated:
            if found is not None:
                with noted_signals():  # matplotlib takes a second to start
                    notice(f"stopped after {counted(len(found.models), 'network')} of {len(names)}")
                    _report(found, opened, epochs, output_format, plot)
            raise
    assert found is not None  # there are two networks or more
    _report(found, opened, epochs, output_format, plot)


def _report(found: Challenges, opened: contests.Contest, epochs: int, output_format: str, plot: Path | None) -> None:
    """Print what was measured, and draw it if a file is asked for."""
    if output_format == "json":
        print_json(_as_dict(found, verdict(found)))
    else:
        _show(found, opened, epochs)
    if plot is not None:
        images = f"{found.images:,} test images of {opened.dataset.name}"
        save_panels(_panels(found), plot, f"Accuracy on {images}, more and more changed")
        notice(f"wrote {plot}")


def _show(found: Challenges, opened: contests.Contest, epochs: int) -> None:
    console = stdout()
    parameters = {each.name: each.parameters for each in opened.contenders}
    console.print(
        f"accuracy on {found.images:,} test images of {opened.dataset.name}, {counted(epochs, 'epoch')}, "
        + ", ".join(f"{name} with {parameters[name]:,} parameters" for name in found.models)
    )
    console.print(_table(found))
    console.print("")
    console.print(_curves(found))
    console.print("")
    if found.permutation:
        console.print(_permutations(found))
        console.print("")
    console.print("Trained by")
    for name in found.models:
        console.print(f"  {command(name, epochs, options=opened.options)}", soft_wrap=True)
    for line in verdict(found):
        console.print(line)


def _as_dict(found: Challenges, said: list[str]) -> dict[str, object]:
    return {
        "models": list(found.models),
        "families": [row._asdict() for row in found.families],
        "permutation": {model: each._asdict() for model, each in found.permutation.items()},
        "images": found.images,
        "seeds": found.seeds,
        "verdict": said,
    }


def _table(found: Challenges) -> Table:
    """The accuracy at every strength."""
    rows = table(Column("family", right=False), Column("difficulty", right=False, rank=2), "strength", *found.models,
                 Column("in", right=False, rank=1))  # fmt: skip
    last = ""
    for row in found.families:
        family = FAMILIES.get(row.family)
        name, last = ("" if row.family == last else row.family), row.family
        name = "unchanged" if row.family == UNCHANGED else name
        shares = (percent(row.accuracy[model]) for model in found.models)
        if family is None:
            rows.add_row(name, "", "", *shares, "")
        else:
            rows.add_row(name, family.difficulty if name else "", f"{row.strength:g}", *shares, family.unit if name else "")
    return rows


def _curves(found: Challenges) -> Table:
    """One curve for each family and network, all on the scale from 0 to 100 %."""
    console = stdout()
    rows = table("curve", Column("from", right=False, rank=1), *(Column(model, right=False) for model in found.models))
    for name, family in FAMILIES.items():
        strengths = family.curve()
        curves = ([0.0, 1.0, *found.curve(name, model)] for model in found.models)  # 0 and 1 set the scale; they are cut off
        rows.add_row(name, f"{strengths[0]:g} to {strengths[-1]:g}", *(sparkline(curve, console)[2:] for curve in curves))
    return rows


def _panels(found: Challenges) -> list[Panel]:
    """One panel for each family."""
    return [
        Panel(
            f"{name} ({family.difficulty})" if name != family.difficulty else name,
            family.unit,
            [f"{strength:g}" for strength in family.curve()],
            {model: found.curve(name, model) for model in found.models},
        )
        for name, family in FAMILIES.items()
    ]


def _permutations(found: Challenges) -> Table:
    rows = table("pixels", "as they are", "permuted", "difference")
    for model, each in found.permutation.items():
        rows.add_row(model, percent(each.before), percent(each.after), f"{100 * (each.after - each.before):+.2f}")
    return rows
