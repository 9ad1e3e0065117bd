"""The presets: what their names promise, as far as it can be told without training."""

import numbacnn as nc
from numbacnn.models import PRESETS


def test_tiny_has_fewer_than_five_thousand_parameters() -> None:
    assert nc.summarise(PRESETS["tiny"].graph).parameters < 5000


def test_fast_needs_less_work_than_small_and_fewer_epochs() -> None:
    fast, small = PRESETS["fast"], PRESETS["small"]
    assert nc.summarise(fast.graph).macs < nc.summarise(small.graph).macs
    assert fast.recipe.epochs < small.recipe.epochs


def test_accurate_alone_is_trained_on_distorted_images() -> None:
    assert [name for name, preset in PRESETS.items() if preset.recipe.augment] == ["accurate"]
