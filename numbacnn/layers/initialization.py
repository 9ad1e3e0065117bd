"""How weights start: the names and what they mean, as data. ``numbacnn/initializers.py`` draws them."""

from typing import Literal, NamedTuple


class VarianceScaling(NamedTuple):
    """Values of mean 0 and variance ``scale / fan``."""

    scale: float
    fan: Literal["in", "average"]
    distribution: Literal["uniform", "truncated_normal"]


class Constant(NamedTuple):
    """One value everywhere."""

    value: float


INITIALIZERS: dict[str, VarianceScaling | Constant] = {
    "glorot_uniform": VarianceScaling(1.0, "average", "uniform"),  # Glorot & Bengio 2010; Keras's default
    "glorot_normal": VarianceScaling(1.0, "average", "truncated_normal"),
    "he_uniform": VarianceScaling(2.0, "in", "uniform"),
    "he_normal": VarianceScaling(2.0, "in", "truncated_normal"),  # He et al. 2015 (arXiv:1502.01852); the lecture's choice
    "lecun_uniform": VarianceScaling(1.0, "in", "uniform"),  # LeCun et al. 1998
    "lecun_normal": VarianceScaling(1.0, "in", "truncated_normal"),
    "zeros": Constant(0.0),
    "ones": Constant(1.0),
}
