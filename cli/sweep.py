"""``numbacnn sweep``: one network with many seeds and settings, each run in a folder as ``train`` writes it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from numbacnn.backends import processor, threads
from numbacnn.errors import CheckpointError
from numbacnn.quoting import counted

from . import options, train_choices
from .paths import UserPath
from .sweep_grid import Part, PlannedRun, Seeds, Setting, plan, share

if TYPE_CHECKING:  # they need numpy, which --help does without
    from .executors import Executor
    from .sweep_folders import Found

MOST_WORKERS = 256

DEFAULT_WORKERS = 8
"""The most trainings at the same time, unless the user asks for more: each takes memory for its images."""


@click.command()
@train_choices.network_and_recipe
@train_choices.computing_and_limits
@train_choices.checkpoint_every
@train_choices.keep_epochs
@click.option("--seeds", type=Seeds(), default="10", show_default=True, help="How many, from 0, or which: 10, 3-5, 0,3,7.")
@click.option("--set", "axes", type=Setting(), multiple=True,
              help="Train with each of these values of an option of train; several --set give every combination.")  # fmt: skip
@click.option("--output", type=UserPath(), required=True, metavar="DIR",
              help="Folder of the sweep: a folder for each run in it, and the report, sweep.json.")  # fmt: skip
@click.option("--workers", type=options.WholeNumber(1, MOST_WORKERS), metavar="N",
              help=f"Trainings at the same time, which share the threads; by default one a thread, at most {DEFAULT_WORKERS}.")  # fmt: skip
@click.option("--part", type=Part(), help="Do the I-th of N equal shares of the runs, and leave the report to --report-only.")
@click.option("--report-only", is_flag=True, help="Train nothing: report on the runs that are done.")
@options.reporting
@click.pass_context
def sweep(
    ctx: click.Context,
    seeds: tuple[int, ...],
    axes: tuple[tuple[str, tuple[str, ...]], ...],
    output: Path,
    workers: int | None,
    part: tuple[int, int] | None,
    report_only: bool,
    output_format: str,
    **given: Any,
) -> int:
    """Train a network with many seeds and settings, and report the mean and the spread of its accuracy.

    The options of train go to every run. Runs that are done are not done again, and those that were stopped go on: after Ctrl-C, give
    the same command. A run that fails is noted, and the others go on.

    \b
    Example: numbacnn sweep --model small --dataset digits --seeds 5 --output runs/small
             numbacnn sweep --set learning-rate=0.001,0.003 --set batch-size=50,100 --output runs/rates
             numbacnn sweep --set model=softmax,cnn --seeds 0-9 --part 3/16 --output runs/models
             numbacnn sweep --set model=softmax,cnn --seeds 0-9 --report-only --output runs/models
    """
    if part and report_only:
        raise click.UsageError("--part leaves the report to --report-only: give one of them.")
    given_threads = given.pop("threads")
    runs = plan(ctx, given, axes, seeds, output)
    if (pinned := processor.pinned()) is not None:
        runs = [_with_words(run, "--processor", pinned) for run in runs]

    from numbacnn.files import make_folder

    from .console import notice, print_json, stdout
    from .sweep_folders import look
    from .sweep_report import notes, print_report, report, write_report

    if report_only and not output.is_dir():
        raise CheckpointError(f"{output}: expected the folder of a sweep, got none. Leave --report-only out to begin one")
    ours = share(runs, part) if part else runs
    found = [look(run) for run in ours]
    if not report_only:
        make_folder(output, "Give another folder with --output")
        to_do = [each for each in found if each.figures is None]
        if len(to_do) < len(found):
            notice(f"{len(found) - len(to_do)} of {counted(len(found), 'run')} are done already")
        if to_do:
            workers = workers or _default_workers(len(to_do), given_threads, str(given["device"]))
            _train(to_do, _local(workers, given_threads), len(found))
        found = [look(run) for run in ours]
    values = report(found)
    if part:
        values = {"part": list(part), "runs": values["runs"]}
        if output_format == "json":
            print_json(values)
        else:
            done = sum(each.figures is not None for each in found)
            console = stdout()
            console.print(f"part {part[0]} of {part[1]}: {done} of {counted(len(found), 'run')} done")
            for line in notes(values):
                console.print_wrapped(line)
            console.print("The table of all parts: the same command with --report-only in place of --part")
    else:
        path = write_report(output, values)
        if output_format == "json":
            print_json(values)
        else:
            console = stdout()
            print_report(values, console)
            console.print_wrapped(f"wrote {path}")
    return 0 if all(each.figures is not None for each in found) else 1


def _with_words(run: PlannedRun, *words: str) -> PlannedRun:
    return PlannedRun(run.settings, run.seed, run.folder, (*run.arguments, *words))


def _default_workers(runs: int, given_threads: int | None, device: str) -> int:
    """Trainings at the same time: one-thread trainings side by side do more than one on all threads. A GPU takes one."""
    if device != "cpu":
        return 1
    return max(1, min(runs, threads.available() // (given_threads or 1), DEFAULT_WORKERS))


def _local(workers: int, given_threads: int | None) -> "Executor":
    from .executors import LocalProcesses

    return LocalProcesses(workers, given_threads or max(1, threads.available() // workers))


def _train(found: Sequence["Found"], executor: "Executor", total: int) -> None:
    """Do the runs that are not done; tell of each as it ends.

    Args:
        total: of the runs, those that were done before among them.
    """
    from .console import notice
    from .signals import Terminated, is_first_to_say, say_line
    from .sweep_folders import look, note_failure
    from .sweep_job import Job
    from .sweep_view import SweepView

    here = str(Path.cwd())
    by_name = {each.run.name: each for each in found}
    jobs = [Job(each.run.name, _arguments(each), here) for each in found]
    for each in found:
        note_failure(each.run, None)
    notice(f"training {counted(len(jobs), 'run')}, {executor.description}")
    view = SweepView(total, total - len(jobs))
    try:
        with view:
            executor.submit(jobs, view.said)
            for job, reason in executor.ended():
                run = by_name[job.name].run
                if reason is None and (figures := look(run).figures) is not None:
                    accuracy = figures.test_accuracy
                    view.ended(job, "" if accuracy is None else f"test accuracy {accuracy:.2%}, ", figures.seconds)
                else:
                    reason = reason or "its folder is not complete: something else has changed it"
                    note_failure(run, reason)
                    view.failed(job, reason)
    except Terminated:
        executor.cancel()
        if is_first_to_say():
            say_line(f"stopped: {view.done} of {counted(total, 'run')} done; nothing is lost. The same command goes on")
        raise
    finally:
        executor.cancel()


def _arguments(each: "Found") -> tuple[str, ...]:
    """The command line of a run: a new one, or one that goes on."""
    words = each.resume
    if words is None:
        words = ("train", *each.run.arguments, "--seed", str(each.run.seed), "--output", str(each.run.folder))
    return (*words, "--progress", "plain", "--format", "json")
