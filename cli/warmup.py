"""``numbacnn warmup``: compile now what would be compiled on the first run."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import click
from numbacnn_cli import options
from numbacnn_cli.console import notice, print_json, stdout
from numbacnn_cli.model_source import Source, read_model
from numbacnn_cli.tables import table

from numbacnn.backends import compilations, get_ops
from numbacnn.datasets import load_dataset
from numbacnn.models import PRESETS
from numbacnn.training import Settings, rehearse


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--all", "every", is_flag=True, help="All presets.")
@options.computing
@options.reporting
def warmup(models: tuple[str, ...], every: bool, device: str, threads: int | None, exact_conv: bool, output_format: str) -> None:
    """Compile the kernels that networks need, so that the first run finds them in the cache.

    MODEL is the name of a preset or a .toml model file; cnn by default. Each takes a step on random images, and nothing is kept but
    the kernels; those that draw the digits are compiled too.

    \b
    Example: numbacnn warmup
             numbacnn warmup small my-model.toml
    """
    sources = [read_model(model) for model in (PRESETS if every else models or ("cnn",))]
    ops = get_ops(device, threads, exact_conv=exact_conv)

    def draw_digits() -> None:
        load_dataset("digits", Path(), train_limit=1, test_limit=1)

    work = [(source.graph.name, partial(rehearse, source.graph, _settings(source), ops)) for source in sources]
    rows: list[dict[str, Any]] = []
    for name, run in [("digits", draw_digits), *work]:
        notice(f"{name}: compiling ...")
        started = time.perf_counter()
        with compilations() as compiled:
            run()
        rows.append({"for": name, "compiled": compiled.count, "seconds": round(time.perf_counter() - started, 3)})
    if output_format == "json":
        print_json(rows)
        return
    result = table("for", "kernels compiled", "seconds")
    for row in rows:
        result.add_row(row["for"], str(row["compiled"]), f"{row['seconds']:.1f}")
    stdout().print(result)


def _settings(source: Source) -> Settings:
    recipe = source.recipe
    return Settings(epochs=1, optimizer=recipe.optimizer, learning_rate=recipe.learning_rate, augment=recipe.augment)
