"""Simulated sweeps against what is known of binomial numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from helmholtz.analysis.simulation import Sweep, accuracies, draw_test_set, expected_on, run, stick_accuracies
from helmholtz.levels import NONE

TRUTH = {NONE: 0.8, 50: 0.75, 10: 0.6}


def array(trials: dict) -> np.ndarray:
    """(seeds, levels)"""
    return np.array([list(by_seed.values()) for by_seed in accuracies(trials).values()]).T


def test_a_stick_is_flat_and_then_falls_with_the_logarithm_of_the_bits() -> None:
    found = stick_accuracies({NONE: 16, 50: 2, 10: 1, 1: 0.5}, plateau=0.9, slope=0.1, knee=2)
    assert found == pytest.approx({NONE: 0.9, 50: 0.9, 10: 0.9 - 0.1 * np.log(2), 1: 0.9 - 0.1 * np.log(4)})


@pytest.mark.parametrize("shares", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.3, 0.2, 0.4)])
def test_without_luck_in_training_right_answers_are_binomial(shares: tuple[float, float, float]) -> None:
    random, records = np.random.default_rng(3), 50
    common, by_level, by_seed = shares
    sweep = Sweep(TRUTH, 1, records, common=common, by_level=by_level, by_seed=by_seed)
    measured = np.array([array(run(sweep, random))[0] for _ in range(4_000)]) * records
    for right, p in zip(measured.T, TRUTH.values(), strict=True):
        assert np.allclose(right, np.rint(right))
        seen = np.bincount(np.rint(right).astype(int), minlength=records + 1)
        expected = stats.binom.pmf(np.arange(records + 1), records, p) * len(right)
        usual = expected > 5
        assert stats.chisquare(seen[usual], expected[usual] * seen[usual].sum() / expected[usual].sum()).pvalue > 1e-4


@pytest.mark.parametrize(
    ("share", "between_seeds", "between_levels"),
    # Two trials of expected accuracy p < q that share a record's number are both right with probability p, not p q.
    [("common", 1.0, 1.0), ("by_level", 1.0, 0.0), ("by_seed", 0.0, 1.0)],
)
def test_who_shares_luck(share: str, between_seeds: float, between_levels: float) -> None:
    random = np.random.default_rng(4)
    sweep = Sweep({NONE: 0.7, 50: 0.6}, 2, 400, **{share: 0.5})
    measured = np.array([array(run(sweep, random)) for _ in range(4_000)])
    whole = np.sqrt(0.6 * 0.3 / (0.7 * 0.4))  # correlation of two indicators that share everything
    seen = np.corrcoef(measured.reshape(-1, 4).T)
    assert seen[0, 2] == pytest.approx(0.5 * between_seeds, abs=0.06)
    assert seen[0, 1] == pytest.approx(0.5 * between_levels * whole, abs=0.06)
    assert seen[0, 3] == pytest.approx(0.5 * whole if share == "common" else 0, abs=0.06)


def test_luck_of_seeds_and_trials_has_the_deviation_asked_for() -> None:
    sweep = Sweep({NONE: 0.5, 50: 0.5}, 4_000, 10_000, seed_sd=0.02, trial_sd=0.01)
    measured = array(run(sweep, np.random.default_rng(5)))
    binomial = 0.5 / 100  # of each accuracy, on top
    assert np.std(measured[:, 0] - measured[:, 1]) == pytest.approx(np.hypot(0.01, binomial) * np.sqrt(2), rel=0.04)
    assert np.std(measured.mean(1)) == pytest.approx(np.hypot(0.02, np.hypot(0.01, binomial) / np.sqrt(2)), rel=0.04)


def test_the_same_numbers_again_from_the_same_seed() -> None:
    sweep = Sweep(TRUTH, 3, 100, seed_sd=0.01, common=0.5)
    one, same, other = (array(run(sweep, np.random.default_rng(seed))) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_what_is_expected_on_a_test_set_keeps_its_luck() -> None:
    random = np.random.default_rng(6)
    sweep = Sweep(TRUTH, 4, 500, seed_sd=0.01, trial_sd=0.01, common=0.6, by_level=0.2)
    test_set = draw_test_set(sweep, random)
    expected = expected_on(test_set, sweep, random)
    again = array(run(sweep, random, test_set=test_set, seeds=2_000)).mean(0)
    assert again == pytest.approx(list(expected.values()), abs=0.003)
    assert list(expected_on(draw_test_set(sweep, random), sweep, random).values()) != pytest.approx(again, abs=0.003)


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
def test_perfect_and_hopeless_networks(accuracy: float) -> None:
    sweep = Sweep(dict.fromkeys(TRUTH, accuracy), 3, 7, common=0.3, by_level=0.3, by_seed=0.3)
    assert np.all(array(run(sweep, np.random.default_rng(7))) == accuracy)


def test_accuracies_stay_between_nothing_and_everything() -> None:
    measured = array(run(Sweep(TRUTH, 1_000, 10, seed_sd=0.5, by_seed=0.5), np.random.default_rng(8)))
    assert measured.min() == 0
    assert measured.max() == 1
