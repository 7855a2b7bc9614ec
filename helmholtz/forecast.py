"""What an experiment would cost, before anything runs: trials, bytes a level from a sample, and a rough time."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from helmholtz.codecs import open_codec
from helmholtz.codecs.base import Prepared
from helmholtz.dataset import DatasetIndex, preview
from helmholtz.errors import BadRecord, SourceError
from helmholtz.experiment import Experiment
from helmholtz.levels import Level
from helmholtz.sources import open_source

SAMPLE = 200  # records encoded at every level to predict its bytes
EFFICIENCY = 0.4  # of a matrix product's rate that training reaches on a CPU; measured 0.35..0.6 for architectures A to F
TESTED = 1 / 3  # a forward pass costs about a third of a training step


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
    work = _multiply_accumulates(experiment, index)
    compute = 2 * work / (_flops() * EFFICIENCY)
    trials = len(experiment.combinations) * experiment.seeds
    return Forecast(index, levels, trials, work, encode_seconds + compute)


def _levels(experiment: Experiment, index: DatasetIndex, keys: list[str]) -> tuple[tuple[LevelForecast, ...], float]:
    codec, source = open_codec(experiment), open_source(experiment.dataset)
    records: list[Prepared] = []
    started = time.perf_counter()
    for key in keys:
        try:
            records.append(codec.prepare(source.load(key)))
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


def _multiply_accumulates(experiment: Experiment, index: DatasetIndex) -> float:
    from helmholtz.training.architectures import build, multiply_accumulates

    size = experiment.training.input_size
    medium = open_codec(experiment).medium
    a_pass = {
        name: multiply_accumulates(build(medium, name, (size, size, 3), len(index.classes)))
        for name in {architecture for architecture, _ in experiment.combinations}
    }
    epochs = experiment.training.epochs
    records = epochs * (index.records["train"] + TESTED * index.records["validation"]) + TESTED * index.records["test"]
    return sum(3.0 * a_pass[architecture] * records * experiment.seeds for architecture, _ in experiment.combinations)


def _flops() -> float:
    """Floating-point operations a second of a float32 matrix product on this machine, all cores."""
    matrix = np.ones((1024, 1024), np.float32)
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - started)
    return 2 * 1024**3 / best
