"""Sheets: of the computed size, not blank, and with what they say."""

import io

import numpy as np
import pytest
from PIL import Image

from numbacnn.inspection.drawing import MARGIN, WIDTH, bars, beside, grid, page, stacked, text, tile
from numbacnn.inspection.heat import Heat
from numbacnn.inspection.sheet import Answer, Captioned, filters_sheet, layer_sheet, mistakes_sheet, overlaid, summary_sheet
from numbacnn.inspection.tracing import LayerTrace


def opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    return image


def layer(*shape: int, name: str = "conv1") -> LayerTrace:
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return LayerTrace(name, values, -1.0, 0.0, 1.0, 0.25, shape[-1], shape[-1])


def colours(image: Image.Image) -> int:
    return len(image.getcolors(1 << 20) or ())


def test_blocks_have_the_size_of_their_parts() -> None:
    one, other = tile(np.zeros((7, 7, 3), np.uint8), 72), tile(np.zeros((10, 20, 3), np.uint8), 72)
    assert (one.size, other.size) == ((72, 72), (62, 32))  # 70 and 60 pixels wide, with a frame
    assert beside([one, other], 8).size == (72 + 8 + 62, 72)
    assert stacked([one, other], 8).size == (72, 72 + 8 + 32)
    assert grid([one] * 5, width=160, gap=8).size == (152, 3 * 72 + 2 * 8)
    assert tile(np.zeros((300, 100, 3), np.uint8), 72).size == (25, 72)
    assert opened(page([one])).size == (WIDTH + 2 * MARGIN, 72 + 2 * MARGIN)


def test_texts_fold_between_words_and_long_words_are_cut() -> None:
    assert text("one line", 15).height < text("one line and another " * 20, 15, 200).height
    assert text("x" * 1000, 15, 200).width <= 200
    assert text("line\nend\x1b[31m", 15).height == text("line", 15).height


@pytest.mark.parametrize("shape", [(6, 5, 40), (128,), (30_000,), (1, 1, 3)])
def test_a_layer_has_a_sheet_whatever_its_shape(shape: tuple[int, ...]) -> None:
    image = opened(layer_sheet(layer(*shape)))
    assert image.width == WIDTH + 2 * MARGIN
    assert image.height < 1500
    assert colours(image) > 10


def test_every_map_has_its_place_on_the_sheet_of_its_layer() -> None:
    few, many = (opened(layer_sheet(layer(6, 6, count))) for count in (8, 16))
    assert many.height > few.height + 100


def test_the_summary_has_the_answer_the_reason_and_every_layer() -> None:
    layers = [layer(28, 28, 8), layer(8, name="dense1")]
    image = np.zeros((28, 28, 1), np.uint8)
    heat = Heat(np.eye(28), 1, (5, 5))
    answer = Answer("7: 99%", ["a file"], image, ["3", "7"], layers, np.array([0.01, 0.99]), heat, "why")
    without = opened(summary_sheet(answer))
    with_likes = opened(summary_sheet(answer._replace(likes=[Captioned(image, "7")] * 5)))
    shorter = opened(summary_sheet(answer._replace(layers=layers[:1])))
    assert with_likes.height > without.height > shorter.height
    assert colours(without) > 50


def test_heat_is_red_where_it_is_largest_and_negative_heat_is_not_shown() -> None:
    heat = Heat(np.array([[1.0, -5.0], [0.0, 0.5]]), 1, (1, 1))
    shown = overlaid(np.full((2, 2, 1), 100, np.uint8), heat)
    assert shown[0, 0].tolist() == [230, 60, 30]
    assert shown[0, 1].tolist() == shown[1, 0].tolist() == [60, 60, 60]


@pytest.mark.parametrize(("shape", "in_colour"), [((8, 1, 5, 5), False), ((4, 3, 3, 3), True), ((16, 32, 3, 3), False)])
def test_filters_have_a_sheet(shape: tuple[int, ...], in_colour: bool) -> None:
    weights = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    assert colours(opened(filters_sheet(weights, "conv1", in_colour))) > 10


def test_mistakes_have_a_sheet_even_if_there_are_none() -> None:
    image = np.arange(784, dtype=np.int64).reshape(28, 28, 1).astype(np.uint8)
    none = opened(mistakes_sheet([], "0 mistakes", "a network"))
    some = opened(mistakes_sheet([Captioned(image, "4 taken for 9, 98.0%")] * 9, "9 mistakes", "a network"))
    assert none.height < some.height
    assert none.width == some.width


def test_bars_are_as_long_as_their_shares() -> None:
    drawn = np.asarray(bars(["a", "b"], [1.0, 0.5], 400))
    blue = (drawn == (0, 0x72, 0xB2)).all(axis=2).sum(axis=1)
    assert blue.max() == pytest.approx(2 * blue[-10], abs=2)
