"""Training architecture A at 32x32: the loop against a bare compiled step, the reference's loop, and PyTorch if it is there.

The loop has augmentation, metrics, validation, TensorBoard events and checkpoints. Run: python benchmarks/train.py
"""

from __future__ import annotations

import argparse
import atexit
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import helmholtz.training  # noqa: F401  # before TensorFlow, as in the product

# isort: split
import keras
import tensorflow as tf
from timing import compare, rate

from helmholtz.codecs.jpeg import JpegCodec
from helmholtz.experiment import Training
from helmholtz.storage import open_store
from helmholtz.training.architectures import build
from helmholtz.training.checkpoint import Checkpoints
from helmholtz.training.data import Records, TrainingData
from helmholtz.training.fit import EpochMetrics, Fit
from helmholtz.training.image_inputs import ImageInputs
from helmholtz.training.loop import Trainer
from helmholtz.training.trial_log import write_scalars
from helmholtz.trials import Trial

COUNT = 1_280
BATCH = 128
EPOCHS = 1
BUDGET = Training(epochs=EPOCHS, batch_size=BATCH)
RUNS = 3
IN_PYTORCH = "bare updates of the same network in PyTorch, same precision"


def records() -> Records:
    """Noise, as a level is kept."""
    images = tf.cast(tf.random.stateless_uniform((COUNT, 32, 32, 3), (0, 0), 0, 256, tf.int32), tf.uint8)
    return Records(images, tf.random.stateless_uniform((COUNT,), (0, 1), 0, 10, tf.int32))


def network(precision: str = "float32") -> Any:
    """Architecture A."""
    return build("image", "A", (32, 32, 3), 10, precision=precision)


def main() -> None:
    """Prints a line of JSON each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pytorch", metavar="PYTHON", default=sys.executable, help="an interpreter that has PyTorch")
    told = parser.parse_args()
    made = records()
    single, half = ours(made, "float32"), ours(made, "mixed_bfloat16")
    reference = served(sys.executable, "reference_loop.py")
    if reference is None:
        raise SystemExit("the reference's loop doesn't start: run benchmarks/reference_loop.py alone to see why")

    def theirs() -> float:
        return float(reference("float32"))

    compare("train A, float32 / bare train step", single, bare_step(made), target=0.95, runs=RUNS)
    if not _has_bfloat16():
        compare("train A, float32 / the reference's loop in today's Keras", single, theirs, target=1.2, runs=RUNS)
    torch_rate = served(told.pytorch, "pytorch_step.py")
    if torch_rate:
        compare(f"train A, float32 / {IN_PYTORCH}", single, lambda: torch_rate("float32"), target=1.0, runs=RUNS)
    if _has_bfloat16():
        bare = bare_step(made, "mixed_bfloat16")
        compare("train A, mixed bfloat16 / bare train step", half, bare, target=0.95, runs=RUNS)
        compare("train A, mixed bfloat16 / the reference's loop (float32)", half, theirs, target=2.0, runs=RUNS)
        if torch_rate:
            compare(
                f"train A, mixed bfloat16 / {IN_PYTORCH}", half, lambda: torch_rate("mixed_bfloat16"), target=1.0, runs=RUNS
            )


def ours(made: Records, precision: Any) -> Any:
    """A whole training, of as many images a second."""
    few, training = Records(made.inputs[:10], made.labels[:10]), BUDGET.model_copy(update={"precision": precision})
    codec = JpegCodec("4:2:0", 1 << 20)
    trainer = Trainer([network(precision)], TrainingData(made, few, few), ImageInputs(codec, 32), training)

    def run() -> float:
        with tempfile.TemporaryDirectory() as folder:
            writer = tf.summary.create_file_writer(folder)
            trial = Trial("d", "jpeg-420", 50, "A", 0, training)
            checkpoints = Checkpoints(open_store(folder), trial, {}, seconds=1e9)

            def on_epoch(epoch: int, metrics: EpochMetrics) -> None:
                write_scalars(writer, epoch, metrics)

            return rate(EPOCHS * COUNT, lambda: trainer.fit([Fit(0, on_epoch, checkpoints)]))

    return run


def bare_step(made: Records, precision: str = "float32") -> Any:
    """Nothing but updates, on one batch that lies there."""
    model = network(precision)
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


def served(python: str, script: str) -> Any:
    """A rate, by precision, from the process of that script; None where it can't be had."""
    command = [python, str(Path(__file__).with_name(script))]
    serving = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    asked, answered = serving.stdin, serving.stdout
    if asked is None or answered is None or not answered.readline():
        return None
    atexit.register(serving.kill)

    def loop(precision: str) -> float:
        print(EPOCHS * COUNT, precision, file=asked, flush=True)
        return float(answered.readline())

    return loop


def _has_bfloat16() -> bool:
    with open("/proc/cpuinfo") as file:  # noqa: PTH123  # no file like others
        return "avx512_bf16" in file.read()


if __name__ == "__main__":
    main()
