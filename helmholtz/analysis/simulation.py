"""Synthetic sweeps with a known truth: what intervals and decisions are proved on.

A sweep is tested as a real one is. First there is a test set; then networks are trained and tested on it. A network's
expected accuracy is that of its level, moved by luck that its seed has at all levels and by luck of its own (normal).
Whether it is right in a record is decided by a uniform number below its expected accuracy. For some records that number
is the same for every network (easy and hard records), for some it belongs to the level (what this compression does to
this record), for some to the seed, and for the rest it is drawn anew for every trial; so every accuracy is a whole number
of right answers out of the test set, exactly binomial, and correlated with the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helmholtz.levels import Level

Floats = NDArray[np.floating[Any]]
Counts = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is true. Accuracies and shares are fractions, deviations too: 0.01 is one point."""

    accuracies: dict[Level, float]  # expected accuracy at each level
    seeds: int
    test_records: int
    seed_sd: float = 0.0  # luck of a seed, the same at all its levels
    trial_sd: float = 0.0  # luck of one trial
    common: float = 0.0  # share of test records that are right or wrong for all networks together
    by_level: float = 0.0  # share that are so for all seeds of a level
    by_seed: float = 0.0  # share that are so for all levels of a seed


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a test set decides once and for all: the numbers of the records that not every trial draws anew, ascending."""

    common: Floats  # (records,)
    by_level: Floats  # (levels, records)


def stick_accuracies(bits: dict[Level, float], *, plateau: float, slope: float, knee: float) -> dict[Level, float]:
    """Accuracy of each level on a broken stick in ln(bits); `bits` and `knee` (the breakpoint) are bits a sample."""
    return {level: plateau - slope * max(math.log(knee / size), 0.0) for level, size in bits.items()}


def draw_test_set(sweep: Sweep, random: np.random.Generator) -> Thresholds:
    """A test set for `sweep`."""
    levels = len(sweep.accuracies)
    common, by_level = round(sweep.common * sweep.test_records), round(sweep.by_level * sweep.test_records)
    return Thresholds(np.sort(random.random(common)), np.sort(random.random((levels, by_level)), axis=1))


def run(
    sweep: Sweep, random: np.random.Generator, *, test_set: Thresholds | None = None, seeds: int | None = None
) -> dict[Level, dict[int, float]]:
    """Measured accuracies, level -> seed -> 0..1, on `test_set` (a new one if not given), for the sweep's seeds or `seeds`."""
    tested = draw_test_set(sweep, random) if test_set is None else test_set
    trained = sweep.seeds if seeds is None else seeds
    truth = np.array(list(sweep.accuracies.values()))
    luck = sweep.seed_sd * random.standard_normal((trained, 1)) + sweep.trial_sd * random.standard_normal((trained, len(truth)))
    expected = np.clip(truth + luck, 0.0, 1.0)
    by_seed = round(sweep.by_seed * sweep.test_records)
    own = sweep.test_records - len(tested.common) - tested.by_level.shape[1] - by_seed
    right = random.binomial(own, expected) + _right_together(by_seed, expected, random)
    right += np.searchsorted(tested.common, expected)
    for column, thresholds in enumerate(tested.by_level):
        right[:, column] += np.searchsorted(thresholds, expected[:, column])
    measured = right / sweep.test_records
    return {level: dict(enumerate(measured[:, column].tolist())) for column, level in enumerate(sweep.accuracies)}


def expected_on(test_set: Thresholds, sweep: Sweep, random: np.random.Generator, *, seeds: int = 2_000) -> dict[Level, float]:
    """Mean accuracy of each level on `test_set` over ever more seeds, from so many: what intervals over seeds estimate."""
    many = run(sweep, random, test_set=test_set, seeds=seeds)
    return {level: math.fsum(by_seed.values()) / seeds for level, by_seed in many.items()}


def differences(accuracies: dict[Level, dict[int, float]], level: Level, reference: Level) -> Sequence[float]:
    """Accuracy at `level` minus that at `reference`, one a seed."""
    return [accuracies[level][seed] - accuracies[reference][seed] for seed in accuracies[level]]


def _right_together(records: int, expected: Floats, random: np.random.Generator) -> Counts:
    """How many of `records` each trial has right if the trials of a row (a seed) share the records' thresholds.

    The thresholds needn't be drawn: how many fall between one expected accuracy and the next is multinomial.
    """
    order = np.argsort(expected, axis=1)
    ascending = np.take_along_axis(expected, order, axis=1)
    shares = np.diff(ascending, axis=1, prepend=0.0, append=1.0)
    counts = random.multinomial(records, shares)[:, :-1].cumsum(axis=1)
    right = np.empty_like(counts)
    np.put_along_axis(right, order, counts, axis=1)
    return right
