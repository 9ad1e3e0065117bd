"""``numbacnn lecture``: the sections of the lecture, and the commands that show them."""

import click

from numbacnn.lecture.sections import SECTIONS

from . import options
from .lazy_group import LazyGroup, is_alone

LECTURE_COMMANDS = {
    "verify": "Recompute every number of the slides.",
    "xo": "Tell X from O by the lecture's toy network.",
    "filter": "Slide a filter over a picture.",
    "backprop": "Send an error back through one convolution.",
    "figure": "Draw how a filter slides over its input, as a GIF or SVG.",
    "figures": "Draw the lecture's figures, with a page that shows them.",
    "worksheet": "Write a sheet of exercises for each student, and mark answers.",
    "ladder": "Train the lecture's networks, each better than the one before.",
    "challenges": "Turn, light, bend, scale, move and shuffle digits: dense against CNN.",
    "terms": "Explain the lecture's terms.",
}


@click.group(cls=LazyGroup, summaries=LECTURE_COMMANDS, prefix="lecture_", invoke_without_command=True)
@options.reporting
@click.pass_context
def lecture(ctx: click.Context, output_format: str) -> None:
    """List the sections of the lecture, with the commands that show them.

    The lecture is "Convolutional Neural Networks" by Amir H. Payberah (KTH), 2021-11-25.

    \b
    Example: numbacnn lecture
             numbacnn lecture verify
    """
    if not is_alone(ctx, output_format):
        return
    if output_format == "json":
        from .console import print_json

        print_json([{"section": name, **section._asdict()} for name, section in SECTIONS.items()])
        return
    from .console import stdout

    console = stdout()
    for name, section in SECTIONS.items():
        console.print(f"{name}: {section.title}")
        console.print(f'  slides "{section.slides[0]}" to "{section.slides[1]}"')
        for command in section.commands:
            console.print(f"    {command}")
