"""``numbacnn play``: draw digits in the browser, and watch trained networks read them."""

import os
import shlex
import sys
import webbrowser
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from numbacnn.backends.precisions import FLOAT32
from numbacnn.backends.threads import MOST_THREADS
from numbacnn.checkpoint import TrainedNetwork, load_network
from numbacnn.dataset_names import DATASETS
from numbacnn.datasets import load_dataset
from numbacnn.errors import NumbaCNNError
from numbacnn.ops import Ops
from numbacnn.play.neighbours import MOST_IMAGES, Neighbours
from numbacnn.play.player import Contestant, Player
from numbacnn.play.server import PlayServer

from . import options
from .compiling import announced_compilations
from .console import notice, print_json, stdout
from .device import open_device
from .model_source import trained_model
from .paths import UserPath
from .trained_on import folder_of_data, trained_on

DRAWN_BY_NUMBACNN = "digits"


@click.command()
@options.trained_model
@click.option(
    "--versus", type=UserPath(), metavar="FILE",
    help="A second trained network, which answers beside the first: a dense one beside a CNN, say.",
)  # fmt: skip
@click.option(
    "--port", type=options.WholeNumber(0, 65535), default=0, metavar="N", help="Port on 127.0.0.1; by default a free one."
)  # fmt: skip
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
@options.data_dir_trained_on
@options.device
@click.option(
    "--threads", type=options.WholeNumber(1, MOST_THREADS), default=1, show_default=True, metavar="N",
    help="CPU threads. A single image has too little work for several, which wait long for each other on a busy machine. Changes no "
    "result.",
)  # fmt: skip
@options.exact_conv
@options.precision
@options.reporting
def play(
    model: Path | None,
    versus: Path | None,
    port: int,
    no_browser: bool,
    data_dir: Path | None,
    device: str,
    threads: int,
    exact_conv: bool,
    precision: str,
    output_format: str,
) -> None:
    """Draw digits in the browser, and watch networks read them, layer by layer.

    The page shows the picture that the network sees, the maps of every layer, the sum behind each value, the probabilities and the
    nearest training images. Five sliders make it harder. Only this machine can reach the page, which needs no network. Ctrl-C ends.

    \b
    Example: numbacnn play
             numbacnn play --model runs/small-mnist --versus runs/dense128-mnist
    """
    paths = [trained_model(model)] + ([trained_model(versus, "--versus FILE")] if versus is not None else [])
    networks = [load_network(path) for path in paths]
    with ThreadPoolExecutor(1, "compute") as compute:
        server = PlayServer(port, compute, report=notice)
        try:
            # The number of threads is that of the thread that asks for the device, so the one that computes does it all.
            with announced_compilations():
                server.player = compute.submit(
                    lambda: _player(
                        paths, networks, model is None and versus is None, data_dir, (device, threads, exact_conv, precision)
                    )
                ).result()
            _announce(server, networks, output_format)
            if not no_browser:
                _open_browser(server.url)
            server.read_training_images()
            server.serve_forever()
        finally:
            server.server_close()
            compute.shutdown(wait=False, cancel_futures=True)


def _player(
    paths: list[Path],
    networks: list[TrainedNetwork],
    is_default: bool,
    data_dir: Path | None,
    computing: tuple[str, int, bool, str],
) -> Player:
    device, threads, exact_conv, precision = computing
    ops = open_device(device, threads, exact_conv, precision)
    neighbours, about = _neighbours(paths[0], networks[0], ops, data_dir)
    command = "numbacnn predict digit.png" + ("" if is_default else f" --model {shlex.quote(str(paths[0]))}")
    exact_ops = ops if exact_conv and precision == FLOAT32 else open_device(ops.name, threads, exact_conv=True)
    player = Player(_contestants(paths, networks), ops, exact_ops, neighbours, about, command)
    player.warm_up()
    return player


def _contestants(paths: list[Path], networks: list[TrainedNetwork]) -> list[Contestant]:
    """The networks by their names, or by their files if the names are the same."""
    names = [network.graph.name for network in networks]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    return [Contestant(name, network) for name, network in zip(names, networks, strict=True)]


def _neighbours(path: Path, network: TrainedNetwork, ops: Ops, data_dir: Path | None) -> tuple[Neighbours | None, str]:
    """The training images of a network, and what they are; or None, and why there are none. Nothing is downloaded for them."""
    from numbacnn.datasets import named

    try:
        dataset = trained_on(network, path)
        folder = folder_of_data(dataset, data_dir, path)
        if dataset in DATASETS and dataset != DRAWN_BY_NUMBACNN and not named.find(dataset, folder):
            advice = f"Give --data-dir, or 'numbacnn download {dataset}'."
            return None, f"None: the training images of {dataset} are not in {folder}. {advice}"
        data = load_dataset(dataset, folder, train_limit=MOST_IMAGES, test_limit=0, input_shape=network.graph.input_shape)
        found = Neighbours(network, ops, data.train_images, data.train_labels)
    except NumbaCNNError as error:
        return None, f"None: {error}"
    if not len(found):
        return None, f"None: {dataset} has no training images."
    return found, (
        f"Of {{read}} training images of {os.path.basename(dataset) or dataset}, by the angle between the roots of the values "
        f"of the last hidden layer of {network.graph.name}: 0 is the same direction, 1 a right angle."
    )


def _announce(server: PlayServer, networks: list[TrainedNetwork], output_format: str) -> None:
    if output_format == "json":
        print_json({"url": server.url, "port": server.server_port, "networks": [network.graph.name for network in networks]})
        return
    console = stdout()
    console.print_wrapped(f"{' and '.join(network.graph.name for network in networks)}: draw a digit at")
    console.print(server.url, soft_wrap=True)
    console.print("Ctrl-C ends.")


def _open_browser(url: str) -> None:
    """Open the page, but in no text browser, which would take the terminal over."""
    has_display = sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    try:
        is_open = bool(has_display) and webbrowser.open(url)
    except (webbrowser.Error, OSError):
        is_open = False
    if not is_open:
        notice("no browser was opened, as there is no display: open the address yourself")
