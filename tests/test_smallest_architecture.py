"""Which architecture is enough: the walk from the largest down, its error, and what it says where it can't tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helmholtz.analysis.smallest_architecture import SmallestArchitecture, smallest_architecture

SIZES = {"A": 100, "B": 200, "C": 300, "D": 400}
MARGIN, CONFIDENCE = 0.01, 0.95


def walked(accuracies: dict[str, list[float]], sizes: dict[str, int] | None = None, **options: Any) -> SmallestArchitecture:
    by_seed = {name: dict(enumerate(values)) for name, values in accuracies.items()}
    settings: dict[str, Any] = {
        "seeds": max(map(len, accuracies.values()), default=0),
        "margin": MARGIN,
        "confidence": CONFIDENCE,
    }
    chosen = sizes or {name: SIZES[name] for name in accuracies}
    return smallest_architecture(25, by_seed, chosen, **settings | options)


def passes(accuracies: dict[str, list[float]], name: str, largest: str) -> bool:
    """By the paired t statistic; equal differences of so few seeds say nothing."""
    shifted = np.array(accuracies[name]) - np.array(accuracies[largest]) + MARGIN
    n, sd = len(shifted), shifted.std(ddof=1)
    return bool(sd > 1e-9 and shifted.mean() > stats.t.ppf(CONFIDENCE, n - 1) * sd / n**0.5)


# Right answers out of 10,000.
values = st.lists(st.integers(5_000, 5_200).map(lambda right: right / 10_000), min_size=4, max_size=4)


@given(st.fixed_dictionaries(dict.fromkeys(SIZES, values)), st.permutations(sorted(SIZES)))
def test_it_stops_at_the_first_that_fails_in_the_order_of_parameters(
    accuracies: dict[str, list[float]], names: list[str]
) -> None:
    sizes = dict(zip(names, SIZES.values(), strict=True))  # any architecture may be the largest
    found = walked(accuracies, sizes)
    *smaller, largest = sorted(sizes, key=lambda name: sizes[name])
    assert found.largest == largest
    assert [one.architecture for one in found.comparisons] == smaller[::-1]
    expected = None
    for name in smaller[::-1]:
        if not passes(accuracies, name, largest):
            break
        expected = name
    assert found.smallest == expected
    assert found.stopped_at == next((name for name in smaller[::-1] if not passes(accuracies, name, largest)), None)
    assert bool(found.reason) == (expected is None)


@given(st.fixed_dictionaries(dict.fromkeys(SIZES, values)), st.lists(st.integers(-3_000, 3_000), min_size=4, max_size=4))
def test_what_all_architectures_of_a_seed_share_does_not_count(accuracies: dict[str, list[float]], shifts: list[int]) -> None:
    moved = {name: [own[seed] + shift / 10_000 for seed, shift in enumerate(shifts)] for name, own in accuracies.items()}
    assert walked(moved).smallest == walked(accuracies).smallest


@pytest.mark.parametrize("inferior", ["C", "B", "A"])
def test_a_truly_inferior_one_is_called_enough_in_one_of_twenty_at_most(inferior: str) -> None:
    """The architecture, and all smaller ones, truly lose the margin: whichever of them is named, it is wrong."""
    random = np.random.default_rng(7)
    runs, wrong = 1500, 0
    truth = {name: 0.8 - (MARGIN if name <= inferior else 0.0) for name in SIZES}
    for _ in range(runs):
        found = walked({name: list(mean + random.normal(0, 0.003, 5)) for name, mean in truth.items()})
        wrong += found.smallest is not None and found.smallest <= inferior
    assert wrong / runs <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5


def test_from_the_smallest_up_the_error_would_not_be_kept() -> None:
    """Why the order matters: taking the smallest that passes, of three that truly lose the margin, errs far more often."""
    random = np.random.default_rng(7)
    runs, wrong = 1000, 0
    for _ in range(runs):
        drawn = {name: list(0.8 - (MARGIN if name != "D" else 0.0) + random.normal(0, 0.003, 5)) for name in SIZES}
        wrong += any(passes(drawn, name, "D") for name in "ABC")
    assert wrong / runs > 0.08


def test_a_small_one_that_is_as_good_is_not_reached_behind_one_that_fails() -> None:
    found = walked({"D": [0.80, 0.81, 0.82], "C": [0.70, 0.71, 0.725], "B": [0.80, 0.811, 0.82], "A": [0.8, 0.81, 0.821]})
    assert (found.smallest, found.stopped_at) == (None, "C")
    assert "already C, the next smaller, is shown to lose more than the margin against D" in found.reason


@pytest.mark.parametrize("who", ["D", "C"])
def test_diverged_trials_let_nothing_pass(who: str) -> None:
    same = {name: [0.8, 0.81, 0.82, 0.83] for name in SIZES} | {"C": [0.8, 0.811, 0.82, 0.83]}
    found = walked(same, diverged={who: 1})
    assert found.smallest is None
    assert f"1 of 4 trials of architecture {who} diverged" in found.reason


@pytest.mark.parametrize(
    ("accuracies", "says"),
    [
        ({"A": [0.8, 0.81]}, "only one architecture"),
        ({}, "only one architecture"),
        ({"A": [0.8], "B": [0.81]}, "1 complete pair of trials with architecture B: at least 2 seeds"),
        ({"A": [0.8] * 3, "B": [0.8] * 3}, "all 3 differences are equal"),
        ({"A": [], "B": [0.8, 0.81]}, "0 complete pairs"),
    ],
)
def test_where_nothing_can_be_told_it_says_why(accuracies: dict[str, list[float]], says: str) -> None:
    found = walked(accuracies, {name: SIZES[name] for name in accuracies}, seeds=3)
    assert found.smallest is None
    assert says in found.reason
