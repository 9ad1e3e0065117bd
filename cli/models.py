"""``numbacnn models``: the presets."""

from dataclasses import asdict
from typing import Any

import click

from numbacnn.models import PRESETS
from numbacnn.summary import summarise

from . import options


@click.command()
@click.option(
    "--toml", "as_toml", type=click.Choice(list(PRESETS)), metavar="NAME", help="Print a preset as a model file, to start from."
)
@options.reporting
def models(as_toml: str | None, output_format: str) -> None:
    """List the networks that are built in, with the settings that train uses for them.

    \b
    Example: numbacnn models
             numbacnn models --toml small > my-net.toml
    """
    if as_toml:
        from numbacnn.config import write_model_file

        from .console import print_text

        if output_format == "json":
            raise click.UsageError("--toml prints TOML: leave --format json out.")
        print_text(write_model_file(PRESETS[as_toml].graph, PRESETS[as_toml].recipe))
        return
    rows: list[dict[str, Any]] = [
        {"name": name, "summary": preset.summary, "input_shape": preset.graph.input_shape, "output_shape": preset.graph.output_shape,
         "parameters": summarise(preset.graph).parameters, "macs": summarise(preset.graph).macs, "recipe": asdict(preset.recipe)}
        for name, preset in PRESETS.items()
    ]  # fmt: skip
    if output_format == "json":
        from .console import print_json

        print_json(rows)
        return
    from .console import stdout
    from .layout import Column
    from .tables import table, text

    listing = table("model", text("what it is"), "parameters", Column("MACs", rank=1), text("trained by default with", rank=2))
    for row in rows:
        listing.add_row(row["name"], row["summary"], f"{row['parameters']:,}", f"{row['macs']:,}", _recipe(row["recipe"]))
    stdout().print(listing)


def _recipe(recipe: dict[str, Any]) -> str:
    how = f", {recipe['schedule']}"
    if recipe["schedule"] == "exponential":
        how = "" if recipe["lr_decay"] == 1 else f" x {recipe['lr_decay']:g}^epoch"
    return f"{recipe['optimizer']} {recipe['learning_rate']:g}{how}, {recipe['epochs']} epochs{', augmented' * recipe['augment']}"
