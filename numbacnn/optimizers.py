"""Optimisers: how a gradient becomes a step. A specification each; the numbers they keep are passed in."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from numbacnn.ops import Array, Guard, Ops, Product


class Optimizer(ABC):
    """Base of all optimisers."""

    slots: ClassVar[tuple[str, ...]] = ()
    """Names of the arrays kept for each parameter; they start as zeros of its shape."""

    @abstractmethod
    def update(
        self,
        ops: Ops,
        parameter: Array,
        gradient: Array | Product,
        slots: Mapping[str, Array],
        learning_rate: float,
        step: int,
        guard: Guard | None = None,
    ) -> None:
        """Change ``parameter`` and ``slots`` in place.

        Args:
            learning_rate: of this step.
            step: 1 for the first update.
            guard: where the step's loss stands, without which nothing is to change if it is not finite.
        """


@dataclass(frozen=True)
class SGD(Optimizer):
    """Plain gradient descent: ``w -= lr * g``. Source: the lecture's slide "Gradient Descent"."""

    def update(
        self,
        ops: Ops,
        parameter: Array,
        gradient: Array | Product,
        slots: Mapping[str, Array],
        learning_rate: float,
        step: int,
        guard: Guard | None = None,
    ) -> None:
        ops.sgd_update(parameter, gradient, learning_rate, guard)


@dataclass(frozen=True)
class Momentum(Optimizer):
    """Gradient descent with a velocity: ``v = momentum * v - lr * g; w += v``. Source: Polyak 1964; Keras's form."""

    slots = ("velocity",)
    momentum: float = 0.9

    def update(
        self,
        ops: Ops,
        parameter: Array,
        gradient: Array | Product,
        slots: Mapping[str, Array],
        learning_rate: float,
        step: int,
        guard: Guard | None = None,
    ) -> None:
        ops.momentum_update(parameter, slots["velocity"], gradient, learning_rate, self.momentum, guard)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Steps scaled by running moments of the gradient.

    In Keras's form: the bias corrections are folded into the step size, so ``epsilon`` is added to the uncorrected root.

    Source: Kingma & Ba 2015 (arXiv:1412.6980), end of section 2; defaults as in Keras.
    """

    slots = ("m", "v")
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-7

    def update(
        self,
        ops: Ops,
        parameter: Array,
        gradient: Array | Product,
        slots: Mapping[str, Array],
        learning_rate: float,
        step: int,
        guard: Guard | None = None,
    ) -> None:
        step_size = learning_rate * math.sqrt(1 - self.beta2**step) / (1 - self.beta1**step)
        ops.adam_update(parameter, slots["m"], slots["v"], gradient, step_size, self.beta1, self.beta2, self.epsilon, guard)


OPTIMIZERS: dict[str, Optimizer] = {"adam": Adam(), "momentum": Momentum(), "sgd": SGD()}
