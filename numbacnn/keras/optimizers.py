"""Keras's optimisers as objects: the name of numbacnn's rule, and a learning rate that callbacks may change."""

from typing import Any

from numbacnn.errors import TrainingError
from numbacnn.keras.arguments import check_arguments, check_default, no_such_name, supported_by
from numbacnn.optimizers import OPTIMIZERS, Momentum
from numbacnn.optimizers import SGD as PlainSGD
from numbacnn.optimizers import Adam as AdamRule
from numbacnn.plain_numbers import is_number
from numbacnn.quoting import short
from numbacnn.spelling import did_you_mean

_NOT_SUPPORTED = {
    "name": None, "weight_decay": None, "clipnorm": None, "clipvalue": None, "global_clipnorm": None, "use_ema": False,
    "ema_momentum": 0.99, "ema_overwrite_frequency": None, "loss_scale_factor": None, "gradient_accumulation_steps": None,
}  # fmt: skip


class Optimizer:
    """Base of the optimisers.

    Args:
        rule: a key of numbacnn's ``OPTIMIZERS``.
        learning_rate: greater than 0.
    """

    def __init__(self, rule: str, learning_rate: float) -> None:
        self.rule = rule
        self.learning_rate = check_rate(f"{type(self).__name__}: learning_rate", learning_rate)


class SGD(Optimizer):
    """Gradient descent: ``SGD(learning_rate=0.01, momentum=0.0)``; the momentum is 0 or 0.9."""

    def __init__(
        self, learning_rate: float = PlainSGD.usual_rate, momentum: float = 0.0, nesterov: bool = False, **others: Any
    ) -> None:
        check_arguments("SGD", supported_by(SGD, "nesterov"), others, _NOT_SUPPORTED)
        check_default("SGD", "nesterov", nesterov, False)
        if momentum not in (0, Momentum.momentum):
            raise TrainingError(f"SGD: momentum: expected 0 or {Momentum.momentum}, got {short(momentum)}")
        super().__init__("momentum" if momentum else "sgd", learning_rate)


class Adam(Optimizer):
    """Adam with Keras's defaults: ``Adam(learning_rate=0.001)``; its moments are those of Keras's defaults alone."""

    def __init__(
        self,
        learning_rate: float = AdamRule.usual_rate,
        beta_1: float = AdamRule.beta1,
        beta_2: float = AdamRule.beta2,
        epsilon: float = AdamRule.epsilon,
        amsgrad: bool = False,
        **others: Any,
    ) -> None:
        check_arguments("Adam", ["learning_rate"], others, _NOT_SUPPORTED)
        for name, value, default in (
            ("beta_1", beta_1, AdamRule.beta1), ("beta_2", beta_2, AdamRule.beta2), ("epsilon", epsilon, AdamRule.epsilon),
            ("amsgrad", amsgrad, False),
        ):  # fmt: skip
            check_default("Adam", name, value, default)
        super().__init__("adam", learning_rate)


_BY_NAME = {"sgd": SGD, "adam": Adam}
assert _BY_NAME.keys() <= OPTIMIZERS.keys()


def get(optimizer: object) -> Optimizer:
    """An optimiser from its name, or as it is.

    Raises:
        TrainingError: it is none of them.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        raise TrainingError(f"optimizer: expected an optimiser, got the class. Write {optimizer.__name__}()")
    name = optimizer.lower() if isinstance(optimizer, str) else ""
    if name not in _BY_NAME:
        raise TrainingError(
            f"optimizer: expected 'adam', 'sgd', or an object such as optimizers.SGD(learning_rate=0.1), got {short(optimizer)}."
            f"{did_you_mean(name, _BY_NAME)}"
        )
    return _BY_NAME[name]()


def check_rate(who: str, rate: object) -> float:
    """A learning rate as a float.

    Raises:
        TrainingError: it is no finite number greater than 0.
    """
    if not is_number(rate) or not float(rate) > 0:  # type: ignore[arg-type]
        raise TrainingError(f"{who}: expected a finite number greater than 0, got {short(rate)}")
    return float(rate)  # type: ignore[arg-type]


__all__ = ["SGD", "Adam", "Optimizer", "get"]


def __getattr__(name: str) -> Any:
    raise no_such_name("numbacnn.keras.optimizers", name, ("SGD", "Adam"))
