"""Where the program begins: signals are taken over before anything else is imported, which takes longer than some commands do."""

from . import signals


def run() -> None:
    """Run the command line and leave with its exit code."""
    code = 1
    try:
        signals.take_over()
        from .main import main

        code = main()
    except signals.Terminated:  # raised once at most: nothing after this can be interrupted
        pass
    except BaseException:
        if signals.received() is None:  # a library may turn the signal's exception into another one
            raise
    signals.finish(code)
