"""Several seeds of one cell side by side: each as if it were alone, whatever becomes of the others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from helmholtz.results import TrialResult
from helmholtz.storage import LocalStore
from helmholtz.training import memory
from helmholtz.training.architectures import build
from helmholtz.training.checkpoint import Checkpoints
from helmholtz.training.fit import EpochMetrics, Fit, FitResult
from helmholtz.training.loop import Trainer
from helmholtz.training.trial import run_cell
from helmholtz.training.trial_log import event_key
from helmholtz.trials import Trial
from tests.tiny_training import CLASSES, INPUTS, SIDE, TINY, alone, experiment, make_level, tiny_data

SEEDS = (4, 1, 9)
LONG = TINY.model_copy(update={"epochs": 4, "batch_size": 14})  # 60 records: a smaller batch is left


@pytest.fixture(autouse=True, scope="module")
def _deterministic() -> None:
    tf.config.experimental.enable_op_determinism()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(str(tmp_path))
    make_level(store, "none", 30)
    return store


def network(seed: int, precision: str = "float32") -> Any:
    return build("image", "A", (SIDE, SIDE, 3), CLASSES, seed=seed, precision=precision)


def assert_same(one: tuple[FitResult, Any], other: tuple[FitResult, Any]) -> None:
    (a, model), (b, another) = one, other
    assert a.curves == b.curves
    assert (a.status, a.best_epoch, a.test_loss, a.test_accuracy) == (b.status, b.best_epoch, b.test_loss, b.test_accuracy)
    assert np.array_equal(a.test_right, b.test_right)
    assert all(map(np.array_equal, model.get_weights(), another.get_weights()))


@pytest.mark.parametrize("changes", [{}, {"optimizer": "adadelta", "precision": "mixed_bfloat16", "augment": False}])
def test_each_is_as_if_it_were_alone_to_the_bit(changes: dict[str, Any]) -> None:
    training = LONG.model_copy(update=changes)
    models = [network(seed, training.precision) for seed in SEEDS]
    told: list[tuple[int, int]] = []

    def noted(seed: int) -> Fit:
        return Fit(seed, lambda epoch, _: told.append((seed, epoch)))

    together = Trainer(models, tiny_data(), INPUTS, training).fit([noted(seed) for seed in SEEDS])
    assert sorted(told) == sorted((seed, epoch) for seed in SEEDS for epoch in range(1, 5))
    for seed, model, result in zip(SEEDS, models, together, strict=True):
        single = network(seed, training.precision)
        assert_same((result, model), (alone(single, training, Fit(seed)), single))


def test_one_that_diverges_ends_alone() -> None:
    models = [network(seed) for seed in SEEDS]
    models[1].trainable_variables[-1].assign([np.nan] * CLASSES)  # of the logits: a ReLU would make 0 of it
    results = Trainer(models, tiny_data(), INPUTS, LONG).fit([Fit(seed) for seed in SEEDS])
    assert [result.status for result in results] == ["complete", "diverged", "complete"]
    assert results[1].test_right is None
    assert len(results[1].curves.train_loss) == 0
    for number in (0, 2):
        single = network(SEEDS[number])
        assert_same((results[number], models[number]), (alone(single, LONG, Fit(SEEDS[number])), single))


def test_those_that_were_stopped_at_different_epochs_go_on_from_there(store: LocalStore) -> None:
    def checkpoints(seed: int) -> Checkpoints:
        return Checkpoints(store, Trial("d", "jpeg-420", 25, "A", seed, LONG), {}, seconds=0)

    class Stop(Exception):  # noqa: N818  # no error
        pass

    for seed, stop in zip(SEEDS[:2], (2, 4), strict=True):

        def on_epoch(epoch: int, _: EpochMetrics, stop: int = stop) -> None:
            if epoch == stop:
                raise Stop

        with pytest.raises(Stop):
            alone(network(seed), LONG, Fit(seed, on_epoch, checkpoints(seed)))
    models = [network(seed) for seed in SEEDS]
    told: list[int] = []
    fits = [Fit(seed, lambda epoch, _: told.append(epoch), checkpoints(seed)) for seed in SEEDS]
    together = Trainer(models, tiny_data(), INPUTS, LONG).fit(fits)
    assert sorted(told) == sorted(3 * [1, 2, 3, 4])
    for seed, model, result in zip(SEEDS, models, together, strict=True):
        single = network(seed)
        assert_same((result, model), (alone(single, LONG, Fit(seed)), single))


def told_of(result: TrialResult) -> dict[str, Any]:
    return result.model_dump(exclude={"device", "train_seconds", "records_per_second"})


def test_a_cell_side_by_side_is_the_one_trained_in_turn(store: LocalStore, tmp_path: Path) -> None:
    other = LocalStore(str(tmp_path / "other"))
    make_level(other, "none", 30)
    wanted = experiment(seeds=3, epochs=2)
    in_turn, together = run_cell(store, wanted, "d", "A", "none"), run_cell(other, wanted, "d", "A", "none", side_by_side=2)
    assert [told_of(result) for result in together] == [told_of(result) for result in in_turn]
    assert ["2 seeds side by side" in result.device for result in together] == [True, True, False]
    for result in together:
        assert other.size(event_key(result.trial))
        assert not list(other.list(f"trials/{result.trial}/checkpoint"))


def test_as_many_as_the_device_has_room_for(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(0)
    each = memory._WORKING * memory.record_bytes(model) * 20 + 16 * model.count_params()
    free = 2 * each + each // 2
    found = [memory.seats(model, 20, room) for room in (0, each - 1, each, free, 1000 * each)]
    # Dropout's states are variables, too, of some bytes.
    assert found == [1, 1, 1, 2, memory.MOST_SEATS] or found == [1, 1, 2, 2, memory.MOST_SEATS]
    monkeypatch.setattr(memory, "gpu_memory", lambda: free)
    results = run_cell(store, experiment(seeds=3, epochs=1), "d", "A", "none")
    assert ["2 seeds side by side" in result.device for result in results] == [True, True, False]


def test_where_the_hoped_for_memory_is_not_there_they_go_one_after_the_other(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @contextlib.contextmanager
    def full(model: Any, batch_size: int, what: str) -> Iterator[None]:
        if batch_size > 20:
            raise memory.TooLittleMemoryError(f"{what}: a batch of {batch_size} takes more than there is")
        yield

    monkeypatch.setattr(memory, "enough_memory", full)
    results = run_cell(store, experiment(seeds=2, epochs=1), "d", "A", "none", side_by_side=2)
    assert [result.seed for result in results] == [0, 1]
    assert not any("side by side" in result.device for result in results)
    assert "one after the other" in caplog.text
    with pytest.raises(memory.TooLittleMemoryError):
        run_cell(store, experiment(seeds=1, epochs=1, batch_size=30), "d", "A", "none")


def test_a_cpu_is_filled_by_one(store: LocalStore) -> None:
    assert memory.gpu_memory() is None
    results = run_cell(store, experiment(seeds=2, epochs=1), "d", "A", "none")
    assert not any("side by side" in result.device for result in results)
