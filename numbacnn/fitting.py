"""``nc.fit``: from arrays to a trained network in one call, over the training loop that the command line uses."""

import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numbacnn.backends import get_ops
from numbacnn.checkpoint import TrainedNetwork
from numbacnn.datasets import Dataset
from numbacnn.datasets.arrays import numbered_names, take_images, take_labels
from numbacnn.errors import DataError, ModelError
from numbacnn.graph import Graph
from numbacnn.net import Net
from numbacnn.normalisation import NUMBERS
from numbacnn.ops import Ops
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.picture_forms import FORMS, PHOTOGRAPHS
from numbacnn.quoting import short
from numbacnn.recipe import EARLY_STOP_VALIDATION
from numbacnn.schedules import Schedule
from numbacnn.training import EpochDone, Settings, State, StepDone, check_matches, new_state, train


def fit(
    graph: Graph,
    X: object,
    y: object = None,
    *,
    validation: tuple[object, object] | float | None = None,
    epochs: int = 3,
    batch_size: int = 100,
    optimizer: str = "adam",
    learning_rate: float | None = None,
    schedule: str = "constant",
    lr_decay: float = 0.6,
    early_stop: int | None = None,
    augment: bool = False,
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = None,
    exact_conv: bool = False,
    precision: str = "float32",
    progress: bool = True,
    pictures: str = PHOTOGRAPHS,
) -> Net:
    """Train a network on arrays. The same seed gives the same bits, whatever the number of threads.

    >>> net = nc.fit(graph, X, y, validation=0.1, epochs=5)

    Args:
        graph: of ``nc.sequential`` or ``nc.build_graph``; its last layer has an output for each class.
        X: images (n, height, width, channels), or (n, height, width) if grey: pixels of type uint8, scaled by 1/255, or floats,
            taken as they are. Or a ``Dataset``, without ``y``.
        y: class numbers from 0 on (n,), class names (n,), or one-hot rows (n, classes).
        validation: images and labels, or a share of ``X``, in (0, 1), drawn by the seed. The epoch with the lowest loss on them is kept.
        epochs: how many times each image is seen.
        batch_size: images per update.
        optimizer: ``"adam"``, ``"momentum"`` or ``"sgd"``.
        learning_rate: by default 0.001 for Adam, 0.01 for the others.
        schedule: course of the rate: ``"constant"``, ``"exponential"`` (with ``lr_decay`` per epoch), ``"cosine"`` or ``"one-cycle"``.
        early_stop: stop after so many epochs without a better validation loss; holds out 0.1 unless ``validation`` says otherwise.
        augment: distort the images at random; see ``values.Augmentation``.
        seed: decides initial weights, the order of images, dropout, and augmentation.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        threads: CPU threads; None for all. Changes no result.
        exact_conv: sum convolutions directly, without transforms.
        precision: of a GPU's products: ``"float32"``, or ``"tf32"``, whose factors have 10 bits of fraction.
        progress: whether to show progress on stderr.
        pictures: how ``numbacnn predict`` is to bring picture files into the form of ``X``: ``"photographs"`` are only scaled,
            ``"digits"`` are centred by their ink, as in MNIST.

    Ctrl-C ends training after the step under way, and the network is returned as it is then; a second one raises KeyboardInterrupt.

    Raises:
        DataError, ShapeError: the images or labels are no such arrays; the message says what was expected and what came.
        ModelError: the network does not have an output for each class. TrainingError: a setting is out of range, or the loss diverged.
    """
    if isinstance(graph, Net):
        raise ModelError("graph: expected a network without weights, got a trained one. Give net.graph, to train it anew")
    if not isinstance(graph, Graph):
        raise ModelError(f"graph: expected a network, got {short(graph)}. Make one with nc.sequential(...)")
    if pictures not in FORMS:
        raise DataError(f"pictures: expected {' or '.join(FORMS)}, got {short(pictures)}")
    rate = learning_rate if learning_rate is not None else _usual_rate(optimizer)
    settings = Settings(
        epochs=epochs, batch_size=batch_size, optimizer=optimizer, learning_rate=rate, schedule=schedule, lr_decay=lr_decay, seed=seed,
        augment=augment,
    )  # fmt: skip
    dataset = X if isinstance(X, Dataset) and y is None else as_dataset(graph, X, y)
    if dataset.normalisation == NUMBERS and _look_like_pixels(dataset.train_images):
        warnings.warn(
            "X: whole numbers up to 255, as floats: pixels, it seems. They are taken as they are; give uint8 to have them scaled to 0...1",
            stacklevel=2,
        )
    if validation is None and early_stop is not None and dataset.validation_images is None:
        validation = EARLY_STOP_VALIDATION
    if isinstance(validation, (int, float)) and not isinstance(validation, bool):
        settings = replace(settings, validation=validation, early_stop=early_stop)
    elif validation is not None:
        dataset = with_validation(dataset, validation)
    if dataset.validation_images is not None:
        count = len(dataset.validation_images)
        settings = replace(settings, validation=count / (count + len(dataset.train_images)), early_stop=early_stop)
    check_matches(graph, dataset)
    ops = get_ops(device, threads, exact_conv=exact_conv, precision=precision)
    state = new_state(graph, settings, ops)
    run(state, dataset, ops, "auto" if progress else "none")
    return trained(state, dataset, ops, pictures)


def _usual_rate(optimizer: object) -> float:
    known = OPTIMIZERS.get(optimizer) if isinstance(optimizer, str) else None
    return known.usual_rate if known else 1.0  # Settings refuses an optimiser that is not known


def as_dataset(graph: Graph, images: object, labels: object) -> Dataset:
    """The arrays as a data set, in the form that the graph takes."""
    pixels, _ = take_images("X", images, graph.input_shape)
    numbers, names = take_labels("y", labels)
    classes = graph.output_shape[0] if len(graph.output_shape) == 1 else 0
    if classes and names == numbered_names(len(names)) and len(names) > classes >= len(np.unique(numbers)):
        raise DataError(
            f"y: expected class numbers 0...{classes - 1}, got {len(names) - 1}. Number the classes from 0 on: "
            "np.unique(y, return_inverse=True)[1]"
        )
    if names == numbered_names(len(names)) and len(names) < classes:
        names = numbered_names(classes)  # the last classes may have no image
    return Dataset.from_arrays(pixels, numbers, class_names=names or numbered_names(classes))


def _look_like_pixels(numbers: NDArray[Any]) -> bool:
    high = float(numbers.max(initial=0))
    return 100 < high <= 255 and float(numbers.min()) >= 0 and bool((numbers == np.rint(numbers)).all())


def with_validation(dataset: Dataset, validation: object) -> Dataset:
    """The data set with images and labels, given as a pair, on which the epochs are measured."""
    if not isinstance(validation, (tuple, list)) or len(validation) != 2:
        raise DataError(f"validation: expected (images, labels) or a share such as 0.1, got {short(validation)}")
    images, _ = take_images("validation images", validation[0], dataset.train_images.shape[1:], dataset.normalisation)
    labels, _ = take_labels("validation labels", validation[1], dataset.class_names)
    return dataset.with_validation(images, labels)


def run(state: State, dataset: Dataset, ops: Ops, mode: str, rate: Schedule | None = None) -> None:
    """Train to the end, or to the step in which Ctrl-C comes.

    Args:
        mode: of the view of the training: ``"auto"``, ``"plain"`` or ``"none"``.
        rate: the learning rate; None takes the schedule of the settings.
    """
    # The command line's own view: the one place that prints.
    from numbacnn_cli.compiling import announced_compilations
    from numbacnn_cli.progress import TrainingView

    view, shown = TrainingView(state.settings.epochs, mode), mode != "none"
    with view, _noted_interrupt() as interrupted, announced_compilations() if shown else nullcontext():
        for event in train(state, dataset, ops, rate):
            view.show(event)
            if interrupted() and isinstance(event, (StepDone, EpochDone)):
                if shown:
                    view.say(f"stopped in epoch {state.epoch + 1} after step {state.step}; the network is as it was then")
                return


def trained(state: State, dataset: Dataset, ops: Ops, pictures: str) -> Net:
    """The network of a training: that of the best epoch where there are validation images, else the present one."""
    history = [asdict(record) for record in state.history]
    kept = history[(state.best_epoch or len(history)) - 1] if history else {}
    settings = state.settings
    summary = {
        "dataset": dataset.name, "device": ops.name, "seed": settings.seed, "epochs": state.epoch,
        "train_images": len(dataset.train_images), "loss": kept.get("loss"), "accuracy": kept.get("accuracy"),
        "recipe": settings.recipe().to_dict(),
    }  # fmt: skip
    network = TrainedNetwork(
        state.graph, state.parameters_to_keep(ops), dataset.class_names, summary, dataset.normalisation, pictures
    )
    return Net(network, ops, history)


@contextmanager
def _noted_interrupt() -> Iterator[Callable[[], bool]]:
    """Note the first Ctrl-C, so that a step is never left half done; a second one raises KeyboardInterrupt.

    Yields:
        a function that says whether it has come. Outside the main thread no signal arrives, and nothing changes; nor where it is ignored.
    """
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    is_ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # as in what a script starts with &
    if is_ignored or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGINT, before)
