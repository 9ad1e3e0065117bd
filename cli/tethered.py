"""``python -m numbacnn_cli.tethered ...``: the command line as a process that ends with the one that started it, whatever ends that.

Its standard input is a pipe which the other process holds, and never writes to. Once the system has closed it, this process ends as
after SIGTERM: a training saves its checkpoint.
"""

import os
import signal
import threading

from .entry import run


def _end_with_the_pipe() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_pipe, daemon=True).start()
    run()
