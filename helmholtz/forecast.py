"""What an experiment would cost, before anything runs: trials, bytes a level from a sample, and a rough time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from helmholtz.codecs import open_codec
from helmholtz.codecs.base import Prepared
from helmholtz.control import prepare
from helmholtz.dataset import DatasetIndex, preview
from helmholtz.errors import BadRecord, SourceError
from helmholtz.experiment import Experiment, Training
from helmholtz.levels import Level
from helmholtz.sources import open_source

if TYPE_CHECKING:
    from helmholtz.training.inputs import Inputs

SAMPLE = 200  # records encoded at every level to predict its bytes
TRIED = 256  # records trained on to time this machine
TESTED = 1 / 3  # a forward pass costs about a third of a training step
# Seconds of a run, and of each (architecture, level), beside the work: processes, imports, graphs. Seen on two cores.
START_SECONDS, CELL_SECONDS = 10.0, 4.0


@dataclass(frozen=True, slots=True)
class LevelForecast:
    """Expected size of a level."""

    level: Level
    quantisation: float
    nbytes: int
    bits_per_sample: float  # entropy-coded
    ratio: float  # bytes at none over bytes here


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run would do."""

    index: DatasetIndex
    levels: tuple[LevelForecast, ...]
    trials: int
    multiply_accumulates: float  # of all training and testing, forward and backward
    seconds: float  # on this machine, very roughly


def forecast(experiment: Experiment) -> Forecast:
    """Lists the data set, encodes a sample of it at every level, and counts. Writes nothing.

    Raises SourceError if the data set can't be used.
    """
    index, keys = preview(experiment.dataset, SAMPLE)
    levels, encode_seconds = _levels(experiment, index, keys)
    work, seconds = _training(experiment, index)
    trials = len(experiment.combinations) * experiment.seeds
    starting = START_SECONDS + CELL_SECONDS * len(experiment.combinations)
    return Forecast(index, levels, trials, work, encode_seconds + seconds + starting)


def _levels(experiment: Experiment, index: DatasetIndex, keys: list[str]) -> tuple[tuple[LevelForecast, ...], float]:
    codec, source = open_codec(experiment), open_source(experiment.dataset)
    records: list[Prepared] = []
    started = time.perf_counter()
    for key in keys:
        try:
            records.append(prepare(codec, source.load(key), key, experiment.dataset.noise))
        except BadRecord:
            continue  # a forecast is of what can be used; the run itself lists what can't
    if not records:
        raise SourceError(f"{source.description}: none of {len(keys)} sampled records can be used")
    scale = sum(index.records.values()) / len(records)
    found, lossless = [], 0
    samples = sum(record.count for record in records)
    for level in experiment.all_levels:  # none comes first
        encoded = [codec.encode(record, level) for record in records]
        nbytes = sum(len(payload.data) for payload in encoded)
        lossless = lossless or nbytes
        coded = sum(payload.coded_bits for payload in encoded)
        found.append(
            LevelForecast(level, codec.quantisation(level), round(nbytes * scale), coded / samples, lossless / max(1, nbytes))
        )
    return tuple(found), (time.perf_counter() - started) * scale


def _training(experiment: Experiment, index: DatasetIndex) -> tuple[float, float]:
    """(multiply-accumulates, seconds) of all training and testing; the rate is that of a short training on noise, here."""
    from helmholtz.training.importing import import_tensorflow

    import_tensorflow(quietly=True)
    from helmholtz.training.architectures import build, multiply_accumulates
    from helmholtz.training.inputs import open_inputs

    inputs, medium = open_inputs(experiment), open_codec(experiment).medium
    models = {
        name: build(medium, name, inputs.shape, len(index.classes))
        for name in dict.fromkeys(architecture for architecture, _ in experiment.combinations)
    }
    a_pass = {name: multiply_accumulates(model) for name, model in models.items()}
    epochs = experiment.training.epochs
    records = epochs * (index.records["train"] + TESTED * index.records["validation"]) + TESTED * index.records["test"]
    work = sum(3.0 * a_pass[architecture] * records * experiment.seeds for architecture, _ in experiment.combinations)
    timed = next(iter(models))
    return work, work * _seconds_a_record(models[timed], inputs, experiment.training, len(index.classes)) / (3 * a_pass[timed])


def _seconds_a_record(model: Any, inputs: Inputs, training: Training, classes: int) -> float:
    from helmholtz.training.data import Records, TrainingData
    from helmholtz.training.fit import Fit
    from helmholtz.training.loop import Trainer

    count = max(TRIED, training.batch_size)
    random = np.random.default_rng(0)
    content = random.integers(0, 256, (count, *inputs.shape), dtype=np.uint8).astype(inputs.dtype.as_numpy_dtype)
    noise = Records(content, random.integers(0, classes, count, dtype=np.int32))
    one = Records(content[:1], noise.labels[:1])
    short = training.model_copy(update={"epochs": 2})
    (fitted,) = Trainer([model], TrainingData(noise, one, one), inputs, short).fit([Fit(seed=0)])
    return fitted.train_seconds / (2 * count)
