"""``numbacnn warmup``: compile kernels ahead of the first run."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from numbacnn.models import PRESETS
from numbacnn.training import Settings, warm_up

from . import options
from .compiling import draw_digits, shown_compilations, warm_up_in_processes
from .console import notice, print_json, stdout
from .device import open_device
from .model_source import Source, read_model
from .paths import MODEL
from .tables import table


@click.command()
@click.argument("models", nargs=-1, type=MODEL, metavar="[MODEL]...")
@click.option("--all", "all_presets", is_flag=True, help="All presets.")
@options.computing
@options.reporting
def warmup(
    models: tuple[str, ...], all_presets: bool, device: str, threads: int | None, exact_conv: bool, output_format: str
) -> None:
    """Compile the kernels that networks need, so that the first run finds them in the cache.

    MODEL is the name of a preset or a .toml model file; cnn by default. Each network takes a step on random images, and only
    the kernels are kept. The kernels that draw digits are compiled, too.

    \b
    Example: numbacnn warmup
             numbacnn warmup small my-model.toml
    """
    if models and all_presets:
        raise click.UsageError("MODEL has no effect beside --all. Leave one of them out.")
    sources = [read_model(model) for model in (PRESETS if all_presets else models or ("cnn",))]
    ops = open_device(device, threads, exact_conv)
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
    if output_format == "json":
        print_json(rows)
        return
    result = table("for", "kernels compiled", "seconds")
    for row in rows:
        result.add_row(row["for"], str(row["compiled"]), f"{row['seconds']:.1f}")
    stdout().print(result)


def _settings(source: Source) -> Settings:
    return Settings(**source.recipe.to_dict() | {"epochs": 1})
