"""Optimisers: each gives the rule of a step as data, and a device applies it (``Ops.update``)."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from numbacnn.elementary import power
from numbacnn.values import Rule


class Optimizer(ABC):
    """Base of all optimisers."""

    slots: ClassVar[tuple[str, ...]] = ()
    """Names of the arrays kept for each parameter, shaped as the parameter; initially zeros."""
    usual_rate: ClassVar[float] = 0.01
    """The learning rate for a network that nothing is known of; as in Keras."""

    @abstractmethod
    def rule(self, learning_rate: float, step: int) -> Rule:
        """The rule of one step.

        Args:
            learning_rate: of this step.
            step: number of this step, from 1 on.
        """


@dataclass(frozen=True)
class SGD(Optimizer):
    """Plain gradient descent: ``w -= lr * g``. Source: the lecture's slides "How Good the Predictions Are?" and "Training CNN (4/4)"."""

    def rule(self, learning_rate: float, step: int) -> Rule:
        return Rule("sgd", (learning_rate,))


@dataclass(frozen=True)
class Momentum(Optimizer):
    """Gradient descent with a velocity: ``v = momentum * v - lr * g; w += v``. Source: Polyak 1964; Keras's form."""

    slots = ("velocity",)
    momentum: float = 0.9

    def rule(self, learning_rate: float, step: int) -> Rule:
        return Rule("momentum", (learning_rate, self.momentum))


@dataclass(frozen=True)
class Adam(Optimizer):
    """Steps scaled by running moments of the gradient.

    In Keras's form: the bias corrections are folded into the step size, so ``epsilon`` is added to the uncorrected root.

    Source: Kingma & Ba 2015 (arXiv:1412.6980), end of section 2; defaults as in Keras.
    """

    slots = ("m", "v")
    usual_rate = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-7

    def rule(self, learning_rate: float, step: int) -> Rule:
        step_size = learning_rate * math.sqrt(1 - power(self.beta2, step)) / (1 - power(self.beta1, step))
        return Rule("adam", (step_size, self.beta1, self.beta2, self.epsilon))


OPTIMIZERS: dict[str, Optimizer] = {"adam": Adam(), "momentum": Momentum(), "sgd": SGD()}
