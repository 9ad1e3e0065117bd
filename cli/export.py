"""``numbacnn export``: a network for other programs."""

from pathlib import Path

import click

from numbacnn.export import FORMATS
from numbacnn.export import export as write
from numbacnn.shapes import cells

from . import options
from .console import notice, print_json, stdout
from .model_source import read_network
from .new_files import check_new
from .paths import MODEL, OutputFile


@click.command()
@click.argument("model", type=MODEL)
@click.argument("file", type=OutputFile(*FORMATS))
@options.force
@options.reporting
def export(model: str, file: Path, force: bool, output_format: str) -> None:
    """Write a network as an ONNX file, or its parameters as arrays.

    MODEL is a trained .safetensors file, or a preset or .toml model file, which is written with its initial weights. FILE ends in .onnx
    (needs pip install 'numbacnn[onnx]'), or in .npz for NumPy: an array for each parameter, named layer/parameter.

    \b
    Example: numbacnn export runs/cnn-mnist/model.safetensors cnn.onnx
             numbacnn export runs/cnn-mnist/model.safetensors cnn.npz
    """
    check_new(file, force)
    network, is_trained = read_network(model)
    if not is_trained:
        notice(f"{network.graph.name} is not trained: it is written with the initial weights of seed 0")
    write(network, file)
    parameters = sum(cells(spec.shape) for spec in network.graph.parameters.values())
    if output_format == "json":
        print_json(
            {"model": model, "file": str(file), "parameters": parameters, "bytes": file.stat().st_size, "trained": is_trained}
        )
        return
    stdout().print_wrapped(f"wrote {file}: {network.graph.name}, {parameters:,} parameters")
