"""``numbacnn predict``: what a trained network tells of pictures."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import numpy as np

from numbacnn.checkpoint import load_network, weights_sha256
from numbacnn.doubts import UNLIKE
from numbacnn.quoting import counted

from . import options
from .answering import DEFAULT_WORKERS, MANY, MOST_WORKERS, Answering
from .answers import Answer
from .answers_file import AnswersFile
from .console import error, json_text, print_json, print_json_text, stdout
from .model_source import trained_model
from .paths import PICTURE, OutputFile
from .picture_files import STDIN, picture_form, sources
from .picture_reading import Given, Reading, Source
from .pictures import draw_picture
from .predict_view import PicturesView
from .signals import Terminated, is_first_to_say, say_line
from .usage import check_heeded


@click.command()
@click.argument("files", nargs=-1, required=True, type=PICTURE, metavar="PNG...")
@options.trained_model
@click.option(
    "--top", type=options.COUNT, default=3, show_default=True, metavar="N", help="Number of classes to list for each picture."
)
@click.option("--show", is_flag=True, help="Show the steps and the converted picture of each file; of a single file, always.")
@click.option("--output", type=OutputFile(".jsonl"), metavar="FILE.jsonl",
              help="Add a line of JSON for each picture to this file, and leave out the pictures that it has.")  # fmt: skip
@click.option("--workers", type=options.WholeNumber(1, MOST_WORKERS), metavar="N",
              help=f"Processes that read the pictures; by default one, and from {MANY} pictures on one a thread, at most "
              f"{DEFAULT_WORKERS}. Changes no result.")  # fmt: skip
@options.picture_forms
@options.computing
@options.output_formats("text", "json", "jsonl", explained="; jsonl has a line for each picture")
@options.debug
@click.pass_context
def predict(
    ctx: click.Context,
    files: tuple[str, ...],
    model: Path | None,
    top: int,
    show: bool,
    output: Path | None,
    workers: int | None,
    invert: Any,
    pictures_as: str | None,
    device: str,
    threads: int | None,
    exact_conv: bool,
    precision: str,
    output_format: str,
) -> int:
    """Tell what is in pictures: files, folders, or - for stdin.

    Any size, mode and colour; each picture is converted to the form of the training images: a digit is centred by its ink, a
    photograph only scaled. The steps are shown for a single file, and for several with --show; else each file has one line.

    Where the answer may be wrong, it says why it is unsure: the picture is unlike every training image, has several parts as two digits
    have, reaches the edge, or the probability is low. A picture without any ink is an error.

    The answers to many pictures come while others are being read, in their order. With --output they go to a file: after Ctrl-C, give
    the same command.

    \b
    Example: numbacnn predict data/samples
             numbacnn predict data/samples --show
             numbacnn predict photo.png --top 5 --format json
             numbacnn predict scans --output scans.jsonl
    """
    if output is not None:
        check_heeded(ctx, "--output writes all that is known of a picture", "top", "show")
        if output_format == "jsonl":
            raise click.UsageError("--format jsonl prints what --output writes: give one of them.")
        if STDIN in files:
            raise click.UsageError("--output knows pictures by their names, and - has none: leave one of them out.")
    path = trained_model(model)
    network = load_network(path)
    form = picture_form(network, path, pictures_as)
    reading = Reading(form, invert, network.graph.input_shape)
    answering = Answering(path, network, reading, device, threads, exact_conv, precision, workers)
    about = {"weights_sha256": weights_sha256(network.graph, network.parameters), "pictures": form, "invert": invert}
    pictures = sources(files)
    if output is not None:
        return _write(output, pictures, answering, about, output_format)
    page = Page(output_format, network.class_names, top, show or len(pictures) == 1, about)
    failures = 0
    view = PicturesView(len(pictures), is_shown=len(pictures) >= MANY)
    with view, closing(answering(pictures)) as batches:
        for answers, threshold in batches:
            page.print(answers, threshold)
            view.done += len(answers)
            failures += sum("error" in answer.row for answer in answers)
    page.end()
    return 1 if failures else 0


def _write(output: Path, pictures: Sequence[Source], answering: Answering, about: dict[str, Any], output_format: str) -> int:
    """Add the answers that a file does not have yet, and print how many these are."""
    errors = 0
    with AnswersFile(output, about) as file:
        by_name = {each.name if isinstance(each, Given) else each: each for each in pictures}
        to_do = [by_name[name] for name in file.left_of(by_name)]
        view = PicturesView(len(to_do), is_shown=True)
        try:
            with view, closing(answering(to_do)) as batches:
                for answers, _ in batches:
                    file.write(answer.row | about for answer in answers)
                    view.done += len(answers)
                    for answer in answers:
                        if "error" in answer.row:
                            errors += 1
                            if output_format == "text":
                                error(answer.row["error"])
            file.flush()
        except Terminated:
            if is_first_to_say():
                done = f"{view.done:,} of {counted(len(to_do), 'picture')}"
                say_line(f"stopped: {done} answered; nothing is lost. The same command goes on")
            raise
    there = len(by_name) - len(to_do)
    if output_format == "json":
        print_json(
            {"output": str(output), "written": view.done, "errors": errors, "there": there, "seconds": round(view.seconds, 3),
             "pictures_per_second": round(view.speed, 1)}
        )  # fmt: skip
    else:
        said = f"wrote {counted(view.done, 'answer')} to {output}" + f", {view.speed:,.0f} pictures/s" * bool(view.done)
        said += f"; {errors:,} of them errors, which the same command tries again" * bool(errors)
        stdout().print_wrapped(said + f"; {there:,} were there already" * bool(there))
    return 1 if errors else 0


class Page:
    """Answers on stdout.

    Args:
        output_format: of ``--format``.
        top: classes to list.
        is_long: whether each answer comes with its distance, steps and picture, or in one line.
        about: what the answers depend on, for lines of JSON.
    """

    def __init__(self, output_format: str, class_names: tuple[str, ...], top: int, is_long: bool, about: dict[str, Any]) -> None:
        self._format, self._class_names, self._top, self._is_long, self._about = output_format, class_names, top, is_long, about
        self._console = stdout()
        self._begun = False

    def print(self, answers: Sequence[Answer], threshold: float | None) -> None:
        """Print some answers.

        Args:
            threshold: the largest usual distance; None if nothing tells it.
        """
        for answer in answers:
            if self._format == "json":
                print_json_text((", " if self._begun else "[") + json_text(answer.row))
                self._begun = True
            elif self._format == "jsonl":
                print_json(answer.row | self._about)
            elif "error" in answer.row:
                error(answer.row["error"])
            else:
                self._print(answer, threshold)

    def end(self) -> None:
        """Print what follows the last answer."""
        if self._format == "json":
            print_json_text("]\n" if self._begun else "[]\n")

    def _print(self, answer: Answer, threshold: float | None) -> None:
        row, console = answer.row, self._console
        order = np.argsort(row["probabilities"])[::-1][: self._top]
        shares = ", ".join(f"{self._class_names[k]} {row['probabilities'][k]:.2%}" for k in order)
        reasons = [
            f"{reason}: distance {row['distance']:.3f}, usually at most {threshold:.3f}"
            if self._is_long and reason == UNLIKE and threshold is not None
            else reason
            for reason in row["unsure"]
        ]
        remark = f"  (unsure: {'; '.join(reasons)})" if reasons else ""
        if not self._is_long:  # the first of the shares is the label's
            console.print_wrapped(f"{row['file']}: {shares}{remark}")
            return
        console.print_wrapped(f"{row['file']}: {row['label']}{remark}")
        console.print_wrapped(f"  {shares}")
        console.print_wrapped(f"  {'; '.join(row['preprocessing']) or 'taken as it is'}")
        if answer.pixels is not None:
            console.print(draw_picture(answer.pixels, console), soft_wrap=True)
