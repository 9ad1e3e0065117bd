"""``numbacnn bench``: benchmarks of this machine."""

import click

from . import options
from .lazy_group import LazyGroup

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
    if ctx.invoked_subcommand is not None:
        if output_format != "text":
            raise click.UsageError(f"--format stands after the command: numbacnn bench {ctx.invoked_subcommand} --format json.")
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
