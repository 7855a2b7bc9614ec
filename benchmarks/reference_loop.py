"""The reference's training of architecture A in today's Keras: for each line of standard input, a number and a precision, it
trains on as many images and prints its rate. The one precision is float32.

ImageDataGenerator in numpy, `fit`, softmax and categorical cross-entropy. A process of its own, for TensorFlow is as it comes
here, without the settings of helmholtz.training. benchmarks/train.py starts it.
"""

from __future__ import annotations

import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ.pop("TF_ENABLE_ONEDNN_OPTS", None)

import keras
import numpy as np
import tensorflow as tf
from keras.src.legacy.preprocessing.image import ImageDataGenerator  # what became of the reference's

# isort: split
from helmholtz.training.architectures import build  # after TensorFlow, which has read its settings by now

BATCH = 128


def main() -> None:
    """Serves until its input ends."""
    model = keras.Sequential([build("image", "A", (32, 32, 3), 10, precision="float32"), keras.layers.Softmax()])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True), "categorical_crossentropy", metrics=["accuracy"])
    generator = ImageDataGenerator(width_shift_range=0.1, height_shift_range=0.1, horizontal_flip=True)
    print(tf.__version__, flush=True)
    for line in sys.stdin:
        count, precision = line.split()
        if precision != "float32":
            raise SystemExit(f"the reference trains in float32, not in {precision}")
        random = np.random.default_rng(0)
        images = random.random((int(count), 32, 32, 3), np.float32)
        labels = keras.utils.to_categorical(random.integers(0, 10, int(count)), 10)
        generator.fit(images)
        if not int(model.optimizer.iterations):
            model.fit(generator.flow(images[:BATCH], labels[:BATCH], batch_size=BATCH), verbose=0)  # traces
        started = time.perf_counter()
        model.fit(generator.flow(images, labels, batch_size=BATCH), verbose=0)
        print(int(count) / (time.perf_counter() - started), flush=True)


if __name__ == "__main__":
    main()
