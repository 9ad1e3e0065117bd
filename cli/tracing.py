"""One image through the network that MODEL names: what ``shapes --image`` adds to its table."""

from pathlib import Path
from typing import Any, NamedTuple

from numbacnn.checkpoint import TrainedNetwork
from numbacnn.inspection.tiles import image_pixels
from numbacnn.inspection.tracing import Trace, trace_image
from numbacnn.quoting import plain

from .compiling import announced_compilations
from .console import notice, stdout
from .device import open_device
from .model_source import LAST_RUN, read_network, read_note, trained_model
from .pictures import draw_picture
from .subject import Subject, read_subject
from .traces import print_trace, probability_lines

MOST_CLASSES = 10


class Traced(NamedTuple):
    """A network, an image, and what each layer makes of it."""

    network: TrainedNetwork
    is_trained: bool
    subject: Subject
    trace: Trace

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.network.class_names

    def as_dict(self) -> dict[str, Any]:
        """For JSON, but for the layers."""
        probabilities = self.trace.probabilities
        return {
            "image": self.subject.name, "preprocessing": list(self.subject.steps), "trained": self.is_trained,
            "class_names": list(self.class_names), "probabilities": None if probabilities is None else probabilities.tolist(),
        }  # fmt: skip


def trace_model(model: str | None, image: str, dataset: str | None, data_dir: Path | None) -> Traced:
    """Let an image through the network of MODEL, or that trained last.

    A network that is not trained has its initial weights, with a notice that says so, and the test images of MNIST.

    Raises:
        NumbaCNNError: the network or the image cannot be had, or do not fit each other.
    """
    name = model if model is not None else str(trained_model(None, "MODEL"))
    network, is_trained = read_network(name)
    if not is_trained:
        notice(f"{plain(name)}: not trained, so its weights are the initial ones of seed 0.{_last_run()}")
        dataset = dataset or "mnist"
    ops = open_device("cpu", None, exact_conv=False)
    with announced_compilations():
        predictor = network.predictor(ops)
        subject = read_subject(image, network, Path(name), dataset=dataset, data_dir=data_dir)
        return Traced(network, is_trained, subject, trace_image(network.graph, predictor, subject.image))


def _last_run() -> str:
    last = read_note(LAST_RUN)
    return "" if last is None else f" Leave MODEL out for the network trained last, {last}"


def print_traced(traced: Traced) -> None:
    """The image, every layer, and the probabilities."""
    console, subject, (network, _, _, trace) = stdout(), traced.subject, traced
    names = network.class_names
    known = () if subject.label is None else (f"labelled {plain(names[subject.label])}",)
    console.print_wrapped(f"{subject.name}: {'; '.join((*known, *subject.steps)) or 'taken as it is'}")
    console.print(draw_picture(image_pixels(subject.image), console), soft_wrap=True)
    console.print()
    print_trace(console, trace)
    if trace.probabilities is not None:
        console.print()
        console.print("probabilities")
        for line in probability_lines(names, trace.probabilities, MOST_CLASSES):
            console.print(line, soft_wrap=True)
