"""The training loop, from top to bottom: seeded batches, augmentation, updates, validation.

An epoch is one call into a TensorFlow graph that loops over its batches, so Python does nothing a batch. What the seed
decides (data order, shifts and flips; initial weights and dropout, see `architectures.build`) depends on the seed and the
epoch alone: it is the same at every level, which pairs the levels, and on every run.

Several networks, one a seed, can be trained side by side: one step then updates each of them, to fill a GPU that is larger
than one small network needs. On a CPU, which one network fills, each does what it does alone, to the bit.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from helmholtz.training.fit import Network

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from helmholtz.experiment import Training
    from helmholtz.training.data import Records, TrainingData
    from helmholtz.training.fit import Fit, FitResult
    from helmholtz.training.inputs import Inputs

EVALUATION_BATCH = 500  # records


class Trainer:
    """Trains networks of one architecture on one level side by side, and others after them: its graphs are traced once."""

    def __init__(self, models: Sequence[Any], data: TrainingData, inputs: Inputs, training: Training) -> None:
        """`models` are of `architectures.build`; from then on they are the trainer's."""
        self.networks = [Network(model, _optimizer(training), _evaluation(model, inputs)) for model in models]
        self._data, self._training = data, training
        self._train_epoch = _training_epoch(self.networks, data.train, inputs, training)
        self._train_epoch.get_concrete_function(*self._schedules([(0, 1)] * len(models)))  # trace, untimed

    def restart(self, likes: Sequence[Any]) -> None:
        """Gives each network the weights of an untrained one, and its state of dropout's random numbers."""
        for network, like in zip(self.networks, likes, strict=True):
            network.restart(like)

    def fit(self, fits: Sequence[Fit]) -> list[FitResult]:
        """Trains each network from its present weights, and leaves it with those of its best epoch.

        A non-finite training or validation loss ends its fit, as diverged. One that has ended stays until all have.
        """
        for network, fit in zip(self.networks, fits, strict=True):
            network.begin(fit, self._training.epochs)
        while running := [network for network in self.networks if not network.ended]:
            self._epoch(running)
        return [network.result(self._data.test) for network in self.networks]

    def _epoch(self, running: Sequence[Network]) -> None:
        count, start = len(self._data.train), time.perf_counter()
        losses, hits = self._train_epoch(*self._schedules([(network.seed, network.epoch) for network in self.networks]))
        totals = dict(zip(self.networks, zip(losses.numpy().tolist(), hits.numpy().tolist(), strict=True), strict=True))
        seconds = (time.perf_counter() - start) / len(self.networks)  # a step updates those that have ended, too
        for network in running:
            loss, correct = totals[network]
            network.take(loss / count, correct / count, self._data.validation, seconds)

    def _schedules(self, of: Sequence[tuple[int, int]]) -> list[Any]:
        """The `_schedule` of every network's seed and epoch, stacked."""
        each = [_schedule(len(self._data.train), self._training.batch_size, seed, epoch) for seed, epoch in of]
        return [tf.constant(np.stack(parts)) for parts in zip(*each, strict=True)]


def _schedule(count: int, batch_size: int, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """What one epoch is made of: int32 record numbers, [count], and a seed for each batch, [batches, 2]."""
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(count).astype(np.int32)
    return order, random.integers(2**31, size=(math.ceil(count / batch_size), 2), dtype=np.int32)


def _training_epoch(networks: Sequence[Network], records: Records, inputs: Inputs, training: Training) -> Any:
    """A graph function of the networks' schedules: a pass over `records`. Returns each one's summed loss and number of hits."""

    def update(network: Network, numbers: Any, seed: Any) -> tuple[Any, Any]:
        model, batch, truth = network.model, tf.gather(records.inputs, numbers), tf.gather(records.labels, numbers)
        if training.augment:
            batch = inputs.augment(batch, seed)
        with tf.GradientTape() as tape:
            logits = model(inputs.scaled(batch), training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, logits)
            loss = tf.reduce_mean(losses)
        network.optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(_hits(truth, logits), tf.int32))

    # Traced once for batches of every size, the last one being smaller: tracing takes longer than many small trials.
    any_batch = tf.TensorSpec([len(networks), None], tf.int32), tf.TensorSpec([len(networks), 2], tf.int32)

    @tf.function(jit_compile=_compiles(), input_signature=any_batch)  # type: ignore[untyped-decorator]  # no types
    def step(numbers: Any, seeds: Any) -> tuple[Any, Any]:
        found = [update(network, numbers[i], seeds[i]) for i, network in enumerate(networks)]
        losses, hits = zip(*found, strict=True)
        return tf.stack(losses), tf.stack(hits)

    @tf.function  # type: ignore[untyped-decorator]  # no types
    def epoch(orders: Any, seeds: Any) -> tuple[Any, Any]:
        losses, hits = tf.zeros(len(networks)), tf.zeros(len(networks), tf.int32)
        for number in tf.range(seeds.shape[1]):
            start, end = number * training.batch_size, (number + 1) * training.batch_size
            batch_losses, batch_hits = step(orders[:, start:end], seeds[:, number])
            losses, hits = losses + batch_losses, hits + batch_hits
        return losses, hits

    return epoch


def _optimizer(training: Training) -> Any:
    rate = keras.optimizers.schedules.InverseTimeDecay(training.learning_rate, decay_steps=1, decay_rate=training.decay)
    if training.optimizer == "adadelta":
        return keras.optimizers.Adadelta(rate, rho=0.95, epsilon=1e-7)
    return keras.optimizers.SGD(rate, momentum=training.momentum, nesterov=training.momentum > 0)


def _evaluation(model: Any, inputs: Inputs) -> Callable[[Records], tuple[float, np.ndarray]]:
    """A function of records to their mean loss and which of them are right (bool [records]) under the present weights."""

    # Likewise, both are traced once.
    some, theirs = tf.TensorSpec([None, *inputs.shape], inputs.dtype), tf.TensorSpec([None], tf.int32)

    @tf.function(jit_compile=_compiles(), input_signature=(some, theirs))  # type: ignore[untyped-decorator]  # no types
    def step(batch: Any, truth: Any) -> tuple[Any, Any]:
        logits = model(inputs.scaled(batch), training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, logits)
        return tf.reduce_sum(losses), _hits(truth, logits)

    @tf.function(input_signature=(some, theirs))  # type: ignore[untyped-decorator]  # no types
    def totals(kept: Any, labels: Any) -> tuple[Any, Any]:
        loss, batches = tf.constant(0.0), -(-tf.size(labels) // EVALUATION_BATCH)
        hits = tf.TensorArray(tf.bool, size=batches, element_shape=[None], infer_shape=False)
        for number in tf.range(batches):
            start, end = number * EVALUATION_BATCH, (number + 1) * EVALUATION_BATCH
            batch_loss, batch_hits = step(kept[start:end], labels[start:end])
            loss, hits = loss + batch_loss, hits.write(number, batch_hits)
        return loss, hits.concat()

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
