"""Ends of intervals whose error has several parts: coverage by numerical integration, and what has to hold for any parts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helmholtz.analysis.estimate import half_width

VARIANCES = st.one_of(st.just(0.0), st.floats(1e-12, 1e6))
PARTS = st.lists(st.tuples(VARIANCES, st.one_of(st.none(), st.integers(1, 200))), max_size=4)


def held(degrees: int, ratio: float, probability: float) -> float:
    """How often an end holds, where the variance by seeds is `ratio` times that by the test set, and has to be estimated."""
    quantiles = (np.arange(2_000) + 0.5) / 2_000
    estimated = ratio * stats.chi2.ppf(quantiles, degrees) / degrees
    ends = np.array([half_width([(variance, degrees), (1.0, None)], probability) for variance in estimated])
    return float(np.mean(stats.norm.cdf(ends / math.sqrt(ratio + 1))))


@pytest.mark.parametrize(
    ("seeds", "two_sided", "one_sided"),
    [(2, (0.94, 0.981), (0.947, 0.973)), (3, (0.947, 0.966), (0.949, 0.961)), (5, (0.949, 0.957), (0.949, 0.955)),
     (10, (0.949, 0.953), (0.949, 0.953))],
)  # fmt: skip
@pytest.mark.parametrize("ratio", [0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0])
def test_whichever_part_is_the_larger_the_end_holds(
    seeds: int, two_sided: tuple[float, float], one_sided: tuple[float, float], ratio: float
) -> None:
    least, most = two_sided
    assert least <= 2 * held(seeds - 1, ratio, 0.975) - 1 <= most
    least, most = one_sided
    assert least <= held(seeds - 1, ratio, 0.95) <= most


@given(st.floats(1e-9, 1e3), st.integers(1, 100))
def test_a_part_alone_has_its_own_quantile(variance: float, degrees: int) -> None:
    assert half_width([(variance, degrees)], 0.975) == pytest.approx(stats.t.ppf(0.975, degrees) * math.sqrt(variance))
    assert half_width([(variance, None), (0.0, degrees)], 0.9) == pytest.approx(stats.norm.ppf(0.9) * math.sqrt(variance))


@given(PARTS, VARIANCES, st.one_of(st.none(), st.integers(1, 200)), st.floats(0.51, 0.9999))
def test_it_is_never_less_than_for_a_part_alone(
    parts: list[tuple[float, int | None]], variance: float, degrees: int | None, probability: float
) -> None:
    found = half_width([*parts, (variance, degrees)], probability)
    assert all(found >= half_width([part], probability) for part in [*parts, (variance, degrees)])


@given(PARTS, st.floats(0.5, 0.9998), st.floats(1.0, 1e4))
def test_more_confidence_and_larger_units_widen(parts: list[tuple[float, int | None]], probability: float, unit: float) -> None:
    found = half_width(parts, probability)
    assert math.isfinite(found)
    assert found <= half_width(parts, probability + 1e-4)
    assert half_width([(variance * unit**2, degrees) for variance, degrees in parts], probability) == pytest.approx(
        found * unit, rel=1e-12
    )
