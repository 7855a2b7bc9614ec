"""Coverage of every interval, error rate and power of every decision, on simulated sweeps whose truth is known.

Run: python benchmarks/intervals.py [--runs N] [--quick] [--write docs/statistics.md]
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from decisions import TABLES as DECISIONS
from groups import group_table
from rates import CONFIDENCE, SEEDS, TEN, Random, Table, fresh, header, pair_sweep, percent, points, rates, row

from helmholtz.analysis.answers import Answers
from helmholtz.analysis.broken_stick import BrokenStick, broken_stick
from helmholtz.analysis.estimate import Luck, estimate, t_quantile
from helmholtz.analysis.simulation import Sweep, accuracies, draw_test_set, expected_on, run, stick_accuracies
from helmholtz.analysis.stick import StickProblem
from helmholtz.levels import NONE, Level

SIX: dict[Level, float] = {NONE: 12, 75: 5, 50: 2.1, 25: 1.1, 10: 0.6, 1: 0.3}  # bits
FOUR: dict[Level, float] = {NONE: 12, 50: 2, 10: 0.8, 1: 0.3}

# Broken stick

STICKS = [
    # levels, slope, knee (bits), trial sd, test records, by_level
    (TEN, 0.05, 0.75, 0.005, 2_000, 0.0),
    (TEN, 0.05, 1.8, 0.010, 500, 0.0),
    (TEN, 0.05, 1.8, 0.002, 5_000, 0.2),
    (TEN, 0.10, 1.1, 0.003, 5_000, 0.0),
    (TEN, 0.10, 1.1, 0.003, 5_000, 0.2),
    (TEN, 0.10, 1.1, 0.010, 500, 0.2),
    (TEN, 0.20, 0.75, 0.002, 5_000, 0.0),
    (TEN, 0.20, 1.8, 0.005, 2_000, 0.1),
    (TEN, 0.20, 3.1, 0.010, 5_000, 0.2),
    (TEN, 0.30, 1.2, 0.010, 500, 0.0),
    (SIX, 0.05, 1.8, 0.002, 5_000, 0.0),
    (SIX, 0.05, 1.8, 0.005, 500, 0.2),
    (SIX, 0.10, 1.1, 0.003, 2_000, 0.1),
    (SIX, 0.20, 0.75, 0.010, 2_000, 0.0),
    (SIX, 0.20, 3.1, 0.005, 5_000, 0.2),
    (FOUR, 0.20, 1.2, 0.003, 5_000, 0.0),
    (FOUR, 0.20, 0.5, 0.003, 5_000, 0.0),
]
ALIKE = [  # nearly all luck is common to all networks: the seeds show next to nothing of it
    # levels, slope, knee (bits), trial sd, test records, common
    (TEN, 0.10, 1.1, 0.003, 5_000, 0.95),
    (TEN, 0.20, 1.8, 0.002, 500, 0.95),
    (TEN, 0.20, 1.8, 0.002, 100, 0.90),
    (TEN, 0.20, 1.8, 0.002, 20, 0.90),
    (SIX, 0.20, 1.8, 0.002, 5_000, 0.95),
    (SIX, 0.10, 1.8, 0.002, 500, 0.95),
    (SIX, 0.20, 0.75, 0.002, 500, 0.95),
    (SIX, 0.20, 1.8, 0.002, 100, 0.90),
    (FOUR, 0.20, 1.2, 0.003, 5_000, 0.95),
    (FOUR, 0.20, 1.2, 0.003, 500, 0.95),
]


def stick_sweep(bits: dict[Level, float], slope: float, knee: float, sd: float, records: int, by_level: float) -> Sweep:
    """A sweep on a stick of plateau 80%; the luck a seed has at all levels is as large as that of a trial."""
    accuracies = stick_accuracies(bits, plateau=0.8, slope=slope, knee=knee)
    return Sweep(accuracies, 0, records, seed_sd=sd, trial_sd=sd, common=0.3, by_level=by_level, by_seed=0.2)


def covers(found: BrokenStick, knee: float) -> bool:
    return (found.low is None or found.low <= knee) and (found.high is None or knee <= found.high)


def width(found: BrokenStick) -> float:
    return found.high / found.low if found.low and found.high else math.inf


def stick_fits(
    sweep: Sweep, bits: dict[Level, float], runs: int, seeds: int, *, missing: float = 0.0, known: bool = True
) -> list[BrokenStick]:
    """Of simulated sweeps of which a share of trials is `missing`; with the answers to its test records `known` or not."""
    random, fits = fresh(), []
    for _ in range(runs):
        trials = run(sweep, random, seeds=seeds)
        kept = {
            level: Answers({k: right for k, right in found.right.items() if random.random() >= missing}, found.sizes)
            for level, found in trials.items()
        }
        kept = {level: found for level, found in kept.items() if found.right}
        fits.append(broken_stick("A", accuracies(kept), bits, CONFIDENCE, answers=kept if known else None))
    return fits


def coverage(fits: list[BrokenStick], knee: float) -> str:
    return percent([covers(found, knee) for found in fits])


def median_width(fits: list[BrokenStick]) -> str:
    return f"{statistics.median(width(found) for found in fits):.2f}"


def stick_table(runs: int) -> Table:
    yield "## Broken stick: coverage of the breakpoint's interval\n"
    yield (
        "With the luck of the test set (answers known) and without, which isn't used. Behind the semicolon: the median\n"
        "width of the interval, upper over lower end; an open end counts as infinite. Knee: the true breakpoint in bits a\n"
        "sample, on a level (with ten levels 1.1 and 3.1, with six 1.1) or between two. In the last rows only one level lies\n"
        "below the knee: where between it and the next the drop begins can't be told, and the interval holds all of it.\n"
    )
    yield header("levels", "slope", "knee", "noise (points)", "test records", "by level", "luck of the test set")
    for bits, slope, knee, sd, records, by_level in STICKS:
        sweep = stick_sweep(bits, slope, knee, sd, records, by_level)
        for known in (True, False):
            fits = [stick_fits(sweep, bits, runs, n, known=known) for n in SEEDS]
            cells = [f"{coverage(one, knee)}; {median_width(one)}" for one in fits]
            yield row(len(bits), slope, knee, points(sd), records, by_level, "with" if known else "without", *cells)
    yield "\nNearly all luck common, and few records (or groups of alike ones, which count as one):\n"
    yield header("levels", "slope", "knee", "noise (points)", "test records", "common", "luck of the test set")
    for bits, slope, knee, sd, records, common in ALIKE:
        truth = stick_accuracies(bits, plateau=0.8, slope=slope, knee=knee)
        sweep = Sweep(truth, 0, records, seed_sd=sd, trial_sd=sd, common=common)
        for known in (True, False):
            fits = [stick_fits(sweep, bits, runs, n, known=known) for n in SEEDS]
            cells = [f"{coverage(one, knee)}; {median_width(one)}" for one in fits]
            yield row(len(bits), slope, knee, points(sd), records, common, "with" if known else "without", *cells)
    yield "\nWith a tenth of the trials missing at random:\n"
    yield header("levels", "slope", "knee", "noise (points)", "test records", "by level", "luck of the test set")
    for by_level in (0.0, 0.2):
        sweep = stick_sweep(TEN, 0.1, 1.1, 0.003, 5_000, by_level)
        cells = [coverage(stick_fits(sweep, TEN, runs, n, missing=0.1), 1.1) for n in SEEDS]
        yield row(10, 0.1, 1.1, 0.3, 5_000, by_level, "with", *cells)


def nothing_table(runs: int) -> Table:
    yield "\n## Broken stick: how often a drop, or a plateau, is claimed where there is none\n"
    yield "To be 5% at most. Noise 0.3 points, 5,000 test records, by level 0.1, with the luck of the test set.\n"
    yield header("levels", "truth", "claim")
    for bits in (TEN, SIX, FOUR):
        flat = stick_sweep(bits, 0.0, 1.0, 0.003, 5_000, 0.1)
        line = stick_sweep(bits, 0.05, bits[NONE], 0.003, 5_000, 0.1)
        drops = [percent([found.low is not None for found in stick_fits(flat, bits, runs, n)]) for n in SEEDS]
        plateaus = [percent([found.high is not None for found in stick_fits(line, bits, runs, n)]) for n in SEEDS]
        yield row(len(bits), "constant", "a drop", *drops)
        yield row(len(bits), "straight line, slope 0.05", "a plateau", *plateaus)


def seeds_only_covers(trials: Mapping[Level, Mapping[int, float]], bits: Mapping[Level, float], knee: float) -> bool:
    """Of an interval that is not used: its yardstick is the scatter of all trials, as if levels had no luck of their own."""
    y = np.array([list(by_seed.values()) for by_seed in trials.values()])
    levels, seeds = y.shape
    x = np.repeat([math.log(bits[level]) for level in trials], seeds)
    problem = StickProblem(x, y.ravel(), np.tile(np.arange(seeds), levels))
    rest = problem.fit().lack_of_fit
    within = float(((y - y.mean(0) - y.mean(1, keepdims=True) + y.mean()) ** 2).sum())
    degrees = problem.degrees + (levels - 1) * (seeds - 1)
    low, high = problem.accepted(rest + t_quantile((1 + CONFIDENCE) / 2, degrees) ** 2 * (rest + within) / degrees)
    return low <= math.log(knee) <= high


LUCK = {
    "each trial alone": {},
    "half by seed": {"by_seed": 0.5},
    "a fifth by level": {"by_level": 0.2},
    "30% common": {"common": 0.3},
    "70% common, 20% by level": {"common": 0.7, "by_level": 0.2},
    "90% common": {"common": 0.9},
}


def luck_table(runs: int) -> Table:
    yield "\n## Broken stick: who shares luck with the test records, and which interval holds it\n"
    yield (
        "Gentle: ten levels, slope 0.1, knee 1.1, noise 0.3 points, 5,000 test records. Sharp: slope 0.2, knee 1.8, noise\n"
        "0.5 points, 2,000 test records. Seeds: an interval that isn't used, whose yardstick is the scatter of all trials.\n"
    )
    yield header("drop", "luck is shared", "interval")
    for drop, (slope, knee, sd, records) in {"gentle": (0.1, 1.1, 0.003, 5_000), "sharp": (0.2, 1.8, 0.005, 2_000)}.items():
        for shared, shares in LUCK.items():
            truth = stick_accuracies(TEN, plateau=0.8, slope=slope, knee=knee)
            sweep = Sweep(truth, 0, records, seed_sd=sd, trial_sd=sd, **shares)

            def seeds_only(n: int, random: Random, sweep: Sweep = sweep, knee: float = knee) -> bool:
                return seeds_only_covers(accuracies(run(sweep, random, seeds=n)), TEN, knee)

            for name, known in (("levels and test set", True), ("levels", False)):
                fits = [stick_fits(sweep, TEN, runs, n, known=known) for n in SEEDS]
                yield row(drop, shared, name, *(f"{coverage(one, knee)}; {median_width(one)}" for one in fits))
            yield row(drop, shared, "seeds (not used)", *rates(runs, seeds_only))


# Means

PAIRS = [
    # trial sd, test records, by_level
    (0.002, 5_000, 0.0),
    (0.005, 2_000, 0.0),
    (0.010, 500, 0.0),
    (0.002, 5_000, 0.2),
    (0.010, 500, 0.2),
]


def mean_table(runs: int) -> Table:
    yield "\n## Intervals of means over seeds: coverage\n"
    yield (
        "Of the mean over all seeds and all test sets. With: with the luck of the test set, which is what the report gives.\n"
        "Without: Student's t over the seeds alone, which isn't used for accuracies; on this test set: what that claims, the\n"
        "mean over ever more seeds on the same test set. The difference is that of a level and `none`, paired.\n"
    )
    yield header("interval", "of", "noise (points)", "test records", "by level")
    for interval in ("mean of a cell", "paired difference"):
        for target in ("any, with", "any, without", "this test set, without"):
            for sd, records, by_level in PAIRS:
                sweep = pair_sweep(sd, records, by_level, loss=0.02)
                yield row(
                    interval, target, points(sd), records, by_level, *rates(runs // 2, mean_covers(sweep, interval, target))
                )


def mean_covers(sweep: Sweep, interval: str, target: str) -> Callable[[int, Random], bool]:
    def covered(n: int, random: Random) -> bool:
        test_set = draw_test_set(sweep, random)
        answers = run(sweep, random, test_set=test_set, seeds=n)
        truth = expected_on(test_set, sweep, random, seeds=300) if target.startswith("this") else sweep.accuracies
        alone = interval == "mean of a cell"
        found = answers[25] if alone else answers[25].less(answers[NONE])
        expected = truth[25] - (0.0 if alone else truth[NONE])
        luck = found.luck() if target.endswith("with") else None
        return inside(list(found.accuracies().values()), expected, luck)

    return covered


def inside(values: Sequence[float], expected: float, luck: Luck | None = None) -> bool:
    """Whether the interval of the mean holds `expected`; equal values have none, and so claim nothing that could be wrong."""
    found = estimate(values, CONFIDENCE, luck)
    return found.low is None or found.high is None or found.low <= expected <= found.high


def epochs_table(runs: int) -> Table:
    yield "\n## Ratio of epochs to converge: coverage\n"
    yield "Epochs of a pair are log-normal, in whole numbers; the interval is Student's t of the logarithm of the ratio.\n"
    yield header("epochs at none", "true ratio", "noise of a trial (%)")
    for epochs, ratio, sd in ((100, 0.6, 0.1), (100, 1.0, 0.3), (20, 0.6, 0.1), (20, 0.6, 0.3), (8, 0.6, 0.1)):

        def covered(n: int, random: Random, epochs: int = epochs, ratio: float = ratio, sd: float = sd) -> bool:
            noise = np.exp(sd * random.standard_normal((2, n)))
            before, after = (
                np.maximum(np.rint(at * luck), 1) for at, luck in zip((epochs, epochs * ratio), noise, strict=True)
            )
            return inside(np.log(after / before).tolist(), math.log(ratio))

        yield row(epochs, ratio, points(sd), *rates(runs, covered))


TABLES = (stick_table, nothing_table, luck_table, mean_table, epochs_table, *DECISIONS, group_table)


def page(runs: int) -> Table:
    yield "# Intervals and decisions, checked by simulation\n"
    yield (
        f"Written by `python benchmarks/intervals.py --runs {runs} --write docs/statistics.md`. Every figure is a share of\n"
        f"simulated sweeps in percent, with its Monte Carlo standard error, from {runs:,} sweeps (means and walks: half as\n"
        f"many). All intervals are two-sided at {CONFIDENCE:.0%}, all tests one-sided at {1 - CONFIDENCE:.0%}.\n\n"
        "How a sweep is simulated (`helmholtz/analysis/simulation.py`): a network's expected accuracy is that of its level,\n"
        "moved by normal luck of its seed, the same at all levels, and by normal luck of its own; `noise` is the standard\n"
        "deviation of each. A test record is answered right if a uniform number lies below the expected accuracy. For some\n"
        "records this number is common to all networks (30% for sticks, 50% elsewhere), for some to the seeds of a level\n"
        "(`by level` gives the share), for some to the levels of a seed (20% and 10%), and for the rest it is drawn anew; so\n"
        "every accuracy is exactly binomial, and a level's seeds, or a seed's levels, share part of their luck.\n"
    )
    for table in TABLES:
        yield from table(runs)


def main() -> None:
    """Prints the page, or writes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000, help="simulated sweeps for a figure")
    parser.add_argument("--quick", action="store_true", help="100 sweeps: does it run?")
    parser.add_argument("--write", type=Path, help="file to write instead of printing")
    told = parser.parse_args()
    text = "\n".join(page(100 if told.quick else told.runs)) + "\n"
    if told.write:
        told.write.write_text(text, "utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
