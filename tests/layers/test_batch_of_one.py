"""Batch normalisation where a batch has one value of each feature: nothing could be learned."""

import pytest
from networks import run, stripes

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.training import Settings, new_state


def normalised(*before: nc.layers.Layer) -> nc.Graph:
    return nc.sequential(*before, nc.BatchNorm(), nc.Activation("relu"), nc.Dense(3, activation="softmax"), input_shape=(6, 6, 1))


@pytest.mark.parametrize(("batch_size", "images"), [(1, 12), (100, 1)])
def test_batch_normalisation_of_single_rows_is_refused_before_it_learns_nothing(batch_size: int, images: int) -> None:
    data = stripes(images, 3)
    for before in ((nc.Flatten(), nc.Dense(5)), (nc.Conv2D(5, 6), nc.Flatten())):
        state = new_state(normalised(*before), Settings(epochs=1, batch_size=batch_size), get_ops("cpu"))
        with pytest.raises(nc.TrainingError, match=r"^norm1: .*5 features has one value \(batch size 1\).*--batch-size 2"):
            run(state, data)
        assert state.step == 0


def test_batch_normalisation_of_single_images_with_several_pixels_learns() -> None:
    graph = nc.sequential(nc.Conv2D(4, 3), nc.BatchNorm(), nc.Flatten(), nc.Dense(3, activation="softmax"), input_shape=(6, 6, 1))
    state = new_state(graph, Settings(epochs=1, batch_size=1), get_ops("cpu"))
    run(state, stripes(12, 3))
    assert state.step == 12


def test_a_last_batch_of_a_single_image_is_taken_by_batch_normalisation() -> None:
    state = new_state(normalised(nc.Flatten(), nc.Dense(5)), Settings(epochs=1, batch_size=11), get_ops("cpu"))
    run(state, stripes(12, 3))
    assert state.step == 2
