"""The presets: the promises of their names, and the validity of their recipes."""

import pytest

import numbacnn as nc
from numbacnn.models import PRESETS
from numbacnn.training import Settings


def test_tiny_has_fewer_than_five_thousand_parameters() -> None:
    assert nc.summarise(PRESETS["tiny"].graph).parameters < 5000


def test_fast_needs_less_work_than_small() -> None:
    assert nc.summarise(PRESETS["fast"].graph).macs < nc.summarise(PRESETS["small"].graph).macs


@pytest.mark.parametrize("name", PRESETS)
def test_training_accepts_every_recipe(name: str) -> None:
    recipe = PRESETS[name].recipe.to_dict()
    assert recipe.items() <= Settings(**recipe).to_dict().items()
