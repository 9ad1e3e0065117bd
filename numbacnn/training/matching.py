"""Whether a network and a run match the data set they are given."""

from numbacnn.datasets import Dataset
from numbacnn.errors import CheckpointError, ModelError, ShapeError, TrainingError
from numbacnn.graph import Graph
from numbacnn.layers import BatchNorm
from numbacnn.quoting import plain
from numbacnn.shapes import cells
from numbacnn.training.state import State


def check_matches(graph: Graph, dataset: Dataset) -> None:
    """Raise unless the network takes the data set's images and tells its classes apart.

    Raises:
        ShapeError: the images have another shape. ModelError: the number of classes differs.
    """
    shape = dataset.train_images.shape[1:]
    if graph.input_shape != shape:
        raise ShapeError(
            f"{plain(graph.name)}: takes images of shape {graph.input_shape}, but those of {dataset.name} are {shape}. "
            f"Choose another model, or one for such images: --input {','.join(map(str, shape))}"
        )
    classes = len(dataset.class_names)
    if graph.output_shape != (classes,):
        raise ModelError(
            f"{plain(graph.name)}: its output has shape {graph.output_shape}, but {dataset.name} has {classes} classes. "
            f"End it with Dense({classes}, activation='softmax')"
        )


def check_normalisation(graph: Graph, batch_size: int) -> None:
    """Raise if batch normalisation would see one value of each channel: its variance is 0, and every output the same."""
    for node in graph.nodes:
        (shape, *_) = graph.input_shapes(node)
        if isinstance(node.layer, BatchNorm) and batch_size * cells(shape[:-1]) < 2:
            raise TrainingError(
                f"{plain(node.name)}: BatchNorm normalises over a batch, in which each of its {shape[-1]} features has one value "
                f"(batch size {batch_size}): nothing could be learned. Use --batch-size 2 or more, or leave this layer out"
            )


def check_progress(state: State, steps: int) -> None:
    """Raise if the run has taken more steps in its epoch than the data set has batches."""
    if state.batch > steps:
        raise CheckpointError(
            f"the checkpoint's counters.batch: expected at most {steps}, the batches of an epoch, got {state.batch}. Start without --resume"
        )
