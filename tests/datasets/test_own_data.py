"""Data of one's own: what is read, in which form, and what is said about data that are no images with labels."""

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import numbacnn as nc
from numbacnn.datasets import Dataset, load_dataset
from numbacnn.datasets.parts import hold_out, limited
from numbacnn.normalisation import NUMBERS, PIXELS

RNG = np.random.default_rng(3)
IMAGES = RNG.integers(0, 256, (24, 6, 6), np.uint8)
LABELS = np.arange(24) % 3
NAMES = ("ant", "bee", "cat")


def png(path: Path, pixels: np.ndarray, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def class_folders(folder: Path, images: np.ndarray = IMAGES, labels: np.ndarray = LABELS) -> Path:
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        png(folder / NAMES[label] / f"{number}.png", image)
    return folder


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()


def idx_folder(folder: Path, **arrays: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        (folder / name.replace("_", "-")).write_bytes(idx(array))
    return folder


def npz(folder: Path, **arrays: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def csv(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.csv").write_text(text)
    return folder / "data.csv"


def rows(images: np.ndarray = IMAGES, labels: Any = LABELS) -> str:
    return "".join(
        ",".join(map(str, [label, *image.ravel().tolist()])) + "\n" for image, label in zip(images, labels, strict=True)
    )


HEADER = "label," + ",".join(f"pixel{i}" for i in range(36)) + "\n"


def by_class(dataset: Dataset) -> list[list[bytes]]:
    """The training images of each class: what forms have in common, whatever the order of their images."""
    return [
        sorted(image.tobytes() for image in dataset.train_images[dataset.train_labels == k])
        for k in range(len(dataset.class_names))
    ]


# --- the forms ------------------------------------------------------------------------------------------------------------------

FORMS: dict[str, Callable[[Path], Path]] = {
    "npz": lambda folder: npz(folder, x=IMAGES, y=LABELS),
    "npz, int64": lambda folder: npz(folder, X=IMAGES.astype(np.int64), Y=LABELS[:, None].astype(float)),
    "npz, rows": lambda folder: npz(folder, data=IMAGES.reshape(24, 36), target=LABELS),
    "npz, one-hot": lambda folder: npz(folder, images=IMAGES[..., None], labels=np.eye(3)[LABELS]),
    "csv": lambda folder: csv(folder, rows()),
    "csv with a header": lambda folder: csv(folder, HEADER + rows()),
    "csv from Excel": lambda folder: csv(folder, "\ufeff" + (HEADER + rows()).replace(",", ";")),
    "idx": lambda folder: idx_folder(folder, train_images_idx3_ubyte=IMAGES, train_labels_idx1_ubyte=LABELS),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_arrays_is_the_same_data_set(form: str, tmp_path: Path) -> None:
    dataset = load_dataset(FORMS[form](tmp_path / "data"))
    train, test = hold_out(LABELS)
    np.testing.assert_array_equal(dataset.train_images, IMAGES[train][..., None])
    np.testing.assert_array_equal(dataset.test_images, IMAGES[test][..., None])
    np.testing.assert_array_equal(dataset.train_labels, LABELS[train])
    assert dataset.train_images.dtype == np.uint8
    assert dataset.class_names == ("0", "1", "2")
    assert (dataset.name, dataset.pictures, dataset.normalisation) == ("data", "photographs", PIXELS)
    assert "one image in 6 of each class held out" in dataset.source


def test_class_folders_keep_the_pixels_of_pictures_of_the_right_size(tmp_path: Path) -> None:
    dataset = nc.Dataset.from_folder(class_folders(tmp_path / "photos"))
    order = np.argsort(LABELS, kind="stable")  # class by class, in natural order: 2.png before 10.png
    train, test = hold_out(LABELS[order])
    np.testing.assert_array_equal(dataset.train_images[..., 0], IMAGES[order][train])
    np.testing.assert_array_equal(dataset.test_images[..., 0], IMAGES[order][test])
    assert dataset.class_names == NAMES


def test_class_folders_in_train_and_test_and_val_are_the_parts(tmp_path: Path) -> None:
    class_folders(tmp_path / "photos" / "Train", IMAGES[:12], LABELS[:12])
    class_folders(tmp_path / "photos" / "test", IMAGES[12:18], LABELS[12:18])
    dataset = load_dataset(tmp_path / "photos")
    assert (len(dataset.train_images), len(dataset.test_images), dataset.validation_images) == (12, 6, None)
    class_folders(tmp_path / "photos" / "validation", IMAGES[18:], LABELS[18:])
    dataset = load_dataset(tmp_path / "photos")
    assert dataset.validation_images is not None
    assert len(dataset.validation_images) == 6
    (tmp_path / "photos" / "test").rename(tmp_path / "elsewhere")
    dataset = load_dataset(tmp_path / "photos")
    assert (len(dataset.test_images), dataset.validation_images) == (6, None)
    np.testing.assert_array_equal(np.sort(dataset.test_labels), np.sort(LABELS[18:]))


def test_pictures_are_scaled_to_the_input_in_grey_or_colour(tmp_path: Path) -> None:
    red = np.zeros((40, 20, 3), np.uint8)
    red[..., 0] = 200
    for name in ("red", "also red"):
        for number in range(3):
            png(tmp_path / name / f"{number}.jpg", red, quality=95)
    colour = load_dataset(tmp_path, input_shape=(8, 8, 3))
    assert colour.train_images.shape == (4, 8, 8, 3)
    assert np.abs(colour.train_images.astype(int) - [200, 0, 0]).max() < 5
    grey = load_dataset(tmp_path, input_shape=(8, 8, 1))
    assert np.abs(grey.train_images.astype(int) - 60).max() < 5
    assert load_dataset(tmp_path).train_images.shape == (4, 40, 20, 3)


def test_litter_and_other_files_are_left_out_and_the_others_are_named(tmp_path: Path) -> None:
    class_folders(tmp_path / "photos")
    for name in ("._3.png", ".DS_Store", "Thumbs.db"):
        (tmp_path / "photos" / "ant" / name).write_bytes(b"x")
    (tmp_path / "photos" / "__MACOSX").mkdir()
    (tmp_path / "photos" / "bee" / "notes.txt").write_text("x")
    notices: list[str] = []
    dataset = load_dataset(tmp_path / "photos", notice=notices.append)
    assert len(dataset.train_images) + len(dataset.test_images) == 24
    assert any("1 file left out, as no picture of a class: notes.txt" in notice for notice in notices)


def test_a_few_unreadable_pictures_are_named_and_left_out_and_many_are_an_error(tmp_path: Path) -> None:
    class_folders(tmp_path / "photos", np.concatenate([IMAGES] * 2), np.concatenate([LABELS] * 2))
    (tmp_path / "photos" / "ant" / "3.png").write_bytes(b"no picture")  # one of many that are trained on
    notices: list[str] = []
    dataset = load_dataset(tmp_path / "photos", notice=notices.append)
    assert len(dataset.train_images) + len(dataset.test_images) == 47
    assert any("cannot be read and are left out" in notice and "3.png" in notice for notice in notices)
    for number in range(1, 30):
        for name in NAMES:
            if (path := tmp_path / "photos" / name / f"{number}.png").exists():
                path.write_bytes(b"no picture")
    with pytest.raises(nc.DataError, match=r"photos: expected pictures, got \d+ of \d+ that cannot be read: .*png"):
        load_dataset(tmp_path / "photos")
    assert (tmp_path / "photos" / "ant" / "0.png").exists()


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),  # Keras's mnist.npz
        ("train_images", "train_labels", "test_images", "test_labels"),  # MedMNIST
        ("X_train", "Y_train", "X_val", "Y_val"),
    ],
)
def test_npz_files_in_the_usual_names_have_two_parts(names: tuple[str, ...], tmp_path: Path) -> None:
    given = dict(zip(names, (IMAGES[:18], LABELS[:18], IMAGES[18:], LABELS[18:]), strict=True))
    dataset = load_dataset(npz(tmp_path, **given))
    np.testing.assert_array_equal(dataset.train_images[..., 0], IMAGES[:18])
    np.testing.assert_array_equal(dataset.test_images[..., 0], IMAGES[18:])
    np.testing.assert_array_equal(dataset.test_labels, LABELS[18:])


def test_labels_of_a_file_may_be_names_or_any_numbers(tmp_path: Path) -> None:
    named = load_dataset(csv(tmp_path, HEADER + rows(labels=[NAMES[label] for label in LABELS])))
    assert named.class_names == NAMES
    np.testing.assert_array_equal(named.train_labels, LABELS[hold_out(LABELS)[0]])
    notices: list[str] = []
    numbered = load_dataset(npz(tmp_path, x=IMAGES, y=LABELS * 10 + 7), notice=notices.append)
    assert numbered.class_names == ("7", "17", "27")
    np.testing.assert_array_equal(numbered.train_labels, named.train_labels)
    assert any("3 different numbers, 7, 17, 27" in notice for notice in notices)
    given = load_dataset(npz(tmp_path, x=IMAGES, y=LABELS, class_names=np.array(NAMES)))
    assert given.class_names == NAMES


def test_floats_are_taken_as_they_are(tmp_path: Path) -> None:
    dataset = load_dataset(npz(tmp_path, x=IMAGES / 255 - 0.5, y=LABELS))
    assert dataset.normalisation == NUMBERS
    assert dataset.train_images.dtype == np.float32
    text = "\n".join(
        f"{label}," + ",".join(f"{value:.3f}" for value in image.ravel() / 255)
        for image, label in zip(IMAGES, LABELS, strict=True)
    )
    assert load_dataset(csv(tmp_path, text)).normalisation == NUMBERS


def test_an_idx_folder_of_emnist_is_turned_upright_and_its_labels_are_its_classes(tmp_path: Path) -> None:
    folder = idx_folder(
        tmp_path, emnist_letters_train_images_idx3_ubyte=IMAGES.swapaxes(1, 2), emnist_letters_train_labels_idx1_ubyte=LABELS + 1,
        emnist_letters_test_images_idx3_ubyte=IMAGES[:6].swapaxes(1, 2), emnist_letters_test_labels_idx1_ubyte=LABELS[:6] + 1,
    )  # fmt: skip
    dataset = load_dataset(folder)
    np.testing.assert_array_equal(dataset.train_images[..., 0], IMAGES)
    np.testing.assert_array_equal(dataset.test_labels, LABELS[:6])
    assert dataset.class_names == ("1", "2", "3")


def test_gzipped_idx_files_in_colour_and_in_folders_of_their_name_are_read(tmp_path: Path) -> None:
    colour = RNG.integers(0, 256, (24, 4, 5, 3), np.uint8)
    for name, array in (("train-images-idx4-ubyte.gz", colour), ("train-labels-idx1-ubyte.gz", LABELS)):
        (tmp_path / "raw" / name).mkdir(parents=True)
        (tmp_path / "raw" / name / name).write_bytes(gzip.compress(idx(array)))
    assert load_dataset(tmp_path).train_images.shape == (21, 4, 5, 3)


def test_limits_take_images_of_every_class_and_decode_no_others(tmp_path: Path) -> None:
    class_folders(tmp_path / "photos", np.concatenate([IMAGES] * 4), np.concatenate([LABELS] * 4))
    seen: list[tuple[str, int, int]] = []
    dataset = load_dataset(tmp_path / "photos", train_limit=12, test_limit=0, progress=lambda *args: seen.append(args))
    assert len(np.unique(dataset.train_labels)) == 3
    assert (len(dataset.train_images), len(dataset.test_images)) == (12, 0)
    assert len(seen) == 12
    whole = load_dataset(tmp_path / "photos")
    assert {image.tobytes() for image in dataset.train_images} <= {image.tobytes() for image in whole.train_images}


def test_the_share_held_out_is_always_the_same_and_has_every_class() -> None:
    labels = RNG.integers(0, 5, 300)
    train, test = hold_out(labels)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(300))
    np.testing.assert_array_equal(hold_out(labels)[1], test)
    for label in range(5):
        assert (labels[test] == label).sum() == (labels == label).sum() // 6
    assert len(hold_out(np.array([0, 1, 1]))[1]) == 1  # a class of one image is trained on
    assert limited(np.arange(5), 9).tolist() == [0, 1, 2, 3, 4]


# --- what is refused --------------------------------------------------------------------------------------------------------------


def lying_npz(folder: Path) -> Path:
    """A header that announces a terabyte."""
    path = npz(folder, x=IMAGES, y=LABELS)
    out = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(
                name, data.replace(b"(24, 6, 6), }  ", b"(1000000, 999, 999), }")[: len(data)] if name == "x.npy" else data
            )
    path.write_bytes(out.getvalue())
    return path


def no_npz(folder: Path) -> Path:
    (folder / "data.npz").write_bytes(b"no archive")
    return folder / "data.npz"


def one_picture(folder: Path) -> Path:
    class_folders(folder / "photos")
    png(folder / "photos" / "dog" / "1.png", IMAGES[0])
    return folder / "photos"


def empty_class(folder: Path) -> Path:
    (class_folders(folder / "photos") / "dog").mkdir()
    return folder / "photos"


def no_classes(folder: Path) -> Path:
    png(folder / "photos" / "1.png", IMAGES[0])
    return folder / "photos"


def other_class_in_test(folder: Path) -> Path:
    class_folders(folder / "photos" / "train")
    png(folder / "photos" / "test" / "dog" / "1.png", IMAGES[0])
    return folder / "photos"


def two_sizes(folder: Path) -> Path:
    png(class_folders(folder / "photos") / "ant" / "big.png", np.zeros((9, 9), np.uint8))
    return folder / "photos"


def two_sets(folder: Path) -> Path:
    return idx_folder(folder, emnist_a_train_images_idx3_ubyte=IMAGES, emnist_b_train_images_idx3_ubyte=IMAGES)


def text_file(folder: Path, name: str) -> Path:
    (folder / name).write_text("x")
    return folder / name


WRONG: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing there": (lambda f: f / "nowhere", r"expected class folders .* got nothing at that place"),
    "a zip": (lambda f: text_file(f, "a.zip"), r"Unpack it first"),
    "an npy": (lambda f: text_file(f, "a.npy"), r"np\.savez"),
    "another file": (lambda f: text_file(f, "a.xyz"), r"ends in \.xyz"),
    "other keys": (lambda f: npz(f, a=IMAGES, b=LABELS), r"expected arrays x and y, .*got a, b\. Save it with np\.savez"),
    "images alone": (lambda f: npz(f, x=IMAGES), r"expected labels beside x, got x"),
    "objects": (lambda f: npz(f, x=IMAGES, y=np.array([{}] * 24)), r"y: expected an array of numbers or texts, got pickled objects"),
    "a header that lies": (lying_npz, r"x: expected [\d,]+ bytes, as its header says"),
    "no npz": (no_npz, r"expected an \.npz file of arrays, got a damaged or another one"),
    "ints beyond 255": (lambda f: npz(f, x=IMAGES.astype(int) * 5, y=LABELS), r"expected pixels 0\.\.\.255, got numbers from 0 to \d+"),
    "pixels as floats": (
        lambda f: npz(f, x=IMAGES.astype(float), y=LABELS),
        r"got whole numbers up to 25\d: pixels, it seems.*astype\('uint8'\)",
    ),
    "huge floats": (lambda f: npz(f, x=IMAGES * 1e9, y=LABELS), r"expected finite numbers"),
    "nan": (lambda f: npz(f, x=np.full((24, 6, 6), np.nan), y=LABELS), r"expected finite numbers"),
    "texts": (lambda f: npz(f, x=np.full((24, 6, 6), "x"), y=LABELS), r"images: expected pixels"),
    "channels first": (lambda f: npz(f, x=np.zeros((24, 3, 6, 6), np.uint8), y=LABELS), r"channels last.*np\.moveaxis"),
    "labels with fractions": (lambda f: npz(f, x=IMAGES, y=LABELS + 0.5), r"expected classes, got the number 0\.5"),
    "labels not one-hot": (lambda f: npz(f, x=IMAGES, y=np.ones((24, 3))), r"rows with a single 1"),
    "fewer labels": (lambda f: npz(f, x=IMAGES, y=LABELS[:9]), r"one label for each of 24 images, got 9"),
    "no images": (lambda f: npz(f, x=IMAGES[:0], y=LABELS[:0]), r"expected images, got none"),
    "another class in the test part": (
        lambda f: npz(f, x_train=IMAGES, y_train=LABELS, x_test=IMAGES, y_test=LABELS + 1),
        r"expected the classes of the training images, 0, 1, 2, got 3",
    ),
    "rows that are no square": (lambda f: npz(f, x=IMAGES.reshape(24, 36)[:, :35], y=LABELS), r"as a square image has, got 35"),
    "csv with a text": (
        lambda f: csv(f, HEADER + rows() + rows().split("\n")[0].replace(",", ",abc", 1)),
        r"expected numbers besides the label",
    ),
    "a ragged csv": (lambda f: csv(f, HEADER + rows() + "1,2,3\n"), r"row 26: expected 37 values, got 3"),
    "a csv without rows": (lambda f: csv(f, HEADER), r"expected a row for each image, got none"),
    "an empty csv": (lambda f: csv(f, ""), r"expected a label and pixels"),
    "a csv without labels": (
        lambda f: csv(f, ",".join(f"pixel{i}" for i in range(36)) + "\n" + rows()), r"expected a column of labels",
    ),
    "a class of one picture": (one_picture, r"dog: expected at least 2 pictures of each class, one of them for the test, got 1"),
    "an empty class": (empty_class, r"dog: expected at least 2 pictures of each class.*got none"),
    "no classes": (no_classes, r"expected a folder for each of two classes or more, got none, and 1 pictures without a class"),
    "an empty folder": (lambda f: f, r"expected a folder for each of two classes or more, got none"),
    "the folder above": (lambda f: class_folders(f / "photos" / "inner").parent, r"Give the folder above the classes, .*inner perhaps"),
    "a class in the test part alone": (other_class_in_test, r"dog: expected the classes of the training images, ant, bee, cat"),
    "pictures of two sizes": (two_sizes, r"expected pictures of one size, got .*--input or input_shape"),
    "two sets of IDX files": (two_sets, r"expected one file of train images, got emnist-a-.* and emnist-b-"),
    "IDX images alone": (lambda f: idx_folder(f, train_images_idx3_ubyte=IMAGES), r"expected a file of train labels"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_data_that_are_no_images_with_labels_are_refused_in_one_message(what: str, tmp_path: Path) -> None:
    make, message = WRONG[what]
    path = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((nc.DataError, nc.ShapeError), match=rf"(?s){message}") as caught:
        load_dataset(path)
    assert "delete" not in str(caught.value).lower()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_damaged_idx_file_is_refused(tmp_path: Path) -> None:
    idx_folder(tmp_path, train_images_idx3_ubyte=IMAGES, train_labels_idx1_ubyte=LABELS)
    whole = idx(IMAGES)
    huge = bytes((0, 0, 8, 3)) + struct.pack(">3I", 2**31, 2**31, 2**31) + b"1"
    for data, message in (
        (whole[:-3], "cut short"),
        (whole + b"x", "got more"),
        (huge, "fits the file"),
        (b"abc", "begins with"),
    ):
        (tmp_path / "train-images-idx3-ubyte").write_bytes(data)
        with pytest.raises(nc.DataError, match=message):
            load_dataset(tmp_path)


@pytest.mark.parametrize("make", [
    lambda folder: npz(folder, x=IMAGES, y=np.zeros(24, int)), lambda folder: csv(folder, rows(labels=np.full(24, 7))),
])  # fmt: skip
def test_labels_of_a_single_class_are_refused(make: Callable[[Path], Path], tmp_path: Path) -> None:
    """A file whose last column has the labels, without a header, trained to 100 %: its first column, always 0, was the label."""
    with pytest.raises(nc.DataError, match=r"expected labels of two classes or more, got [07] alone"):
        load_dataset(make(tmp_path))


def test_the_column_of_the_labels_is_said(tmp_path: Path) -> None:
    assert load_dataset(csv(tmp_path, rows())).source.endswith("labels in the first column")


def test_a_column_more_than_a_square_may_be_an_index(tmp_path: Path) -> None:
    numbered = "\n".join(f"{number},{line}" for number, line in enumerate(rows().splitlines()))
    with pytest.raises(nc.ShapeError, match=r"One column more may be an index: save without it \(index=False\)"):
        load_dataset(csv(tmp_path, numbered))


def test_pictures_that_cannot_be_read_are_a_warning_in_python(tmp_path: Path) -> None:
    folder = class_folders(tmp_path, np.tile(IMAGES, (4, 1, 1)), np.tile(LABELS, 4))
    (folder / "ant" / "broken.png").write_bytes(b"\x89PNG")
    with pytest.warns(UserWarning, match=r"cannot be read and are left out: .*broken\.png"):
        Dataset.from_folder(folder)


def test_pictures_in_colour_read_as_grey_are_said(tmp_path: Path) -> None:
    for number, label in enumerate(LABELS):
        png(tmp_path / NAMES[label] / f"{number}.png", np.stack([IMAGES[number], IMAGES[0], IMAGES[1]], axis=-1))
    told: list[str] = []
    load_dataset(tmp_path, input_shape=(6, 6, 1), notice=told.append)
    assert any("in colour" in text and "--input H,W,3 keeps colours" in text for text in told)


@pytest.mark.parametrize("shape", [(6, 6, 2), (6, 6, 4)])
def test_pictures_have_one_channel_or_three(shape: tuple[int, int, int], tmp_path: Path) -> None:
    with pytest.raises(nc.ShapeError, match=r"expected an input of 1 channel \(grey\) or 3 \(colour\), got"):
        load_dataset(class_folders(tmp_path), input_shape=shape)


def test_an_input_shape_that_is_a_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(nc.ShapeError, match=r"input_shape: expected \(height, width, channels\), got 32"):
        Dataset.from_folder(class_folders(tmp_path), 32)  # type: ignore[arg-type]


def test_a_data_set_shows_its_parts_and_not_its_arrays(tmp_path: Path) -> None:
    shown = repr(load_dataset(class_folders(tmp_path)))
    assert "images of shape (6, 6, 1), 3 classes" in shown
    assert "array(" not in shown
