"""``numbacnn inspect``: one image through a trained network: its answer, and how it comes about."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from numbacnn.backends import get_ops
from numbacnn.checkpoint import TrainedNetwork, load_network
from numbacnn.errors import ModelError, ShapeError
from numbacnn.features import features, nearest
from numbacnn.files import check_replaceable
from numbacnn.filter_frames import filters_gif, networks_of
from numbacnn.graph import INPUT, Graph, Node, up_to, without_softmax
from numbacnn.inspection.cell import check_cell, explain_cell
from numbacnn.inspection.heat import Heat, image_gradient, occlusion
from numbacnn.inspection.tiles import filters
from numbacnn.inspection.tracing import trace_image
from numbacnn.layers import Conv2D, DepthwiseConv2D
from numbacnn.network import to_device
from numbacnn.ops import Ops
from numbacnn.prediction import Predictor
from numbacnn.quoting import listed, plain
from numbacnn.summary import IMAGE_AXES

from . import options
from .compiling import announced_compilations
from .console import print_json
from .device import open_device
from .findings import METHODS, Filters, Findings, Like, Likes, Seen, Why
from .inspection_sheets import write_sheets
from .inspection_views import print_findings
from .model_source import trained_model
from .new_files import check_new, has_content, write_new
from .paths import OutputFile, PathText, UserPath
from .subject import TEST, Subject, read_subject
from .trained_on import data_for
from .usage import check_heeded, usage_of

SHOWN, SEARCHED = 5, 10_000
"""Training images that ``--like`` shows, and those it searches by default."""


class CellText(click.ParamType):
    """``conv2,4,9,12``, or ``dense1,7``: a layer, and the place of one of its outputs, from 0 on."""

    name = "LAYER,i,j,f"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        parts = str(value).split(",")
        if len(parts) < 2 or not parts[0] or not _is_index(parts[-1]):
            self.fail(
                f"{value!r} is not LAYER,ROW,COLUMN,MAP, such as conv2,4,9,12, nor LAYER,UNIT, such as dense1,7, counted from 0.",
                param, ctx,
            )  # fmt: skip
        return tuple(parts)


def _is_index(text: str) -> bool:
    return text.strip().isdecimal() and text.isascii() and len(text) < 9


@click.command()
@click.argument("image", type=PathText("a picture's file, test:N, or - for stdin"), required=False)
@options.trained_model
@click.option("--layer", metavar="NAME", help="Show all maps of one layer.")
@click.option("--filters", "with_filters", is_flag=True, help="Show the filters of --layer, or of the first convolution.")
@click.option("--over-epochs", type=OutputFile(".gif"), metavar="FILE.gif",
              help="Draw how these filters changed in training, a frame for each epoch that train --keep-epochs kept.")  # fmt: skip
@click.option("--cell", type=CellText(), help="Show one output as the sum of its products; LAYER,f for a dense layer.")
@click.option("--why", is_flag=True, help="Show the pixels that the answer depends on.")
@click.option(
    "--method", type=click.Choice(METHODS),
    help="Of --why: occlusion blanks a patch at each place, gradient goes back through the network.  [default: occlusion]",
)  # fmt: skip
@click.option("--like", is_flag=True, help="Show the training images most like it, by the last hidden layer.")
@click.option(
    "--train-limit", type=options.COUNT, metavar="N",
    help=f"Training images that --like searches: the first N.  [default: {SEARCHED}]",
)  # fmt: skip
@click.option("--output", type=UserPath(), metavar="DIR", help="Draw summary.png, and a sheet for each layer, into a folder.")
@options.force
@options.dataset_trained_on
@options.data_dir_trained_on
@options.picture_forms
@options.computing
@options.reporting
@click.pass_context
def inspect(
    ctx: click.Context,
    image: str | None,
    model: Path | None,
    layer: str | None,
    with_filters: bool,
    over_epochs: Path | None,
    cell: tuple[str, ...] | None,
    why: bool,
    method: str | None,
    like: bool,
    train_limit: int | None,
    output: Path | None,
    force: bool,
    dataset: str | None,
    data_dir: Path | None,
    invert: str,
    pictures_as: str | None,
    device: str,
    threads: int | None,
    exact_conv: bool,
    precision: str,
    output_format: str,
) -> None:
    """Look into a trained network: what it makes of one image, layer by layer, and why.

    IMAGE is a picture's file, - for stdin, or test:N for image N of the test part of the network's data set. A picture is brought into
    the form of the training images, as by predict.

    \b
    Example: numbacnn inspect digit.png
             numbacnn inspect test:7 --cell conv2,4,9,12
             numbacnn inspect test:7 --why --like --output seven
             numbacnn inspect --filters --layer conv1 --over-epochs conv1.gif
    """
    if image is None and (not with_filters or cell or why or like or output):
        raise click.UsageError("Missing argument 'IMAGE': a picture's file, or test:N. Only --filters alone does without.")
    if method and not (why or output):
        raise click.UsageError("--method goes with --why.")
    if train_limit and not like:
        raise click.UsageError("--train-limit goes with --like.")
    if dataset and not (like or (image or "").startswith(TEST)):
        raise click.UsageError("--dataset goes with test:N or --like.")
    if (image or "").startswith(TEST) and not os.path.lexists(image or ""):
        check_heeded(ctx, "a test image is taken as it is", "invert", "pictures_as")
    if force and output is None:
        check_new(over_epochs, force, "--output or --over-epochs")
    if over_epochs is not None:
        _check_animation(over_epochs, with_filters)
    path = trained_model(model)
    network = load_network(path)
    found = Findings(path, network)
    with usage_of("--cell"):
        place = _place(network.graph, cell) if cell else None
        if place is not None:
            check_cell(network.graph, *place)
    if layer is not None:
        with usage_of("--layer"):
            found.layer = None if with_filters else up_to(network.graph, layer).nodes[-1].name
    if with_filters:
        with usage_of("--layer") if layer is not None else nullcontext():
            found.filters = _filters(network, layer)
    if image is not None:
        ops = open_device(device, threads, exact_conv, precision)
        with announced_compilations():
            predictor = network.predictor(ops)
            subject = read_subject(
                image, network, path, dataset=dataset, data_dir=data_dir, invert=invert, pictures_as=pictures_as
            )
            trace = trace_image(network.graph, predictor, subject.image)
            assert trace.probabilities is not None  # a trained network has classes
            found.seen = Seen(subject, trace, trace.probabilities)
            if place is not None:
                exact = get_ops(ops.name, threads, exact_conv=True)
                found.cell = explain_cell(network.graph, exact, network.parameters, trace.outputs, *place)
            if why or output:
                found.why = _why(network, predictor, found.seen, method or METHODS[0])
            if like:
                found.likes = _likes(found, subject, ops, dataset or subject.dataset, data_dir, train_limit or SEARCHED)
    if output is not None:
        found.files = write_sheets(found, output, force)
    if over_epochs is not None and found.filters is not None:
        gif = filters_gif(networks_of(path.parent), found.filters.layer)
        write_new({over_epochs: gif}, lambda file: has_content(file, gif), "the filters over the epochs", force, "file")
        found.files = [*(found.files or []), over_epochs]
    if output_format == "json":
        print_json(found.as_dict())
    else:
        print_findings(found)


def _check_animation(path: Path, with_filters: bool) -> None:
    """Raise before any work if the filters cannot be drawn to a file of this name."""
    if not with_filters:
        raise click.UsageError("--over-epochs goes with --filters.")
    check_replaceable(path, "Give another file")


def _place(graph: Graph, parts: tuple[str, ...]) -> tuple[str, list[int]]:
    """The layer and the numbers of ``--cell``; a layer's name may have commas.

    Raises:
        ModelError: there is no such layer. ShapeError: it has other numbers.
    """
    names = {node.name for node in graph.nodes}
    for count in (IMAGE_AXES, 1):
        name = ",".join(parts[:-count])
        if name in names and len(graph.shapes[name]) == count and all(map(_is_index, parts[-count:])):
            return name, [int(part) for part in parts[-count:]]
    split = next((index for index, part in enumerate(parts) if index and _is_index(part)), len(parts))
    name = up_to(graph, ",".join(parts[:split])).nodes[-1].name
    wanted, example = (
        ("three numbers, row, column and map", "2,3,0") if len(graph.shapes[name]) > 1 else ("one number, a unit", "7")
    )
    raise ShapeError(
        f"{plain(name)}: expected {wanted}, got {plain(','.join(parts[split:]))}. An example: {plain(name)},{example}"
    )


def _filters(network: TrainedNetwork, name: str | None) -> Filters:
    """The filters of a convolution: of that name, or the first one.

    Raises:
        ModelError: there is none.
    """
    graph = network.graph
    convolutions = {node.name: node for node in graph.nodes if isinstance(node.layer, (Conv2D, DepthwiseConv2D))}
    if not convolutions:
        raise ModelError(f"{plain(graph.name)}: expected a network with a convolution, got none. --layer NAME shows other layers")
    node = next(iter(convolutions.values())) if name is None else up_to(graph, name).nodes[-1]
    if node.name not in convolutions:
        got = type(node.layer).__name__
        raise ModelError(f"{plain(node.name)}: expected a convolution, got {got}. The convolutions: {listed(convolutions)}")
    return _filters_of(network, node)


def _filters_of(network: TrainedNetwork, node: Node) -> Filters:
    assert isinstance(node.layer, (Conv2D, DepthwiseConv2D))
    values = filters(node.layer, network.parameters[f"{node.name}/kernel"])
    return Filters(node.name, values, in_colour=node.inputs == (INPUT,) and values.shape[1] == 3)


def _why(network: TrainedNetwork, predictor: Predictor, seen: Seen, method: str) -> Why:
    image, answer = seen.subject.image, seen.answer
    heat: Heat
    if method == "occlusion":
        heat = occlusion(predictor, image, answer, network.pictures)
    else:
        parameters = to_device(predictor.ops, network.parameters)
        heat = image_gradient(predictor.graph, predictor.ops, parameters, image, answer, network.normalisation)
    return Why(method, heat)


def _likes(found: Findings, subject: Subject, ops: Ops, dataset: str | None, data_dir: Path | None, limit: int) -> Likes:
    """The training images most like the image."""
    network = found.network
    name, data = data_for(network, found.path, dataset, data_dir, train_limit=limit, test_limit=0)
    graph, parameters = without_softmax(network.graph), to_device(ops, network.parameters)
    known, wanted = (
        features(graph, ops, parameters, images, network.normalisation) for images in (data.train_images, subject.image[None])
    )
    near = nearest(wanted, known, min(SHOWN, len(known)))
    likes = [
        Like(int(index), int(data.train_labels[index]), 1 - float(distance), data.train_images[index])
        for index, distance in zip(near.indices[0], near.distances[0], strict=True)
    ]
    return Likes(name, len(known), tuple(likes))
