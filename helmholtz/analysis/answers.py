"""Which test records the trials had right, and what luck with the test set this shows.

A mean over seeds and test records has two kinds of luck, crossed: which seeds were drawn, and which records (or groups of
alike records) the test set happens to hold. The first shows in the scatter over seeds. The second is common to all seeds and
hides from that scatter, but not from the records: where a record's difference comes back with every seed, it is the
record's. `Answers.luck` takes it from the records' scatter, less what the seeds' own part in it explains (two-way analysis of
variance with random effects, one observation a cell; Searle, Casella, McCulloch, Variance Components, 1992, ch. 4).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helmholtz.analysis.estimate import Luck
from helmholtz.results import unpack_right

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Answers:
    """Of trials that differ only in their seed: right answers in each group of test records, or differences of such counts."""

    right: Mapping[int, Floats]  # seed -> [groups]
    sizes: Floats  # [groups]: test records of each

    def accuracies(self) -> dict[int, float]:
        """Share of right answers by seed."""
        return {seed: float(right.sum() / self.sizes.sum()) for seed, right in self.right.items()}

    def less(self, other: Answers) -> Answers:
        """These minus `other`, of the seeds that both have."""
        seeds = sorted(self.right.keys() & other.right.keys())
        return Answers({seed: self.right[seed] - other.right[seed] for seed in seeds}, self.sizes)

    def luck(self) -> Luck | None:
        """Of the mean over seeds, with the test set; None for fewer than two seeds.

        Of a single group nothing is known but itself: its luck is taken to be as large as an accuracy can be.
        """
        if len(self.right) < 2:
            return None
        if len(self.sizes) < 2:
            return Luck(variance=1.0, below=1.0, above=1.0)
        records, groups, unit = float(self.sizes.sum()), len(self.sizes), self.unit
        means = np.mean(list(self.right.values()), axis=0)
        means -= self.sizes * (means.sum() / records)
        # Of the whole scatter over groups, the seeds' part in it included, and with the group that may have been missed.
        variance = float((means**2).sum()) * groups / (groups - 1) / records**2 + unit**2
        third = float((means**3).sum()) / records**3
        return Luck(
            variance=max(float(shared_covariance([self])[0, 0]), 0.0) + unit**2,
            below=max(unit**3 - third, 0.0) / variance,
            above=max(unit**3 + third, 0.0) / variance,
        )

    @property
    def unit(self) -> float:
        """What one group, the size of a record's own, counts in an accuracy."""
        return float((self.sizes**2).sum() / self.sizes.sum() ** 2)


def shared_covariance(cells: Sequence[Answers]) -> Floats:
    """Covariance of the cells' accuracies, means over their seeds, by the luck of the test set; shape (cells, cells).

    All cells are of the same test set. Of a cell with one seed that seed's own luck is in it, for it can't be told apart.
    """
    sizes = cells[0].sizes
    records, groups = float(sizes.sum()), len(sizes)
    scale = groups / (groups - 1) / records**2 if groups > 1 else 0.0
    means = np.array([np.mean(list(cell.right.values()), axis=0) for cell in cells])
    means -= sizes * (means.sum(1, keepdims=True) / records)
    whole = means @ means.T * scale
    own = np.zeros_like(whole)
    for seed in sorted(set(itertools.chain(*(cell.right for cell in cells)))):
        having = [number for number, cell in enumerate(cells) if seed in cell.right]
        rest = np.array([cells[n].right[seed] - sizes * (cells[n].right[seed].sum() / records) - means[n] for n in having])
        counts = np.array([len(cells[n].right) for n in having])
        rest /= np.sqrt(counts * np.maximum(counts - 1, 1))[:, None]
        own[np.ix_(having, having)] += rest @ rest.T * scale
    return np.asarray(whole - own)


def in_groups(right: NDArray[np.bool_], groups: Integers | None) -> NDArray[np.bool_]:
    """The answers with those of a group side by side, group 0 first.

    `groups` has the number of each record's group; without it every record is a group of its own.
    """
    return right if groups is None else right[np.argsort(groups, kind="stable")]


def write_sizes(sizes: Iterable[int]) -> str:
    """Sizes of groups as text, in runs: ``3*10 1*12`` are three groups of 10 and one of 12."""
    return " ".join(f"{sum(1 for _ in run)}*{size}" for size, run in itertools.groupby(sizes))


@functools.lru_cache(maxsize=4)
def read_sizes(text: str) -> Integers:
    """Shape (groups,), from what `write_sizes` wrote. Raises ValueError where a size isn't above 0."""
    runs = [tuple(int(number) for number in run.split("*")) for run in text.split()]
    if any(size < 1 for _, size in runs):
        raise ValueError(f"{text[:60]}: a group of no records")
    return np.repeat([size for _, size in runs], [count for count, _ in runs])


def read_answers(packed: Mapping[int, str], sizes: str) -> Answers:
    """From the columns test_right, by seed, and test_groups of curves.csv."""
    members = read_sizes(sizes)
    starts = np.concatenate([[0], np.cumsum(members)[:-1]])
    right = {seed: unpack_right(text, int(members.sum())) for seed, text in packed.items()}
    return Answers(
        {seed: np.add.reduceat(answers, starts, dtype=np.float64) for seed, answers in right.items()}, members.astype(float)
    )
