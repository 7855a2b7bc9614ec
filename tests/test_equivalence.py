"""Equivalence against scipy's one-sided t tests, its error rate, and the words for what could not have been seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helmholtz.analysis.equivalence import Equivalence, equivalence
from helmholtz.analysis.noninferiority import compare, walk
from helmholtz.levels import NONE

MARGIN, CONFIDENCE = 0.01, 0.95

records = st.integers(-300, 300).map(lambda wrong: wrong / 10_000)


def found(differences: list[float], margin: float = MARGIN, confidence: float = CONFIDENCE) -> Equivalence:
    return equivalence(compare(25, differences, 0, margin, confidence), margin)


@settings(max_examples=150, deadline=None)
@given(st.lists(records, min_size=2, max_size=12), st.sampled_from([0.9, 0.95, 0.99]), st.sampled_from([0.002, 0.01, 0.03]))
def test_is_two_one_sided_t_tests(differences: list[float], confidence: float, margin: float) -> None:
    ours = found(differences, margin, confidence)
    if len(set(differences)) == 1:
        assert ours.finding == "untestable" or len(differences) >= 5
        return
    above = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(differences, margin, alternative="less").pvalue
    assert ours.p_value == pytest.approx(max(above, below))
    assert (ours.finding == "equivalent") == (max(above, below) < 1 - confidence)
    beyond = min(
        stats.ttest_1samp(differences, -margin, alternative="less").pvalue,
        stats.ttest_1samp(differences, margin, alternative="greater").pvalue,
    )
    assert (ours.finding == "different") == (beyond < 1 - confidence)


@pytest.mark.parametrize("seeds", [2, 3, 10])
@pytest.mark.parametrize("truth", [-MARGIN, MARGIN])
def test_wrongly_calls_a_difference_of_the_margin_equivalent_no_more_often_than_promised(seeds: int, truth: float) -> None:
    runs = 3_000
    drawn = np.random.default_rng(seeds).normal(truth, 0.002, (runs, seeds))
    wrong = sum(found(list(row)).finding == "equivalent" for row in drawn)
    assert wrong / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize(
    ("differences", "finding"),
    [
        ([0.001, -0.001, 0.0005], "equivalent"),
        ([-0.031, -0.03, -0.029], "different"),
        ([0.031, 0.03, 0.029], "different"),
        ([-0.012, -0.009, -0.0105], "loss"),
        ([0.011, 0.0085, 0.0095], "no loss"),
        ([-0.0085, -0.005, -0.0015], "none found"),
        ([0.05, -0.05, 0.01], "blind"),
        ([-0.02, 0.0, -0.001], "blind"),  # lower on average, but a loss is not shown
        ([], "untestable"),
        ([0.0], "untestable"),
        ([0.001] * 3, "untestable"),
        ([0.001] * 5, "equivalent"),
        ([-0.03] * 5, "different"),
    ],
)
def test_no_loss_found_is_not_the_same_as_none_could_be_seen(differences: list[float], finding: str) -> None:
    ours = found(differences)
    assert ours.finding == finding
    assert (ours.p_value is None) == (finding == "untestable")
    assert ours.p_value is None or 0 <= ours.p_value <= 1


def test_a_level_with_diverged_trials_is_untestable() -> None:
    accuracies = {NONE: {0: 0.8, 1: 0.81, 2: 0.79}, 25: {0: 0.8005, 1: 0.81, 2: 0.7905}}
    walked = walk("A", accuracies, (25,), seeds=4, chance=0.1, margin=MARGIN, confidence=CONFIDENCE, diverged={25: 1})
    assert equivalence(walked.comparisons[0], MARGIN).finding == "untestable"


def test_both_sides_are_alike() -> None:
    differences = [0.004, -0.002, 0.001]
    assert found(differences).p_value == pytest.approx(found([-d for d in differences]).p_value)
