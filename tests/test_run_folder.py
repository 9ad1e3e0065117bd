"""The folder of a run: what a new run does to an older one, and when."""

from pathlib import Path

import pytest
from test_training import SETTINGS, net, run, stripes

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.checkpoint import TrainedNetwork
from numbacnn.training import State, StepDone, new_state
from numbacnn.training.run_folder import RunFolder


def begun(epochs: int) -> State:
    """A run stopped after one step (epochs 0) or after some epochs."""
    state = new_state(net(), SETTINGS, get_ops("cpu"))
    if epochs:
        run(state, stripes(), stop=lambda event: state.epoch == epochs)
    else:
        run(state, stripes(), stop=lambda event: isinstance(event, StepDone))
    return state


def save(folder: RunFolder, state: State) -> None:
    network = TrainedNetwork(state.graph, state.parameters_to_keep(get_ops("cpu")), ("a", "b", "c"), {})
    folder.prepare()
    folder.save_epoch(state, get_ops("cpu"), network, "config", {})


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
    state, _ = folder.resume(get_ops("cpu"))
    assert (state.epoch, state.step) == (0, 1)
    run(state, stripes(), stop=lambda event: state.epoch == 1)
    save(folder, state)
    assert contents(tmp_path / "previous") == earlier
    assert "unfinished.safetensors" not in contents(tmp_path)
    assert RunFolder(tmp_path).resume(get_ops("cpu"))[0].epoch == 1


def test_every_earlier_run_is_kept(tmp_path: Path) -> None:
    for _ in range(3):
        save(RunFolder(tmp_path), begun(1))
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"previous", "previous-2"}


def test_a_resumed_run_moves_nothing(tmp_path: Path) -> None:
    save(RunFolder(tmp_path), begun(1))
    folder = RunFolder(tmp_path)
    folder.resume(get_ops("cpu"))
    save(folder, begun(2))
    assert not (tmp_path / "previous").exists()


def test_there_is_nothing_to_resume_in_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(nc.CheckpointError, match="no run to resume"):
        RunFolder(tmp_path).resume(get_ops("cpu"))
