"""``numbacnn lecture terms``: the terms of the lecture's summary."""

import click

from numbacnn.lecture.terms import TERMS
from numbacnn.quoting import short
from numbacnn.spelling import did_you_mean

from . import options


@click.command("terms")
@click.argument("term", required=False)
@options.reporting
def lecture_terms(term: str | None, output_format: str) -> None:
    """Explain the terms of the lecture, or one of them: in two sentences, with its slide, chapters to read, and a command.

    \b
    Example: numbacnn lecture terms
             numbacnn lecture terms "receptive field"
    """
    shown = TERMS if term is None else {found: TERMS[found] for found in [_found(term)]}
    if output_format == "json":
        from .console import print_json

        print_json([{"term": name, **each._asdict()} for name, each in shown.items()])
        return
    from .console import stdout

    console = stdout()
    for name, each in shown.items():
        console.print(f"{name}: {each.meaning}")
        console.print(f'  slide "{each.slide}"; {each.chapters}')
        console.print(f"  {each.command}")


def _found(term: str) -> str:
    """The term that is meant, in any case, and with a hyphen or several spaces for one."""
    name = " ".join(term.lower().replace("-", " ").split())
    if name not in TERMS:
        raise click.UsageError(f"term: expected one of {', '.join(TERMS)}, got {short(term)}.{did_you_mean(name, TERMS)}")
    return name
