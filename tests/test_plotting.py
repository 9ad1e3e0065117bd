"""Pictures of a training and of a benchmark: what is in them, and what is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numbacnn_cli.paths import PLOTS
from PIL import Image

from numbacnn.errors import CheckpointError, DeviceError, ModelError, ShapeError
from numbacnn.plotting import METADATA, save_confusion, save_curves, save_speeds

NEEDS = "needs the extra plot: pip install 'numbacnn[plot]'"
TWO = [{"epoch": epoch, "loss": 2.0 / epoch, "accuracy": 0.4 * epoch, "test_loss": 1.5, "test_accuracy": 0.5} for epoch in (1, 2)]
ONE = [{"epoch": 1, "loss": 0.5, "accuracy": 0.9, "test_loss": None, "test_accuracy": None}]
WATCHED = [
    record | {"validation_loss": loss, "validation_accuracy": 0.5} for record, loss in zip(TWO, (1.0, 3.0), strict=True)
]  # the first epoch is the one kept
BLUE, ORANGE, GREEN = (0, 114, 178), (213, 94, 0), (0, 158, 115)


@pytest.fixture
def matplotlib() -> None:
    pytest.importorskip("matplotlib", reason=NEEDS)


def colours(path: Path) -> dict[tuple[int, int, int], int]:
    """How many pixels of a picture have each colour."""
    with Image.open(path) as picture:
        image = picture.convert("RGB")
    return {colour: count for count, colour in image.getcolors(image.width * image.height)}  # type: ignore[misc, union-attr]


@pytest.mark.parametrize(
    ("history", "drawn"),
    [(TWO, {BLUE, GREEN}), (ONE, {BLUE}), (WATCHED, {BLUE, ORANGE, GREEN})],
    ids=["test", "one-epoch", "watched"],
)
@pytest.mark.usefixtures("matplotlib")
def test_there_is_a_curve_for_each_kind_of_images_and_no_other(history: list[dict], drawn: set, tmp_path: Path) -> None:
    save_curves(history, tmp_path / "curves.png", "a run")
    found = colours(tmp_path / "curves.png")
    assert {colour for colour in (BLUE, ORANGE, GREEN) if found.get(colour, 0) > 50} == drawn
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (1000, 400)


@pytest.mark.usefixtures("matplotlib")
def test_the_words_in_the_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none"}):  # letters as text; the styles leave it as it is
        monkeypatch.setattr("matplotlib.style.context", lambda name: rc_context({}))
        save_curves(WATCHED, tmp_path / "curves.svg", "a & $run$")
    text = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    for word in ("training", "validation", "test", "kept: epoch 1", "loss", "accuracy", "epoch", "a &amp; $run$"):
        assert f">{word}<" in text


@pytest.mark.usefixtures("matplotlib")
def test_a_shade_for_each_cell_of_the_confusion_matrix(tmp_path: Path) -> None:
    """Class names are drawn as they are: none is read as mathematics, and a character that the font lacks is no warning."""
    save_confusion(np.array([[9, 1], [0, 0]]), ["$x^", "\u4e00\n"], tmp_path / "confusion.png", "a title")
    found = colours(tmp_path / "confusion.png")
    dark, pale = (8, 62, 129), (247, 251, 255)  # 0.9 and 0 of the map of blues; the root of a share is drawn
    assert sum(count for colour, count in found.items() if np.abs(np.subtract(colour, dark)).max() < 12) > 1000
    assert found[pale] > 10_000  # the class without an image has no share


@pytest.mark.usefixtures("matplotlib")
def test_the_same_figures_make_the_same_file(tmp_path: Path) -> None:
    for suffix in ("png", "svg", "pdf"):
        for name in ("a", "b"):
            save_curves(TWO, tmp_path / f"{name}.{suffix}")
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 6, "nothing is left beside them"


@pytest.mark.usefixtures("matplotlib")
def test_the_settings_of_the_users_own_plots_stay(tmp_path: Path) -> None:
    from matplotlib import rc_context, rcParams

    with rc_context({"lines.linewidth": 9.0, "text.usetex": True}):  # there may be no TeX
        save_curves(TWO, tmp_path / "a.png")
        assert rcParams["lines.linewidth"] == 9.0
        with pytest.raises(CheckpointError):
            save_curves(TWO, tmp_path / "none" / "a.png")
        assert rcParams["text.usetex"]


SPEEDS = [("slow & $x^", 0.01, "$a^"), ("fast", 100.0, "0.1 ms")]


@pytest.mark.usefixtures("matplotlib")
def test_a_bar_for_each_speed_on_a_logarithmic_axis_and_a_line_at_the_peak(tmp_path: Path) -> None:
    save_speeds(SPEEDS, tmp_path / "bars.png", "a title", peak=1000.0)
    with Image.open(tmp_path / "bars.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    is_blue, is_orange = np.abs(pixels - BLUE).max(axis=2) < 8, pixels[..., 0] - pixels[..., 2] > 60
    rows = np.flatnonzero(is_blue.any(axis=1))
    first, second = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    slow, fast = (int(is_blue[middle].sum()) for middle in (int(first.mean()), int(second.mean())))
    line = np.flatnonzero(is_orange[first[0] : second[-1]].any(axis=0))
    peak = line.mean() - np.flatnonzero(is_blue.any(axis=0))[0]
    # From 0.01 to 100 are four decades, to the peak one more: so bars and line lie on the same axis.
    assert (peak - fast) * 4 == pytest.approx(fast - slow, abs=12)
    assert slow > 10, "the slowest one is a bar, too"


@pytest.mark.parametrize("name", ["curves", "curves.gif", "curves.png.txt"])
def test_a_picture_of_another_kind_is_refused_in_words(name: str, tmp_path: Path) -> None:
    for draw in (lambda path: save_curves(TWO, path), lambda path: save_speeds(SPEEDS, path)):
        with pytest.raises(ModelError, match=r"expected a name that ends in \.png, \.svg, \.pdf"):
            draw(tmp_path / name)


def test_the_command_line_takes_the_endings_that_are_drawn() -> None:
    assert [ending.removeprefix(".") for ending in PLOTS] == list(METADATA)


def test_without_a_speed_there_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="speeds: expected at least one, got none"):
        save_speeds([], tmp_path / "a.png")


def test_a_network_from_a_file_has_no_curves(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="history: expected at least one epoch, got none"):
        save_curves([], tmp_path / "curves.png")


@pytest.mark.parametrize(("shape", "names"), [((2, 2), "abc"), ((2, 3), "ab"), ((0, 0), "")])
def test_a_confusion_matrix_that_does_not_fit_its_names_is_refused(shape: tuple[int, int], names: str, tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="confusion: expected a row, a column and a name for each class"):
        save_confusion(np.zeros(shape, int), list(names), tmp_path / "confusion.png")


def test_a_missing_package_is_named_with_the_command_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.backends.backend_agg", raising=False)
    with pytest.raises(DeviceError, match=r"plot: expected matplotlib.*pip install 'numbacnn\[plot\]'"):
        save_curves(TWO, tmp_path / "curves.png")
