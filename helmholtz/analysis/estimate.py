"""Means over seeds, with Student's t interval; what can't be estimated is None, never NaN."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence

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


def estimate(values: Sequence[float], confidence: float) -> Estimate:
    """Mean and two-sided t interval of `values` at `confidence` (0..1)."""
    n = len(values)
    if n == 0:
        return Estimate(n=0, mean=None, sd=None, low=None, high=None)
    mean = statistics.fmean(values)
    sd = spread(values)
    if sd is None or not spread_is_known(n, sd):
        return Estimate(n=n, mean=mean, sd=sd, low=None, high=None)
    half = t_quantile((1 + confidence) / 2, n - 1) * sd / math.sqrt(n)
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


@functools.cache
def t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t distribution with `degrees` of freedom."""
    from scipy import stats

    return float(stats.t.ppf(probability, degrees))
