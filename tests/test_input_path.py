"""The fast way from shards to updates against the plain one: the same curves and weights, to the bit.

Fast: payloads decoded by the codec into one array that stays on the device, an epoch in one graph. Plain: TensorFlow reads
and decodes the shards, Python fetches every batch and calls one step for it, and sums up losses and hits itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helmholtz.codecs.mp3 import Mp3Codec
from helmholtz.compress import compress
from helmholtz.dataset import index_dataset
from helmholtz.experiment import Experiment, Training
from helmholtz.levels import Level
from helmholtz.manifest import LevelManifest, level_folder
from helmholtz.sources.base import SPLITS
from helmholtz.storage import open_store
from helmholtz.training.architectures import build
from helmholtz.training.audio_inputs import AudioInputs
from helmholtz.training.data import Records, TrainingData, load_level
from helmholtz.training.fit import Fit
from helmholtz.training.inputs import Inputs, open_inputs
from helmholtz.training.loop import Trainer, _schedule

SIDE, SEED = 16, 3


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures of two classes, told apart by their colour."""
    folder = tmp_path_factory.mktemp("input")
    random = np.random.default_rng(0)
    for number in range(94):
        pixels = random.integers(60, 160, (SIDE, SIDE, 3))
        pixels[:, :, number % 2] += 60
        path = folder / "pictures" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


def experiment(root: Path, **training: Any) -> Experiment:
    dataset = {"kind": "image-folder", "path": str(root / "pictures"), "shards": 3}
    budget = {"epochs": 3, "batch_size": 16, "learning_rate": 0.05, "input_size": SIDE, **training}
    return Experiment.model_validate({"dataset": dataset, "levels": ["none", 10], "training": budget})


def by_tensorflow(root: Path, manifest: LevelManifest, split: Any) -> Records:
    """The split's records by tf.data and TensorFlow's own decoders."""
    folder = root / "root" / level_folder(manifest.dataset, manifest.codec, manifest.level)
    features = {"payload": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
    images, labels = [], []
    for serialised in tf.data.TFRecordDataset([str(folder / shard.name) for shard in manifest.splits[split].shards]):
        record = tf.io.parse_single_example(serialised, features)
        jpeg = record["payload"].numpy().startswith(b"\xff\xd8")
        exact = {"dct_method": "INTEGER_ACCURATE", "fancy_upscaling": True}
        images.append(tf.io.decode_jpeg(record["payload"], 3, **exact) if jpeg else tf.io.decode_png(record["payload"], 3))
        labels.append(record["label"])
    return Records(tf.stack(images), tf.cast(tf.stack(labels), tf.int32))


def evaluated(model: Any, records: Records) -> tuple[float, float]:
    """Mean cross-entropy in nats and accuracy, in NumPy, from the logits."""
    logits = model(records.inputs.numpy().astype(np.float32) / 255, training=False).numpy().astype(np.float64)
    labels = records.labels.numpy()
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]
    return float(losses.mean()), float(np.mean(logits.argmax(1) == labels))


def plain_epochs(
    model: Any, train: Records, inputs: Inputs, training: Training, signature: Any = None
) -> Iterator[tuple[float, float]]:
    """Mean loss and accuracy of each epoch. The step is traced for each size of batch, or with `signature` once for all."""
    rate = keras.optimizers.schedules.InverseTimeDecay(training.learning_rate, 1, training.decay)
    optimizer = keras.optimizers.SGD(rate, momentum=training.momentum, nesterov=True)

    @tf.function(reduce_retracing=False, input_signature=signature)  # type: ignore[untyped-decorator]  # no types
    def step(batch: Any, truth: Any, seed: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            logits = model(inputs.scaled(inputs.augment(batch, seed)), training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, logits)
            loss = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(tf.argmax(logits, 1, output_type=tf.int32) == truth, tf.int32))

    for epoch in range(1, training.epochs + 1):
        order, seeds = _schedule(len(train), training.batch_size, SEED, epoch)
        assert len(order) % training.batch_size, "the last batch is a smaller one"
        summed, hits = np.float32(0), 0
        batches = np.split(order, range(training.batch_size, len(order), training.batch_size))
        for numbers, seed in zip(batches, seeds, strict=True):
            loss, right = step(tf.gather(train.inputs, numbers), tf.gather(train.labels, numbers), tf.constant(seed))
            summed, hits = np.float32(summed + loss.numpy()), hits + int(right)
        yield float(summed) / len(train), hits / len(train)


@pytest.mark.parametrize(("level", "precision"), [("none", "float32"), (10, "float32"), (10, "mixed_bfloat16")])
def test_curves_and_weights_are_those_of_the_plain_path(root: Path, level: Level, precision: str) -> None:
    tf.config.experimental.enable_op_determinism()
    wanted = experiment(root, precision=precision)
    store = open_store(str(root / "root"))
    manifest = compress(store, wanted, index_dataset(store, wanted.dataset))[level]
    inputs, training = open_inputs(wanted), wanted.training
    fast = build("image", "A", (SIDE, SIDE, 3), 2, seed=SEED, precision=precision)
    (fitted,) = Trainer([fast], load_level(store, manifest, inputs), inputs, training).fit([Fit(SEED)])

    train, validation, test = (by_tensorflow(root, manifest, split) for split in SPLITS)
    model = build("image", "A", (SIDE, SIDE, 3), 2, seed=SEED, precision=precision)
    close = 1e-6 if precision == "float32" else 5e-3  # losses computed apart; in bfloat16 kernels round differently
    best, best_weights = -1.0, []
    for epoch, (train_loss, train_accuracy) in enumerate(plain_epochs(model, train, inputs, training), start=1):
        assert (fitted.curves.train_loss[epoch - 1], fitted.curves.train_accuracy[epoch - 1]) == (train_loss, train_accuracy)
        validation_loss, accuracy = evaluated(model, validation)
        assert fitted.curves.validation_accuracy[epoch - 1] == accuracy
        assert fitted.curves.validation_loss[epoch - 1] == pytest.approx(validation_loss, rel=close)
        if accuracy > best:
            best, best_weights = accuracy, model.get_weights()
    assert all(map(np.array_equal, fast.get_weights(), best_weights))
    test_loss, test_accuracy = evaluated(fast, test)
    assert (fitted.test_loss, fitted.test_accuracy) == (pytest.approx(test_loss, rel=close), test_accuracy)


def test_so_are_those_of_audio() -> None:
    """Its step is traced for any size of batch here, too: around batch normalisation TensorFlow rounds otherwise where the
    size is known, in the eighth digit.
    """
    tf.config.experimental.enable_op_determinism()
    inputs = AudioInputs(Mp3Codec(seconds=0.4), 17_640)
    training = Training(epochs=2, batch_size=16, learning_rate=0.05)
    random = np.random.default_rng(0)

    def clips(count: int) -> Records:
        labels = np.arange(count, dtype=np.int32) % 2
        spectrograms = random.normal(-40, 10, (count, *inputs.shape)) + 8 * labels[:, None, None, None]
        return Records(tf.constant(spectrograms, tf.float32), tf.constant(labels))

    data = TrainingData(clips(37), clips(10), clips(10))
    fast, model = (build("audio", "A", inputs.shape, 2, seed=SEED) for _ in range(2))
    (fitted,) = Trainer([fast], data, inputs, training).fit([Fit(SEED)])
    sizes = [None, *inputs.shape], [None], [2]
    signature = [tf.TensorSpec(size, dtype) for size, dtype in zip(sizes, (tf.float32, tf.int32, tf.int32), strict=True)]
    curves, weights = [], []
    for found in plain_epochs(model, data.train, inputs, training, signature):
        curves.append(found)
        weights.append(model.get_weights())
    assert list(zip(fitted.curves.train_loss, fitted.curves.train_accuracy, strict=True)) == curves
    assert fitted.best_epoch is not None
    assert all(map(np.array_equal, fast.get_weights(), weights[fitted.best_epoch - 1]))
