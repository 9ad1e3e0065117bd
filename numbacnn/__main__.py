"""``python -m numbacnn``: the command line, for environments whose programs are not on the path."""

from numbacnn_cli.entry import run

if __name__ == "__main__":  # processes that compile kernels import this module again
    run()
