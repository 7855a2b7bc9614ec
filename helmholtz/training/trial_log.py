"""What a trial tells while it runs: TensorBoard events, how far it is, and a callback each epoch."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import tensorflow as tf

from helmholtz.errors import StorageError
from helmholtz.results import progress_key
from helmholtz.stored import Model

if TYPE_CHECKING:
    from helmholtz.storage import Store
    from helmholtz.training.fit import EpochMetrics, FitResult
    from helmholtz.trials import Trial

PROGRESS_SECONDS = 2.0  # between two writes of a trial's progress

OnProgress = Callable[[str, int, int], None]
"""Called with a trial's id, its finished epochs and its budget."""

_log = logging.getLogger(__name__)


class Progress(Model):
    """``trials/<trial id>/progress.json``: how far a running trial is."""

    epoch: int
    epochs: int
    validation_accuracy: float | None


def event_key(trial: str) -> str:
    """Key of a trial's TensorBoard events: always the same, so that a repeated trial replaces those of a killed one."""
    return f"tensorboard/trials/{trial}/events.out.tfevents.helmholtz"


class TrialLog:
    """That of one trial. Use as a context manager."""

    def __init__(self, store: Store, trial: Trial, on_progress: OnProgress | None) -> None:
        self._store, self._trial = store, trial
        self._reporter = _Reporter(store, trial, on_progress)
        self._files = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._folder = self._files.enter_context(self._store.scratch())
        self._writer = tf.summary.create_file_writer(str(self._folder))
        return self

    def __exit__(self, *error: object) -> None:
        self._files.close()

    def epoch(self, epoch: int, metrics: EpochMetrics) -> None:
        """One point of each curve."""
        write_scalars(self._writer, epoch, metrics)
        self._reporter.report(epoch, metrics.validation_accuracy)

    def finish(self, fitted: FitResult) -> None:
        """The last point, and all of it into the store."""
        if fitted.test_accuracy is not None:
            with self._writer.as_default(step=fitted.best_epoch):
                tf.summary.scalar("accuracy/test", fitted.test_accuracy)
        self._writer.close()
        for path in self._folder.glob("*tfevents*"):
            self._store.upload(path, event_key(self._trial.id))
        self._reporter.finish()


def write_scalars(writer: Any, epoch: int, metrics: EpochMetrics) -> None:
    """An epoch's metrics, as TensorBoard events."""
    with writer.as_default(step=epoch):
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
