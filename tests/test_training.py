"""The training loop, on a tiny set of coloured noise."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from helmholtz.experiment import Training
from helmholtz.training import loop
from helmholtz.training.architectures import build
from helmholtz.training.data import Records, TrainingData
from helmholtz.training.fit import EpochMetrics, Fit
from helmholtz.training.image_inputs import ImageInputs
from helmholtz.training.loop import Trainer
from tests.tiny_training import CLASSES, INPUTS, SIDE, SIZES, TINY, alone, fitted, tiny_data


@pytest.fixture(autouse=True, scope="module")
def _deterministic() -> None:
    tf.config.experimental.enable_op_determinism()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="oneDNN is asked for on x86-64 alone")
@pytest.mark.parametrize(("said", "used"), [(None, "True 1"), ("0", "False 0")])
def test_tensorflow_trains_with_onednn_unless_it_is_told_not_to(said: str | None, used: str) -> None:
    found = "from tensorflow.python.util._pywrap_util_port import IsMklEnabled; print(IsMklEnabled(), os.environ[name])"
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    environment |= {} if said is None else {"TF_ENABLE_ONEDNN_OPTS": said}
    # The variable, too: where TensorFlow would use oneDNN by itself, its answer alone says nothing.
    command = [sys.executable, "-c", f"import os, helmholtz.training.trial; name = 'TF_ENABLE_ONEDNN_OPTS'; {found}"]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert ran.stdout.strip() == used


def test_it_learns() -> None:
    calls: list[tuple[int, EpochMetrics]] = []
    model = build("image", "A", (SIDE, SIDE, 3), CLASSES)
    training = Training(epochs=12, batch_size=4, learning_rate=0.01, input_size=SIDE)
    result = alone(model, training, Fit(0, lambda *call: calls.append(call)))
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
    result = alone(model, training, Fit(0, lambda *_: snapshots.append(model.get_weights())), data)
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
        return [part.tobytes() for part in loop._schedule(50, 16, seed, epoch)]

    order, seeds = loop._schedule(50, 16, 1, 1)
    assert (order.shape, seeds.shape) == ((50,), (4, 2))
    assert sorted(order) == list(range(50))  # every record once: none left out
    assert len(np.unique(seeds, axis=0)) == 4
    assert schedule(1, 1) == schedule(1, 1)
    parts = [schedule(1, 1), schedule(1, 2), schedule(2, 1)]
    assert all(len({part[i] for part in parts}) == 3 for i in range(2))


def test_one_step_is_sgd_with_nesterov_momentum_and_decay() -> None:
    """Two updates against the formulas, in NumPy, on gradients taken outside the loop."""
    training = Training(epochs=1, batch_size=30, learning_rate=0.1, momentum=0.9, decay=0.5, augment=False, input_size=SIDE)
    data = tiny_data()
    model = build("image", "A", (SIDE, SIDE, 3), CLASSES)
    for layer in model.layers:
        if hasattr(layer, "rate"):
            layer.rate = 0  # no dropout, so that the gradient can be had elsewhere
    start = model.get_weights()
    order, _ = loop._schedule(SIZES["train"], 30, 0, 1)

    weights, velocity = start, [np.zeros_like(weight) for weight in start]
    for update, numbers in enumerate(order.reshape(2, 30)):
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
    alone(model, training, Fit(0), data)
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
    result = alone(model, training, Fit(0), data)
    # Weights stand still and nothing is random: the training pass is an evaluation.
    loss, right = loop._evaluation(model, INPUTS)(data.train)
    assert (result.curves.train_loss[0], result.curves.train_accuracy[0]) == pytest.approx((loss, right.mean()), rel=1e-5)


def test_evaluation_does_not_depend_on_its_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    records = tiny_data().train
    model = build("image", "A", (SIDE, SIDE, 3), CLASSES)
    whole, which = loop._evaluation(model, INPUTS)(records)
    for batch in (1, 7, 30, 1_000):
        monkeypatch.setattr(loop, "EVALUATION_BATCH", batch)
        loss, right = loop._evaluation(model, INPUTS)(records)
        assert loss == pytest.approx(whole, rel=1e-6)
        assert right.tolist() == which.tolist()
    predicted = model(INPUTS.scaled(records.inputs), training=False).numpy().argmax(1)
    assert which.tolist() == (predicted == records.labels.numpy()).tolist()


def test_divergence_ends_a_trial_without_reading_the_test_set() -> None:
    class Forbidden:
        @property
        def images(self) -> None:
            raise AssertionError("the test set was read")

    data = tiny_data()
    training = TINY.model_copy(update={"learning_rate": 1e6, "epochs": 6})
    result, _ = fitted(training, data=TrainingData(data.train, data.validation, Forbidden()))
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
        fitted(data=TrainingData(data.train, data.validation, records)) for records in (test, inverted)
    )
    assert (test.reads, inverted.reads) == (1, 1)
    assert other.curves == result.curves
    assert other.test_loss != result.test_loss
    assert all(np.array_equal(a, b) for a, b in zip(weights, same, strict=True))


def test_the_gpus_path_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """XLA as on a GPU, here on the CPU: the same graph, up to rounding."""
    training = TINY.model_copy(update={"epochs": 1, "batch_size": 30})
    plain = [fitted(training, seed)[0] for seed in (1, 2)]
    monkeypatch.setattr(loop, "_compiles", lambda: True)
    models = [build("image", "A", (SIDE, SIDE, 3), CLASSES, seed=seed) for seed in (1, 2)]
    compiled = Trainer(models, tiny_data(), INPUTS, training).fit([Fit(1), Fit(2)])
    for one, other in zip(plain, compiled, strict=True):
        assert other.curves.train_loss[0] == pytest.approx(one.curves.train_loss[0], rel=0.05)


@pytest.mark.parametrize("training", [TINY, TINY.model_copy(update={"optimizer": "adadelta", "precision": "mixed_bfloat16"})])
def test_a_seed_after_others_is_as_if_it_were_the_first(training: Training) -> None:
    """Weights, momentum, learning rate and dropout: nothing is left of the seeds before, to the bit."""
    networks = [build("image", "A", (SIDE, SIDE, 3), CLASSES, seed=seed, precision=training.precision) for seed in (7, 5)]
    trainer = Trainer(networks[:1], tiny_data(), INPUTS, training)
    trainer.fit([Fit(7)])
    trainer.restart(networks[1:])
    (wanted, weights), (result,) = fitted(training, 5), trainer.fit([Fit(5)])
    assert result.curves == wanted.curves
    assert (result.test_loss, result.best_epoch) == (wanted.test_loss, wanted.best_epoch)
    for got, expected in zip(trainer.networks[0].model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_step_is_traced_once_for_batches_of_every_size() -> None:
    traced = []

    class Watched(ImageInputs):
        def augment(self, records: Any, seed: Any) -> Any:
            traced.append(records.shape)
            return super().augment(records, seed)

        def scaled(self, records: Any) -> Any:
            traced.append(records.shape)
            return super().scaled(records)

    data, training = tiny_data(), TINY.model_copy(update={"batch_size": 25})  # 60 records: 25, 25 and 10
    trainer = Trainer([build("image", "A", (SIDE, SIDE, 3), CLASSES)], data, Watched(INPUTS.codec, SIDE), training)
    trainer.fit([Fit(0)])
    trainer.networks[0].evaluate(Records(data.test.inputs[:7], data.test.labels[:7]))
    assert len(traced) == 3  # augmented, scaled to train and to evaluate
