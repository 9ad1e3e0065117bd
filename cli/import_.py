"""``numbacnn import``: a network of another program."""

from pathlib import Path

import click

from numbacnn.checkpoint import save_network
from numbacnn.shapes import cells

from . import options
from .console import print_json, stdout
from .new_files import check_new
from .paths import OutputFile, UserPath


@click.command("import")
@click.argument("file", type=UserPath())
@click.argument("model", type=OutputFile(".safetensors"))
@options.force
@click.option("--input", "input_shape", type=options.InputShape(), help="Size of the images, where FILE leaves it open.")
@options.reporting
def import_(file: Path, model: Path, input_shape: tuple[int, ...] | None, force: bool, output_format: str) -> None:
    """Make a network from an ONNX file.

    FILE is an .onnx file (needs pip install 'numbacnn[onnx]'); MODEL is the .safetensors file to write. Operations that numbacnn lacks are
    named, all of them at once.

    \b
    Example: numbacnn import resnet50.onnx resnet50.safetensors
             numbacnn import mobilenet.onnx mobilenet.safetensors --input 224,224,3
    """
    check_new(model, force)
    from numbacnn.onnx import import_network  # needs the extra onnx

    network = import_network(file, input_shape)
    save_network(model, network)
    graph = network.graph
    parameters = sum(cells(spec.shape) for spec in graph.parameters.values())
    if output_format == "json":
        print_json({
            "file": str(file), "model": str(model), "name": graph.name, "input_shape": list(graph.input_shape),
            "classes": len(network.class_names), "layers": len(graph.nodes), "parameters": parameters,
            "values": network.normalisation.dtype,
        })  # fmt: skip
        return
    console = stdout()
    console.print_wrapped(f"wrote {model}: {graph.name}, {len(graph.nodes)} layers, {parameters:,} parameters")
    console.print(f"next: numbacnn shapes {model}", soft_wrap=True)
