"""Both measures of convergence: definition, edges, and how far noise moves them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helmholtz.training.convergence import reference, robust


def saturating(epochs: int, rate: float) -> np.ndarray:
    """An accuracy that goes from 0.1 to 0.75 as 1 - exp(-epoch / rate)."""
    return 0.1 + 0.65 * (1 - np.exp(-np.arange(1, epochs + 1) / rate))


def test_reference_by_hand() -> None:
    assert reference([0.0] * 5 + [1.0] * 10) == 6
    assert reference([0.0, *[1.0] * 10]) == 2
    assert reference([1.0] * 10) == 1
    assert reference([0.0, 1.0, 1.0], window=2) == 2
    assert reference([0.98, 1.0], window=2) is None  # 0.99 is not more than 0.99
    assert reference([0.981, 1.0], window=2) == 1


@pytest.mark.parametrize("curve", [[], [1.0], [1.0] * 9, [0.0] * 20, [0.0] * 19 + [1.0]])
def test_reference_is_none_where_undefined(curve: list[float]) -> None:
    assert reference(curve) is None


@given(st.lists(st.floats(0, 1), max_size=40))
def test_reference_is_its_definition(curve: list[float]) -> None:
    windows = [i for i in range(len(curve) - 9) if sum(curve[i : i + 10]) / 10 > 0.99 * max(curve) + 1e-9]
    borderline = [i for i in range(len(curve) - 9) if abs(sum(curve[i : i + 10]) / 10 - 0.99 * max(curve)) <= 1e-9]
    if not borderline:
        assert reference(curve) == (windows[0] + 1 if windows else None)


def test_robust_on_clean_curves() -> None:
    assert robust([0.0] * 5 + [1.0] * 15) == (6, True)
    assert robust([0.5] * 20) == (1, True)
    assert robust([0.9] * 10 + [0.1] * 10) == (1, True)  # falls, never rises
    epoch, converged = robust(saturating(100, 10))
    assert converged
    assert saturating(100, 10)[epoch - 1] >= 0.99 * 0.75 - 0.001
    assert saturating(100, 10)[epoch - 2] < 0.99 * 0.75


@pytest.mark.parametrize("curve", [np.linspace(0, 1, 30), saturating(30, 15), [0.1] * 28 + [0.9] * 2, np.linspace(0, 1, 200)])
def test_a_curve_still_rising_has_not_converged(curve: np.ndarray) -> None:
    assert not robust(curve)[1]


@pytest.mark.parametrize("epochs", [1, 2, 9])
def test_too_few_epochs_to_tell(epochs: int) -> None:
    assert robust([0.5] * epochs) == (1, False)


def test_an_empty_curve_is_an_error() -> None:
    with pytest.raises(ValueError, match="empty"):
        robust([])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_robust_always_answers_within_the_budget(curve: list[float]) -> None:
    epoch, converged = robust(curve)
    assert 1 <= epoch <= len(curve)
    assert not converged or epoch <= len(curve) - len(curve) // 4


@pytest.mark.parametrize(("epochs", "rate"), [(60, 4), (60, 8), (100, 10), (200, 15), (200, 30)])
def test_noise_moves_the_robust_measure_less(epochs: int, rate: float) -> None:
    random = np.random.default_rng(0)
    curves = saturating(epochs, rate) + random.normal(0, 0.004, (200, epochs))
    theirs = [epoch for epoch in map(reference, curves) if epoch is not None]
    ours = [robust(curve) for curve in curves]
    clean = robust(saturating(epochs, rate))[0]
    epoch = np.array([epoch for epoch, _ in ours])
    assert epoch.std() < 0.65 * np.std(theirs)
    assert abs(epoch.mean() - clean) < 0.05 * epochs
    assert np.mean([converged for _, converged in ours]) > 0.95
    assert len(theirs) < len(curves)  # the reference's measure is undefined for some
