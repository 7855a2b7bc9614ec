"""Several seeds of one cell side by side: each as if it were alone, whatever becomes of the others."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from helmholtz.cluster import Resources
from helmholtz.errors import StorageError
from helmholtz.results import TrialResult
from helmholtz.storage import LocalStore
from helmholtz.training import checkpoint, memory
from helmholtz.training.architectures import build
from helmholtz.training.checkpoint import Checkpoints
from helmholtz.training.fit import EpochMetrics, Fit, FitResult
from helmholtz.training.loop import Trainer
from helmholtz.training.trial import run_cell
from helmholtz.training.trial_log import event_key
from helmholtz.trials import Trial
from tests.tiny_training import CLASSES, INPUTS, SIDE, TINY, alone, experiment, make_level, tiny_data

SEEDS = (4, 9)
LONG = TINY.model_copy(update={"epochs": 3, "batch_size": 14})  # 60 records: a smaller batch is left


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
    assert sorted(told) == sorted((seed, epoch) for seed in SEEDS for epoch in range(1, 4))
    for seed, model, result in zip(SEEDS, models, together, strict=True):
        single = network(seed, training.precision)
        assert_same((result, model), (alone(single, training, Fit(seed)), single))


def test_one_that_diverges_ends_alone() -> None:
    models = [network(seed) for seed in SEEDS]
    models[1].trainable_variables[-1].assign([np.nan] * CLASSES)  # of the logits: a ReLU would make 0 of it
    results = Trainer(models, tiny_data(), INPUTS, LONG).fit([Fit(seed) for seed in SEEDS])
    assert [result.status for result in results] == ["complete", "diverged"]
    assert results[1].test_right is None
    assert len(results[1].curves.train_loss) == 0
    single = network(SEEDS[0])
    assert_same((results[0], models[0]), (alone(single, LONG, Fit(SEEDS[0])), single))


def test_those_that_were_stopped_at_different_epochs_go_on_from_there(store: LocalStore) -> None:
    def checkpoints(seed: int) -> Checkpoints:
        return Checkpoints(store, Trial("d", "jpeg-420", 25, "A", seed, LONG), {}, seconds=0)

    class Stop(Exception):  # noqa: N818  # no error
        pass

    for seed, stop in zip(SEEDS, (2, 3), strict=True):

        def on_epoch(epoch: int, _: EpochMetrics, stop: int = stop) -> None:
            if epoch == stop:
                raise Stop

        with pytest.raises(Stop):
            alone(network(seed), LONG, Fit(seed, on_epoch, checkpoints(seed)))
    models = [network(seed) for seed in SEEDS]
    told: list[int] = []
    fits = [Fit(seed, lambda epoch, _: told.append(epoch), checkpoints(seed)) for seed in SEEDS]
    together = Trainer(models, tiny_data(), INPUTS, LONG).fit(fits)
    assert sorted(told) == sorted(2 * [1, 2, 3])
    for seed, model, result in zip(SEEDS, models, together, strict=True):
        single = network(seed)
        assert_same((result, model), (alone(single, LONG, Fit(seed)), single))


def told_of(result: TrialResult) -> dict[str, Any]:
    return result.model_dump(exclude={"device", "train_seconds", "records_per_second"})


@pytest.fixture
def other(tmp_path: Path) -> LocalStore:
    """A second root with the same level."""
    other = LocalStore(str(tmp_path / "other"))
    make_level(other, "none", 30)
    return other


def test_a_cell_side_by_side_is_the_one_trained_in_turn(store: LocalStore, other: LocalStore) -> None:
    wanted = experiment(seeds=5, epochs=2)
    in_turn, together = run_cell(store, wanted, "d", "A", "none"), run_cell(other, wanted, "d", "A", "none", side_by_side=2)
    assert [told_of(result) for result in together] == [told_of(result) for result in in_turn]
    # Two groups of one width share their graphs.
    assert ["2 seeds side by side" in result.device for result in together] == [True, True, True, True, False]
    for result in together:
        assert other.size(event_key(result.trial))
        assert not list(other.list(f"trials/{result.trial}/checkpoint"))


def test_groups_are_even(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[int] = []

    def counted(trainer: Trainer, fits: Sequence[Fit]) -> list[FitResult]:
        widths.append(len(fits))
        return fit(trainer, fits)

    fit = Trainer.fit
    monkeypatch.setattr(Trainer, "fit", counted)
    wanted = experiment(seeds=4, epochs=1)
    run_cell(store, wanted.model_copy(update={"resources": Resources(side_by_side=3)}), "d", "A", "none")
    assert widths == [2, 2]


def test_seconds_are_each_ones_share_whenever_the_others_end(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(0, 10_000, 30))  # every epoch takes 30 s
    models = [network(seed) for seed in SEEDS]
    models[1].trainable_variables[-1].assign([np.nan] * CLASSES)
    trainer = Trainer(models, tiny_data(), INPUTS, LONG)
    monkeypatch.setattr("helmholtz.training.loop.time.perf_counter", lambda: float(next(times)))
    results = trainer.fit([Fit(seed) for seed in SEEDS])
    assert [result.train_seconds for result in results] == [45, 15]


@dataclass(frozen=True)
class Picky(LocalStore):
    """A store that takes no result of seed 1, until it is told to."""

    refusing: list[int] = field(default_factory=lambda: [1])

    def write_bytes(self, key: str, data: bytes) -> None:
        if self.refusing and key.endswith("result.json") and "-none-1-" in key:
            raise StorageError("refused")
        super().write_bytes(key, data)


def test_one_whose_result_is_not_taken_costs_the_others_nothing_and_goes_on_from_its_checkpoint(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(checkpoint.Checkpoints, "due", True)
    wanted, picky = experiment(seeds=3, epochs=3), Picky(store.uri)
    with pytest.raises(StorageError, match="refused"):
        run_cell(picky, wanted, "d", "A", "none", side_by_side=3)
    left = {key.split("/")[1].split("-")[2] for key in store.list("trials") if key.endswith("result.json")}
    assert left == {"0", "2"}
    picky.refusing.clear()
    with caplog.at_level("INFO"):
        results = run_cell(picky, wanted, "d", "A", "none", side_by_side=3)
    assert "goes on after epoch 2" in caplog.text
    assert [result.seed for result in results] == [0, 1, 2]


def test_as_many_as_the_device_has_room_for(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(0)
    weights = sum(math.prod(variable.shape) for variable in model.variables)  # dropout's states among them
    each = memory._WORKING * memory.record_bytes(model) * 20 + 16 * weights
    free = 2 * each + each // 2
    found = [memory.seats(model, 20, room) for room in (0, each - 1, each, free, 1000 * each)]
    assert found == [1, 1, 1, 2, memory.MOST_SEATS]
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
    assert "in turn" in caplog.text
    with pytest.raises(memory.TooLittleMemoryError):
        run_cell(store, experiment(seeds=1, epochs=1, batch_size=30), "d", "A", "none")


def test_no_room_for_the_networks_themselves_is_the_same(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def crowded(trainer: Trainer, models: Sequence[Any], *more: Any) -> None:
        if len(models) > 1:
            raise tf.errors.ResourceExhaustedError(None, None, "no memory for a tensor")
        begin(trainer, models, *more)

    begin = Trainer.__init__
    monkeypatch.setattr(Trainer, "__init__", crowded)
    results = run_cell(store, experiment(seeds=2, epochs=1), "d", "A", "none", side_by_side=2)
    assert [("side by side" in result.device, result.status) for result in results] == [(False, "complete")] * 2


def test_a_cpu_is_filled_by_one(store: LocalStore) -> None:
    assert memory.gpu_memory() is None
    results = run_cell(store, experiment(seeds=2, epochs=1), "d", "A", "none")
    assert not any("side by side" in result.device for result in results)
