"""The runs of a sweep, from its command line: every combination of the settings, each with every seed, in a fixed order.

Imports neither numpy nor numba: --help needs no others.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import click

from numbacnn.plain_numbers import LARGEST_WHOLE
from numbacnn.quoting import short
from numbacnn.spelling import did_you_mean

MOST_RUNS = 10_000

VARIED = (
    "model", "initializer", "dataset", "epochs", "batch-size", "optimizer", "learning-rate", "lr-decay", "schedule", "validation",
    "early-stop", "augment", "exact-conv", "precision", "raw-pixels", "train-limit", "test-limit",
)  # fmt: skip
"""The options of ``train`` that may have several values: those that decide a run's result."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep.

    Args:
        settings: the values that are its own, by the name of the option.
        seed: of the run.
        folder: of the run, in that of the sweep.
        arguments: of ``numbacnn train``, but for the seed and the folder.
    """

    settings: tuple[tuple[str, Any], ...]
    seed: int
    folder: Path
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.folder.name


class Seeds(click.ParamType):
    """``10`` is the seeds 0 to 9; ``3-5`` and ``0,3,7`` are those named."""

    name = "N|A-B|A,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        text = re.sub(" *, *", ",", str(value).strip())
        if not re.fullmatch(r"\d{1,19}(-\d{1,19})?(,\d{1,19}(-\d{1,19})?)*,?", text, re.ASCII):
            self._refuse(value, param, ctx)
        if text.isdecimal():
            text = f"0-{int(text) - 1}" if int(text) else self._refuse(value, param, ctx)
        found: dict[int, None] = {}
        for part in text.rstrip(",").split(","):
            first, _, last = part.partition("-")
            low, high = int(first), int(last or first)
            if high < low or high > LARGEST_WHOLE or high - low >= MOST_RUNS:
                self._refuse(value, param, ctx)
            found |= dict.fromkeys(range(low, high + 1))
        return tuple(found)

    def _refuse(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        self.fail(
            f"expected a number of seeds, such as 10 for 0 to 9, or seeds, such as 3-5 or 0,3,7 (at most {MOST_RUNS:,}), "
            f"got {short(value)}.", param, ctx,
        )  # fmt: skip


class Part(click.ParamType):
    """``3/16``: the third of sixteen shares."""

    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", str(value), re.ASCII)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            self.fail(f"expected a share, from 1/N to N/N, such as 3/16, got {short(value)}.", param, ctx)
        return int(found[1]), int(found[2])


class Address(click.ParamType):
    """``tcp://head:8786``"""

    name = "ADDRESS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        found = re.fullmatch(r"([a-z]+://)?([\w.-]+|\[[0-9a-f:]+\]):(\d{1,5})", str(value), re.ASCII)
        if not found or not 0 < int(found[3]) < 1 << 16:
            self.fail(f"expected an address, such as tcp://head:8786, got {short(value)}.", param, ctx)
        return str(value)


class Setting(click.ParamType):
    """``learning-rate=0.001,0.003``; the values are checked where the option itself is known."""

    name = "OPTION=VALUE,VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, tuple[str, ...]]:
        if isinstance(value, tuple):
            return value
        name, equals, values = str(value).partition("=")
        name = name.strip().lstrip("-").replace("_", "-")
        parts = tuple(part.strip() for part in values.split(","))
        if not equals or not all(parts):
            self.fail(
                f"expected an option of train and its values, such as learning-rate=0.001,0.003, got {short(value)}.", param, ctx
            )
        if name not in VARIED:
            self.fail(
                f"expected one of {', '.join(VARIED)}, got {short(name)}.{did_you_mean(name, VARIED)} "
                "Only options that decide a run's result have several values.", param, ctx,
            )  # fmt: skip
        return name, parts


def plan(ctx: click.Context, given: Mapping[str, Any], axes: Sequence[tuple[str, tuple[str, ...]]], seeds: Sequence[int],
         output: Path) -> list[PlannedRun]:  # fmt: skip
    """All runs: the last setting varies fastest, but for the seed.

    Args:
        ctx: of the command, whose options are those of ``train`` too.
        given: the options that every run has.
        axes: of ``--set``: an option's name and its values.

    Raises:
        click.UsageError: an option is set twice, or a value is none that it may have, or there are too many runs.
    """
    known = {option.opts[0].removeprefix("--"): option for option in ctx.command.params if isinstance(option, click.Option)}
    chosen: dict[str, dict[str, Any]] = {}  # the values of each option by their labels
    for name, texts in axes:
        option = known[name]
        if name in chosen or _is_given(ctx, option):
            raise click.UsageError(f"--set {name}: the option is given twice. Give all of its values to one --set {name}=...")
        chosen[name] = {}
        for text in texts:
            value = _value(ctx, option, text)
            if label(value) in chosen[name]:
                raise click.UsageError(
                    f"--set {name}: expected values that differ, got {short(text)} twice. Leave one of them out."
                )
            chosen[name][label(value)] = value
    shared = [word for option in known.values() if option.name in given and _is_given(ctx, option)
              for word in _words(option, given[option.name])]  # fmt: skip
    count = len(seeds)
    for labels in chosen.values():
        count *= len(labels)
    if count > MOST_RUNS:
        raise click.UsageError(f"expected at most {MOST_RUNS:,} runs, got {count:,}. Leave some seeds or values out.")
    runs = []
    for values in product(*(each.values() for each in chosen.values())):
        settings = tuple(zip(chosen, values, strict=True))
        own = [word for name, value in settings for word in _words(known[name], value)]
        parts = [re.sub(r"[^\w.+-]", "_", f"{name}-{Path(label(value)).name}") for name, value in settings]  # of a path, its end
        runs += [PlannedRun(settings, seed, output / "-".join([*parts, f"seed-{seed}"]), (*shared, *own)) for seed in seeds]
    if len({run.folder for run in runs}) < len(runs):
        raise click.UsageError("--set: expected values that give folders of different names. Rename one of the files.")
    return runs


def share(runs: Sequence[PlannedRun], part: tuple[int, int]) -> list[PlannedRun]:
    """The runs of one part: every n-th, so that each part has runs of all settings."""
    number, count = part
    return list(runs[number - 1 :: count])


def _is_given(ctx: click.Context, option: click.Option) -> bool:
    return ctx.get_parameter_source(option.name or "") not in (None, click.core.ParameterSource.DEFAULT)


def _value(ctx: click.Context, option: click.Option, text: str) -> Any:
    """A value of ``--set`` as the option's own.

    Raises:
        click.UsageError: it is none.
    """
    try:
        return (click.BOOL if option.is_flag else option.type).convert(text, option, ctx)
    except click.BadParameter as error:
        raise click.UsageError(f"--set {option.opts[0].removeprefix('--')}: {error.message}", ctx) from None


def _words(option: click.Option, value: Any) -> tuple[str, ...]:
    """An option and its value as words of a command line."""
    if option.is_flag:
        return tuple(option.opts[:1] if value else option.secondary_opts[:1])
    return option.opts[0], label(value)


def label(value: Any) -> str:
    """A value of an option as a user writes it: ``0.001``, ``true``, ``28,28,1``."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
