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
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helmholtz.analysis.answers import Answers
from helmholtz.levels import Level

Floats = NDArray[np.floating[Any]]


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
    """What a test set decides once and for all: the numbers of the records that not every trial draws anew."""

    common: Floats  # (records,)
    by_level: Floats  # (levels, records)


def stick_accuracies(bits: dict[Level, float], *, plateau: float, slope: float, knee: float) -> dict[Level, float]:
    """Accuracy of each level on a broken stick in ln(bits); `bits` and `knee` (the breakpoint) are bits a sample."""
    return {level: plateau - slope * max(math.log(knee / size), 0.0) for level, size in bits.items()}


def draw_test_set(sweep: Sweep, random: np.random.Generator) -> Thresholds:
    """A test set for `sweep`."""
    levels = len(sweep.accuracies)
    common, by_level = round(sweep.common * sweep.test_records), round(sweep.by_level * sweep.test_records)
    return Thresholds(random.random(common, np.float32), random.random((levels, by_level), np.float32))


def run(
    sweep: Sweep, random: np.random.Generator, *, test_set: Thresholds | None = None, seeds: int | None = None
) -> dict[Level, Answers]:
    """Right answers of each level on `test_set` (a new one if not given), of the sweep's seeds or of so many `seeds`."""
    tested = draw_test_set(sweep, random) if test_set is None else test_set
    trained = sweep.seeds if seeds is None else seeds
    truth = np.array(list(sweep.accuracies.values()))
    luck = sweep.seed_sd * random.standard_normal((trained, 1)) + sweep.trial_sd * random.standard_normal((trained, len(truth)))
    expected = np.clip(truth + luck, 0.0, 1.0)
    by_seed = round(sweep.by_seed * sweep.test_records)
    numbers = random.random((trained, len(truth), sweep.test_records), np.float32)
    ends = np.cumsum([0, len(tested.common), tested.by_level.shape[1], by_seed])
    numbers[:, :, : ends[1]] = tested.common
    numbers[:, :, ends[1] : ends[2]] = tested.by_level
    numbers[:, :, ends[2] : ends[3]] = random.random((trained, 1, by_seed), np.float32)
    right = numbers < expected[:, :, None]
    sizes = np.ones(sweep.test_records)
    return {
        level: Answers({seed: right[seed, column].astype(np.float32) for seed in range(trained)}, sizes)
        for column, level in enumerate(sweep.accuracies)
    }


def accuracies(answers: dict[Level, Answers]) -> dict[Level, dict[int, float]]:
    """Level -> seed -> share of right answers."""
    return {level: found.accuracies() for level, found in answers.items()}


def expected_on(test_set: Thresholds, sweep: Sweep, random: np.random.Generator, *, seeds: int = 2_000) -> dict[Level, float]:
    """Mean accuracy of each level on `test_set` over ever more seeds, from so many: what intervals over seeds estimate."""
    totals = dict.fromkeys(sweep.accuracies, 0.0)
    for _ in range(seeds):  # one by one: thousands of trials at once would fill the memory
        for level, by_seed in accuracies(run(sweep, random, test_set=test_set, seeds=1)).items():
            totals[level] += by_seed[0]
    return {level: total / seeds for level, total in totals.items()}
