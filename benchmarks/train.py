"""The training loop (augmentation, metrics, validation aside) against a bare compiled train step on resident tensors.

Run: python benchmarks/train.py
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from timing import compare, rate

from helmholtz.experiment import Training
from helmholtz.training.architectures import build
from helmholtz.training.data import Records, TrainingData
from helmholtz.training.image_inputs import ImageInputs
from helmholtz.training.loop import Trainer

COUNT = 1280
BATCH = 128


def main() -> None:
    """Compares, and prints one line of JSON."""
    images = tf.cast(tf.random.stateless_uniform((COUNT, 32, 32, 3), (0, 0), 0, 256, tf.int32), tf.uint8)
    labels = tf.random.stateless_uniform((COUNT,), (0, 1), 0, 10, tf.int32)
    records = Records(images, labels)
    few = Records(images[:10], labels[:10])
    data = TrainingData(records, few, few)
    budget = Training(epochs=2, batch_size=BATCH)

    def ours() -> float:
        result = Trainer(build("image", "A", (32, 32, 3), 10), data, ImageInputs(32), budget).fit(seed=0)
        return budget.epochs * COUNT / result.train_seconds

    model = build("image", "A", (32, 32, 3), 10)
    optimiser = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
    optimiser.build(model.trainable_variables)
    batch = tf.cast(images[:BATCH], tf.float32) / 255.0

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            logits = model(batch, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels[:BATCH], logits))
        optimiser.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True))

    def bare() -> float:
        step()
        return rate(2 * COUNT, lambda: [step() for _ in range(2 * COUNT // BATCH)])

    compare("train A, 32x32, batch 128 / bare train step", ours, bare, target=0.95, runs=3)


if __name__ == "__main__":
    main()
