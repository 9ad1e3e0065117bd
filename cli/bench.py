"""``numbacnn bench``: benchmarks of this machine."""

import click

from . import options
from .lazy_group import LazyGroup, is_alone

BENCH_COMMANDS = {
    "kernels": "Compute one convolution in every way, and time each.",
}

EXAMPLES = {"kernels": "numbacnn bench kernels --plot kernels.png"}


@click.group(cls=LazyGroup, summaries=BENCH_COMMANDS, prefix="bench_", invoke_without_command=True)
@options.reporting
@click.pass_context
def bench(ctx: click.Context, output_format: str) -> None:
    """List the benchmarks, each with a command to start from.

    \b
    Example: numbacnn bench
             numbacnn bench kernels
    """
    if not is_alone(ctx, output_format):
        return
    if output_format == "json":
        from .console import print_json

        print_json([{"benchmark": name, "what": what, "command": EXAMPLES[name]} for name, what in BENCH_COMMANDS.items()])
        return
    from .console import stdout

    console = stdout()
    for name, what in BENCH_COMMANDS.items():
        console.print(f"{name}: {what}")
        console.print(f"    {EXAMPLES[name]}")
