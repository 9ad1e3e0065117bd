"""``numbacnn bench kernels``: one convolution in every way that there is here, from plain Python to the GPU."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .paths import MODEL, PLOTS, OutputFile

if TYPE_CHECKING:  # modules that need numpy
    from numbacnn.bench import KernelReport, WayResult

    from .layout import Table

NAMES = {
    "python": "plain Python",
    "numpy": "NumPy, im2col",
    "readable": "Numba, readable",
    "direct": "Numba, direct",
    "winograd": "Numba, Winograd",
    "frequency": "Numba, frequency",
    "depthwise": "Numba, depthwise",
    "gpu": "GPU",
}


@click.command("kernels")
@click.option(
    "--model", type=MODEL, default="cnn", show_default=True, help="A preset, a .toml model file or a .safetensors network."
)
@click.option("--layer", metavar="NAME", help="Its convolution; by default the one with the most work, conv2 of cnn.")
@click.option("--batch-size", type=options.COUNT, default=100, show_default=True, metavar="N", help="Images of random numbers.")
@click.option("--runs", type=options.COUNT, metavar="N", help="Runs of each way; by default up to 10, in some seconds.")
@click.option(
    "--compile", "anew", is_flag=True, help="Compile the kernels, though the cache has them, to see how long that takes."
)
@click.option("--plot", "picture", type=OutputFile(*PLOTS), metavar="FILE",
              help="Draw the speeds as bars: .png, .svg or .pdf.")  # fmt: skip
@options.force
@options.threads
@options.reporting
def bench_kernels(
    model: str,
    layer: str | None,
    batch_size: int,
    runs: int | None,
    anew: bool,
    picture: Path | None,
    force: bool,
    threads: int | None,
    output_format: str,
) -> int:
    """Compute one convolution in every way, and time each.

    The ways are plain Python (a small part of it), NumPy, the readable kernel on one thread and on all, each fast kernel that can
    compute it, and the GPU, if there is one. The result of each is compared with a sum in float64; the exit code is 1 if one is wrong.

    --plot needs pip install 'numbacnn[plot]', and no display.

    \b
    Example: numbacnn bench kernels
             numbacnn bench kernels --layer conv1 --batch-size 1
             numbacnn bench kernels --compile --plot kernels.png
    """
    from numbacnn.backends import using_threads
    from numbacnn.bench import compare_kernels, convolution
    from numbacnn.errors import DeviceError
    from numbacnn.plotting import check_plotting

    from .compiling import announced_compilations
    from .console import notice, print_json
    from .model_source import read_model
    from .new_files import check_new
    from .usage import usage_of

    check_new(picture, force, "--plot")
    undrawn: DeviceError | None = None
    if picture is not None:
        try:
            check_plotting()
        except DeviceError as error:  # the table can be had without
            undrawn = error
            notice(f"{error}. The table follows all the same")
    graph = read_model(model).graph
    with usage_of("--layer") if layer is not None else nullcontext():
        problem = convolution(graph, layer, batch_size)
    with using_threads(threads), announced_compilations():
        report = compare_kernels(problem, threads, runs, anew=anew, on_start=lambda ways: notice(f"timing {ways} ways, in turns"))
    if picture is not None and undrawn is None:
        _draw(report, picture)
    if output_format == "json":
        print_json(_as_dict(report) | {"plot": None if picture is None or undrawn else str(picture)})
    else:
        _print(report, anew, None if undrawn else picture)
    if undrawn is not None:
        raise undrawn
    return int(bool(report.wrong))


def _print(report: "KernelReport", anew: bool, picture: Path | None) -> None:
    from .console import stdout

    console = stdout()
    console.print(_title(report))
    console.print()
    console.print(_table(report))
    for line in _remarks(report, anew):
        console.print(line)
    if picture is not None:
        console.print_wrapped(f"wrote {picture}")


def _title(report: "KernelReport") -> str:
    """The convolution, its arithmetic in two forms."""
    problem = report.problem
    images, (kh, kw, _, maps) = problem.x.shape, problem.filters.shape
    sizes = f"{_count(images[0], 'image')} of {_sides(images[1:])}, {_count(maps, 'filter')} of {kh} x {kw}"
    return f"{problem.layer} of {problem.model}: {sizes}, to {_sides(problem.output_shape[1:])}; {problem.macs:,} MACs = {_work(report)}"


def _work(report: "KernelReport") -> str:
    return f"{_three_digits(2 * report.problem.macs / 1e9)} GFLOP"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _table(report: "KernelReport") -> "Table":
    from .layout import Column
    from .tables import table

    rows = table(
        "way", "threads", "best", Column("median", rank=2), "GFLOP/s", "of peak", Column("times Python", rank=3),
        Column("compile", rank=1), "error",
    )  # fmt: skip
    slowest = report.ways[0].seconds_min
    for way in report.ways:
        mark = " *" if way.part < 1 else ""
        rows.add_row(
            f"{NAMES[way.way]}{mark}",
            _threads(way),
            _duration(way.seconds_min),
            _duration(way.seconds_median),
            _three_digits(way.gflops),
            "-" if way.share_of_peak is None else _percent(way.share_of_peak),
            _three_digits(slowest / way.seconds_min),
            _compiled(way),
            f"{way.difference:.1e}",
        )
    return rows


def _threads(way: "WayResult") -> str:
    return str(way.threads) if way.threads is not None else "-" if way.way == "gpu" else "BLAS"


def _compiled(way: "WayResult") -> str:
    if way.compile_seconds is None:
        return "-"
    return _duration(way.compile_seconds) if way.kernels_compiled else "cached"


def _remarks(report: "KernelReport", anew: bool) -> list[str]:
    part = report.ways[0].part
    lines = [
        f"* {part:.2%} of it, scaled by MACs. NumPy's BLAS takes threads of its own.",
        f"best and median: of {_count(report.runs, 'run')} of each way, in turns.",
        "GFLOP/s: 2 x MACs of direct summation, biases not counted, in the best time. A transform does less, and may pass 100 %.",
        f"peak: {_three_digits(report.peak_gflops)} GFLOP/s, measured: multiply-adds of {report.vectors} registers, no memory, on "
        f"{_count(report.threads, 'thread')}; {_three_digits(report.peak_gflops_one_thread)} on one.",
        f"error: the largest difference from a sum in float64; the outputs reach {report.largest:.3g}.",
        _fastest(report),
        f"A training step takes {report.chosen}: {report.reason}.",
        f"GPU: {report.gpu}; its peak is not measured." if report.gpu else f"GPU: none, {report.no_gpu}.",
    ]
    lines += [f"{NAMES[way.way]} is WRONG: its error is {way.difference:.1e}. Its speed means nothing." for way in report.wrong]
    if not anew and not any(way.kernels_compiled for way in report.ways):
        lines.append("cached: an earlier run compiled these kernels; --compile shows how long that takes.")
    return lines


def _fastest(report: "KernelReport") -> str:
    """The fastest way beside plain Python and NumPy."""
    python, numpy, *others = report.ways
    best = min(others, key=lambda way: way.seconds_min)
    first, second = (_three_digits(way.seconds_min / best.seconds_min) for way in (python, numpy))
    return f"{NAMES[best.way]} is {first} times as fast as plain Python, {second} times as fast as NumPy."


def _draw(report: "KernelReport", path: Path) -> None:
    from numbacnn.plotting import save_speeds

    speeds = [
        (_bar_name(way), way.gflops, f"{_three_digits(way.gflops)} GFLOP/s, {_duration(way.seconds_min)}") for way in report.ways
    ]
    problem = report.problem
    title = f"{problem.layer} of {problem.model}, {_count(len(problem.x), 'image')}, {_work(report)}"
    save_speeds(speeds, path, title, report.peak_gflops)


def _bar_name(way: "WayResult") -> str:
    part = f", {way.part:.2%} of it" if way.part < 1 else ""
    threads = "" if way.threads is None or way.way == "python" else f", {_count(way.threads, 'thread')}"
    return f"{NAMES[way.way]}{part}{threads}"


def _as_dict(report: "KernelReport") -> dict[str, Any]:
    problem = report.problem
    rows, columns = problem.window
    return {
        "model": problem.model,
        "layer": problem.layer,
        "batch_size": len(problem.x),
        "input_shape": problem.x.shape[1:],
        "kernel_shape": problem.filters.shape,
        "output_shape": problem.output_shape[1:],
        "strides": [rows.stride, columns.stride],
        "padding": [[rows.pad_before, rows.pad_after], [columns.pad_before, columns.pad_after]],
        "dilation_rate": [rows.dilation, columns.dilation],
        "groups": problem.groups,
        "macs": problem.macs,
        "flops": 2 * problem.macs,
        "threads": report.threads,
        "runs": report.runs,
        "vectors": report.vectors,
        "peak_gflops": report.peak_gflops,
        "peak_gflops_one_thread": report.peak_gflops_one_thread,
        "largest_output": report.largest,
        "chosen": report.chosen,
        "reason": report.reason,
        "gpu": report.gpu,
        "no_gpu": report.no_gpu,
        "ways": [asdict(way) for way in report.ways],
    }


def _duration(seconds: float) -> str:
    """Seconds in s, ms or us, which any terminal can print; three digits."""
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if seconds * factor >= 1:
            return f"{_three_digits(seconds * factor)} {unit}"
    return f"{_three_digits(seconds * 1e6)} us"


def _three_digits(value: float) -> str:
    """A positive number with three significant digits, two below 0.1; never in the form 1e+03."""
    value = float(f"{value:.3g}")
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if value >= 10 else 2 if value >= 1 else 3}f}" if value >= 0.1 else f"{value:.2g}"


def _percent(share: float) -> str:
    hundredths = float(f"{100 * share:.3g}") if share >= 1 else float(f"{100 * share:.2g}")
    if hundredths < 0.01:
        return "<0.01%"
    return f"{hundredths:.{0 if hundredths >= 10 else 1}f}%" if hundredths >= 1 else f"{hundredths:.1g}%"
