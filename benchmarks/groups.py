"""Coverage and error rate where test records come in groups of unequal size, and few of them decide, on simulated pairs.

benchmarks/intervals.py puts the table on its page.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rates import CONFIDENCE, SEEDS, Random, Table, fresh, header, percent, points, row

from helmholtz.analysis.answers import Answers
from helmholtz.analysis.noninferiority import Comparison, compare

Sizes = Callable[[Random, int], NDArray[np.int64]]


def unequal(random: Random, groups: int) -> NDArray[np.int64]:
    """Records of each of so many groups: a tenth of the groups holds about half of the records."""
    return np.ceil(random.lognormal(1.5, 1.2, groups)).astype(np.int64)


SETS: dict[str, tuple[int, Sizes]] = {
    "1,000 records, each alone": (1_000, lambda _, groups: np.ones(groups, np.int64)),
    "400 groups of 1 to 3": (400, lambda random, groups: random.integers(1, 4, groups)),
    "150 groups, very unequal": (150, unequal),
    "40 groups of 25": (40, lambda _, groups: np.full(groups, 25)),
    "40 groups, very unequal": (40, unequal),
    "15 groups, very unequal": (15, unequal),
}
LOSSES = {  # chances that a group is lost or gained whole
    "every group a little, by normal luck": None,
    "2% of the groups lost whole, none gained": (0.02, 0.0),
    "10% of the groups lost whole, 8% gained": (0.10, 0.08),
}
TRUE_LOSS = 0.02
SEED_SD, GROUP_SD = 0.003, 0.05


def compared(groups: int, sizes: Sizes, loss: tuple[float, float] | None, seeds: int, random: Random) -> Comparison:
    """A level that loses TRUE_LOSS on average, against none, on a test set of its own."""
    size = sizes(random, groups)
    expected = random.uniform(0.5, 0.8, groups)  # some groups are harder, for every network
    moved = random.normal(-TRUE_LOSS, GROUP_SD, groups) if loss is None else np.zeros(groups)
    lost, gained = loss or (0.0, 0.0)
    fate = random.choice([-1, 0, 1], groups, p=[lost, 1 - lost - gained, gained])
    none, level = {}, {}
    for seed in range(seeds):
        luck = random.normal(0, SEED_SD, 2)
        one, other = random.binomial(size, expected + luck[0]), random.binomial(size, np.clip(expected + moved + luck[1], 0, 1))
        # What is lost whole was right at none, what is gained was wrong there.
        none[seed] = np.choose(fate + 1, [size, one, 0 * size]).astype(float)
        level[seed] = np.choose(fate + 1, [0 * size, other, size]).astype(float)
    difference = Answers(level, size.astype(float)).less(Answers(none, size.astype(float)))
    return compare(25, list(difference.accuracies().values()), 0, TRUE_LOSS, CONFIDENCE, luck=difference.luck())


def group_table(runs: int) -> Table:
    yield "\n## Groups of unequal size, and few that decide\n"
    yield (
        f"A paired difference whose truth is a loss of {points(TRUE_LOSS)} points, the margin. Each group counts as one: its\n"
        "records share their luck. Very unequal: a tenth of the groups holds about half of the records. Coverage: of the\n"
        "two-sided interval. Wrong: non-inferior, to be 5% at most.\n"
    )
    yield header("test set", "what the level does", "figure")
    for name, (groups, sizes) in SETS.items():
        for fate, loss in LOSSES.items():
            found = [simulated(groups, sizes, loss, n, runs) for n in SEEDS]
            yield row(name, fate, "coverage", *(percent([covers(one) for one in each]) for each in found))
            yield row(name, fate, "wrong", *(percent([one.verdict == "non-inferior" for one in each]) for each in found))


def simulated(groups: int, sizes: Sizes, loss: tuple[float, float] | None, seeds: int, runs: int) -> list[Comparison]:
    random = fresh()
    return [compared(groups, sizes, loss, seeds, random) for _ in range(runs)]


def covers(found: Comparison) -> bool:
    return found.low is None or found.high is None or found.low <= -TRUE_LOSS <= found.high
