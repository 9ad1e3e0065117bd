"""The door for data: wrong data are refused in words before a kernel sees them, and equal data give equal results."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from door import IMAGES, LABELS, LAYOUTS, NAMES, dataset, predictor
from networks import SETTINGS, net, run, sha, stripes

import numbacnn as nc
from numbacnn import functional as F
from numbacnn.backends import get_ops
from numbacnn.datasets import load_dataset
from numbacnn.datasets.checks import check_class_names, check_images, check_labels
from numbacnn.initializers import initial_parameters
from numbacnn.metrics import evaluate
from numbacnn.prediction import Prediction, predict
from numbacnn.training import new_state

# --- images ---------------------------------------------------------------------------------------------------------------------

WRONG_IMAGES = {
    "a list": (IMAGES.tolist(), nc.DataError, r"a NumPy array, got list"),
    "None": (None, nc.DataError, r"got NoneType"),
    "a masked array": (np.ma.array(IMAGES, mask=IMAGES > 200), nc.DataError, r"without a mask.*\.filled\(0\)"),
    "floats in 0...1": (IMAGES / 255, nc.DataError, r"uint8, got float64.*multiply by 255 and convert to uint8"),
    "float32 in 0...1": ((IMAGES / 255).astype("f4"), nc.DataError, r"got float32.*multiply by 255"),
    "floats in 0...255": (IMAGES.astype(float), nc.DataError, r"got float64\. Convert them with images\.round\(\)\.astype\('uint8'\)"),
    "floats below 0": (IMAGES - 100.0, nc.DataError, r"go from -\d+\.0 to \d+\.0: bring them to 0\.\.\.255"),
    "nan": (np.full(IMAGES.shape, np.nan), nc.DataError, r"got float64"),
    "int64": (IMAGES.astype(int), nc.DataError, r"got int64\. Convert them with images\.astype\('uint8'\)"),
    "int64 beyond 255": (IMAGES.astype(int) * 5, nc.DataError, r"bring them to 0\.\.\.255"),
    "bool": (IMAGES > 100, nc.DataError, r"got bool\. Multiply by 255"),
    "texts": (np.full(IMAGES.shape, "x"), nc.DataError, r"got <U1"),
    "objects": (IMAGES.astype(object), nc.DataError, r"got object"),
    "no channel axis": (IMAGES[..., 0], nc.ShapeError, r"got shape \(12, 6, 6\).*images\[\.\.\., None\]"),
    "a single image": (IMAGES[0], nc.ShapeError, r"got shape \(6, 6, 1\)"),
    "flat rows": (IMAGES.reshape(12, -1), nc.ShapeError, r"got shape \(12, 36\).*reshape\(n, height"),
    "no axes": (np.array(3, np.uint8), nc.ShapeError, r"got shape \(\)"),
    "an empty array of one axis": (np.zeros(0, np.uint8), nc.ShapeError, r"No images are np\.zeros\(\(0, "),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG_IMAGES)
@pytest.mark.parametrize("part", ["train_images", "test_images"])
def test_images_that_are_no_pixels_are_refused_by_a_data_set(part: str, what: str) -> None:
    """Floats in 0...1 were scaled by 1/255 once more: 46 % in place of 100 %, and not a word."""
    wrong, error, message = WRONG_IMAGES[what]
    with pytest.raises(error, match=rf"(?s)^{part}: expected.*{message}"):
        dataset(**{part: wrong})


@pytest.mark.parametrize("what", WRONG_IMAGES)
def test_images_that_are_no_pixels_are_refused_by_a_predictor(what: str) -> None:
    wrong, error, message = WRONG_IMAGES[what]
    with pytest.raises(error, match=rf"(?s)^images: expected.*{message}"):
        predictor()(wrong)


@pytest.mark.parametrize(
    "shape", [(5, 6, 1), (6, 5, 1), (7, 7, 1), (32, 32, 1), (200, 200, 1), (6, 6, 3), (1, 1, 1), (6, 6, 0), (0, 6, 1)]
)
def test_images_of_another_size_than_the_network_takes_are_refused(shape: tuple[int, ...]) -> None:
    """One a pixel smaller gave nonsense, a larger one nan, a much larger one a segmentation fault."""
    asked = predictor()
    images = np.zeros((2, *shape), np.uint8)
    message = rf"expected images of shape \(6, 6, 1\), got \({', '.join(map(str, shape))}\)"
    with pytest.raises(nc.ShapeError, match=message):
        asked(images)
    with pytest.raises(nc.ShapeError, match=message):
        predict(asked.graph, asked.ops, initial_parameters(asked.graph, 0), images)


def test_what_to_do_about_images_of_another_shape_is_said() -> None:
    with pytest.raises(nc.ShapeError, match=r"Channels come last: np\.moveaxis\(images, 1, -1\)"):
        check_images("images", np.zeros((2, 3, 5, 4), np.uint8), (5, 4, 3))
    with pytest.raises(nc.ShapeError, match=r"single image: images\[None\]"):
        check_images("images", np.zeros((6, 6, 1), np.uint8), (6, 6, 1))


def test_test_images_of_another_shape_than_the_training_images_are_refused() -> None:
    with pytest.raises(nc.ShapeError, match=r"^test_images: expected images of shape \(6, 6, 1\), got \(7, 6, 1\)"):
        dataset(test_images=np.zeros((3, 7, 6, 1), np.uint8))
    with pytest.raises(nc.ShapeError, match=r"^test_images: expected images of shape"):
        dataset(test_images=np.zeros((0, 7, 6, 1), np.uint8), test_labels=LABELS[:0])


def test_images_without_a_pixel_are_refused() -> None:
    with pytest.raises(nc.ShapeError, match=r"at least one pixel"):
        dataset(train_images=np.zeros((12, 0, 6, 1), np.uint8), test_images=np.zeros((3, 0, 6, 1), np.uint8))


# --- labels ---------------------------------------------------------------------------------------------------------------------

WRONG_LABELS = {
    "a class too many": (np.where(np.arange(12) == 7, 3, LABELS), nc.DataError, r"0\.\.\.2, got 3 at position 7\b.*there are 3"),
    "a negative one": (np.where(np.arange(12) == 4, -1, LABELS.astype(int)), nc.DataError, r"got -1 at position 4\b"),
    "a huge one": (np.where(np.arange(12) >= 9, 10**9, LABELS.astype(int)), nc.DataError, r"got 1000000000 at position 9\b"),
    "beyond int64": (np.full(12, 2**63, np.uint64), nc.DataError, r"got 9223372036854775808 at position 0"),
    "one-hot": (np.eye(3)[LABELS], nc.ShapeError, r"one class number per image.*\(12, 3\).*labels\.argmax\(axis=1\)"),
    "one-hot integers": (np.eye(3, dtype=int)[LABELS], nc.ShapeError, r"labels\.argmax\(axis=1\)"),
    "a column": (LABELS[:, None], nc.ShapeError, r"\(12, 1\)\. Use labels\[:, 0\]"),
    "floats": (LABELS.astype(float), nc.DataError, r"integer type, got float64\. Convert them with labels\.astype\(int\)"),
    "bool": (LABELS > 0, nc.DataError, r"integer type, got bool"),
    "texts": (np.array(NAMES)[LABELS], nc.DataError, r"got <U7.*class_names\.index"),
    "objects": (LABELS.astype(object), nc.DataError, r"got object"),
    "a list": (LABELS.tolist(), nc.DataError, r"a NumPy array, got list\. Convert it with np\.asarray"),
    "a masked array": (np.ma.array(LABELS, mask=LABELS > 1), nc.DataError, r"without a mask"),
    "too few": (LABELS[:2], nc.ShapeError, r"one label for each of 12 images, got 2\b"),
    "too many": (np.tile(LABELS, 2), nc.ShapeError, r"one label for each of 12 images, got 24\b"),
    "a single one": (np.array(1), nc.ShapeError, r"got shape \(\)"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG_LABELS)
@pytest.mark.parametrize("part", ["train", "test"])
def test_labels_that_are_no_classes_are_refused_by_a_data_set(part: str, what: str) -> None:
    """A class too many trained to a loss of 1.9e27, a negative one in silence; a huge one ended the process."""
    wrong, error, message = WRONG_LABELS[what]
    with pytest.raises(error, match=rf"(?s)^{part}_labels: expected.*{message}"):
        dataset(**{f"{part}_labels": wrong, f"{part}_images": IMAGES})


@pytest.mark.parametrize("what", WRONG_LABELS)
def test_labels_that_are_no_classes_are_refused_by_evaluate(what: str) -> None:
    wrong, error, message = WRONG_LABELS[what]
    with pytest.raises(error, match=rf"(?s)^labels: expected.*{message}"):
        evaluate(Prediction(np.zeros((12, 3), np.float32)), wrong)


@pytest.mark.parametrize("what", sorted(set(WRONG_LABELS) - {"a list"}))
def test_labels_that_are_no_classes_are_refused_by_the_loss(what: str) -> None:
    wrong, error, message = WRONG_LABELS[what]
    with pytest.raises(error, match=rf"(?s)^labels: expected.*{message}"):
        F.softmax_cross_entropy(np.zeros((12, 3), np.float32), wrong)


@pytest.mark.parametrize("label", [3, 255])
def test_labels_written_into_after_the_data_set_was_made_do_not_reach_a_kernel(label: int) -> None:
    data = dataset(train_labels=LABELS.copy())
    data.train_labels[5] = label
    with pytest.raises(nc.DataError, match=rf"train_labels: expected class numbers 0\.\.\.2, got {label} at position 5"):
        run(new_state(net(), SETTINGS, get_ops("cpu")), data)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "at least one class"), ("abc", "a text for each class"), (None, "a text for each class"), (3, "a text for each class"),
        (("a", "b", "a"), r"distinct names, got 'a' at positions 0 and 2"), (("a", "", "c"), "not empty, got '' at position 1"),
        (("a", "b", 3), "got 3 at position 2"), (("a", "b", " "), "got ' ' at position 2"),
    ],
)  # fmt: skip
def test_class_names_that_name_no_classes_are_refused(names: Any, message: str) -> None:
    with pytest.raises(nc.DataError, match=f"^class_names: expected .*{message}"):
        dataset(class_names=names)


def test_class_names_may_come_as_a_list_or_an_array() -> None:
    assert dataset(class_names=list(NAMES)).class_names == NAMES
    assert check_class_names(np.array(NAMES)) == NAMES
    assert {type(name) for name in check_class_names(np.array(NAMES))} == {str}


# --- equal data in other layouts --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain() -> tuple[str, np.ndarray]:
    state = new_state(net(), dataclasses.replace(SETTINGS, epochs=1), get_ops("cpu"))
    run(state, stripes(40, 12))
    return sha(state), predictor()(IMAGES).logits


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_memory_layout_of_images_and_labels_trains_and_predicts_the_same(layout: str, plain: tuple[str, np.ndarray]) -> None:
    change = LAYOUTS[layout]
    data = stripes(40, 12)
    arrays = {name: change(getattr(data, name)) for name in ("train_images", "train_labels", "test_images", "test_labels")}
    state = new_state(net(), dataclasses.replace(SETTINGS, epochs=1), get_ops("cpu"))
    run(state, dataclasses.replace(data, **arrays))
    assert sha(state) == plain[0]
    assert np.array_equal(predictor()(change(IMAGES)).logits, plain[1])


@pytest.mark.parametrize("dtype", ["i1", "u2", "i4", "<i8", ">i8", ">u2", "u8"])
def test_labels_of_any_integer_type_train_and_measure_the_same(dtype: str, plain: tuple[str, np.ndarray]) -> None:
    data = stripes(40, 12)
    changed = dataclasses.replace(data, train_labels=data.train_labels.astype(dtype), test_labels=data.test_labels.astype(dtype))
    state = new_state(net(), dataclasses.replace(SETTINGS, epochs=1), get_ops("cpu"))
    run(state, changed)
    assert sha(state) == plain[0]
    one, other = (evaluate(Prediction(plain[1]), labels) for labels in (LABELS, LABELS.astype(dtype)))
    assert (one.loss, one.accuracy) == (other.loss, other.accuracy)


def test_more_than_256_classes_are_told_apart() -> None:
    assert len(check_labels("labels", np.arange(300), 300, 300)) == 300
    assert len(check_labels("labels", np.arange(200, dtype=np.uint8), 200, 300)) == 200


def test_a_data_set_may_lack_either_part() -> None:
    assert len(load_dataset("digits", Path("nowhere"), train_limit=0, test_limit=3).train_images) == 0
    assert len(load_dataset("digits", Path("nowhere"), train_limit=3, test_limit=0).test_images) == 0
    with pytest.raises(nc.TrainingError, match="got 0 to train on and 0 held out of 0"):
        run(new_state(net(), SETTINGS, get_ops("cpu")), dataset(train_images=IMAGES[:0], train_labels=LABELS[:0]))


@pytest.mark.parametrize("limit", [-1, "3", 1.5, [3], float("nan")])
def test_a_limit_that_is_no_number_of_images_is_refused(limit: Any) -> None:
    for part in ("train_limit", "test_limit"):
        with pytest.raises(nc.DataError, match=rf"^{part}: expected 0 images or more, or None for all, got "):
            load_dataset("digits", Path("nowhere"), **{part: limit})
    assert len(load_dataset("digits", Path("nowhere"), train_limit=np.int64(3), test_limit=0).train_images) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [None, 3, "", "mnits", ["mnist"]])
def test_a_data_set_that_does_not_exist_is_refused(name: Any) -> None:
    with pytest.raises(nc.DataError, match=r"^data set: expected mnist, digits, .*, or the path of your own data, got "):
        load_dataset(name, Path("nowhere"))
