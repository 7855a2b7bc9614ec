"""N_approx by non-inferiority: the most compressed level that is shown to lose less than the margin.

Level and `none` are compared pairwise, seed by seed and test record by test record. A level passes if the one-sided lower
confidence bound of its mean difference (`helmholtz.analysis.estimate.reaches`) lies above minus the margin. The levels are
tested in a fixed order, least compressed first, and the walk ends at the first that doesn't pass: such a fixed sequence keeps
the error rate of the whole walk at 1 - confidence without any correction (Maurer, Hothorn, Lehmacher 1995; ICH E9, 2.2.5).
Levels that refinement may add need one: see `helmholtz.analysis.refine`.

The error is that of repeating it all with other seeds and other test records of the same kind. Where the answers to single
test records aren't known, it is that of other seeds on the same test set alone.
"""

from __future__ import annotations

import bisect
import functools
import math
import statistics
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np

from helmholtz.analysis.answers import Answers
from helmholtz.analysis.estimate import Documented, Luck, reaches, spread, spread_is_known, t_quantile
from helmholtz.levels import NONE, Level

POWER = 0.8  # the usual convention
MOST_SEEDS = 100  # what an experiment may ask for

Verdict = Literal["non-inferior", "inferior", "undecided", "untestable"]


class Comparison(Documented):
    """One level against `none`, paired over seeds. Accuracies and differences are fractions: -0.01 is one point lost."""

    level: Level
    """The compressed level."""
    pairs: int
    """Seeds whose trials are complete at both this level and none."""
    dropped: int
    """Seeds left out, because a trial of the pair is missing or diverged."""
    difference: float | None
    """Mean accuracy of the level minus that of none; null without pairs."""
    sd: float | None
    """Standard deviation of the differences over seeds."""
    lower_bound: float | None
    """One-sided lower confidence bound of the difference: the level passes if it lies above minus the margin."""
    bound_confidence: float
    """Confidence of that bound: the analysis's, or more where refinement shares the error among several tests."""
    low: float | None
    """Lower end of the two-sided confidence interval of the difference."""
    high: float | None
    """Upper end of the two-sided confidence interval of the difference."""
    test_set_sd: float | None
    """Standard deviation of the mean difference by luck with the test records, which more seeds don't lessen; null where the
    answers to single records aren't known."""
    test_set_below: float | None
    """How much heavier than normal the lower tail of that luck is, where few records decide: its third moment over its
    variance, one record, or group of alike ones, more than was seen included; at least 0."""
    test_set_above: float | None
    """Likewise its upper tail."""
    detectable: float | None
    """Smallest true loss that as many seeds and test records with this spread tell from no loss with probability 0.8, by a
    one-sided test at the bound's confidence; null if none would be, not even of all accuracy. Likewise, a level is likely to
    pass only if its true loss is smaller than the margin minus this."""
    seeds_needed: int | None
    """Seeds that bring `detectable` down to the margin, if the spread stays as it is; null if more than 100, or if no number
    would, for want of test records."""
    verdict: Verdict
    """non-inferior: shown to lose less than the margin; inferior: shown to lose more; undecided: neither is shown;
    untestable: no spread can be estimated."""
    reason: str
    """Why it is untestable, or empty."""

    @property
    def luck(self) -> Luck | None:
        """Of the difference, with the test set."""
        if self.test_set_sd is None or self.test_set_below is None or self.test_set_above is None:
            return None
        return Luck(variance=self.test_set_sd**2, below=self.test_set_below, above=self.test_set_above)


class Walk(Documented):
    """The fixed sequence of comparisons of one architecture."""

    architecture: str
    """Architecture that was trained at every level."""
    chance: float
    """Accuracy of always answering the most frequent class of the test split."""
    above_chance: bool | None
    """Whether accuracy at none is above chance (one-sided lower bound); null where too few seeds are complete to say."""
    comparisons: tuple[Comparison, ...]
    """Every lossy level, least compressed first. Those after `stopped_at` are estimates only: the walk didn't reach them."""
    stopped_at: Level | None
    """First level that didn't pass; null if all did."""
    n_approx: Level | None
    """Most compressed level that passed; null if the first failed, or if nothing is learned at none."""


def compare(
    level: Level,
    differences: Sequence[float],
    dropped: int,
    margin: float,
    confidence: float,
    required: float | None = None,
    *,
    reference: str = NONE,
    luck: Luck | None = None,
) -> Comparison:
    """Tests the paired `differences` (accuracy at `level` minus accuracy at none, one a seed) against `margin` (a fraction).

    The two-sided interval is at `confidence`; what decides is at `required`, where that is given. `reference` names what the
    differences are from, where that isn't none. `luck` is that of their mean with the test set.
    """
    deciding = confidence if required is None else required
    n, sd = len(differences), spread(differences)
    mean = statistics.fmean(differences) if n else None
    if mean is None or sd is None or not spread_is_known(n, sd):
        return Comparison(
            level=level, pairs=n, dropped=dropped, difference=mean, sd=sd, lower_bound=None, bound_confidence=deciding,
            low=None, high=None, test_set_sd=None, test_set_below=None, test_set_above=None, detectable=None, seeds_needed=None,
            verdict="untestable", reason=_why_untestable(n, reference),
        )  # fmt: skip
    error = sd / math.sqrt(n)
    bound_below, bound_above = reaches(error, n, deciding, luck)
    below, above = reaches(error, n, (1 + confidence) / 2, luck)
    finds = detectable(n, sd, deciding, luck)
    verdict: Verdict = "undecided"
    if mean - bound_below > -margin:
        verdict = "non-inferior"
    elif mean + bound_above < -margin:
        verdict = "inferior"
    return Comparison(
        level=level, pairs=n, dropped=dropped, difference=mean, sd=sd, lower_bound=max(-1.0, mean - bound_below),
        bound_confidence=deciding, low=max(-1.0, mean - below), high=min(1.0, mean + above),
        test_set_sd=math.sqrt(luck.variance) if luck else None, test_set_below=luck.below if luck else None,
        test_set_above=luck.above if luck else None, detectable=finds if finds <= 1 else None,
        seeds_needed=seeds_needed(sd, margin, deciding, luck), verdict=verdict, reason="",
    )  # fmt: skip


def walk(
    architecture: str,
    accuracies: Mapping[Level, Mapping[int, float]],
    levels: Sequence[Level],
    *,
    seeds: int,
    chance: float,
    margin: float,
    confidence: float,
    required: Mapping[Level, float] | None = None,
    diverged: Mapping[Level, int] | None = None,
    test_records: int | None = None,
    answers: Mapping[Level, Answers] | None = None,
) -> Walk:
    """Walks down `levels` (least compressed first; `none` is skipped) through `accuracies` (level -> seed -> 0..1).

    `required` are the confidences at which levels must pass, where they aren't `confidence`. A level of which trials `diverged`
    (level -> how many) doesn't pass: the seeds that are left would flatter it. `answers` are those that gave the accuracies.
    """
    none = accuracies.get(NONE, {})
    comparisons = []
    for level in levels:
        if level != NONE:
            at_level = accuracies.get(level, {})
            differences = [at_level[seed] - none[seed] for seed in sorted(at_level.keys() & none.keys())]
            dropped = seeds - len(differences)
            luck = answers[level].less(answers[NONE]).luck() if answers and level in answers and NONE in answers else None
            found = compare(level, differences, dropped, margin, confidence, (required or {}).get(level), luck=luck)
            if lost := (diverged or {}).get(level, 0):
                reason = f"{lost} of its {seeds} trials diverged, and the others alone would flatter it"
                found = found.model_copy(update={"verdict": "untestable", "reason": reason})
            comparisons.append(found)
    passed = 0
    while passed < len(comparisons) and comparisons[passed].verdict == "non-inferior":
        passed += 1
    above = above_chance(list(none.values()), chance, confidence, test_records)
    return Walk(
        architecture=architecture,
        chance=chance,
        above_chance=above,
        comparisons=tuple(comparisons),
        stopped_at=comparisons[passed].level if passed < len(comparisons) else None,
        n_approx=comparisons[passed - 1].level if passed and above else None,
    )


def above_chance(accuracies: Sequence[float], chance: float, confidence: float, test_records: int | None = None) -> bool | None:
    """Whether `accuracies`, one a seed, are on average above `chance` (0..1); None for no values, and for one
    without `test_records`.

    The variance of their mean is that of the right answers of networks that have learned nothing on `test_records` (binomial;
    once, not divided by the seeds: they may all have the same luck with the test set) plus that seen over seeds. The first
    is known, so the quantile is the normal one; half a record is taken off for continuity. Without `test_records` it is a t
    test over seeds, which for two seeds finds only what is large beside their spread.
    """
    n, sd = len(accuracies), spread(accuracies)
    if test_records is None:
        if sd is None:
            return None
        return statistics.fmean(accuracies) - t_quantile(confidence, n - 1) * sd / math.sqrt(n) > chance
    if n == 0:
        return None
    error = math.sqrt(chance * (1 - chance) / test_records + (sd or 0.0) ** 2 / n)  # of one network it is the test set's alone
    return statistics.fmean(accuracies) - 0.5 / test_records - NormalDist().inv_cdf(confidence) * error > chance


def detectable(n: int, sd: float, confidence: float, luck: Luck | None = None) -> float:
    """Smallest true loss that a one-sided paired test of `n` pairs finds with probability 0.8.

    Exact (noncentral t) without luck of the test set, exact without luck of the seeds, and between them to within some percent.
    """
    seeds = _noncentrality(n, confidence) * sd / math.sqrt(n)
    if luck is None:
        return seeds
    z, more = NormalDist().inv_cdf(confidence), NormalDist().inv_cdf(POWER)
    return math.hypot(seeds, z * luck.deviations(confidence)[1] + more * math.sqrt(luck.variance))


def seeds_needed(sd: float, margin: float, confidence: float, luck: Luck | None = None) -> int | None:
    """Fewest pairs whose `detectable` is no more than `margin`; None if more than 100."""
    counts = range(2, MOST_SEEDS + 1)
    at = bisect.bisect_left(counts, True, key=lambda n: detectable(n, sd, confidence, luck) <= margin)
    return counts[at] if at < len(counts) else None


def to_decide(comparison: Comparison, margin: float) -> str:
    """What would tell a loss of the margin from none, if the spread stays as it is: seeds, test records, or both."""
    if comparison.seeds_needed:
        needed = comparison.seeds_needed
        # If these should have sufficed, luck was against it.
        return f"about {needed} seeds" if needed > comparison.pairs else f"more than {comparison.pairs} seeds"
    alone = seeds_needed(comparison.sd or 0.0, margin, comparison.bound_confidence)
    seeds = f"about {alone} seeds" if alone else f"more than {MOST_SEEDS} seeds"
    if comparison.luck is None:
        return seeds
    return "a larger test set" if alone and alone <= comparison.pairs else f"a larger test set and {seeds}"


@functools.cache
def _noncentrality(n: int, confidence: float) -> float:
    """Shift of the mean, in standard errors, at which a one-sided t test of n pairs has power 0.8."""
    from scipy import special  # its nct fails for the large shifts of two seeds; scipy.integrate takes half a second to import

    critical, degrees = t_quantile(confidence, n - 1), n - 1
    z = np.linspace(-8, 8, 801)  # the mean's deviation, in standard errors
    weights = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()

    def power(shift: float) -> float:
        # P(T > critical): the mean of the probability that the estimated deviation (a chi) is so small, at every z.
        largest = np.maximum(z + shift, 0) / critical
        return float(weights @ special.gammainc(degrees / 2, degrees * largest**2 / 2))

    low, high = 0.0, 4 * critical + 4
    while high - low > 1e-6 * high:  # relative: two seeds shift by millions at high confidence
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle) < POWER else (low, middle)
    return high


def _why_untestable(pairs: int, reference: str) -> str:
    if pairs < 2:
        return f"{pairs} complete {'pair' if pairs == 1 else 'pairs'} of trials with {reference}: at least 2 seeds are needed"
    return f"all {pairs} differences are equal, so their spread can't be estimated: use more seeds or more test records"
