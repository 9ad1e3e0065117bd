"""The folder of a run: what a new run does to an older one, and when; and that a kill at any instant loses neither."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import SETTINGS, net, run, stripes

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.checkpoint import TrainedNetwork, load_checkpoint, load_network, weights_sha256
from numbacnn.training import State, StepDone, new_state
from numbacnn.training.likeness import likeness_of
from numbacnn.training.run_folder import RunFolder


def begun(epochs: int, seed: int = SETTINGS.seed) -> State:
    """A run stopped after one step (epochs 0) or after some epochs."""
    state = new_state(net(), replace(SETTINGS, seed=seed), get_ops("cpu"))
    if epochs:
        run(state, stripes(), stop=lambda event: state.epoch == epochs)
    else:
        run(state, stripes(), stop=lambda event: isinstance(event, StepDone))
    return state


def save(folder: RunFolder, state: State) -> None:
    network = TrainedNetwork(
        state.graph, state.parameters_to_keep(get_ops("cpu")), ("a", "b", "c"), {"seed": state.settings.seed}
    )
    folder.save_epoch(state, get_ops("cpu"), network, "config", {})


def save_features(folder: RunFolder, state: State) -> TrainedNetwork:
    """The last file of a training."""
    ops = get_ops("cpu")
    network = TrainedNetwork(state.graph, state.parameters_to_keep(ops), ("a", "b", "c"), {"seed": state.settings.seed})
    likeness = likeness_of(state, network.parameters, stripes(), ops)
    assert likeness is not None
    folder.save_features(likeness, network)
    return network


def resumed(folder: RunFolder) -> State:
    return folder.resume(folder.load(), get_ops("cpu"))


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}


def test_a_new_run_stopped_in_its_first_epoch_leaves_the_earlier_one_as_it_was(tmp_path: Path) -> None:
    save(RunFolder(tmp_path), begun(1))
    before = contents(tmp_path)
    again = RunFolder(tmp_path)
    again.save_checkpoint(begun(0), get_ops("cpu"), {})
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"unfinished.safetensors"}


def test_what_was_stopped_last_is_resumed_and_then_takes_the_folder_over(tmp_path: Path) -> None:
    save(RunFolder(tmp_path), begun(1))
    earlier = contents(tmp_path)
    RunFolder(tmp_path).save_checkpoint(begun(0), get_ops("cpu"), {})
    folder = RunFolder(tmp_path)
    state = resumed(folder)
    assert (state.epoch, state.step) == (0, 1)
    run(state, stripes(), stop=lambda event: state.epoch == 1)
    save(folder, state)
    assert contents(tmp_path / "previous") == earlier
    assert "unfinished.safetensors" not in contents(tmp_path)
    assert resumed(RunFolder(tmp_path)).epoch == 1


def test_every_earlier_run_is_kept(tmp_path: Path) -> None:
    for _ in range(3):
        save(RunFolder(tmp_path), begun(1))
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"previous", "previous-2"}


def test_the_features_of_an_earlier_run_go_with_it_and_never_stay_beside_another_network(tmp_path: Path) -> None:
    first = RunFolder(tmp_path)
    save(first, begun(1))
    network = save_features(first, begun(1))
    assert first.has_features_of(network)
    earlier = contents(tmp_path)
    second = RunFolder(tmp_path)
    save(second, begun(2))
    assert contents(tmp_path / "previous") == earlier
    assert not second.features.exists()
    assert second.is_complete(), "features are of a finished training"
    assert second.has_features_of(save_features(second, begun(2)))
    assert not second.has_features_of(network)


def test_features_do_not_outlive_the_epoch_that_they_are_of(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    save(folder, begun(1))
    save_features(folder, begun(1))
    ops, state = get_ops("cpu"), begun(2)
    folder.save_epoch(state, ops, None, "config", {})
    assert folder.features.exists(), "an epoch that is not kept has no network"
    save(folder, state)
    assert not folder.features.exists()


def test_a_resumed_run_moves_nothing(tmp_path: Path) -> None:
    save(RunFolder(tmp_path), begun(1))
    folder = RunFolder(tmp_path)
    resumed(folder)
    save(folder, begun(2))
    assert not (tmp_path / "previous").exists()


def test_there_is_nothing_to_resume_in_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(nc.CheckpointError, match="no run to resume"):
        RunFolder(tmp_path).load()


# --- the beginning ----------------------------------------------------------------------------------------------------------------


def fresh(seed: int = 0) -> State:
    return new_state(net(), replace(SETTINGS, seed=seed), get_ops("cpu"))


def test_a_run_killed_before_its_first_epoch_is_the_one_that_is_resumed(tmp_path: Path) -> None:
    """And not the finished one that was in the folder before."""
    save(RunFolder(tmp_path), begun(1))
    RunFolder(tmp_path).begin(fresh(seed=7), get_ops("cpu"), {"dataset": "mine"})
    state, about = resumed(RunFolder(tmp_path)), RunFolder(tmp_path).load().state["about"]
    assert (state.settings.seed, state.step, about) == (7, 0, {"dataset": "mine"})


@pytest.mark.parametrize("pretrained", [False, True])
def test_a_run_resumed_from_its_beginning_starts_with_the_same_weights(tmp_path: Path, pretrained: bool) -> None:
    ops = get_ops("cpu")
    weights = {name: ops.to_host(array) + 1 for name, array in fresh().parameters.items()} if pretrained else None
    state = new_state(net(), SETTINGS, ops, weights)
    RunFolder(tmp_path).begin(state, ops, {})
    found = resumed(RunFolder(tmp_path))
    assert found.parameters.keys() == state.parameters.keys()
    for name, array in state.parameters.items():
        np.testing.assert_array_equal(found.parameters[name], array)
    RunFolder(tmp_path).begin(found, ops, {})
    assert resumed(RunFolder(tmp_path)).is_pretrained == pretrained, "and once more"


def test_the_beginning_of_a_run_costs_no_more_than_its_description(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(fresh(), get_ops("cpu"), {})
    assert RunFolder(tmp_path).resumable().stat().st_size < 4000


def test_a_run_that_fails_before_its_first_step_leaves_the_earlier_one_to_be_resumed(tmp_path: Path) -> None:
    save(RunFolder(tmp_path), begun(1))
    before = contents(tmp_path)
    folder = RunFolder(tmp_path)
    folder.begin(fresh(), get_ops("cpu"), {})
    folder.abandon()
    assert contents(tmp_path) == before
    folder = RunFolder(tmp_path)
    folder.begin(fresh(), get_ops("cpu"), {})
    folder.save_checkpoint(begun(0), get_ops("cpu"), {})
    folder.abandon()
    assert (tmp_path / "unfinished.safetensors").exists(), "trained for a step, it is worth keeping"


def test_a_third_run_does_not_delete_the_second_which_was_stopped_in_its_first_epoch(tmp_path: Path) -> None:
    save(RunFolder(tmp_path), begun(1))
    RunFolder(tmp_path).save_checkpoint(begun(0), get_ops("cpu"), {})
    moved = RunFolder(tmp_path).begin(fresh(seed=3), get_ops("cpu"), {})
    assert moved == tmp_path / "previous"
    assert resumed(RunFolder(moved)).step == 1
    assert resumed(RunFolder(tmp_path)).settings.seed == 3
    assert RunFolder(tmp_path).begin(fresh(seed=4), get_ops("cpu"), {}) is None, "a run without a step is not worth keeping"


def test_a_run_without_a_step_is_no_earlier_run(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(fresh(), get_ops("cpu"), {})
    folder = RunFolder(tmp_path)
    folder.begin(fresh(), get_ops("cpu"), {})
    assert folder.earlier_files() == []
    save(folder, begun(1))
    assert not (tmp_path / "previous").exists()


# --- killed -----------------------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process has ended here."""


CHANGES = ((os, "replace"), (os, "link"), (Path, "mkdir"), (Path, "unlink"))
"""What changes the folder."""


def kill_at(monkeypatch: pytest.MonkeyPatch, number: int, after: bool) -> Callable[[], int]:
    """Have the change of this number not happen, or be the last one. Returns what counts the changes."""
    count = 0

    def patched(original: Callable[..., Any]) -> Callable[..., Any]:
        def change(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count > number or (count == number and not after):
                raise Killed
            result = original(*args, **kwargs)
            if count == number:
                raise Killed
            return result

        return change

    for owner, name in CHANGES:
        monkeypatch.setattr(owner, name, patched(getattr(owner, name)))
    return lambda: count


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("links", [True, False])
def test_a_kill_at_any_change_while_a_run_takes_over_loses_neither(tmp_path: Path, after: bool, links: bool) -> None:
    first, second = begun(1), begun(2)
    number = 0
    while True:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        save(RunFolder(folder), first)
        save_features(RunFolder(folder), first)
        earlier = contents(folder)
        with pytest.MonkeyPatch.context() as patch:
            if not links:
                patch.setattr(os, "link", no_links)
            count = kill_at(patch, number, after)
            with contextlib.suppress(Killed):
                save(RunFolder(folder), second)
        if count() < number:
            break
        taken_over = RunFolder(folder)
        state = resumed(taken_over)
        if state.epoch == 2:  # the new run was on the disk
            if not taken_over.is_complete():
                save(taken_over, state)
            assert contents(folder / "previous") == earlier, number
            assert not (folder / "previous-2").exists(), number
            found = load_network(folder / "model.safetensors")
            assert weights_sha256(found.graph, found.parameters) == weights_sha256(second.graph, second.parameters)
            assert len((folder / "history.jsonl").read_text().splitlines()) == 2
            assert taken_over.is_complete()
            assert not taken_over.features.exists(), number
        else:
            assert contents(folder).items() >= earlier.items(), number
    assert number > 8, "a run takes over in more changes than that"


def no_links(*args: object) -> None:
    raise OSError(1, "Operation not permitted")


def test_a_finished_run_without_its_network_is_not_complete(tmp_path: Path) -> None:
    """What is complete is said to be in place; what is not is written again from the checkpoint."""
    save(RunFolder(tmp_path), begun(1))
    folder = RunFolder(tmp_path)
    assert folder.is_complete()
    folder.model.unlink()
    assert not folder.is_complete()


# --- two at once, names -----------------------------------------------------------------------------------------------------------


def test_two_trainings_into_one_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    refused = pytest.raises(nc.CheckpointError, match="another training is writing to this folder")
    with RunFolder(folder).writing(), refused, RunFolder(folder).writing():
        pass
    with RunFolder(folder).writing():
        pass


def test_files_half_written_by_a_killed_process_do_not_stay_for_ever(tmp_path: Path) -> None:
    save(RunFolder(tmp_path), begun(1))
    before = contents(tmp_path)
    for name in (
        ".model.safetensors-0123abcd.partial",
        ".unfinished.safetensors-00000000.partial",
        ".history.jsonl-ffffffff.partial",
    ):
        (tmp_path / name).write_bytes(b"half")
    own = {".mine-1", ".model.safetensors-original", ".model.safetensors-0123abcd.partial.zip"}
    for name in own:
        (tmp_path / name).write_bytes(b"the user's own")
    with RunFolder(tmp_path).writing():
        pass
    assert contents(tmp_path).keys() - before.keys() == {".lock", *own}


@pytest.mark.parametrize("name", ["best", "optimizer", "parameters"])
def test_a_layer_called_best_does_not_make_a_run_impossible_to_resume(tmp_path: Path, name: str) -> None:
    ops = get_ops("cpu")
    graph = nc.sequential(("flat", nc.Flatten()), (name, nc.Dense(3, activation="softmax")), input_shape=net().input_shape)
    state = new_state(graph, replace(SETTINGS, validation=0.2), ops)
    run(state, stripes(), stop=lambda event: state.epoch == 1)
    save(RunFolder(tmp_path), state)
    found = resumed(RunFolder(tmp_path))
    assert state.best is not None
    assert found.best is not None
    for ours, theirs in ((state.parameters, found.parameters), (state.slots, found.slots), (state.best, found.best)):
        assert ours.keys() == theirs.keys()
        for key in ours:
            np.testing.assert_array_equal(ours[key], theirs[key])


@pytest.mark.parametrize("after", [False, True])
def test_a_third_run_after_a_kill_while_the_second_took_over_finds_no_mixture_of_runs(tmp_path: Path, after: bool) -> None:
    """Each folder of an earlier run holds files of one run alone, and the first two runs are both kept."""
    ops = get_ops("cpu")
    first, second, third = (begun(1, seed) for seed in (5, 6, 7))
    number = 0
    while True:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        save(RunFolder(folder), first)
        with pytest.MonkeyPatch.context() as patch:
            count = kill_at(patch, number, after)
            with contextlib.suppress(Killed):
                save(RunFolder(folder), second)
        if count() < number:
            break
        taken_up = RunFolder(folder)
        taken_up.begin(fresh(7), ops, {})
        save(taken_up, third)
        kept = {path: seeds_in(path) for path in (folder, *folder.glob("previous*"))}
        assert all(len(seeds) == 1 for seeds in kept.values()), (number, kept)
        assert kept.pop(folder) == {7}
        assert {5} in kept.values(), number
        if number > 1:  # the first change puts the second run on the disk
            assert {6} in kept.values(), number
    assert number > 8


def seeds_in(folder: Path) -> set[int]:
    """The seeds of the runs whose files are in a folder."""
    seeds = set()
    if (folder / "checkpoint.safetensors").exists():
        seeds.add(load_checkpoint(folder / "checkpoint.safetensors").state["settings"]["seed"])
    if (folder / "model.safetensors").exists():
        seeds.add(load_network(folder / "model.safetensors").summary["seed"])
    return seeds


@pytest.mark.parametrize("after", [False, True])
def test_a_fourth_run_finds_no_mixture_where_the_third_was_killed_after_the_second_was_killed_taking_over(
    tmp_path: Path, after: bool
) -> None:
    ops = get_ops("cpu")
    first, second, fourth = (begun(1, seed) for seed in (5, 6, 8))
    number = 0
    while True:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        save(RunFolder(folder), first)
        with pytest.MonkeyPatch.context() as patch:
            count = kill_at(patch, number, after)
            with contextlib.suppress(Killed):
                save(RunFolder(folder), second)
        if count() < number:
            break
        RunFolder(folder).begin(fresh(7), ops, {})
        last = RunFolder(folder)
        last.begin(fresh(8), ops, {})
        save(last, fourth)
        kept = {path: seeds_in(path) for path in (folder, *folder.glob("previous*"))}
        assert all(len(seeds) == 1 for seeds in kept.values()), (number, kept)
        assert kept.pop(folder) == {8}
        assert {5} in kept.values(), number
        if number > 1:
            assert {6} in kept.values(), number
    assert number > 8
