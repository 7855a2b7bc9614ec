"""A tiny set of coloured noise, three classes told apart by their colour, for tests that train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from helmholtz.codecs.jpeg import JpegCodec
from helmholtz.experiment import Experiment, Training
from helmholtz.levels import Level
from helmholtz.manifest import LevelManifest, SplitEntry, level_folder
from helmholtz.shards import ShardWriter
from helmholtz.sources.base import SPLITS
from helmholtz.storage import LocalStore
from helmholtz.training.architectures import build
from helmholtz.training.data import Records, TrainingData
from helmholtz.training.fit import Fit, FitResult
from helmholtz.training.image_inputs import ImageInputs
from helmholtz.training.loop import Trainer

CLASSES = 3
SIDE = 8
INPUTS = ImageInputs(JpegCodec("4:2:0", 1 << 20), SIDE)
SIZES = {"train": 60, "validation": 24, "test": 24}
TINY = Training(epochs=2, batch_size=20, learning_rate=0.05, input_size=SIDE)


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
    return alone(model, training, Fit(seed), data), model.get_weights()


def alone(model: Any, training: Training, fit: Fit, data: TrainingData | None = None) -> FitResult:
    """One network trained with none beside it."""
    (result,) = Trainer([model], data or tiny_data(), INPUTS, training).fit([fit])
    return result


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
