"""``numbacnn lecture ladder``: the networks of the lecture, each better than the one before it."""

from pathlib import Path
from typing import Any

import click

from numbacnn.datasets import Dataset
from numbacnn.lecture.ladder import RUNGS, Rung, climb, remarks
from numbacnn.normalisation import COST_OF_RAW_PIXELS
from numbacnn.quoting import counted

from . import contests, options
from .compiling import announced_compilations
from .console import notice, print_json, stdout
from .layout import Column
from .new_files import check_new
from .paths import OutputFile
from .records import ENDINGS, write_records
from .signals import Terminated
from .tables import percent, table, text

WHICH = "numbacnn lecture ladder"


@click.command("ladder")
@contests.models(tuple(RUNGS), 1)
@click.option("--raw-pixels", is_flag=True, help="Feed pixels as numbers 0...255, as the lecture does: for comparison.")
@click.option("--output", type=OutputFile(*ENDINGS), metavar="FILE", help="Write the table to a file too: .csv or .html.")
@options.force
@contests.sharing
def lecture_ladder(
    names: tuple[str, ...],
    raw_pixels: bool,
    output: Path | None,
    force: bool,
    epochs: int,
    seeds: int,
    output_format: str,
    **shared: Any,
) -> None:
    """Train the networks of the lecture one after the other, and tell their story in one table.

    Each is trained by its own recipe, but for the number of epochs. gain is the step from the row above, in points of a hundred; the
    commands below the table repeat each row. Stopped by Ctrl-C, it prints the rows that are done.

    \b
    Example: numbacnn lecture ladder
             numbacnn lecture ladder --epochs 1 --dataset digits --models softmax,dense128,small
             numbacnn lecture ladder --seeds 3 --output ladder.html
    """
    check_new(output, force, "--output")
    rungs: list[Rung] = []
    with announced_compilations():
        contest = contests.open_contest(names, raw_pixels=raw_pixels, **shared)
        watch = contests.view(contest, len(names) * seeds)
        try:
            rungs.extend(
                climb(contest.contenders, contest.dataset, contest.ops, epochs=epochs, seeds=seeds, options=contest.options,
                      watch=watch)
            )  # fmt: skip
        except Terminated:
            if rungs:
                notice(f"stopped after {len(rungs)} of {len(names)} networks")
                _report(rungs, contest.dataset, epochs, raw_pixels, output_format, output)
            raise
    _report(rungs, contest.dataset, epochs, raw_pixels, output_format, output)


def _report(rungs: list[Rung], dataset: Dataset, epochs: int, raw_pixels: bool, output_format: str, output: Path | None) -> None:
    """Print the rungs, and write them to a file if one is asked for."""
    said = _show(rungs, dataset, epochs, raw_pixels, output_format)
    if output is not None:
        write_records(output, f"{WHICH}: {_heading(dataset, epochs)}", [rung._asdict() for rung in rungs], said)
        notice(f"wrote {output}")


def _show(rungs: list[Rung], dataset: Dataset, epochs: int, raw_pixels: bool, output_format: str) -> list[str]:
    """Print the rungs; returns the remarks below the table."""
    said = remarks(rungs, dataset)
    if raw_pixels:
        said.append(f"Pixels were fed as numbers 0...255. It costs accuracy: {COST_OF_RAW_PIXELS}.")
    if output_format == "json":
        print_json([rung._asdict() for rung in rungs])
        return said
    console = stdout()
    console.print(_heading(dataset, epochs))
    console.print(_table(rungs))
    for line in said:
        console.print(line)
    console.print("")
    seeds = rungs[0].seeds
    console.print(
        "To repeat a row:" if seeds == 1 else f"To repeat a row, with --seed 0 to --seed {seeds - 1}, of which it is the mean:"
    )
    for rung in rungs:
        console.print(f"  {rung.command}", soft_wrap=True)
    return said


def _heading(dataset: Dataset, epochs: int) -> str:
    images = f"{len(dataset.train_images):,} training and {len(dataset.test_images):,} test images"
    return f"{images} of {dataset.name}, {counted(epochs, 'epoch')}"


def _table(rungs: list[Rung]) -> Any:
    has_spread = rungs[0].spread is not None
    spread = [Column("spread", rank=2)] if has_spread else []
    rows = table(
        "network", text("what is new"), Column("parameters", rank=3), "test accuracy", *spread, "gain", Column("s", rank=1)
    )
    before: float | None = None
    for rung in rungs:
        gain = "" if before is None else f"{100 * (rung.accuracy - before):+.2f}"
        spreads = [f"{100 * (rung.spread or 0):.2f}"] if has_spread else []
        rows.add_row(rung.model, rung.rung, f"{rung.parameters:,}", percent(rung.accuracy), *spreads, gain, f"{rung.seconds:.1f}")
        before = rung.accuracy
    return rows
