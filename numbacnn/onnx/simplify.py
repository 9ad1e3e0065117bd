"""Layers as people write them: what ONNX spells out in several nodes becomes one layer, with the same numbers."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from numbacnn.layers import Activation, AvgPool2D, Conv2D, Dense, Flatten, GlobalAvgPool2D, Layer
from numbacnn.shapes import Shape


@dataclass(frozen=True)
class Entry:
    """A layer to be.

    Args:
        layer: its specification.
        inputs: names of the layers that it reads.
        shapes: of its inputs, for one image.
        parameters: its arrays, by key.
        is_affine: whether it is a factor and a shift in the form of a batch normalisation (and no batch normalisation of the file).
    """

    layer: Layer
    inputs: tuple[str, ...]
    shapes: tuple[Shape, ...]
    parameters: dict[str, NDArray[Any]]
    is_affine: bool = False


def simplified(entries: dict[str, Entry], output: str) -> dict[str, Entry]:
    """The layers that the output depends on, in order: factors and biases in the kernels before them, activations in the layers before
    them, and global means as such."""
    kept = _in_use(entries, output)
    for merge in (_affine_into_kernel, _global_mean, _activation_into_layer):
        kept = _merged(kept, merge)
    return kept


def _in_use(entries: dict[str, Entry], output: str) -> dict[str, Entry]:
    needed, waiting = {output}, [output]
    while waiting:
        name = waiting.pop()
        for before in entries[name].inputs if name in entries else ():
            if before not in needed:
                needed.add(before)
                waiting.append(before)
    return {name: entry for name, entry in entries.items() if name in needed}


def _merged(entries: dict[str, Entry], merge: Callable[[Entry, Entry], Entry | None]) -> dict[str, Entry]:
    """Each layer and its only reader as one layer, where ``merge(layer, reader)`` gives one; it keeps the first one's name."""
    readers = Counter(name for entry in entries.values() for name in entry.inputs)
    kept: dict[str, Entry] = {}
    renamed: dict[str, str] = {}
    for name, entry in entries.items():
        entry = replace(entry, inputs=tuple(renamed.get(before, before) for before in entry.inputs))
        before = entry.inputs[0]
        one = merge(kept[before], entry) if len(entry.inputs) == 1 and before in kept and readers[before] == 1 else None
        if one is None:
            kept[name] = entry
        else:
            kept[before], renamed[name], readers[before] = one, before, readers[name]
    return kept


def _affine_into_kernel(before: Entry, entry: Entry) -> Entry | None:
    """A factor and a shift behind a linear layer, or behind another of their kind."""
    if not entry.is_affine:
        return None
    scale, shift = entry.parameters["gamma"], entry.parameters["beta"]
    own = before.parameters
    if before.is_affine:
        return replace(before, parameters=own | {"gamma": own["gamma"] * scale, "beta": own["beta"] * scale + shift})
    if not isinstance(before.layer, (Conv2D, Dense)) or before.layer.activation is not None:
        return None
    kernel = own["kernel"] if (scale == 1).all() else own["kernel"] * scale
    bias = own["bias"] * scale + shift if "bias" in own else shift
    return replace(before, layer=replace(before.layer, use_bias=True), parameters={"kernel": kernel, "bias": bias})


def _global_mean(before: Entry, entry: Entry) -> Entry | None:
    """A mean over the whole image, flattened."""
    layer = before.layer
    if not isinstance(entry.layer, Flatten) or not isinstance(layer, AvgPool2D):
        return None
    height, width, _ = before.shapes[0]
    if layer == AvgPool2D(pool_size=(height, width)):
        return replace(before, layer=GlobalAvgPool2D())
    return None


def _activation_into_layer(before: Entry, entry: Entry) -> Entry | None:
    is_usual = isinstance(entry.layer, Activation) and entry.layer == Activation(entry.layer.activation)
    if is_usual and isinstance(before.layer, (Conv2D, Dense)) and before.layer.activation is None:
        return replace(before, layer=replace(before.layer, activation=entry.layer.activation))  # type: ignore[attr-defined]
    return None
