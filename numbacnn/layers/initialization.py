"""The distributions of initial weights, by name. ``numbacnn/initializers.py`` draws from them."""

from typing import Literal, NamedTuple


class VarianceScaling(NamedTuple):
    """A distribution of mean 0 and variance ``scale / fan``; ``fan`` counts a neuron's inputs, or averages inputs and outputs."""

    scale: float
    fan: Literal["in", "average"]
    distribution: Literal["uniform", "truncated_normal"]


class Constant(NamedTuple):
    """One value everywhere."""

    value: float


INITIALIZERS: dict[str, VarianceScaling | Constant] = {
    "glorot_uniform": VarianceScaling(1.0, "average", "uniform"),
    "glorot_normal": VarianceScaling(1.0, "average", "truncated_normal"),
    "he_uniform": VarianceScaling(2.0, "in", "uniform"),
    "he_normal": VarianceScaling(2.0, "in", "truncated_normal"),
    "lecun_uniform": VarianceScaling(1.0, "in", "uniform"),
    "lecun_normal": VarianceScaling(1.0, "in", "truncated_normal"),
    "zeros": Constant(0.0),
    "ones": Constant(1.0),
}
"""Sources: Glorot & Bengio 2010, with Keras's default ``glorot_uniform``; He et al. 2015 (arXiv:1502.01852), the lecture's slide
"Some Improvement (2/5)"; LeCun et al. 1998."""
