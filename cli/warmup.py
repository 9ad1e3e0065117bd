"""``numbacnn warmup``: compile kernels ahead of the first run."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from numbacnn.models import PRESETS
from numbacnn.quoting import counted
from numbacnn.training import Settings, warm_up

from . import options
from .compiling import draw_digits, shown_compilations, warm_up_in_processes
from .console import notice, print_json, stdout
from .device import open_device
from .model_source import Source, read_model
from .new_files import check_new, write_file
from .paths import MODEL, OutputFile, UserPath
from .tables import size, table


@click.command()
@click.argument("models", nargs=-1, type=MODEL, metavar="[MODEL]...")
@click.option("--all", "all_presets", is_flag=True, help="All presets.")
@click.option("--pack", type=OutputFile(".pack"), metavar="FILE.pack", help="Write all kernels of the cache into one file.")
@click.option("--force", is_flag=True, help="Replace a file of that name.")
@click.option("--from", "given", type=UserPath(), metavar="FILE.pack",
              help="Compile nothing: lay the kernels of such a file into the cache.")  # fmt: skip
@options.computing
@options.reporting
def warmup(
    models: tuple[str, ...],
    all_presets: bool,
    pack: Path | None,
    force: bool,
    given: Path | None,
    device: str,
    threads: int | None,
    exact_conv: bool,
    precision: str,
    output_format: str,
) -> None:
    """Compile the kernels that networks need, so that the first run finds them in the cache.

    MODEL is the name of a preset or a .toml model file; cnn by default. Each network takes a step on random images, and only
    the kernels are kept. The kernels that draw digits are compiled, too.

    A pack serves every machine of the same kind: system, Python, versions, and the level of processor that --processor names.
    It is a program: take packs only from people you trust.

    \b
    Example: numbacnn warmup
             numbacnn warmup small my-model.toml
             numbacnn warmup --all --pack class.pack
             numbacnn warmup --from class.pack
    """
    if models and all_presets:
        raise click.UsageError("MODEL has no effect beside --all. Leave one of them out.")
    if given and (beside := [name for name, value in (("MODEL", models), ("--all", all_presets), ("--pack", pack)) if value]):
        raise click.UsageError(f"{beside[0]} has no effect beside --from. Leave one of them out.")
    if (given or pack) and device != "cpu":
        raise click.UsageError(f"{'--from' if given else '--pack'} goes with --device cpu: a pack holds kernels of the CPU.")
    check_new(pack, force, "--pack")
    if given:
        _take(given, output_format)
        return
    sources = [read_model(model) for model in (PRESETS if all_presets else models or ("cnn",))]
    ops = open_device(device, threads, exact_conv, precision)
    if pack:
        from numbacnn.backends.kernel_packs import cache_to_pack, make_pack  # late: it needs Numba, and --help does not

        cache_to_pack()  # before the work
    rows: list[dict[str, Any]] = []

    def compile_for(name: str, *steps: Callable[[], int | None]) -> None:
        notice(f"{name}: compiling ...")
        started = time.perf_counter()
        with shown_compilations() as compiled:
            ahead = sum(step() or 0 for step in steps)
        rows.append({"for": name, "compiled": ahead + compiled.count, "seconds": round(time.perf_counter() - started, 3)})

    for source in sources:
        ahead = partial(warm_up_in_processes, ops, source.graph, _settings(source), exact_conv=exact_conv, digits=False)
        compile_for(source.graph.name, ahead, partial(warm_up, source.graph, _settings(source), ops))
    compile_for("digits", draw_digits)
    if pack:
        made = make_pack()
        write_file(pack, made.content)
        notice(f"{pack}: {counted(made.kernels, 'kernel')} for {made.processor}, {size(len(made.content))}")
    if output_format == "json":
        print_json(rows)
        return
    result = table("for", "kernels compiled", "seconds")
    for row in rows:
        result.add_row(row["for"], str(row["compiled"]), f"{row['seconds']:.1f}")
    stdout().print(result)


def _take(path: Path, output_format: str) -> None:
    """Lay a pack's kernels into the cache, and report it."""
    from numbacnn.backends.kernel_packs import take_pack
    from numbacnn.backends.processor import check, settle

    notice("A pack is a program: take packs only from people you trust.")
    started = time.perf_counter()
    check()
    laid = take_pack(path)
    facts = {
        "processor": laid.processor,
        "new": laid.new,
        "present": laid.present,
        "seconds": round(time.perf_counter() - started, 3),
    }
    chosen = settle().name
    if laid.processor != chosen:
        notice(
            f"{path}: kernels for {laid.processor}, while this machine takes those for {chosen}. "
            f"Use --processor {laid.processor}, or set NUMBACNN_PROCESSOR={laid.processor}"
        )
    if output_format == "json":
        print_json(facts)
        return
    result = table("for", "kernels laid", "there before", "seconds")
    result.add_row(laid.processor, str(laid.new), str(laid.present), f"{facts['seconds']:.1f}")
    stdout().print(result)


def _settings(source: Source) -> Settings:
    return Settings(**source.recipe.to_dict() | {"epochs": 1})
