"""Training architecture A at 32x32: the loop against a bare compiled step, the reference's loop, and PyTorch if it is there.

The loop has augmentation, metrics, validation, TensorBoard events and checkpoints. Run: python benchmarks/train.py
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from keras.src.legacy.preprocessing.image import ImageDataGenerator  # what became of the reference's
from timing import compare, rate

from helmholtz.codecs.jpeg import JpegCodec
from helmholtz.experiment import Training
from helmholtz.storage import open_store
from helmholtz.training.architectures import build
from helmholtz.training.checkpoint import Checkpoints
from helmholtz.training.data import Records, TrainingData
from helmholtz.training.image_inputs import ImageInputs
from helmholtz.training.loop import EpochMetrics, Trainer
from helmholtz.training.trial import _write_scalars
from helmholtz.trials import Trial

COUNT = 1280
BATCH = 128
EPOCHS = 2
BUDGET = Training(epochs=EPOCHS, batch_size=BATCH)
RUNS = 3


def records() -> Records:
    """Noise, as a level is kept."""
    images = tf.cast(tf.random.stateless_uniform((COUNT, 32, 32, 3), (0, 0), 0, 256, tf.int32), tf.uint8)
    return Records(images, tf.random.stateless_uniform((COUNT,), (0, 1), 0, 10, tf.int32))


def network() -> Any:
    """Architecture A."""
    return build("image", "A", (32, 32, 3), 10)


def main() -> None:
    """Prints a line of JSON each."""
    made = records()
    few = Records(made.inputs[:10], made.labels[:10])
    trainer = Trainer(network(), TrainingData(made, few, few), ImageInputs(JpegCodec("4:2:0", 1 << 20), 32), BUDGET)

    def ours() -> float:
        with tempfile.TemporaryDirectory() as folder:
            writer = tf.summary.create_file_writer(folder)
            trial = Trial("d", "jpeg-420", 50, "A", 0, BUDGET)
            checkpoints = Checkpoints(open_store(folder), trial, {}, seconds=1e9)

            def on_epoch(epoch: int, metrics: EpochMetrics) -> None:
                _write_scalars(writer, epoch, metrics)

            return rate(EPOCHS * COUNT, lambda: trainer.fit(0, on_epoch, checkpoints))

    compare("train A, 32x32, batch 128 / bare train step", ours, bare_step(made), target=0.95, runs=RUNS)
    target = 2.0 if _has_bfloat16() else 1.2
    compare("train A / the reference's loop in today's Keras", ours, reference(made), target=target, runs=RUNS)
    if torch_rate := pytorch():
        compare("train A / the same network in PyTorch", ours, torch_rate, target=1.0, runs=RUNS)


def bare_step(made: Records) -> Any:
    """Nothing but updates, on one batch that lies there."""
    model = network()
    optimiser = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
    optimiser.build(model.trainable_variables)
    batch, labels = tf.cast(made.inputs[:BATCH], tf.float32) / 255.0, made.labels[:BATCH]

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(batch, training=True)))
        optimiser.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True))

    step()
    return lambda: rate(EPOCHS * COUNT, lambda: [step() for _ in range(EPOCHS * COUNT // BATCH)])


def reference(made: Records) -> Any:
    """As the reference trains: ImageDataGenerator in numpy, `fit`, softmax and categorical cross-entropy, float32."""
    model = keras.Sequential([network(), keras.layers.Softmax()])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True), "categorical_crossentropy", metrics=["accuracy"])
    images, labels = made.inputs.numpy().astype("float32") / 255, keras.utils.to_categorical(made.labels.numpy(), 10)
    generator = ImageDataGenerator(width_shift_range=0.1, height_shift_range=0.1, horizontal_flip=True)
    generator.fit(images)
    model.fit(generator.flow(images, labels, batch_size=BATCH), verbose=0)  # traces

    def loop() -> None:
        model.fit(generator.flow(images, labels, batch_size=BATCH), epochs=EPOCHS, verbose=0)

    return lambda: rate(EPOCHS * COUNT, loop)


def pytorch() -> Any:
    """Bare updates of the same network in PyTorch, float32; None where it isn't installed."""
    try:
        import torch
        from torch import nn
    except ImportError:
        return None

    def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> list[nn.Module]:
        padding = [] if size == 1 else [nn.ZeroPad2d((0, 1, 0, 1) if stride == 2 else 1)]  # as "same" pads
        return [*padding, nn.Conv2d(inputs, outputs, size, stride)]

    relu, drop = nn.ReLU, lambda: nn.Dropout(0.5)
    model = nn.Sequential(
        *conv(3, 32), relu(), *conv(32, 64), relu(), *conv(64, 128, stride=2), drop(),
        *conv(128, 128), relu(), *conv(128, 128), relu(), *conv(128, 128, stride=2), drop(),
        *conv(128, 128), relu(), *conv(128, 128, 1), relu(), *conv(128, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ).to(memory_format=torch.channels_last)  # fmt: skip
    assert sum(each.numel() for each in model.parameters()) == network().count_params()
    optimiser = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, nesterov=True)
    batch = torch.rand(BATCH, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (BATCH,))

    def loop() -> None:
        for _ in range(EPOCHS * COUNT // BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(batch), labels).backward()
            optimiser.step()

    return lambda: rate(EPOCHS * COUNT, loop)


def _has_bfloat16() -> bool:
    with open("/proc/cpuinfo") as file:  # noqa: PTH123  # no file like others
        return "avx512_bf16" in file.read()


if __name__ == "__main__":
    main()
