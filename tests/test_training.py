"""The training loop and a cell of the sweep, on a tiny set of coloured noise: three classes, told apart by their colour."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from helmholtz.errors import ShardError, StorageError, TrainingError
from helmholtz.experiment import Experiment, Training
from helmholtz.levels import Level
from helmholtz.manifest import LevelManifest, SplitEntry, level_folder
from helmholtz.results import read_result, result_key, unpack_right
from helmholtz.shards import ShardWriter
from helmholtz.sources.base import SPLITS
from helmholtz.storage import LocalStore
from helmholtz.training import loop, trial
from helmholtz.training.architectures import build
from helmholtz.training.data import Records, TrainingData
from helmholtz.training.image_inputs import ImageInputs
from helmholtz.training.inputs import Inputs
from helmholtz.training.loop import EpochMetrics, FitResult, fit
from helmholtz.training.trial import event_key, progress_key, run_cell
from helmholtz.trials import Trial

CLASSES = 3
SIDE = 8
SIZES = {"train": 60, "validation": 24, "test": 24}
TINY = Training(epochs=2, batch_size=20, learning_rate=0.05, input_size=SIDE)


@pytest.fixture(autouse=True, scope="module")
def _deterministic() -> None:
    tf.config.experimental.enable_op_determinism()


def noise(count: int, seed: int, strength: float = 30) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [count, SIDE, SIDE, 3] and labels [count]: grey noise, brighter in the channel of its class."""
    random = np.random.default_rng(seed)
    labels = (np.arange(count) % CLASSES).astype(np.int32)
    images = 100 + random.normal(0, strength, (count, SIDE, SIDE, 3))
    images[np.arange(count), :, :, labels] += 80
    return np.clip(images, 0, 255).astype(np.uint8), labels


def tiny_data(strength: float = 30) -> TrainingData:
    splits = (noise(size, seed, strength) for seed, size in enumerate(SIZES.values()))
    return TrainingData(*(Records(tf.constant(images), tf.constant(labels)) for images, labels in splits))


def fitted(training: Training = TINY, seed: int = 0, data: TrainingData | None = None) -> tuple[FitResult, list[np.ndarray]]:
    model = build("image", "A", (SIDE, SIDE, 3), CLASSES, seed=seed, precision=training.precision)
    return fit(model, data or tiny_data(), ImageInputs(SIDE), training, seed), model.get_weights()


# --- the loop ---


def test_it_learns() -> None:
    calls: list[tuple[int, EpochMetrics]] = []
    model = build("image", "A", (SIDE, SIDE, 3), CLASSES)
    training = Training(epochs=12, batch_size=4, learning_rate=0.01, input_size=SIDE)
    result = fit(model, tiny_data(), ImageInputs(SIDE), training, 0, lambda *call: calls.append(call))
    assert result.status == "complete"
    assert result.test_accuracy is not None
    assert result.test_accuracy > 0.8  # chance is 0.33
    assert [epoch for epoch, _ in calls] == list(range(1, 13))
    assert tuple(metrics.validation_accuracy for _, metrics in calls) == result.curves.validation_accuracy
    assert result.curves.train_loss[-1] < 0.8 * result.curves.train_loss[0]
    assert result.train_seconds > 0
    best = max(result.curves.validation_accuracy)
    assert result.validation_accuracy == best
    assert result.best_epoch == result.curves.validation_accuracy.index(best) + 1  # the earliest of equals


def test_the_model_keeps_the_best_epochs_weights_and_is_tested_with_them() -> None:
    data = tiny_data()
    model = build("image", "A", (SIDE, SIDE, 3), CLASSES)
    snapshots: list[list[np.ndarray]] = []
    training = TINY.model_copy(update={"epochs": 5})
    result = fit(model, data, ImageInputs(SIDE), training, 0, lambda *_: snapshots.append(model.get_weights()))
    assert result.best_epoch is not None
    for kept, best in zip(model.get_weights(), snapshots[result.best_epoch - 1], strict=True):
        np.testing.assert_array_equal(kept, best)
    logits = model(data.test.inputs.numpy().astype(np.float32) / 255, training=False).numpy()
    labels = data.test.labels.numpy()
    assert result.test_accuracy == np.mean(logits.argmax(1) == labels)
    shifted = logits - logits.max(1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(labels)), labels]
    assert result.test_loss == pytest.approx(losses.mean(), rel=1e-5)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_same_seed_gives_the_same_bits(precision: str) -> None:
    training = TINY.model_copy(update={"precision": precision})
    (first, weights), (again, same) = fitted(training, 3), fitted(training, 3)
    assert first.curves == again.curves
    assert (first.test_loss, first.test_accuracy) == (again.test_loss, again.test_accuracy)
    for a, b in zip(weights, same, strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_seed_gives_another_trial() -> None:
    assert fitted(seed=0)[0].curves != fitted(seed=1)[0].curves


def test_schedules_pair_levels_and_differ_by_epoch_and_seed() -> None:
    def schedule(seed: int, epoch: int) -> list[bytes]:
        return [part.numpy().tobytes() for part in loop._schedule(50, 16, seed, epoch)]

    full, rest, seeds = loop._schedule(50, 16, 1, 1)
    assert (full.shape, rest.shape, seeds.shape) == ((3, 16), (2,), (4, 2))
    assert sorted([*full.numpy().ravel(), *rest.numpy()]) == list(range(50))  # every record once: none left out
    assert len(np.unique(seeds.numpy(), axis=0)) == 4
    assert schedule(1, 1) == schedule(1, 1)
    parts = [schedule(1, 1), schedule(1, 2), schedule(2, 1)]
    assert all(len({part[i] for part in parts}) == 3 for i in range(3))


def test_one_step_is_sgd_with_nesterov_momentum_and_decay() -> None:
    """Two updates against the formulas, in NumPy, on gradients taken outside the loop."""
    training = Training(epochs=1, batch_size=30, learning_rate=0.1, momentum=0.9, decay=0.5, augment=False, input_size=SIDE)
    data = tiny_data()
    model = build("image", "A", (SIDE, SIDE, 3), CLASSES)
    for layer in model.layers:
        if hasattr(layer, "rate"):
            layer.rate = 0  # no dropout, so that the gradient can be had elsewhere
    start = model.get_weights()
    full, rest, _ = loop._schedule(SIZES["train"], 30, 0, 1)
    assert rest.shape[0] == 0

    weights, velocity = start, [np.zeros_like(weight) for weight in start]
    for update, numbers in enumerate(full.numpy()):
        model.set_weights(weights)
        with tf.GradientTape() as tape:
            batch = tf.cast(tf.gather(data.train.inputs, numbers), tf.float32) / 255
            logits = tf.cast(model(batch), tf.float64)
            truth = tf.one_hot(tf.gather(data.train.labels, numbers), CLASSES, dtype=tf.float64)
            loss = -tf.reduce_mean(tf.reduce_sum(truth * tf.nn.log_softmax(logits), 1))
        gradients = [gradient.numpy() for gradient in tape.gradient(loss, model.trainable_variables)]
        rate = 0.1 / (1 + 0.5 * update)
        velocity = [0.9 * v - rate * g for v, g in zip(velocity, gradients, strict=True)]
        weights = [w + 0.9 * v - rate * g for w, v, g in zip(weights, velocity, gradients, strict=True)]

    model.set_weights(start)
    fit(model, data, ImageInputs(SIDE), training, 0)
    for got, expected in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-6)


def test_adadelta_is_the_references() -> None:
    """Zeiler 2012, algorithm 1, with the reference's rate 1, rho 0.95 and epsilon 1e-7, on two updates of a quadratic."""
    training = Training(optimizer="adadelta", learning_rate=1.0, momentum=0.0, decay=0.0)
    optimizer = loop._optimizer(training)
    weight = tf.Variable([3.0, -0.5])
    optimizer.build([weight])
    expected, squares, steps = np.array([3.0, -0.5]), np.zeros(2), np.zeros(2)
    for _ in range(2):
        gradient = 2 * expected
        optimizer.apply([tf.constant(gradient, tf.float32)], [weight])
        squares = 0.95 * squares + 0.05 * gradient**2
        step = -np.sqrt(steps + 1e-7) / np.sqrt(squares + 1e-7) * gradient
        steps = 0.95 * steps + 0.05 * step**2
        expected = expected + step
    np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("batch_size", [7, 60, 64])
def test_any_batch_size_sees_every_record_once(batch_size: int) -> None:
    data = tiny_data()
    model = build("image", "A", (SIDE, SIDE, 3), CLASSES)
    training = Training(epochs=1, batch_size=batch_size, learning_rate=1e-30, augment=False, input_size=SIDE)
    for layer in model.layers:
        if hasattr(layer, "rate"):
            layer.rate = 0
    result = fit(
        model, data, ImageInputs(SIDE), training, 0
    )  # weights stand still and nothing is random: the training pass is an evaluation
    loss, right = loop._evaluation(model, ImageInputs(SIDE))(data.train)
    assert (result.curves.train_loss[0], result.curves.train_accuracy[0]) == pytest.approx((loss, right.mean()), rel=1e-5)


def test_evaluation_does_not_depend_on_its_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    records = tiny_data().train
    model = build("image", "A", (SIDE, SIDE, 3), CLASSES)
    whole, which = loop._evaluation(model, ImageInputs(SIDE))(records)
    for batch in (1, 7, 30, 1_000):
        monkeypatch.setattr(loop, "EVALUATION_BATCH", batch)
        loss, right = loop._evaluation(model, ImageInputs(SIDE))(records)
        assert loss == pytest.approx(whole, rel=1e-6)
        assert right.tolist() == which.tolist()
    predicted = model(ImageInputs(SIDE).scaled(records.inputs), training=False).numpy().argmax(1)
    assert which.tolist() == (predicted == records.labels.numpy()).tolist()


def test_divergence_ends_a_trial_without_reading_the_test_set() -> None:
    class Forbidden:
        @property
        def images(self) -> None:
            raise AssertionError("the test set was read")

    data = tiny_data()
    training = TINY.model_copy(update={"learning_rate": 1e6, "epochs": 6})
    result, _ = fitted(training, data=TrainingData(data.train, data.validation, Forbidden()))  # type: ignore[arg-type]
    assert result.status == "diverged"
    assert (result.best_epoch, result.validation_accuracy, result.test_accuracy, result.test_loss) == (None,) * 4
    assert len(result.curves.train_loss) < 6
    assert all(np.isfinite(values).all() for values in result.curves.model_dump().values())


def test_the_test_set_is_read_once_and_decides_nothing() -> None:
    class Counted:
        reads = 0

        def __init__(self, images: tf.Tensor, labels: tf.Tensor) -> None:
            self._images = images
            self.labels = labels

        def __len__(self) -> int:
            return len(self.labels)

        @property
        def inputs(self) -> tf.Tensor:
            self.reads += 1
            return self._images

    data = tiny_data()
    test = Counted(data.test.inputs, data.test.labels)
    inverted = Counted(255 - data.test.inputs, data.test.labels)
    (result, weights), (other, same) = (
        fitted(data=TrainingData(data.train, data.validation, records))  # type: ignore[arg-type]
        for records in (test, inverted)
    )
    assert (test.reads, inverted.reads) == (1, 1)
    assert other.curves == result.curves
    assert other.test_loss != result.test_loss
    assert all(np.array_equal(a, b) for a, b in zip(weights, same, strict=True))


def test_the_gpus_path_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """XLA as on a GPU, here on the CPU: the same graph, up to rounding."""
    training = TINY.model_copy(update={"epochs": 1, "batch_size": 30})
    plain, _ = fitted(training)
    monkeypatch.setattr(loop, "_compiles", lambda: True)
    compiled, _ = fitted(training)
    assert compiled.curves.train_loss[0] == pytest.approx(plain.curves.train_loss[0], rel=0.05)


# --- a cell ---


def make_level(store: LocalStore, level: Level, strength: float) -> None:
    """A level as the compression writes it, of PNG records."""
    folder = Path(store.uri, level_folder("d", "jpeg-420", level))
    folder.mkdir(parents=True)
    splits = {}
    for seed, split in enumerate(SPLITS):
        images, labels = noise(SIZES[split], seed, strength)
        with ShardWriter(folder / f"{split}-00000-of-00001.tfrecord") as writer:
            for number, (image, label) in enumerate(zip(images, labels, strict=True)):
                writer.add(f"{number}", int(label), tf.io.encode_png(image).numpy())
        splits[split] = SplitEntry(
            records=len(labels),
            groups=1,
            per_class=tuple(np.bincount(labels).tolist()),
            payload_bytes=1,
            coded_bits=1,
            samples=1,
            source_bytes=1,
            shards=(writer.entry(),),
        )
    manifest = LevelManifest(
        dataset="d",
        codec="jpeg-420",
        medium="image",
        level=level,
        quantisation=0,
        sample="pixel",
        payload_bits_per_sample=1,
        classes=("red", "green", "blue"),
        splits=splits,
        rejected=(),
        double_compressed=0,
        source_levels={},
        notes={},
        versions={},
    )
    (folder / "manifest.json").write_text(manifest.model_dump_json())


def experiment(seeds: int = 2, **training: object) -> Experiment:
    return Experiment.model_validate(
        {
            "dataset": {"kind": "photographs"},
            "levels": ["none", 25],
            "seeds": seeds,
            "training": {**TINY.model_dump(), **training},
        }
    )


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(str(tmp_path))
    make_level(store, "none", 30)
    return store


def _trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seeds, as they are trained from here on."""
    seeds: list[int] = []

    def counting(model: object, data: TrainingData, inputs: Inputs, training: Training, seed: int, *more: Any) -> FitResult:
        seeds.append(seed)
        return fit(model, data, inputs, training, seed, *more)

    monkeypatch.setattr(loop, "fit", counting)
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
    assert [record.message for record in caplog.records] == [f"{result.trial}: kept" for result in again]
    assert trained == [0, 1, 1, 0]


def test_levels_pair_by_seed(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    make_level(store, 25, strength=31)
    schedules: dict[str, list[str]] = {"none": [], "25": []}
    schedule = loop._schedule
    level = "none"

    def recorded(*args: int, **kwargs: int) -> tuple[tf.Tensor, ...]:
        parts = schedule(*args, **kwargs)
        schedules[level].append(hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest())
        return parts

    initial: dict[str, list[bytes]] = {"none": [], "25": []}

    def recorded_fit(model: object, *args: object) -> FitResult:
        initial[level].append(b"".join(weight.tobytes() for weight in model.get_weights()))  # type: ignore[attr-defined]
        return fit(model, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "_schedule", recorded)
    monkeypatch.setattr(loop, "fit", recorded_fit)
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


def _instant(
    model: object, data: TrainingData, inputs: Inputs, training: Training, seed: int, on_epoch: Callable[..., None]
) -> FitResult:
    """A fit that only reports."""
    metrics = EpochMetrics(1.0, 0.5, 1.0, 0.5)
    for epoch in range(1, training.epochs + 1):
        on_epoch(epoch, metrics)
    right = np.arange(len(data.test)) % 2 == 0
    return FitResult("complete", loop._curves([metrics] * training.epochs), 1, 0.5, 1.0, 0.5, right, 0.1)


def test_lost_progress_does_not_end_a_trial(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = LocalStore.write_bytes

    def failing(self: LocalStore, key: str, data: bytes) -> None:
        if key.endswith("progress.json"):
            raise StorageError("no room")
        write(self, key, data)

    monkeypatch.setattr(loop, "fit", _instant)
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
    monkeypatch.setattr(loop, "fit", _instant)
    monkeypatch.setattr(trial, "PROGRESS_SECONDS", 3600.0)
    (result,) = run_cell(store, experiment(seeds=1, epochs=4), "d", "A", "none")
    assert keys == [progress_key(result.trial)] * 2 + [result_key(result.trial)]  # first epoch, end; the result last
