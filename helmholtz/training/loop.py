"""The training loop, from top to bottom: seeded batches, augmentation, updates, validation, and one look at the test set.

An epoch is one call into a TensorFlow graph that loops over its batches, so Python does nothing a batch. What the seed
decides (data order, shifts and flips; initial weights and dropout, see `architectures.build`) depends on the seed and the
epoch alone: it is the same at every level, which pairs the levels, and on every run.
"""

from __future__ import annotations

import math
import time
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import tensorflow as tf

from helmholtz.results import Curves
from helmholtz.training.checkpoint import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from helmholtz.experiment import Training
    from helmholtz.training.checkpoint import Checkpoints
    from helmholtz.training.data import Records, TrainingData
    from helmholtz.training.inputs import Inputs

EVALUATION_BATCH = 500  # records


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """One point of each curve. Losses are mean cross-entropy in nats, accuracies fractions in 0..1.

    The training values are running ones: over the augmented batches, dropout on, while the weights change.
    """

    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True, slots=True)
class FitResult:
    """What a fit leaves behind. If it diverged there is no best epoch, and the test set was not read."""

    status: Literal["complete", "diverged"]
    curves: Curves  # of the epochs with finite losses
    best_epoch: int | None  # counted from 1; the earliest of the epochs with the highest validation accuracy
    validation_accuracy: float | None  # of that epoch
    test_loss: float | None
    test_accuracy: float | None
    test_right: Any  # bool [test records]: which of them it had right, in their order; None if it diverged
    train_seconds: float  # of the training epochs: without tracing, validation and test (XLA compiles in the first seed's)


class Trainer:
    """Trains one network on one level, for one seed after the other: the graphs of its epochs are traced once for all."""

    def __init__(self, model: Any, data: TrainingData, inputs: Inputs, training: Training) -> None:
        """`model` is one of `architectures.build`; from then on it is the trainer's."""
        optimizer = _optimizer(training)
        optimizer.build(model.trainable_variables)
        self.model = model
        self._data, self._training = data, training
        self._optimizer = [(variable, variable.numpy()) for variable in optimizer.variables]
        self._train_epoch = _training_epoch(model, optimizer, data.train, inputs, training)
        self._evaluate = _evaluation(model, inputs)
        self._train_epoch.get_concrete_function(*self._schedule(seed=0, epoch=1))  # trace, untimed

    def restart(self, like: Any) -> None:
        """Gives the network the weights of an untrained one, and its state of dropout's random numbers."""
        for variable, other in zip(self.model.variables, like.variables, strict=True):
            variable.assign(other)

    def fit(
        self,
        seed: int,
        on_epoch: Callable[[int, EpochMetrics], None] | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> FitResult:
        """Trains the network from its present weights, and leaves it with those of the best epoch.

        A non-finite training or validation loss ends it, as diverged. `on_epoch` is called with each finished epoch's number,
        from 1, and metrics; with `checkpoints` it goes on after the last of them, and calls `on_epoch` for those before, too.
        """
        for variable, start in self._optimizer:
            variable.assign(start)
        points: list[EpochMetrics] = []
        best_epoch, best_accuracy, best_weights = None, -1.0, self.model.get_weights()
        seconds = 0.0
        variables = [*self.model.variables, *(variable for variable, _ in self._optimizer)]  # dropout's state among them
        if checkpoints and (found := checkpoints.read([*(v.numpy() for v in variables), *best_weights])):
            state, arrays = found
            for variable, array in zip(variables, arrays, strict=False):
                variable.assign(array)
            best_epoch, best_accuracy, best_weights = state.best_epoch, state.best_accuracy, arrays[len(variables) :]
            points, seconds = [EpochMetrics(*point) for point in state.points], state.seconds
            for epoch, point in enumerate(points, start=1):
                if on_epoch is not None:
                    on_epoch(epoch, point)

        for epoch in range(len(points) + 1, self._training.epochs + 1):
            point, took = self._epoch(seed, epoch)
            seconds += took
            if not (math.isfinite(point.train_loss) and math.isfinite(point.validation_loss)):
                return FitResult("diverged", _curves(points), None, None, None, None, None, seconds)
            if point.validation_accuracy > best_accuracy:
                best_epoch, best_accuracy, best_weights = epoch, point.validation_accuracy, self.model.get_weights()
            points.append(point)
            if on_epoch is not None:
                on_epoch(epoch, point)
            if checkpoints and checkpoints.due and epoch < self._training.epochs:
                state = State(
                    epoch=epoch, points=tuple(map(astuple, points)), best_epoch=best_epoch, best_accuracy=best_accuracy,
                    seconds=seconds,
                )  # fmt: skip
                checkpoints.write(state, [*(v.numpy() for v in variables), *best_weights])

        self.model.set_weights(best_weights)
        test_loss, right = self._evaluate(self._data.test)
        return FitResult("complete", _curves(points), best_epoch, best_accuracy, test_loss, _share(right), right, seconds)

    def right_answers(self, records: Records) -> np.ndarray:
        """Which of `records` the network, with its present weights, classifies right; bool [records]."""
        return self._evaluate(records)[1]

    def _epoch(self, seed: int, epoch: int) -> tuple[EpochMetrics, float]:
        """One epoch's metrics, and the seconds of its updates."""
        data, start = self._data, time.perf_counter()
        loss, correct = self._train_epoch(*self._schedule(seed, epoch))
        train_loss, train_accuracy = float(loss) / len(data.train), int(correct) / len(data.train)
        seconds = time.perf_counter() - start
        validation_loss, hits = self._evaluate(data.validation)
        return EpochMetrics(train_loss, train_accuracy, validation_loss, _share(hits)), seconds

    def _schedule(self, seed: int, epoch: int) -> tuple[Any, Any, Any]:
        return _schedule(len(self._data.train), self._training.batch_size, seed, epoch)


def _share(right: np.ndarray) -> float:
    return int(right.sum()) / len(right)


def _schedule(count: int, batch_size: int, seed: int, epoch: int) -> tuple[Any, Any, Any]:
    """What one epoch is made of: int32 record numbers, [batches, batch_size] and [rest], and seeds [batches + 1, 2]."""
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(count).astype(np.int32)
    batches = count // batch_size
    full, rest = order[: batches * batch_size].reshape(batches, batch_size), order[batches * batch_size :]
    seeds = random.integers(2**31, size=(batches + 1, 2), dtype=np.int32)
    return tf.constant(full), tf.constant(rest), tf.constant(seeds)


def _training_epoch(model: Any, optimizer: Any, records: Records, inputs: Inputs, training: Training) -> Any:
    """A graph function of a `_schedule`: one pass over `records`. Returns the summed loss and the number of hits."""
    kept, labels = tf.identity(records.inputs), tf.identity(records.labels)  # on the GPU, if there is one

    @tf.function(jit_compile=_compiles())  # type: ignore[untyped-decorator]  # no types
    def step(numbers: Any, seed: Any) -> tuple[Any, Any]:
        batch, truth = tf.gather(kept, numbers), tf.gather(labels, numbers)
        if training.augment:
            batch = inputs.augment(batch, seed)
        with tf.GradientTape() as tape:
            logits = model(inputs.scaled(batch), training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, logits)
            loss = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(_hits(truth, logits), tf.int32))

    @tf.function  # type: ignore[untyped-decorator]  # no types
    def epoch(full: Any, rest: Any, seeds: Any) -> tuple[Any, Any]:
        loss, correct = tf.constant(0.0), tf.constant(0)
        for number in tf.range(full.shape[0]):
            batch_loss, batch_correct = step(full[number], seeds[number])
            loss, correct = loss + batch_loss, correct + batch_correct
        if rest.shape[0]:  # decided while tracing: the smaller batch has a step of its own
            batch_loss, batch_correct = step(rest, seeds[-1])
            loss, correct = loss + batch_loss, correct + batch_correct
        return loss, correct

    return epoch


def _optimizer(training: Training) -> Any:
    rate = keras.optimizers.schedules.InverseTimeDecay(training.learning_rate, decay_steps=1, decay_rate=training.decay)
    if training.optimizer == "adadelta":
        return keras.optimizers.Adadelta(rate, rho=0.95, epsilon=1e-7)
    return keras.optimizers.SGD(rate, momentum=training.momentum, nesterov=training.momentum > 0)


def _evaluation(model: Any, inputs: Inputs) -> Callable[[Records], tuple[float, np.ndarray]]:
    """A function of records to their mean loss and which of them are right (bool [records]) under the present weights."""

    @tf.function(jit_compile=_compiles())  # type: ignore[untyped-decorator]  # no types
    def step(batch: Any, truth: Any) -> tuple[Any, Any]:
        logits = model(inputs.scaled(batch), training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, logits)
        return tf.reduce_sum(losses), _hits(truth, logits)

    @tf.function  # type: ignore[untyped-decorator]  # no types
    def totals(kept: Any, labels: Any) -> tuple[Any, Any]:
        batches, loss = kept.shape[0] // EVALUATION_BATCH, tf.constant(0.0)
        hits = tf.TensorArray(tf.bool, size=batches, element_shape=[EVALUATION_BATCH])
        for number in tf.range(batches):
            start = number * EVALUATION_BATCH
            batch = tf.ensure_shape(kept[start : start + EVALUATION_BATCH], [EVALUATION_BATCH, *kept.shape[1:]])
            batch_loss, batch_hits = step(batch, labels[start : start + EVALUATION_BATCH])
            loss, hits = loss + batch_loss, hits.write(number, batch_hits)
        right = tf.reshape(hits.stack(), [-1])
        if kept.shape[0] % EVALUATION_BATCH:
            rest = batches * EVALUATION_BATCH
            batch_loss, batch_hits = step(kept[rest:], labels[rest:])
            loss, right = loss + batch_loss, tf.concat([right, batch_hits], 0)
        return loss, right

    def evaluate(records: Records) -> tuple[float, np.ndarray]:
        loss, right = totals(records.inputs, records.labels)
        return float(loss) / len(records), right.numpy()

    return evaluate


def _hits(labels: Any, logits: Any) -> Any:
    """Whether each logit is highest at its label, bool."""
    return tf.argmax(logits, 1, output_type=tf.int32) == labels


def _compiles() -> bool:
    """Whether XLA compiles the steps: on a GPU. On a CPU it is seven times slower than TensorFlow's own kernels."""
    return bool(tf.config.list_physical_devices("GPU"))


def _curves(points: list[EpochMetrics]) -> Curves:
    return Curves(
        train_loss=tuple(point.train_loss for point in points),
        train_accuracy=tuple(point.train_accuracy for point in points),
        validation_loss=tuple(point.validation_loss for point in points),
        validation_accuracy=tuple(point.validation_accuracy for point in points),
    )
