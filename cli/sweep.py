"""``numbacnn sweep``: one network with many seeds and settings, each run in a folder as ``train`` writes it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from numbacnn.backends import processor, threads
from numbacnn.engines import launch
from numbacnn.errors import CheckpointError, DeviceError
from numbacnn.quoting import counted

from . import options, train_choices
from .paths import UserPath
from .sweep_grid import Address, Part, PlannedRun, Seeds, Setting, plan, share

if TYPE_CHECKING:  # they need numpy, which --help does without
    from .executors import Executor
    from .sweep_folders import Found
    from .sweep_job import Job

EXECUTORS = ("processes", "mpi", "dask")

MOST_WORKERS = 256

DEFAULT_WORKERS = 8
"""The most trainings at the same time, unless the user asks for more: each takes memory for its images."""


@click.command()
@train_choices.network_and_recipe
@options.device
@click.option("--threads", type=options.WholeNumber(1, threads.MOST_THREADS), metavar="N",
              help="CPU threads of each training; by default those of the machine, divided among the workers. "
              "Changes no result.")  # fmt: skip
@options.processor
@options.exact_conv
@options.precision
@train_choices.limits
@train_choices.checkpoint_every
@train_choices.keep_epochs
@click.option("--seeds", type=Seeds(), default="10", show_default=True, help="How many, from 0, or which: 10, 3-5, 0,3,7.")
@click.option("--set", "axes", type=Setting(), multiple=True,
              help="Train with each of these values of an option of train; several --set give every combination.")  # fmt: skip
@click.option("--output", type=UserPath(), required=True, metavar="DIR",
              help="Folder of the sweep: a folder for each run in it, and the report, sweep.json.")  # fmt: skip
@click.option("--workers", type=options.WholeNumber(1, MOST_WORKERS), metavar="N",
              help=f"Trainings at the same time, which share the threads; by default one a thread, at most {DEFAULT_WORKERS}.")  # fmt: skip
@click.option("--executor", type=click.Choice(list(EXECUTORS)), default=EXECUTORS[0], show_default=True,
              help="Who trains: processes of this machine, the ranks of mpiexec, or the workers of a Dask scheduler; these two "
              "train on one thread unless --threads says otherwise, and need pip install 'numbacnn[mpi]' or 'numbacnn[dask]'.")  # fmt: skip
@click.option("--scheduler", type=Address(), help="Of --executor dask, as in tcp://head:8786.")
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
    executor: str,
    scheduler: str | None,
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
    if workers is not None and executor != "processes":
        raise click.UsageError(f"--workers is of --executor processes, got --executor {executor}. Leave one of them out.")
    if (scheduler is None) == (executor == "dask"):
        raise click.UsageError("--executor dask and --scheduler ADDRESS need each other: give both, or none of them.")
    if executor != "mpi" and not report_only and part is None and (place := launch.find()) is not None:
        if place.rank:  # all would do the same runs in the same folder; the first one says so
            return 1
        raise DeviceError(
            f"{place.variable}={place.size}: expected --executor mpi for ranks that share the runs, got --executor {executor}. "
            "Add --executor mpi, or start one process"
        )
    chosen = Chosen(executor, workers, scheduler, given.pop("threads"), str(given["device"]))

    def run(pool: "Executor | None") -> int:
        return _sweep(plan(ctx, given, axes, seeds, output), output, part, report_only, output_format, chosen, pool)

    if executor == "mpi" and not report_only:
        from .executor_mpi import ranks

        with ranks(chosen.threads or 1) as pool:
            return 0 if pool is None else run(pool)
    return run(None)


class Chosen(NamedTuple):
    """Who is to train, as the options say; None where they leave it open.

    Args:
        executor: one of ``EXECUTORS``.
        workers: trainings at the same time.
        scheduler: of Dask.
        threads: of each training.
        device: of each training.
    """

    executor: str
    workers: int | None
    scheduler: str | None
    threads: int | None
    device: str


def _sweep(
    runs: list[PlannedRun],
    output: Path,
    part: tuple[int, int] | None,
    report_only: bool,
    output_format: str,
    chosen: Chosen,
    pool: "Executor | None",
) -> int:
    """Do the runs and report. A ``pool`` is there already where it had to be made before anything else."""
    from .console import notice
    from .sweep_folders import look
    from .sweep_report import check_report

    if (pinned := processor.pinned()) is not None:
        runs = [replace(run, arguments=(*run.arguments, "--processor", pinned)) for run in runs]
    if report_only and not output.is_dir():
        raise CheckpointError(f"{output}: expected the folder of a sweep, got none. Leave --report-only out to begin one")
    check_report(output)
    ours = share(runs, part) if part else runs
    found = [look(run) for run in ours]
    if not report_only:
        to_do = [each for each in found if each.figures is None]
        if to_do:
            pool = pool or _open(chosen, len(to_do))
        if len(to_do) < len(found):
            notice(f"{len(found) - len(to_do)} of {counted(len(found), 'run')} are done already")
        if pool is not None and to_do:
            _train(to_do, pool, len(found), output)
            found = [look(run) for run in ours]
    _report(found, output, part, output_format)
    return 0 if all(each.figures is not None for each in found) else 1


def _report(found: "list[Found]", output: Path, part: tuple[int, int] | None, output_format: str) -> None:
    """Print the report, and write it: of a part, only which of its runs are done."""
    from .console import print_json, stdout
    from .sweep_report import notes, print_report, report, write_report

    values = report(found)
    if part:
        values = {"part": list(part), "runs": values["runs"]}
    path = None if part else write_report(output, values)
    if output_format == "json":
        print_json(values)
        return
    console = stdout()
    if path is not None:
        print_report(values, console)
        console.print_wrapped(f"wrote {path}")
    elif part:
        done = sum(each.figures is not None for each in found)
        console.print(f"part {part[0]} of {part[1]}: {done} of {counted(len(found), 'run')} done")
        for line in notes(values):
            console.print_wrapped(line)
        console.print("The table of all parts: the same command with --report-only in place of --part")


def _open(chosen: Chosen, runs: int) -> "Executor":
    """The executor for so many runs.

    Raises:
        DeviceError: it cannot be had.
    """
    if chosen.scheduler is not None:
        from .executor_dask import DaskWorkers

        return DaskWorkers(chosen.scheduler, chosen.threads or 1)
    from .executors import LocalProcesses

    workers = chosen.workers or _default_workers(runs, chosen)
    return LocalProcesses(workers, chosen.threads or max(1, threads.available() // workers))


def _default_workers(runs: int, chosen: Chosen) -> int:
    """Trainings at the same time: one-thread trainings side by side do more than one on all threads. A GPU takes one."""
    if chosen.device != "cpu":
        return 1
    return max(1, min(runs, threads.available() // (chosen.threads or 1), DEFAULT_WORKERS))


def _train(found: Sequence["Found"], executor: "Executor", total: int, output: Path) -> None:
    """Do the runs that are not done; tell of each as it ends.

    Args:
        total: of the runs, those that were done before among them.
    """
    from numbacnn.files import make_folder

    from .console import notice
    from .signals import Terminated, is_first_to_say, say_line
    from .sweep_folders import look, note_failure
    from .sweep_view import SweepView

    here = str(Path.cwd())
    by_name = {each.run.name: each for each in found}
    jobs = [_job(each, here) for each in found]
    view = SweepView(total, total - len(jobs))
    try:
        make_folder(output, "Give another folder with --output")
        for each in found:
            note_failure(each.run, None)
        notice(f"training {counted(len(jobs), 'run')}, {executor.description}")
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
        if is_first_to_say():
            say_line(f"stopped: {view.done} of {counted(total, 'run')} done; nothing is lost. The same command goes on")
        raise
    finally:
        executor.cancel()


def _job(each: "Found", here: str) -> "Job":
    from .sweep_job import Job

    run, quietly = each.run, ("--progress", "plain", "--format", "json")
    begin = ("train", *run.arguments, "--seed", str(run.seed), "--output", str(run.folder), *quietly)
    return Job(run.name, begin, (*each.resume, *quietly), str(run.folder), here)
