"""The paper's one-parameter curve, against numpy's least squares and scikit-learn's definition of R2."""

from __future__ import annotations

import numpy as np
import pytest

from helmholtz.analysis.curve import fit, predict


def test_recovers_c_from_an_exact_curve() -> None:
    found = fit("A", [((100 - q) / 100, 0.17 * np.log(q)) for q in (100, 75, 25, 5, 1)])
    assert found.c == pytest.approx(0.17)
    assert found.r2 == pytest.approx(1)
    assert predict(found.c, 0.75) == pytest.approx(0.17 * np.log(25))


def test_agrees_with_numpy() -> None:
    qualities, accuracies = np.array([100, 80, 50, 10, 1]), np.array([0.9, 0.88, 0.86, 0.7, 0.4])
    found = fit("A", list(zip((100 - qualities) / 100, accuracies, strict=True)))
    (c,), (residual,), *_ = np.linalg.lstsq(np.log(qualities)[:, None], accuracies, rcond=None)
    assert found.c == pytest.approx(c)
    assert found.r2 == pytest.approx(1 - residual / ((accuracies - accuracies.mean()) ** 2).sum())


def test_r2_is_negative_where_a_constant_fits_better() -> None:
    found = fit("A", [(0.0, 0.80), (0.5, 0.801), (0.9, 0.799), (0.95, 0.80)])
    assert found.r2 < 0


@pytest.mark.parametrize(
    ("points", "has_c"),
    [([], False), ([(0.99, 0.5)], False), ([(0.0, 0.9)], True), ([(0.0, 0.9), (0.5, 0.9), (0.75, 0.9)], True)],
)
def test_what_cannot_be_fitted_is_none(points: list[tuple[float, float]], has_c: bool) -> None:
    found = fit("A", points)
    assert (found.c is not None) == has_c
    assert found.r2 is None
    assert found.levels == len(points)


def test_levels_that_share_a_quantisation_all_count() -> None:
    found = fit("A", [(0.0, 0.9), (0.0, 0.8), (0.5, 0.7)])
    x, y = np.log([100, 100, 50]), np.array([0.9, 0.8, 0.7])
    assert found.levels == 3
    assert found.c == pytest.approx((x @ y) / (x @ x))


def test_quality_one_predicts_nothing() -> None:
    assert predict(0.2, 0.99) == 0
