"""The non-inferiority test and the walk, against scipy's own t test and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helmholtz.analysis.estimate import estimate
from helmholtz.analysis.noninferiority import above_chance, compare, detectable, seeds_needed, walk
from helmholtz.analysis.simulation import Sweep, run
from helmholtz.levels import NONE

MARGIN, CONFIDENCE = 0.01, 0.95

records = st.integers(-300, 300).map(lambda wrong: wrong / 10_000)


def numbers(model: object) -> list[float]:
    return [value for value in vars(model).values() if isinstance(value, float)]


@settings(max_examples=150, deadline=None)
@given(st.lists(records, min_size=2, max_size=12), st.sampled_from([0.9, 0.95, 0.99]), st.sampled_from([0.002, 0.01, 0.03]))
def test_agrees_with_scipys_t_test(differences: list[float], confidence: float, margin: float) -> None:
    found = compare(25, differences, 0, margin, confidence)
    if len(set(differences)) == 1:
        assert found.verdict == "untestable" or len(differences) >= 5
        return
    greater = stats.ttest_1samp(differences, -margin, alternative="greater")
    less = stats.ttest_1samp(differences, -margin, alternative="less")
    interval = stats.ttest_1samp(differences, 0).confidence_interval(confidence)
    expected = "undecided"
    if greater.pvalue < 1 - confidence:
        expected = "non-inferior"
    elif less.pvalue < 1 - confidence:
        expected = "inferior"
    assert found.verdict == expected
    assert found.low == pytest.approx(max(interval.low, -1))  # no difference of accuracies is larger
    assert found.high == pytest.approx(min(interval.high, 1))
    assert found.low == -1 or found.low < found.lower_bound < found.difference


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_wrongly_passes_a_level_that_loses_the_margin_no_more_often_than_promised(seeds: int) -> None:
    runs = 4_000
    losses = np.random.default_rng(seeds).normal(-MARGIN, 0.003, (runs, seeds))
    passed = sum(compare(25, list(row), 0, MARGIN, CONFIDENCE).verdict == "non-inferior" for row in losses)
    # At the margin itself the rate is exactly 5%; 4 standard errors of 4,000 runs are 1.4%.
    assert passed / runs == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / runs))


def test_the_whole_walk_keeps_the_error_rate_without_a_correction() -> None:
    runs, levels = 1_500, (100, 75, 50, 25)
    random = np.random.default_rng(1)
    wrong = 0
    for _ in range(runs):
        none = random.normal(0.8, 0.01, 3)
        accuracies = {NONE: dict(enumerate(none))}
        for level, loss in zip(levels, (0.0, MARGIN, MARGIN, MARGIN), strict=True):
            accuracies[level] = dict(enumerate(none - loss + random.normal(0, 0.002, 3)))
        found = walk("A", accuracies, (NONE, *levels), seeds=3, chance=0.1, margin=MARGIN, confidence=CONFIDENCE)
        wrong += found.n_approx not in (None, 100)
    assert wrong / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_detectable_is_the_loss_found_four_times_in_five(seeds: int, confidence: float) -> None:
    sd, runs = 0.003, 40_000
    loss = detectable(seeds, sd, confidence)
    losses = np.random.default_rng(7).normal(-loss, sd, (runs, seeds))
    found = stats.ttest_1samp(losses, 0, axis=1, alternative="less").pvalue < 1 - confidence
    assert found.mean() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(("seeds", "confidence"), [(2, 0.8), (2, 0.95), (3, 0.9), (5, 0.975), (20, 0.95), (100, 0.99)])
def test_detectable_is_that_of_the_noncentral_t(seeds: int, confidence: float) -> None:
    shift = detectable(seeds, 1.0, confidence) * math.sqrt(seeds)
    assert stats.nct.sf(stats.t.ppf(confidence, seeds - 1), seeds - 1, shift) == pytest.approx(0.8, abs=1e-5)


@pytest.mark.parametrize(("seeds", "confidence"), [(2, 0.999), (2, 0.51), (100, 0.95), (100, 0.9999)])
def test_detectable_is_finite_at_the_ends(seeds: int, confidence: float) -> None:
    assert 0 < detectable(seeds, 0.003, confidence) < 10


def test_detectable_is_found_where_steps_of_a_millionth_are_lost_in_rounding() -> None:
    assert 1e11 < detectable(2, 1.0, 1 - 1e-12) < 1e12


def test_seeds_needed_is_the_fewest() -> None:
    n = seeds_needed(0.004, MARGIN, CONFIDENCE)
    assert n is not None
    assert detectable(n, 0.004, CONFIDENCE) <= MARGIN < detectable(n - 1, 0.004, CONFIDENCE)
    assert seeds_needed(0.5, MARGIN, CONFIDENCE) is None


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([], "untestable"),
        ([0.0], "untestable"),
        ([-0.5], "untestable"),
        ([0.0, 0.0, 0.0], "untestable"),
        ([0.1 + 0.2 - 0.3, 0.0], "untestable"),  # equal but for rounding
        ([0.0] * 5, "non-inferior"),
        ([-0.02] * 5, "inferior"),
    ],
)
def test_what_has_no_spread_is_never_a_number(differences: list[float], verdict: str) -> None:
    found = compare(25, differences, 3, MARGIN, CONFIDENCE)
    assert found.verdict == verdict
    assert bool(found.reason) == (verdict == "untestable")
    assert all(math.isfinite(value) for value in numbers(found))


def cells(**levels: list[float | None]) -> dict:
    names = {"none": NONE} | {f"q{q}": q for q in (100, 75, 50)}
    return {
        names[name]: {seed: value for seed, value in enumerate(values) if value is not None} for name, values in levels.items()
    }


def walked(accuracies: dict, seeds: int = 3, chance: float = 0.1):
    return walk("A", accuracies, (NONE, 100, 75, 50), seeds=seeds, chance=chance, margin=MARGIN, confidence=CONFIDENCE)


GOOD, BAD = [0.801, 0.802, 0.799], [0.70, 0.71, 0.705]
ALL = [0.800, 0.801, 0.799]


def test_the_walk_ends_at_the_first_failure_even_if_a_lower_level_passes() -> None:
    found = walked(cells(none=ALL, q100=GOOD, q75=BAD, q50=GOOD))
    assert (found.n_approx, found.stopped_at) == (100, 75)
    assert [c.verdict for c in found.comparisons] == ["non-inferior", "inferior", "non-inferior"]


def test_n_approx_is_none_if_the_first_level_fails() -> None:
    found = walked(cells(none=ALL, q100=BAD, q75=GOOD, q50=GOOD))
    assert (found.n_approx, found.stopped_at) == (None, 100)


def test_all_levels_may_pass() -> None:
    found = walked(cells(none=ALL, q100=GOOD, q75=GOOD, q50=GOOD))
    assert (found.n_approx, found.stopped_at) == (50, None)


def test_a_level_without_trials_stops_the_walk_and_counts_what_was_dropped() -> None:
    found = walked(cells(none=ALL, q100=GOOD, q50=GOOD))
    assert (found.n_approx, found.stopped_at) == (100, 75)
    assert (found.comparisons[1].pairs, found.comparisons[1].dropped) == (0, 3)


def test_only_seeds_complete_on_both_sides_are_paired() -> None:
    found = walked(cells(none=[0.80, None, 0.70], q100=[0.79, 0.10, 0.692]))
    assert (found.comparisons[0].pairs, found.comparisons[0].dropped) == (2, 1)
    assert found.comparisons[0].difference == pytest.approx(-0.009)


def test_pairing_removes_what_seeds_share() -> None:
    spread = [0.70, 0.80, 0.90]
    found = walked(cells(none=spread, q100=[v - 0.001 - 0.0001 * i for i, v in enumerate(spread)]))
    assert found.n_approx == 100


@pytest.mark.parametrize(
    ("none", "chance", "above"),
    [
        ([0.5, 0.51, 0.49], 0.25, True),
        ([0.3, 0.2, 0.28], 0.25, False),
        ([0.25] * 3, 0.25, False),
        ([0.9], 0.25, None),
        ([], 0.25, None),
    ],
)
def test_nothing_is_concluded_where_nothing_is_learned(none: list[float], chance: float, above: bool | None) -> None:
    assert above_chance(none, chance, CONFIDENCE) is above
    found = walked({NONE: dict(enumerate(none)), 100: {i: v + 0.0001 * i for i, v in enumerate(none)}}, chance=chance)
    assert found.above_chance is above
    assert (found.n_approx == 100) == (above is True)


@pytest.mark.parametrize("seeds", [1, 2, 5])
@pytest.mark.parametrize(
    ("chance", "records", "common"), [(0.1, 10_000, 0.0), (0.1, 10_000, 1.0), (0.5, 500, 0.5), (0.01, 500, 1.0)]
)
def test_networks_that_learned_nothing_are_rarely_above_chance(seeds: int, chance: float, records: int, common: float) -> None:
    runs, random = 1_500, np.random.default_rng(seeds)
    sweep = Sweep({NONE: chance}, seeds, records, common=common)
    wrong = sum(
        above_chance(list(run(sweep, random)[NONE].accuracies().values()), chance, CONFIDENCE, records) or False
        for _ in range(runs)
    )
    assert wrong / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize(
    ("accuracies", "records", "above"),
    [
        ([0.35, 0.42], 2_000, True),  # a t test of two seeds can't see it
        ([0.35, 0.42], 20, False),  # one record in ten, and few records
        ([0.26, 0.26, 0.26], 100, False),
        ([0.26, 0.26, 0.26], 10_000, True),
        ([0.25, 0.9], 2_000, False),  # one of two networks learned nothing
        ([0.25, 0.25], 2_000, False),
        ([0.2, 0.21], 1_000_000, False),
        ([1.0, 1.0], 10, True),
        ([0.9], 2_000, True),
        ([0.27], 100, False),
        ([0.25], 2_000, False),
        ([], 2_000, None),
    ],
)
def test_the_test_sets_size_counts_in_what_is_above_chance(accuracies: list[float], records: int, above: bool | None) -> None:
    assert above_chance(accuracies, 0.25, CONFIDENCE, records) is above
    cell = dict(enumerate(accuracies))
    found = walk("A", {NONE: cell}, (), seeds=2, chance=0.25, margin=MARGIN, confidence=CONFIDENCE, test_records=records)
    assert found.above_chance is above


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=8))
def test_estimates_hold_no_nan(values: list[float]) -> None:
    found = estimate(values, 0.95)
    assert found.n == len(values)
    assert all(math.isfinite(value) for value in numbers(found))
    if found.low is not None:
        assert found.low <= found.mean <= found.high


def test_adding_seeds_until_a_level_passes_raises_the_error_as_the_documentation_says() -> None:
    random = np.random.default_rng(5)
    runs = 1_500
    losses = random.normal(-MARGIN, 0.003, (runs, 20))

    def passes(row: np.ndarray) -> bool:
        return any(compare(25, list(row[:n]), 0, MARGIN, CONFIDENCE).verdict == "non-inferior" for n in (3, 5, 8, 12, 20))

    assert sum(passes(row) for row in losses) / runs == pytest.approx(0.15, abs=0.03)
