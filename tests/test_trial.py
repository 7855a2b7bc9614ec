"""A cell of the sweep, trained on a tiny set of coloured noise."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from helmholtz.errors import ShardError, StorageError, TrainingError
from helmholtz.manifest import level_folder
from helmholtz.results import progress_key, read_result, result_key, unpack_right
from helmholtz.storage import LocalStore
from helmholtz.training import loop, trial_log
from helmholtz.training.architectures import build
from helmholtz.training.fit import EpochMetrics, Fit, FitResult, _curves
from helmholtz.training.loop import Trainer
from helmholtz.training.trial import run_cell
from helmholtz.training.trial_log import event_key
from helmholtz.trials import Trial
from tests.tiny_training import CLASSES, SIDE, SIZES, experiment, make_level


@pytest.fixture(autouse=True, scope="module")
def _deterministic() -> None:
    tf.config.experimental.enable_op_determinism()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(str(tmp_path))
    make_level(store, "none", 30)
    return store


def _trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seeds, as they are trained from here on."""
    seeds: list[int] = []

    def counting(trainer: Trainer, fits: Sequence[Fit]) -> list[FitResult]:
        seeds.extend(each.seed for each in fits)
        return fit(trainer, fits)

    fit = Trainer.fit
    monkeypatch.setattr(Trainer, "fit", counting)
    return seeds


def test_a_cell_leaves_results_events_and_progress(store: LocalStore) -> None:
    seen: list[tuple[str, int, int]] = []
    results = run_cell(store, experiment(), "d", "A", "none", on_progress=lambda *call: seen.append(call))
    assert [result.seed for result in results] == [0, 1]
    for result in results:
        assert read_result(store, result.trial) == result
        assert result.status == "complete"
        assert (result.epochs, result.classes, result.test_records, result.level) == (2, 3, 24, "none")
        assert result.parameters == build("image", "A", (SIDE, SIDE, 3), CLASSES).count_params()
        assert result.multiply_accumulates > 1_000_000
        assert (result.converged, result.epochs_to_converge_reference) == (False, None)
        assert result.records_per_second == pytest.approx(2 * 60 / result.train_seconds)
        assert {"helmholtz", "python", "tensorflow", "keras", "numpy"} == set(result.versions)
        assert result.device.startswith("CPU (")
        progress = json.loads(store.read_bytes(progress_key(result.trial)))
        assert progress == {"epoch": 2, "epochs": 2, "validation_accuracy": result.curves.validation_accuracy[-1]}
        assert _scalars(Path(store.uri, event_key(result.trial))) == {
            "loss/train": [(i + 1, np.float32(v)) for i, v in enumerate(result.curves.train_loss)],
            "loss/validation": [(i + 1, np.float32(v)) for i, v in enumerate(result.curves.validation_loss)],
            "accuracy/train": [(i + 1, np.float32(v)) for i, v in enumerate(result.curves.train_accuracy)],
            "accuracy/validation": [(i + 1, np.float32(v)) for i, v in enumerate(result.curves.validation_accuracy)],
            "accuracy/test": [(result.best_epoch, np.float32(result.test_accuracy))],
        }
    assert seen == [(result.trial, epoch, 2) for result in results for epoch in (1, 2)]
    assert results[0].curves != results[1].curves


def test_a_result_names_the_image_that_it_was_made_in(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELMHOLTZ_IMAGE", "helmholtz-gpu:0123456789abcdef")
    (result,) = run_cell(store, experiment(seeds=1, epochs=1), "d", "A", "none")
    assert result.versions["image"] == "helmholtz-gpu:0123456789abcdef"


def _scalars(path: Path) -> dict[str, list[tuple[int, np.float32]]]:
    found: dict[str, list[tuple[int, np.float32]]] = {}
    for record in tf.data.TFRecordDataset(str(path)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, tf.make_ndarray(value.tensor)[()]))
    return found


def test_what_is_there_is_kept_and_what_is_missing_is_trained(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trained = _trained(monkeypatch)
    short = experiment(epochs=1)
    (first,) = run_cell(store, experiment(seeds=1, epochs=1), "d", "A", "none")
    both = run_cell(store, short, "d", "A", "none")
    assert trained == [0, 1]
    assert both[0] == first

    # A killed attempt: no result, but leftovers.
    Path(store.uri, result_key(both[1].trial)).unlink()
    store.write_bytes(event_key(both[1].trial), b"left over by a killed attempt")
    again = run_cell(store, short, "d", "A", "none")
    assert trained == [0, 1, 1]
    assert again[1].curves == both[1].curves  # the same bits
    assert len(list(store.list(f"tensorboard/trials/{both[1].trial}"))) == 1
    assert _scalars(Path(store.uri, event_key(both[1].trial)))["accuracy/test"]

    # Another budget is another trial, beside.
    (longer,) = run_cell(store, experiment(seeds=1, epochs=2), "d", "A", "none")
    assert trained == [0, 1, 1, 0]
    assert longer.trial != first.trial
    assert (longer.epochs, read_result(store, first.trial)) == (2, first)

    # Nothing is staged when nothing is missing: the data may be gone.
    for path in Path(store.uri, "data").rglob("*.tfrecord"):
        path.unlink()
    with caplog.at_level(logging.INFO):
        assert run_cell(store, short, "d", "A", "none") == again
    told = [record.message for record in caplog.records if record.name == "helmholtz.training.trial"]
    assert told == [f"{result.trial}: kept" for result in again]
    assert trained == [0, 1, 1, 0]


def test_levels_pair_by_seed(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    make_level(store, 25, strength=31)
    schedules: dict[str, list[str]] = {"none": [], "25": []}
    schedule = loop._schedule
    level = "none"

    def recorded(*args: int, **kwargs: int) -> tuple[np.ndarray, ...]:
        parts = schedule(*args, **kwargs)
        schedules[level].append(hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
        return parts

    initial: dict[str, list[bytes]] = {"none": [], "25": []}

    def recorded_fit(trainer: Trainer, fits: Sequence[Fit]) -> list[FitResult]:
        initial[level] += [b"".join(weight.tobytes() for weight in one.model.get_weights()) for one in trainer.networks]
        return fit(trainer, fits)

    fit = Trainer.fit
    monkeypatch.setattr(loop, "_schedule", recorded)
    monkeypatch.setattr(Trainer, "fit", recorded_fit)
    small = experiment(epochs=1)
    reference = run_cell(store, small, "d", "A", "none")
    level = "25"
    compressed = run_cell(store, small, "d", "A", 25)
    assert schedules["none"] == schedules["25"]
    assert initial["none"] == initial["25"]
    assert len(set(initial["none"])) == 2  # of two seeds
    assert all(a.curves != b.curves for a, b in zip(reference, compressed, strict=True))


def test_a_diverged_trial_is_a_result_too(store: LocalStore) -> None:
    (result,) = run_cell(store, experiment(seeds=1, learning_rate=1e6, epochs=4), "d", "A", "none")
    assert read_result(store, result.trial) == result
    assert (result.status, result.test_accuracy, result.epochs_to_converge) == ("diverged", None, None)
    assert result.epochs == len(result.curves.train_loss) < 4
    json.loads(store.read_bytes(result_key(result.trial)), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_a_corrupt_shard_trains_nothing(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = _trained(monkeypatch)
    shard = Path(store.uri, level_folder("d", "jpeg-420", "none"), "test-00000-of-00001.tfrecord")
    shard.write_bytes(shard.read_bytes()[:-1] + b"\0")
    with pytest.raises(ShardError, match=shard.name):
        run_cell(store, experiment(), "d", "A", "none")
    assert trained == []


def test_a_manifest_of_another_level_is_refused(store: LocalStore) -> None:
    here = Path(store.uri, level_folder("d", "jpeg-420", 25))
    Path(store.uri, level_folder("d", "jpeg-420", "none")).rename(here)
    with pytest.raises(StorageError, match="describes data/d/jpeg-420/none"):
        run_cell(store, experiment(), "d", "A", 25)


def test_a_missing_level_is_named(store: LocalStore) -> None:
    with pytest.raises(StorageError, match=r"jpeg-420/25/manifest\.json"):
        run_cell(store, experiment(), "d", "A", 25)


def test_a_result_that_is_none_of_ours_is_not_overwritten(store: LocalStore) -> None:
    name = Trial("d", "jpeg-420", "none", "A", 0, experiment().training).id
    store.write_bytes(result_key(name), b'{"format": 1}')
    with pytest.raises(StorageError, match="damaged, or of another version"):
        run_cell(store, experiment(), "d", "A", "none")


def test_threads_need_a_process_of_their_own(store: LocalStore) -> None:
    tf.constant(0)
    with pytest.raises(TrainingError, match="process of its own"):
        run_cell(store, experiment(), "d", "A", "none", threads=1 + tf.config.threading.get_intra_op_parallelism_threads())


def test_with_mismatch_the_network_is_tested_at_the_other_levels_too(store: LocalStore) -> None:
    make_level(store, 25, 200)
    run, matched = experiment(seeds=1, epochs=8), experiment(seeds=1, epochs=8, mismatch=True)
    (plain,), (result,) = (run_cell(store, each, "d", "A", "none") for each in (run, matched))
    assert plain.right_at == {}
    assert plain.fingerprint != result.fingerprint
    assert result.test_accuracy == plain.test_accuracy
    assert result.right_at.keys() == {"25"}
    (other,) = run_cell(store, matched, "d", "A", 25)
    assert other.right_at.keys() == {"none"}
    elsewhere = unpack_right(result.right_at["25"], SIZES["test"]).mean()
    assert elsewhere < plain.test_accuracy  # seven times the noise that it was trained on


def _instant(trainer: Trainer, fits: Sequence[Fit]) -> list[FitResult]:
    """A fit that only reports."""
    (on_epoch,) = (each.on_epoch for each in fits)
    assert on_epoch is not None
    metrics, epochs = EpochMetrics(1.0, 0.5, 1.0, 0.5), trainer._training.epochs
    for epoch in range(1, epochs + 1):
        on_epoch(epoch, metrics)
    right = np.arange(len(trainer._data.test)) % 2 == 0
    return [FitResult("complete", _curves([metrics] * epochs), 1, 0.5, 1.0, 0.5, right, 0.1)]


def test_lost_progress_does_not_end_a_trial(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = LocalStore.write_bytes

    def failing(self: LocalStore, key: str, data: bytes) -> None:
        if key.endswith("progress.json"):
            raise StorageError("no room")
        write(self, key, data)

    monkeypatch.setattr(Trainer, "fit", _instant)
    monkeypatch.setattr(LocalStore, "write_bytes", failing)
    (result,) = run_cell(store, experiment(seeds=1, epochs=1), "d", "A", "none")
    assert result.status == "complete"
    assert "progress not shown: no room" in caplog.text


def test_progress_is_not_written_each_epoch(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[str] = []
    write = LocalStore.write_bytes

    def recorded(self: LocalStore, key: str, data: bytes) -> None:
        keys.append(key)
        write(self, key, data)

    monkeypatch.setattr(LocalStore, "write_bytes", recorded)
    monkeypatch.setattr(Trainer, "fit", _instant)
    monkeypatch.setattr(trial_log, "PROGRESS_SECONDS", 3600.0)
    (result,) = run_cell(store, experiment(seeds=1, epochs=4), "d", "A", "none")
    assert keys == [progress_key(result.trial)] * 2 + [result_key(result.trial)]  # first epoch, end; the result last
