"""Drawing initial values. The host draws them, so every device starts from the same bits."""

import math

import numpy as np
from numpy.typing import DTypeLike, NDArray

from numbacnn.graph import Graph
from numbacnn.layers.initialization import INITIALIZERS, Constant, VarianceScaling
from numbacnn.memory import check_parameters, drawing_bytes
from numbacnn.random_numbers import stream, truncated_normal, uniform
from numbacnn.shapes import Shape

TRUNCATED_SD = 0.87962566103423978
"""Standard deviation of a standard normal cut off at +-2."""

_PART = 16384  # values drawn at a time: their float64 arrays stay in the cache


def initial_parameters(graph: Graph, seed: int, dtype: DTypeLike = np.float32) -> dict[str, NDArray]:
    """Every parameter of a graph as ``<layer>/<parameter>``, in graph order.

    Each has a random stream of its own, from the seed and its index: changing one layer leaves the others' initial values unchanged.

    Raises:
        DeviceMemoryError: they are more than the machine has memory for; nothing was allocated.
    """
    check_parameters(graph, drawing_bytes(graph))
    return {
        name: initial_values(spec.initializer, spec.shape, spec.fan_in, spec.fan_out, stream(seed, index), dtype)
        for index, (name, spec) in enumerate(graph.parameters.items())
    }


def initial_values(name: str, shape: Shape, fan_in: int, fan_out: int, key: int, dtype: DTypeLike = np.float32) -> NDArray:
    """Values of one parameter.

    Args:
        name: a key of ``INITIALIZERS``.
        shape: the parameter's.
        fan_in, fan_out: the number of inputs of each output, and of outputs of each input.
        key: of the stream of random numbers that they are drawn from (``random_numbers.stream``).

    Source: Glorot & Bengio 2010; He et al. 2015 (arXiv:1502.01852); truncated and rescaled as in Keras's VarianceScaling.
    """
    how = INITIALIZERS[name]
    if isinstance(how, Constant):
        return np.full(shape, how.value, dtype)
    sd = math.sqrt(how.scale / _fan(how, fan_in, fan_out))
    values = np.empty(math.prod(shape), dtype)
    for first in range(0, values.size, _PART):
        part = values[first : first + _PART]
        if how.distribution == "uniform":
            part[:] = (sd * math.sqrt(3)) * (2.0 * uniform(key, part.size, first) - 1.0)
        else:
            part[:] = (sd / TRUNCATED_SD) * truncated_normal(key, part.size, first)
    return values.reshape(shape)


def _fan(how: VarianceScaling, fan_in: int, fan_out: int) -> float:
    return fan_in if how.fan == "in" else (fan_in + fan_out) / 2
