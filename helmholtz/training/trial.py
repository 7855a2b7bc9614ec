"""One cell of the sweep: an architecture at a level, trained once a seed. What is already there is kept."""

from __future__ import annotations

import logging
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import helmholtz
from helmholtz.codecs import open_codec
from helmholtz.errors import StorageError, TrainingError
from helmholtz.manifest import LevelManifest, read_manifest
from helmholtz.provenance import image
from helmholtz.results import TrialResult, finished_result, pack_right, progress_key, result_key
from helmholtz.stored import Model
from helmholtz.training import convergence
from helmholtz.trials import Trial

if TYPE_CHECKING:
    from helmholtz.experiment import Experiment
    from helmholtz.levels import Level
    from helmholtz.storage import Store
    from helmholtz.training.checkpoint import Checkpoints
    from helmholtz.training.data import TrainingData
    from helmholtz.training.inputs import Inputs
    from helmholtz.training.loop import EpochMetrics, FitResult, Trainer

PROGRESS_SECONDS = 2.0  # between two writes of a trial's progress

OnProgress = Callable[[str, int, int], None]
"""Called with a trial's id, its finished epochs and its budget."""

_log = logging.getLogger(__name__)


class Progress(Model):
    """``trials/<trial id>/progress.json``: how far a running trial is."""

    epoch: int
    epochs: int
    validation_accuracy: float | None


def run_cell(
    store: Store,
    experiment: Experiment,
    dataset: str,
    architecture: str,
    level: Level,
    *,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> list[TrialResult]:
    """The results of all seeds of `architecture` at `level`, in seed order; trains those that have none yet.

    `dataset` is the data set's fingerprint. `threads` bounds TensorFlow's threads and needs a process in which TensorFlow
    hasn't run yet. Turns on TensorFlow's deterministic operations for the whole process: a repeated trial then gives the
    same bits on the same kind of device with as many threads (another number of threads sums gradients in another order).
    Raises ShardError, StorageError or TrainingError.
    """
    codec = open_codec(experiment).identity
    cell = [Trial(dataset, codec, level, architecture, seed, experiment.training) for seed in range(experiment.seeds)]
    results = {trial.seed: result for trial in cell if (result := finished_result(store, trial)) is not None}
    for result in results.values():
        _log.info("%s: kept", result.trial)
    missing = [trial for trial in cell if trial.seed not in results]
    if missing:
        device = _prepare_tensorflow(threads)
        from helmholtz.training.data import load_level
        from helmholtz.training.inputs import open_inputs

        inputs = open_inputs(experiment)
        manifest = read_manifest(store, dataset, codec, level)
        data = load_level(store, manifest, inputs)
        others = [other for other in experiment.levels if other != level] if experiment.training.mismatch else []
        elsewhere = [read_manifest(store, dataset, codec, other) for other in others]
        running = _Cell(store, manifest, data, inputs, device, elsewhere, on_progress)
        for trial in missing:
            results[trial.seed] = running.run(trial)
    return [results[trial.seed] for trial in cell]


def event_key(trial: str) -> str:
    """Key of a trial's TensorBoard events: always the same, so that a repeated trial replaces those of a killed one."""
    return f"tensorboard/trials/{trial}/events.out.tfevents.helmholtz"


def _prepare_tensorflow(threads: int | None) -> str:
    """Sets TensorFlow up for this process; returns the device for people, e.g. ``CPU (AMD EPYC, 2 threads)``."""
    import tensorflow as tf

    if threads is not None and threads != tf.config.threading.get_intra_op_parallelism_threads():
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        except RuntimeError as error:
            raise TrainingError("threads can't be changed once TensorFlow has run; use a process of its own") from error
    tf.config.experimental.enable_op_determinism()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))
    used = threads or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
    return f"CPU ({_processor()}, {used} thread{'s' if used > 1 else ''})"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


class _Cell:
    """Trials of one architecture at one level, on the same data. `elsewhere` are levels at which networks are tested, too."""

    def __init__(
        self,
        store: Store,
        manifest: LevelManifest,
        data: TrainingData,
        inputs: Inputs,
        device: str,
        elsewhere: Sequence[LevelManifest],
        on_progress: OnProgress | None,
    ) -> None:
        self._store, self._manifest, self._data, self._inputs = store, manifest, data, inputs
        self._device, self._elsewhere, self._on_progress = device, elsewhere, on_progress
        self._trainer: Trainer | None = None

    def run(self, trial: Trial) -> TrialResult:
        """Trains one trial, and leaves its events, its progress and, last of all, its result in the store."""
        from helmholtz.training.checkpoint import Checkpoints
        from helmholtz.training.data import load_test

        store = self._store
        trainer = self._begin(trial)
        checkpoints = Checkpoints(store, trial, _versions() | {"device": self._device})
        fitted = self._fit(trainer, trial, checkpoints)
        right_at = {}
        if fitted.test_accuracy is not None:
            for other in self._elsewhere:
                right = trainer.right_answers(load_test(store, other, self._inputs))
                right_at[str(other.level)] = pack_right(right)
        result = _result(trial, self._manifest, trainer.model, fitted, right_at, self._device)
        store.write_bytes(result_key(trial.id), result.model_dump_json(indent=1).encode())
        checkpoints.remove()
        return result

    def _begin(self, trial: Trial) -> Trainer:
        """The cell's trainer, with the network as the trial's seed begins it."""
        from helmholtz.training.architectures import build
        from helmholtz.training.loop import Trainer

        medium, classes, precision = self._manifest.medium, len(self._manifest.classes), trial.training.precision
        model = build(medium, trial.architecture, self._inputs.shape, classes, seed=trial.seed, precision=precision)
        if self._trainer is None:
            self._trainer = Trainer(model, self._data, self._inputs, trial.training)
        else:
            self._trainer.restart(model)
        return self._trainer

    def _fit(self, trainer: Trainer, trial: Trial, checkpoints: Checkpoints) -> FitResult:
        import tensorflow as tf

        from helmholtz.training.memory import enough_memory

        reporter = _Reporter(self._store, trial, self._on_progress)
        with self._store.scratch() as folder:
            writer = tf.summary.create_file_writer(str(folder))

            def on_epoch(epoch: int, metrics: EpochMetrics) -> None:
                _write_scalars(writer, epoch, metrics)
                reporter.report(epoch, metrics.validation_accuracy)

            batch = min(trial.training.batch_size, len(self._data.train))
            with enough_memory(trainer.model, batch, f"architecture {trial.architecture} at level {trial.level}"):
                fitted = trainer.fit(trial.seed, on_epoch, checkpoints)
            if fitted.test_accuracy is not None:
                with writer.as_default(step=fitted.best_epoch):
                    tf.summary.scalar("accuracy/test", fitted.test_accuracy)
            writer.close()
            for path in folder.glob("*tfevents*"):
                self._store.upload(path, event_key(trial.id))
        reporter.finish()
        return fitted


def _write_scalars(writer: object, epoch: int, metrics: EpochMetrics) -> None:
    import tensorflow as tf

    with writer.as_default(step=epoch):  # type: ignore[attr-defined]  # TensorFlow has no types
        tf.summary.scalar("loss/train", metrics.train_loss)
        tf.summary.scalar("loss/validation", metrics.validation_loss)
        tf.summary.scalar("accuracy/train", metrics.train_accuracy)
        tf.summary.scalar("accuracy/validation", metrics.validation_accuracy)


class _Reporter:
    """Tells how far a trial is: by callback each epoch, and in the store every `PROGRESS_SECONDS` and at the end."""

    def __init__(self, store: Store, trial: Trial, on_progress: OnProgress | None) -> None:
        self._store = store
        self._trial = trial
        self._on_progress = on_progress
        self._progress = Progress(epoch=0, epochs=trial.training.epochs, validation_accuracy=None)
        self._written = -math.inf

    def report(self, epoch: int, validation_accuracy: float) -> None:
        epochs = self._trial.training.epochs
        self._progress = Progress(epoch=epoch, epochs=epochs, validation_accuracy=validation_accuracy)
        if self._on_progress is not None:
            self._on_progress(self._trial.id, epoch, epochs)
        if time.monotonic() - self._written >= PROGRESS_SECONDS:
            self._write()

    def finish(self) -> None:
        self._write()

    def _write(self) -> None:
        try:
            self._store.write_bytes(progress_key(self._trial.id), self._progress.model_dump_json().encode())
        except StorageError as error:
            _log.warning("progress not shown: %s", error)  # a trial is worth more than its progress bar
        self._written = time.monotonic()


def _result(
    trial: Trial, manifest: LevelManifest, model: object, fitted: FitResult, right_at: dict[str, str], device: str
) -> TrialResult:
    from helmholtz.training.architectures import multiply_accumulates

    accuracy = fitted.curves.validation_accuracy
    epochs = len(accuracy)
    complete = fitted.status == "complete"
    epoch, converged = convergence.robust(accuracy) if complete else (None, False)
    records = manifest.splits["train"].records * epochs
    finite_loss = fitted.test_loss is not None and math.isfinite(fitted.test_loss)
    return TrialResult(
        trial=trial.id,
        fingerprint=trial.fingerprint,
        status=fitted.status,
        dataset=trial.dataset,
        codec=trial.codec,
        level=trial.level,
        architecture=trial.architecture,
        seed=trial.seed,
        parameters=model.count_params(),  # type: ignore[attr-defined]  # Keras has no types
        multiply_accumulates=multiply_accumulates(model),
        classes=len(manifest.classes),
        epochs=epochs,
        best_epoch=fitted.best_epoch,
        validation_accuracy=fitted.validation_accuracy,
        test_accuracy=fitted.test_accuracy,
        test_loss=fitted.test_loss if finite_loss else None,
        test_records=manifest.splits["test"].records,
        test_right=None if fitted.test_right is None else pack_right(fitted.test_right),
        right_at=right_at,
        epochs_to_converge=epoch,
        converged=converged,
        epochs_to_converge_reference=convergence.reference(accuracy) if complete else None,
        curves=fitted.curves,
        train_seconds=fitted.train_seconds,
        records_per_second=records / fitted.train_seconds if fitted.train_seconds > 0 else 0.0,
        precision=trial.training.precision,
        device=device,
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    """Of what decides a trial's numbers beside the trial itself."""
    import keras
    import tensorflow as tf

    return {
        "helmholtz": helmholtz.__version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        **image(),
    }
