"""Rates of simulated outcomes, with their Monte Carlo error, as Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from helmholtz.analysis.simulation import Sweep
from helmholtz.levels import NONE, Level

SEEDS = (3, 5, 10)
CONFIDENCE, MARGIN = 0.95, 0.01
TEN: dict[Level, float] = {NONE: 17, 100: 7.5, 75: 3.1, 50: 2.1, 25: 1.5, 20: 1.3, 15: 1.1, 10: 0.9, 5: 0.6, 1: 0.3}  # bits

Random = np.random.Generator
Table = Iterator[str]

_STREAMS = np.random.SeedSequence(1807)


def fresh() -> Random:
    """Random numbers of their own for every figure, the same in every run of the same program."""
    return np.random.default_rng(_STREAMS.spawn(1)[0])


def percent(outcomes: Sequence[bool]) -> str:
    """Share in percent, with its Monte Carlo standard error."""
    p = statistics.fmean(outcomes)
    return f"{100 * p:.1f} ± {100 * math.sqrt(p * (1 - p) / len(outcomes)):.1f}"


def rates(runs: int, trial: Callable[[int, Random], bool], seeds: Sequence[int] = SEEDS) -> list[str]:
    """How often `trial(seeds, random)` is true, for each number of seeds."""
    return [percent([trial(n, random) for random in [fresh()] for _ in range(runs)]) for n in seeds]


def row(*cells: object) -> str:
    """A row of a table."""
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def header(*cells: str, seeds: Sequence[int] = SEEDS) -> str:
    """Head of a table: `cells`, then a column for each number of seeds."""
    names = [*cells, *(f"{n} seeds (%)" for n in seeds)]
    return f"{row(*names)}\n{row(*('---' for _ in names))}"


def points(fraction: float) -> str:
    """A fraction in points."""
    return f"{100 * fraction:.4g}"


def pair_sweep(sd: float, records: int, by_level: float, loss: float, *, common: float = 0.5) -> Sweep:
    """A level that loses `loss` against none; half of the test records are easy or hard for every network."""
    truth = {NONE: 0.8, 25: 0.8 - loss}
    return Sweep(truth, 0, records, seed_sd=sd, trial_sd=sd, common=common, by_level=by_level, by_seed=min(0.1, 1 - common))
