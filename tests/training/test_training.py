"""The training loop: exactness above all."""

import dataclasses
import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from networks import SETTINGS, net, run, sha, stripes
from repository import TESTS

import numbacnn as nc
from numbacnn.backends import get_ops
from numbacnn.checkpoint import weights_sha256
from numbacnn.network import batches
from numbacnn.ops import Ops
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.training import (
    EpochDone,
    Settings,
    State,
    StepDone,
    StoppedEarly,
    from_checkpoint,
    new_state,
    to_checkpoint,
    train,
)
from numbacnn.training.order import epoch_order
from numbacnn.values import Array, Augmentation, AugmentKey, DropoutKey, Rule


def without_times(state: State) -> list[dict[str, object]]:
    return [dataclasses.asdict(dataclasses.replace(record, seconds=0, images_per_second=0)) for record in state.history]


@pytest.mark.parametrize("optimizer", ["adam", "momentum", "sgd"])
def test_training_learns(optimizer: str) -> None:
    state = new_state(net(), dataclasses.replace(SETTINGS, optimizer=optimizer, learning_rate=0.02, epochs=8), get_ops("cpu"))
    events = run(state, stripes())
    record = [event for event in events if isinstance(event, EpochDone)][-1].record
    assert record.test_accuracy >= 0.9
    assert record.loss < state.history[0].loss


def test_the_last_partial_batch_counts_by_its_images() -> None:
    state = new_state(net(), dataclasses.replace(SETTINGS, epochs=1, batch_size=100, learning_rate=1e-12), get_ops("cpu"))
    events = run(state, stripes(count=130))
    assert [event.images for event in events if isinstance(event, StepDone)] == [100, 130]
    assert state.step == 2
    # With a learning rate that changes nothing and no dropout left to chance, the mean is that over all 130 images.
    assert events[-1].record.accuracy * 130 == pytest.approx(round(events[-1].record.accuracy * 130))  # type: ignore[attr-defined]


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    shas = []
    for seed in (5, 5, 6):
        state = new_state(net(), dataclasses.replace(SETTINGS, seed=seed), get_ops("cpu"))
        run(state, stripes())
        shas.append(sha(state))
    assert shas[0] == shas[1] != shas[2]


@pytest.mark.parametrize("steps", [1, 6, 7, 13, 20])
@pytest.mark.parametrize("validation", [0.0, 0.2])
def test_a_run_stopped_anywhere_and_resumed_equals_one_that_never_stopped(steps: int, validation: float) -> None:
    ops, settings = get_ops("cpu"), dataclasses.replace(SETTINGS, validation=validation)
    whole = new_state(net(), settings, ops)
    run(whole, stripes())
    stopped = new_state(net(), settings, ops)
    run(stopped, stripes(), stop=lambda event: isinstance(event, StepDone) and stopped.step == steps)
    resumed, about = from_checkpoint(to_checkpoint(stopped, ops, {"x": 1}), ops, "here")
    assert about == {"x": 1}
    run(resumed, stripes())
    assert sha(resumed) == sha(whole)
    assert without_times(resumed) == without_times(whole)
    assert all(np.array_equal(resumed.slots[name], whole.slots[name]) for name in whole.slots)


def test_a_run_with_augmentation_stopped_and_resumed_equals_one_that_never_stopped() -> None:
    ops, settings = get_ops("cpu"), dataclasses.replace(SETTINGS, augment=True, epochs=2)
    whole = new_state(net(), settings, ops)
    run(whole, stripes())
    stopped = new_state(net(), settings, ops)
    run(stopped, stripes(), stop=lambda event: isinstance(event, StepDone) and stopped.step == 9)
    resumed, _ = from_checkpoint(to_checkpoint(stopped, ops, {}), ops, "here")
    assert resumed.settings.augment
    run(resumed, stripes())
    assert sha(resumed) == sha(whole)
    plain = new_state(net(), dataclasses.replace(settings, augment=False), ops)
    run(plain, stripes())
    assert sha(plain) != sha(whole)


def test_only_training_images_are_augmented(monkeypatch: pytest.MonkeyPatch) -> None:
    ops, seen = get_ops("cpu"), []
    augment = type(ops).augment

    def count(self: Ops, x: Array, amounts: Augmentation, key: AugmentKey) -> Array:
        seen.append((len(x), key))
        return augment(self, x, amounts, key)

    monkeypatch.setattr(type(ops), "augment", count)
    run(new_state(net(), dataclasses.replace(SETTINGS, augment=True, epochs=2, validation=0.2), ops), stripes(count=130))
    assert seen == [(20 if step % 6 < 5 else 4, AugmentKey(seed=5, step=step)) for step in range(6)], "but not in the last epoch"
    seen.clear()
    run(new_state(net(), dataclasses.replace(SETTINGS, augment=True, epochs=1, validation=0.2), ops), stripes(count=130))
    assert len(seen) == 6, "a single epoch is not called the last"


def test_every_step_has_a_dropout_mask_and_an_update_of_its_own_number(monkeypatch: pytest.MonkeyPatch) -> None:
    ops = get_ops("cpu")
    keys: list[DropoutKey] = []
    rules: list[Rule] = []
    dropout, update = type(ops).dropout, type(ops).update

    def count_masks(self: Ops, x: Array, rate: float, key: DropoutKey) -> Array:
        keys.append(key)
        return dropout(self, x, rate, key)

    def count_updates(self: Ops, parameter: Array, slots: Any, gradient: Any, rule: Rule, check: Any = None) -> None:
        rules.append(rule)
        update(self, parameter, slots, gradient, rule, check)

    monkeypatch.setattr(type(ops), "dropout", count_masks)
    monkeypatch.setattr(type(ops), "update", count_updates)
    run(new_state(net(), dataclasses.replace(SETTINGS, epochs=2), ops), stripes(count=60))
    assert [(key.seed, key.step) for key in keys[::2]] == [(5, step) for step in range(6)]
    assert keys[::2] == keys[1::2], "the gradient has the mask of its forward pass"
    trainable = sum(spec.trainable for spec in net().parameters.values())
    expected = [OPTIMIZERS["adam"].rule(0.01 * 0.9 ** (step // 3), step + 1) for step in range(6)]
    assert rules == [rule for rule in expected for _ in range(trainable)]


@pytest.mark.parametrize(("epochs", "plain"), [(1, 0), (2, 1), (11, 1), (12, 2), (20, 3)])
def test_the_last_sixth_of_augmented_epochs_sees_images_as_they_are(epochs: int, plain: int) -> None:
    settings = dataclasses.replace(SETTINGS, augment=True, epochs=epochs)
    assert [settings.distorts(epoch) for epoch in range(epochs)] == [True] * (epochs - plain) + [False] * plain
    assert not any(dataclasses.replace(settings, augment=False).distorts(epoch) for epoch in range(epochs))


def test_a_checkpoint_from_before_augmentation_is_taken_up_without_it() -> None:
    ops = get_ops("cpu")
    checkpoint = to_checkpoint(new_state(net(), SETTINGS, ops), ops, {})
    del checkpoint.state["settings"]["augment"]
    assert from_checkpoint(checkpoint, ops, "here")[0].settings == SETTINGS


def test_two_epochs_and_two_more_equal_four() -> None:
    ops = get_ops("cpu")
    four = new_state(net(), SETTINGS, ops)
    run(four, stripes())
    two = new_state(net(), dataclasses.replace(SETTINGS, epochs=2), ops)
    run(two, stripes())
    more, _ = from_checkpoint(to_checkpoint(two, ops, {}), ops, "here")
    more.settings = dataclasses.replace(more.settings, epochs=4)
    run(more, stripes())
    assert sha(more) == sha(four)


THREADS = """
import sys
sys.path.insert(0, {tests!r})
from networks import SETTINGS, net, sha, stripes
from numbacnn.backends import get_ops
from numbacnn.training import new_state, train
ops = get_ops("cpu", {threads})
if {changes}:
    from numbacnn.backends import pace  # which imports Numba
    ops = get_ops("cpu")  # on 3 threads at most, or as many as are measured to be fastest
    def take_turns(self, now, seconds):
        self._present = (self._present + 1) % len(self._ways)
    pace.MeasuredPace._record = take_turns
state = new_state(net(), SETTINGS, ops)
for _ in train(state, stripes(), ops):
    pass
assert not {changes} or list(ops.thread_shares()) == [3, 1], ops.thread_shares()
print(sha(state))
"""


def test_the_number_of_threads_changes_no_bit() -> None:

    shas = set()
    for threads, changes in ((1, False), (2, False), (3, False), (3, True)):
        program = THREADS.format(tests=str(TESTS), threads=threads, changes=changes)
        shas.add(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
    assert len(shas) == 1


def test_a_loss_that_is_not_finite_stops_before_the_update() -> None:
    state = new_state(net(), dataclasses.replace(SETTINGS, optimizer="sgd", learning_rate=1e30), get_ops("cpu"))
    before: dict[str, np.ndarray] = {}

    def remember(event: object) -> bool:
        before.update({name: array.copy() for name, array in state.parameters.items()})
        return False

    with pytest.raises(nc.TrainingError, match=r"epoch 1, step \d+: the loss is (nan|inf).*Try --learning-rate 1e\+29"):
        run(state, stripes(), stop=remember)
    assert before, "at least one step went well"
    assert all(np.array_equal(before[name], state.parameters[name], equal_nan=True) for name in before)


def test_an_update_that_spoils_the_weights_is_noticed_before_the_network_is_kept() -> None:
    """The last update of an epoch has no next loss to show what it did: the test loss does."""
    state = new_state(net(), dataclasses.replace(SETTINGS, optimizer="sgd", learning_rate=1e38, batch_size=130), get_ops("cpu"))
    with pytest.raises(nc.TrainingError, match=r"the test loss is not a finite number .*First is the layer norm1: "):
        run(state, stripes(count=130))
    assert state.history == []


def test_validation_images_are_held_out_and_the_best_epoch_is_kept() -> None:
    state = new_state(net(), dataclasses.replace(SETTINGS, validation=0.2, epochs=3), get_ops("cpu"))
    events = run(state, stripes(count=130))
    assert next(event.images_in_epoch for event in events if isinstance(event, StepDone)) == 104
    losses = [record.validation_loss for record in state.history]
    assert state.best_loss == min(losses)  # type: ignore[type-var]
    assert state.best_epoch == 1 + losses.index(state.best_loss)
    assert state.best is not None


def test_early_stopping_ends_after_its_patience() -> None:
    # A rate this small changes nothing that a float32 loss can see for long; the best epoch comes early.
    settings = dataclasses.replace(SETTINGS, learning_rate=1e-30, validation=0.2, early_stop=2, epochs=9, optimizer="sgd")
    graph = nc.sequential(nc.Flatten(), nc.Dense(3, activation="softmax"), input_shape=(6, 6, 1))
    state = new_state(graph, settings, get_ops("cpu"))
    events = run(state, stripes())
    assert events[-1] == StoppedEarly(epoch=3, patience=2, best_epoch=1)
    again, _ = from_checkpoint(to_checkpoint(state, get_ops("cpu"), {}), get_ops("cpu"), "here")
    assert run(again, stripes()) == [events[-1]], "taken up again, it has still stopped"


def test_the_schedule_drives_the_rate_of_each_epoch() -> None:
    state = new_state(net(), dataclasses.replace(SETTINGS, learning_rate=0.01, lr_decay=0.6, epochs=3), get_ops("cpu"))
    run(state, stripes())
    assert [record.learning_rate for record in state.history] == pytest.approx([0.01, 0.006, 0.0036])


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": math.nan}, {"learning_rate": 0.0}, {"lr_decay": math.inf}, {"epochs": 0}, {"batch_size": 0}, {"seed": -1},
        {"optimizer": "adamw"}, {"schedule": "step"}, {"validation": 1.0}, {"early_stop": 3},
        {"augment": 1},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(nc.TrainingError, match=next(iter(wrong)) + "|validation"):
        Settings(**wrong)  # type: ignore[arg-type]


def test_a_network_that_does_not_fit_the_data_is_refused_before_anything_is_computed() -> None:
    other = nc.sequential(nc.Flatten(), nc.Dense(3, activation="softmax"), input_shape=(5, 6, 1))
    with pytest.raises(nc.ShapeError, match=r"\(5, 6, 1\).*stripes are \(6, 6, 1\)"):
        run(new_state(other, SETTINGS, get_ops("cpu")), stripes())
    four = nc.sequential(nc.Flatten(), nc.Dense(4, activation="softmax"), input_shape=(6, 6, 1))
    with pytest.raises(nc.ModelError, match=r"3 classes.*Dense\(3"):
        run(new_state(four, SETTINGS, get_ops("cpu")), stripes())


def test_too_few_images_to_hold_some_out_is_an_error() -> None:
    with pytest.raises(
        nc.TrainingError, match=r"^validation 0\.01: expected at least one image on either side, got 10 to train on and 0"
    ):
        run(new_state(net(), dataclasses.replace(SETTINGS, validation=0.01), get_ops("cpu")), stripes(count=10))


def test_every_image_is_seen_once_an_epoch_in_an_order_of_its_own() -> None:
    orders = [epoch_order(np.arange(50), 3, epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert not np.array_equal(orders[0], orders[1])
    assert np.array_equal(orders[0], epoch_order(np.arange(50), 3, 0))
    assert sum(b.stop - b.start for b in batches(50, 8)) == 50


def unwatched(monkeypatch: pytest.MonkeyPatch) -> Ops:
    """A device whose losses are looked at after the first step and when an epoch ends."""
    ops = get_ops("cpu")
    monkeypatch.setattr(type(ops), "asynchronous", True)
    monkeypatch.setattr("numbacnn.training.clock.READ_EVERY", math.inf)
    return ops


def test_looking_at_losses_seldom_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    watched, data = new_state(net(), SETTINGS, get_ops("cpu")), stripes()
    for _ in train(watched, data, get_ops("cpu")):
        pass
    ops = unwatched(monkeypatch)
    state = new_state(net(), SETTINGS, ops)
    shown = [event.loss for event in train(state, data, ops) if isinstance(event, StepDone)]
    assert len(set(shown[:7])) == 1, "the loss of the first step is shown until somebody looks again"
    assert [(each.loss, each.accuracy) for each in state.history] == [(each.loss, each.accuracy) for each in watched.history]
    assert weights_sha256(net(), state.parameters) == weights_sha256(net(), watched.parameters)


def test_a_loss_that_nobody_has_looked_at_holds_back_all_later_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, data = dataclasses.replace(SETTINGS, learning_rate=1e20, optimizer="sgd"), stripes()
    watched = new_state(net(), settings, get_ops("cpu"))
    with pytest.raises(nc.TrainingError) as sooner, np.errstate(all="ignore"):
        list(train(watched, data, get_ops("cpu")))
    ops = unwatched(monkeypatch)
    state = new_state(net(), settings, ops)
    events = train(state, data, ops)
    with np.errstate(all="ignore"):
        while state.batch < 6:
            next(events)
        with pytest.raises(nc.TrainingError, match="Not saved"):
            to_checkpoint(dataclasses.replace(state), ops, {})
        with pytest.raises(nc.TrainingError) as later:
            list(events)
    assert str(later.value) == str(sooner.value)
    assert weights_sha256(net(), state.parameters) == weights_sha256(net(), watched.parameters)
    assert all(np.isfinite(array).all() for array in state.parameters.values())


def test_losses_that_nobody_has_looked_at_are_not_lost_when_training_is_left_and_taken_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched, data = new_state(net(), SETTINGS, get_ops("cpu")), stripes()
    list(train(watched, data, get_ops("cpu")))
    ops = unwatched(monkeypatch)
    state = new_state(net(), SETTINGS, ops)
    for _ in range(4):
        next(events := train(state, data, ops))
        events.close()
    checkpoint = to_checkpoint(state, ops, {})
    again, _ = from_checkpoint(checkpoint, ops, "here")
    for each in (state, again):
        list(train(each, data, ops))
        assert each.history[0].loss == watched.history[0].loss
        assert weights_sha256(net(), each.parameters) == weights_sha256(net(), watched.parameters)


def test_settings_of_numpys_numbers_can_be_saved() -> None:
    """They were taken, trained with, and then no checkpoint could be written."""
    given = Settings(epochs=np.int64(2), batch_size=np.int32(5), seed=np.uint8(3), learning_rate=np.float32(0.5))  # type: ignore[arg-type]
    assert json.dumps(given.to_dict()) == json.dumps(Settings(epochs=2, batch_size=5, seed=3, learning_rate=0.5).to_dict())
    with pytest.raises(nc.TrainingError, match="learning_rate: expected a finite number"):
        Settings(learning_rate=10**400)
