"""Changed images, pixel by pixel, and the contest of networks on them."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run_here
from numbacnn_cli import lecture_challenges
from numbacnn_cli.signals import Terminated

from numbacnn.datasets import Dataset
from numbacnn.lecture.challenges import Challenge, Challenges, Permutation, ahead, contest, verdict, with_permuted_pixels
from numbacnn.lecture.perturbations import FAMILIES, warp


def pictures(count: int = 8, side: int = 28) -> np.ndarray:
    """Noise within a dark border, so that small changes lose nothing."""
    images = np.zeros((count, side, side, 1), np.uint8)
    images[:, 6:-6, 6:-6] = np.random.default_rng(3).integers(0, 256, (count, side - 12, side - 12, 1))
    return images


@pytest.mark.parametrize("name", FAMILIES)
def test_the_neutral_strength_changes_nothing_and_the_others_do(name: str) -> None:
    family, images = FAMILIES[name], pictures()
    np.testing.assert_array_equal(family.change(images, family.neutral), images)
    for strength in family.strengths:
        changed = family.change(images, strength)
        assert (changed.shape, changed.dtype) == (images.shape, images.dtype)
        assert (changed != images).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_curve_runs_through_the_neutral_strength_in_order(name: str) -> None:
    curve = FAMILIES[name].curve()
    assert curve in (sorted(curve), sorted(curve, reverse=True))
    assert sorted(curve) == sorted({*FAMILIES[name].strengths, FAMILIES[name].neutral})
    assert set(FAMILIES[name].strengths) < set(curve)


def test_warp_is_bilinear_and_sees_zeros_outside() -> None:
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (2, 5, 4, 3)).astype(np.uint8)
    rows, columns = generator.uniform(-3, 8, (5, 4)), generator.uniform(-3, 7, (5, 4))
    expected = np.zeros(images.shape)
    for i, j in np.ndindex(5, 4):
        for u in range(5):
            for v in range(4):
                weight = max(0, 1 - abs(rows[i, j] - u)) * max(0, 1 - abs(columns[i, j] - v))
                expected[:, i, j] += weight * images[:, u, v]
    np.testing.assert_allclose(warp(images, rows, columns), expected, atol=0.51)


def test_a_rotation_turns_one_image_to_the_left_and_the_next_to_the_right() -> None:
    images = pictures(2)
    turned = FAMILIES["rotation"].change(images, 90)
    ways = [np.rot90(images[0], way) for way in (1, -1)]
    first = next(way for way, each in enumerate(ways) if (turned[0] == each).all())
    np.testing.assert_array_equal(turned[1], np.rot90(images[1], (-1, 1)[first]))


def test_a_shift_moves_four_images_to_four_sides() -> None:
    images = np.repeat(pictures(1), 4, axis=0)
    moved = FAMILIES["shift"].change(images, 3)
    sides = {
        (shift, axis) for each in moved for shift in (3, -3) for axis in (0, 1) if (each == np.roll(images[0], shift, axis)).all()
    }
    assert len(sides) == 4


def test_light_is_added_up_to_white_and_ink_and_paper_are_exchanged() -> None:
    images = pictures()
    np.testing.assert_array_equal(FAMILIES["brightness"].change(images, 96), np.minimum(images.astype(int) + 96, 255))
    np.testing.assert_array_equal(FAMILIES["inversion"].change(images, 1), 255 - images)


def test_half_the_size_leaves_a_quarter_of_the_ink() -> None:
    smaller = FAMILIES["size"].change(pictures(), 0.5)
    assert smaller.sum() / pictures().sum() == pytest.approx(0.25, rel=0.1)
    assert not smaller[:, :9].any()


def test_a_keystone_narrows_the_top_of_one_image_and_the_bottom_of_the_next() -> None:
    images = np.full((2, 28, 28, 1), 255, np.uint8)
    lit = (FAMILIES["keystone"].change(images, 0.6) > 127).sum(axis=2)[..., 0]
    assert lit[0, 0] == pytest.approx(0.4 * 28, abs=2)
    assert lit[0, -1] == 28
    np.testing.assert_array_equal(lit[1], lit[0, ::-1])


def test_permuted_pixels_are_the_same_for_every_image_and_lose_nothing() -> None:
    images, labels = pictures(), np.arange(8) % 2
    data = Dataset("noise", images, labels, images[:4], labels[:4], ("a", "b"), "drawn here")
    shuffled = with_permuted_pixels(data)
    np.testing.assert_array_equal(shuffled.train_images[:4], shuffled.test_images)
    assert (shuffled.train_images != images).any()
    np.testing.assert_array_equal(np.sort(shuffled.train_images.reshape(8, -1)), np.sort(images.reshape(8, -1)))
    flat = images.reshape(8, -1)
    for pixel, values in enumerate(shuffled.train_images.reshape(8, -1).T[:50]):
        assert (flat == values[:, None]).all(axis=0).any(), pixel


@pytest.mark.parametrize(("one", "other", "images", "winner"), [
    (0.90, 0.80, 1000, "one"), (0.80, 0.90, 1000, "other"), (0.90, 0.89, 1000, None), (0.90, 0.89, 100_000, "one"), (1.0, 1.0, 10, None),
])  # fmt: skip
def test_a_network_is_ahead_by_more_than_chance(one: float, other: float, images: int, winner: str | None) -> None:
    assert ahead(Challenge("shift", 1, {"one": one, "other": other}), images) == winner


def test_the_verdict_names_a_family_whole_or_by_its_strengths() -> None:
    rows = [Challenge("none", 0, {"a": 0.9, "b": 0.9})]
    for name, family in FAMILIES.items():
        for strength in family.strengths:
            better = "a" if name == "shift" or (name == "contrast" and strength < 0.3) else "b"
            rows.append(Challenge(name, strength, {"a": 0.7, "b": 0.7} | {better: 0.8}))
    found = Challenges(("a", "b"), tuple(rows), {"a": Permutation(0.9, 0.9), "b": Permutation(0.9, 0.8)}, 10_000, 1)
    said = verdict(found)
    assert said[0] == "a is ahead at contrast 0.2/0.1, shift."
    assert said[1].startswith("b is ahead at rotation, brightness, contrast 0.5/0.3, inversion, deformation,")
    assert found.curve("size", "a") == [0.7, 0.7, 0.9, 0.7, 0.7, 0.7, 0.7]


def test_the_command_measures_every_family_and_the_permutation(tmp_path) -> None:
    few = ("--dataset", "digits", "--train-limit", 1000, "--test-limit", 100, "--epochs", 1, "--models", "softmax,dense128")
    done = run_here("lecture", "challenges", *few, "--format", "json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["models"] == ["softmax", "dense128"]
    rows = {(row["family"], row["strength"]): row["accuracy"] for row in found["families"]}
    assert set(rows) == {("none", 0)} | {(name, strength) for name in FAMILIES for strength in FAMILIES[name].strengths}
    assert all(set(each) == {"softmax", "dense128"} for each in rows.values())
    assert found["permutation"].keys() == {"softmax", "dense128"}
    assert found["permutation"]["softmax"]["before"] == rows["none", 0]["softmax"]
    assert found["permutation"]["dense128"]["after"] > 0.3  # a dense network learns permuted pixels, too
    trained = run_here(
        "train", "--model", "softmax", *few[:-2], "--format", "json", "--progress", "none", "--output", tmp_path / "run"
    )
    assert json.loads(trained.out)["test_accuracy"] == rows["none", 0]["softmax"]


def test_bad_options_are_refused() -> None:
    done = run_here("lecture", "challenges", "--models", "small")
    assert (done.code, done.out) == (2, "")
    assert "at least 2 name" in done.err
    done = run_here("lecture", "challenges", "--plot", "curves.gif")
    assert (done.code, done.out) == (2, "")
    assert "expected a name that ends in .png, .svg or .pdf" in done.err


def test_challenges_that_are_stopped_print_and_draw_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C after minutes of training lost all of it."""
    pytest.importorskip("matplotlib")

    def stopped(contenders: Any, *args: Any, **options: Any) -> Iterator[Challenges]:
        yield next(iter(contest(contenders, *args, **options)))
        raise Terminated

    monkeypatch.setattr(lecture_challenges, "contest", stopped)
    few = ("--dataset", "digits", "--train-limit", 300, "--test-limit", 50, "--epochs", 1, "--models", "softmax,dense128")
    out = io.StringIO()
    with pytest.raises(Terminated):
        run_here("lecture", "challenges", *few, "--format", "json", "--plot", tmp_path / "a.svg", out=out)
    found = json.loads(out.getvalue())
    assert found["models"] == ["softmax"]
    assert found["permutation"] == {}
    assert found["verdict"] == []
    assert len(found["families"]) == 1 + sum(len(family.strengths) for family in FAMILIES.values())
    assert (tmp_path / "a.svg").exists()
    shown = io.StringIO()
    with pytest.raises(Terminated):
        run_here("lecture", "challenges", *few, out=shown)
    assert "accuracy on 50 test images of digits, 1 epoch, softmax with 7,850 parameters" in shown.getvalue()
    assert "dense128" not in shown.getvalue()
