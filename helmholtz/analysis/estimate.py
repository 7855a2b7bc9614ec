"""Means over seeds, with their interval; what can't be estimated is None, never NaN.

Of values that a test set gave, the interval also holds the luck with the test set where that is known (`Luck`): the half
widths that either luck would have alone, seeds by Student's t and test set by the normal distribution, add up as squares
(the method of variance estimates recovery; Zou, Donner 2008). Satterthwaite's degrees of freedom would be narrower, but are
wrong in 8% instead of 5% at two seeds.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from pydantic import ConfigDict

from helmholtz.stored import Model

NO_SPREAD = 1e-9  # accuracies are multiples of 1 / test records: a smaller deviation is rounding of equal values
SEEDS_TO_TRUST_NO_SPREAD = 5  # equal values from fewer seeds say nothing about how far they spread


class Documented(Model):
    """Base of all that goes into report.json: the text below each field is its description in the JSON Schema."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Estimate(Documented):
    """A mean over trials that differ only in their seed, with its two-sided confidence interval."""

    n: int
    """Number of values."""
    mean: float | None
    """Mean; null without any value."""
    sd: float | None
    """Standard deviation of the values (n - 1 in the denominator); null for fewer than two."""
    low: float | None
    """Lower end of the interval of the mean; null where the spread can't be estimated."""
    high: float | None
    """Upper end of the interval of the mean; null where the spread can't be estimated."""


@dataclass(frozen=True, slots=True)
class Luck:
    """What the choice of test records does to a mean over seeds of an accuracy, or of a difference of two."""

    variance: float  # of the mean, with one unit more than was seen: a test set that shows no luck at all may have missed it
    skew: float  # what one test record, or group of alike ones, counts in the mean

    def half_width(self, probability: float) -> float:
        """Of an interval that holds this luck alone, one end of it with `probability`.

        It allows for a small number of records that decide, all of which count in the same direction: fewer of them show
        both a smaller difference and a smaller variance. It is what a score interval (Wilson 1927) adds: where nothing has
        been lost yet, about what the rule of three says may still be.
        """
        z = NormalDist().inv_cdf(probability)
        skew = z * z * self.skew / 2
        return skew + math.sqrt(skew * skew + z * z * self.variance)


def half_width(error: float, n: int, probability: float, luck: Luck | None = None) -> float:
    """Half the width of an interval whose one end holds with `probability`; `error` is the standard error over `n` seeds."""
    return math.hypot(t_quantile(probability, n - 1) * error, luck.half_width(probability) if luck else 0.0)


def estimate(values: Sequence[float], confidence: float, luck: Luck | None = None) -> Estimate:
    """Mean and two-sided interval of `values`, one a seed, at `confidence` (0..1)."""
    n = len(values)
    if n == 0:
        return Estimate(n=0, mean=None, sd=None, low=None, high=None)
    mean = statistics.fmean(values)
    sd = spread(values)
    if sd is None or not spread_is_known(n, sd):
        return Estimate(n=n, mean=mean, sd=sd, low=None, high=None)
    half = half_width(sd / math.sqrt(n), n, (1 + confidence) / 2, luck)
    return Estimate(n=n, mean=mean, sd=sd, low=mean - half, high=mean + half)


def spread(values: Sequence[float]) -> float | None:
    """Standard deviation with n - 1, exactly 0 for values equal up to rounding, None for fewer than two values."""
    if len(values) < 2:
        return None
    sd = statistics.stdev(values)
    return sd if sd > NO_SPREAD else 0.0


def spread_is_known(n: int, sd: float) -> bool:
    """Whether `sd`, seen in `n` values, says anything: zero from a handful of seeds doesn't."""
    return sd > 0 or n >= SEEDS_TO_TRUST_NO_SPREAD


@functools.lru_cache(maxsize=4096)
def t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t distribution with `degrees` of freedom."""
    from scipy import stats

    return float(stats.t.ppf(probability, degrees))
