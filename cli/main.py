"""The command line: a group of commands that are imported when they are called, and one place where errors become exit codes.

0 done    1 an expected failure    2 usage    129 after SIGHUP    130 after Ctrl-C    143 after SIGTERM (see ``signals.py``)
"""

import time

# The process has done nothing but compute so far, so its CPU time tells when it began.
PROCESS_START = time.perf_counter() - time.process_time()

import io  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402

import click  # noqa: E402

from numbacnn.errors import NumbaCNNError  # noqa: E402
from numbacnn.version import __version__  # noqa: E402

from .entry import run  # noqa: E402, F401  the program's name for it
from .lazy_group import LazyGroup  # noqa: E402
from .signals import received  # noqa: E402
from .streams import open_streams  # noqa: E402

COMMANDS = {
    "train": "Train a network.",
    "sweep": "Train with many seeds and settings, and report the spread.",
    "evaluate": "Measure a trained network on a test set.",
    "plot": "Draw the curves and the confusion matrix of a run.",
    "predict": "Tell what is in pictures.",
    "inspect": "Look into a trained network: its maps, filters and reasons.",
    "play": "Draw digits in the browser, and watch networks read them.",
    "shapes": "Trace shapes, parameters and cost through a network.",
    "models": "List the networks that are built in.",
    "download": "Fetch a data set.",
    "samples": "Draw sample pictures to predict.",
    "lecture": "The lecture's numbers, terms and examples, computed here.",
    "export": "Write a network as an ONNX file, or its parameters as arrays.",
    "import": "Make a network from an ONNX file.",
    "warmup": "Compile kernels ahead of the first run.",
    "bench": "Benchmarks of this machine: one convolution in every way.",
    "doctor": "Report on this machine: versions, threads, kernel cache.",
}


@click.group(
    cls=LazyGroup,
    summaries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: numbacnn train --model small --dataset digits",
)
@click.version_option(__version__, "-V", "--version", prog_name="numbacnn", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def app(debug: bool) -> None:
    """Convolutional networks you can read, run fast on the machine you have, and trust."""


EXPECTED = (NumbaCNNError, OSError, MemoryError)


def main() -> int:
    """Run the command line; returns its exit code."""
    open_streams()
    return _guarded()


def _guarded() -> int:
    debug = "--debug" in sys.argv
    try:
        result = app.main(standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        return _misused(error)
    except (click.Abort, KeyboardInterrupt):  # where the signal is not ours, as in another program
        sys.stderr.write("Stopped.\n")
        return 130
    except EXPECTED as error:
        return _failed(error, debug)


def _misused(error: click.ClickException) -> int:
    """Print the usage and the error, which may quote the user."""
    from . import console  # slow to import, and --help does without

    page = io.StringIO()
    error.show(page)
    usage, _, message = page.getvalue().partition("Error: ")
    sys.stderr.write(console.printable_lines(usage))
    if message:  # none if only the help is shown
        console.error(message.rstrip("\n").replace("\n\t", " "))
    return error.exit_code


def _failed(error: BaseException, debug: bool) -> int:
    from . import console

    if received() is not None and not isinstance(error, NumbaCNNError):  # what a library made of the signal's exception
        return 1
    if debug:
        show_traceback()
    console.error(words(error))
    return 1


def show_traceback() -> None:
    """Show where the error that is handled comes from."""
    import traceback

    from . import console

    sys.stderr.write(console.printable_lines(traceback.format_exc()))


def is_expected(error: BaseException | None) -> bool:
    """Whether the program ends with one line for it; others are faults of the program, and show where they come from."""
    return isinstance(error, EXPECTED)


def words(error: BaseException) -> str:
    if isinstance(error, NumbaCNNError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror or error}. Give another path"
    if isinstance(error, MemoryError):
        return f"out of memory: {error}. Use smaller batches or images, or --debug to see where"
    return f"{type(error).__name__}: {error}"
