"""One cell of the sweep: an architecture at a level, trained once a seed. What is already there is kept."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import helmholtz
from helmholtz.codecs import open_codec
from helmholtz.errors import HelmholtzError, TrainingError
from helmholtz.manifest import LevelManifest, read_manifest
from helmholtz.provenance import image
from helmholtz.results import TrialResult, finished_result, pack_right, result_key
from helmholtz.training import convergence
from helmholtz.training.importing import import_tensorflow
from helmholtz.trials import Trial

if TYPE_CHECKING:
    from helmholtz.experiment import Experiment
    from helmholtz.levels import Level
    from helmholtz.storage import Store
    from helmholtz.training.checkpoint import Checkpoints
    from helmholtz.training.data import TrainingData
    from helmholtz.training.fit import FitResult, Network
    from helmholtz.training.inputs import Inputs
    from helmholtz.training.loop import Trainer
    from helmholtz.training.trial_log import OnProgress, TrialLog

_log = logging.getLogger(__name__)


def run_cell(
    store: Store,
    experiment: Experiment,
    dataset: str,
    architecture: str,
    level: Level,
    *,
    threads: int | None = None,
    side_by_side: int | None = None,
    on_progress: OnProgress | None = None,
) -> list[TrialResult]:
    """The results of all seeds of `architecture` at `level`, in seed order; trains those that have none yet.

    `dataset` is the data set's fingerprint. `threads` bounds TensorFlow's threads and needs a process in which TensorFlow
    hasn't run yet. At most so many seeds are trained `side_by_side`; None: as the experiment says. Turns on TensorFlow's
    deterministic operations for the whole process: a repeated trial then gives the same bits on the same kind of device with
    as many threads and seeds side by side (another number of threads sums gradients in another order).
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
        width = side_by_side or experiment.resources.side_by_side or running.width(missing[0])
        for group in np.array_split(np.arange(len(missing)), -(-len(missing) // width)):  # 9 at most 8 wide are 5 and 4
            for result in running.run([missing[number] for number in group]):
                results[result.seed] = result
    return [results[trial.seed] for trial in cell]


def _prepare_tensorflow(threads: int | None) -> str:
    """Sets TensorFlow up for this process; returns the device for people, e.g. ``CPU (AMD EPYC, 2 threads)``."""
    import_tensorflow()
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

    def run(self, trials: Sequence[Trial]) -> list[TrialResult]:
        """Trains some trials side by side, and leaves events, progress and, last of all, a result of each in the store.

        If the device hasn't the memory that was hoped for, one after the other.
        """
        from helmholtz.training.memory import TooLittleMemoryError

        try:
            return self._run(trials)
        except TooLittleMemoryError:
            if len(trials) == 1:
                raise
            _log.warning("%d seeds side by side take more memory than there is; they are trained in turn", len(trials))
        return [result for trial in trials for result in self._run([trial])]

    def width(self, trial: Trial) -> int:
        """How many such trials the device has room for, side by side."""
        from helmholtz.training.memory import gpu_memory, seats

        free = gpu_memory()  # a CPU is filled by one
        return 1 if free is None else seats(self.build(trial), self._batch(trial), free)

    def _batch(self, trial: Trial) -> int:
        return min(trial.training.batch_size, len(self._data.train))

    def _run(self, trials: Sequence[Trial]) -> list[TrialResult]:
        from helmholtz.training.checkpoint import Checkpoints
        from helmholtz.training.fit import Fit
        from helmholtz.training.memory import enough_memory
        from helmholtz.training.trial_log import TrialLog

        # Not how many were side by side: on a GPU another number may round differently, but to begin anew costs more.
        made_by = _versions() | {"device": self._device}
        checkpoints = [Checkpoints(self._store, trial, made_by) for trial in trials]
        what = f"architecture {trials[0].architecture} at level {trials[0].level}"
        with contextlib.ExitStack() as stack:
            logs = [stack.enter_context(TrialLog(self._store, trial, self._on_progress)) for trial in trials]
            models = [self.build(trial) for trial in trials]
            with enough_memory(models[0], self._batch(trials[0]) * len(trials), what):
                trainer = self._begin(models, trials[0])
                fitted = trainer.fit(
                    [Fit(t.seed, log.epoch, kept) for t, log, kept in zip(trials, logs, checkpoints, strict=True)]
                )
            return self._conclude(trials, trainer.networks, fitted, logs, checkpoints)

    def _conclude(
        self,
        trials: Sequence[Trial],
        networks: Sequence[Network],
        fitted: Sequence[FitResult],
        logs: Sequence[TrialLog],
        checkpoints: Sequence[Checkpoints],
    ) -> list[TrialResult]:
        """Each trial's events and result into the store. Raises, last of all, what kept the first from getting there."""
        results: list[TrialResult] = []
        errors: list[HelmholtzError] = []
        for trial, network, fit, log, kept in zip(trials, networks, fitted, logs, checkpoints, strict=True):
            try:
                log.finish(fit)
                device = f"{self._device}, {len(trials)} seeds side by side" if len(trials) > 1 else self._device
                result = _result(trial, self._manifest, network.model, fit, self._tested_elsewhere(network, fit), device)
                self._store.write_bytes(result_key(trial.id), result.model_dump_json(indent=1).encode())
            except HelmholtzError as error:
                errors.append(error)
                continue
            kept.remove()
            results.append(result)
        if errors:
            raise errors[0]
        return results

    def _begin(self, models: Sequence[Any], trial: Trial) -> Trainer:
        """The cell's trainer, with these untrained networks."""
        from helmholtz.training.loop import Trainer

        if self._trainer is not None and len(self._trainer.networks) == len(models):
            self._trainer.restart(models)
        else:
            self._trainer = None  # its memory first
            self._trainer = Trainer(models, self._data, self._inputs, trial.training)
        return self._trainer

    def build(self, trial: Trial) -> Any:
        """The trial's network, untrained."""
        from helmholtz.training.architectures import build

        medium, classes, precision = self._manifest.medium, len(self._manifest.classes), trial.training.precision
        return build(medium, trial.architecture, self._inputs.shape, classes, seed=trial.seed, precision=precision)

    def _tested_elsewhere(self, network: Network, fitted: FitResult) -> dict[str, str]:
        """Which test records it has right at each of the other levels, packed."""
        from helmholtz.training.data import load_test

        if fitted.test_accuracy is None:
            return {}
        return {
            str(other.level): pack_right(network.evaluate(load_test(self._store, other, self._inputs))[1])
            for other in self._elsewhere
        }


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
