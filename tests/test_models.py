"""Response models against other libraries and their own data, and the choice between them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from sklearn.isotonic import IsotonicRegression

from helmholtz.analysis import curve
from helmholtz.analysis.models import ModelComparison, ModelFit, Ranking, compare_models
from helmholtz.analysis.response import MODELS, LevelMean
from helmholtz.levels import NONE

BITS = {NONE: 17.0, 100: 7.5, 75: 3.1, 50: 2.1, 25: 1.5, 20: 1.3, 15: 1.1, 10: 0.9, 5: 0.6, 1: 0.3}
LOSSY = [level for level in BITS if level != NONE]
X = np.log(list(BITS.values()))


def means(accuracy: Any, noise: float = 0.0, seed: int = 1, levels: list | None = None) -> list[LevelMean]:
    """Levels whose accuracy is a function of (Q, bits)."""
    random = np.random.default_rng(seed)
    found = []
    for level in levels or BITS:
        quantisation = 0.0 if level == NONE else (100 - level) / 100
        value = float(accuracy(quantisation, BITS[level])) + noise * random.standard_normal()
        found.append(LevelMean(level, quantisation, BITS[level], value))
    return found


def paper(q: float, bits: float) -> float:
    return 0.19 * math.log(round(100 * (1 - q), 9))


def stick(q: float, bits: float) -> float:
    return min(0.8, 0.75 + 0.1 * math.log(bits))


def logistic(q: float, bits: float) -> float:
    return 0.9 / (1 + math.exp(-2.5 * (math.log(bits) + 0.7)))


def compared(found: list[LevelMean], n_approx: Any = None) -> ModelComparison:
    return compare_models("A", found, n_approx)


def named(ranking: Ranking, name: str) -> ModelFit:
    return next(fit for fit in ranking.fits if fit.name == name)


@pytest.mark.parametrize(
    ("truth", "name", "parameters"),
    [
        (paper, "paper", {"c": 0.19}),
        (lambda q, bits: 0.5 + 0.06 * math.log(100 * (1 - q)), "affine-log", {"a": 0.5, "c": 0.06}),
        (stick, "plateau-log", {"p": 0.8, "a": 0.75, "c": 0.1}),
        (lambda q, bits: 0.5 + 0.1 * math.log(bits), "plateau-log", {"a": 0.5, "c": 0.1}),
        (logistic, "logistic", {"p": 0.9, "middle": -0.7, "steepness": 2.5}),
    ],
)
def test_each_model_recovers_its_own_curve(truth: Any, name: str, parameters: dict[str, float]) -> None:
    found = compared(means(truth))
    for ranking in (found.lossy, found.with_none):
        if name in [fit.name for fit in ranking.fits]:
            fit = named(ranking, name)
            assert fit.parameters == pytest.approx(parameters, rel=1e-5)
            assert fit.r2 == pytest.approx(1)
            assert fit.left_out_error == pytest.approx(0, abs=1e-6)


def test_the_fits_agree_with_other_libraries() -> None:
    data = means(logistic, noise=0.02)
    y = np.array([mean.accuracy for mean in data])
    found = compared(data)
    lossy_x, lossy_y = np.log(LOSSY), y[1:]
    assert named(found.lossy, "paper").parameters["c"] == pytest.approx(
        curve.fit("A", [(mean.quantisation, mean.accuracy) for mean in data[1:]]).c
    )
    line = stats.linregress(lossy_x, lossy_y)
    affine = named(found.lossy, "affine-log")
    assert (affine.parameters["c"], affine.parameters["a"]) == pytest.approx((line.slope, line.intercept))
    assert affine.r2 == pytest.approx(line.rvalue**2)

    def s_curve(x: np.ndarray, p: float, middle: float, steepness: float) -> np.ndarray:
        return p / (1 + np.exp(-steepness * (x - middle)))

    p, middle, steepness = optimize.curve_fit(s_curve, X, y, (0.9, -0.7, 2.5))[0]
    assert named(found.with_none, "logistic").parameters == pytest.approx(
        {"p": p, "middle": middle, "steepness": steepness}, rel=1e-3
    )
    steps = IsotonicRegression().fit_transform(np.arange(10), y[::-1])[::-1]
    isotonic = named(found.with_none, "isotonic")
    assert isotonic.count == len(np.unique(steps))
    assert isotonic.rss == pytest.approx(((y - steps) ** 2).sum())
    assert [isotonic.parameters[f"at {level}"] for level in BITS] == pytest.approx(steps)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("truth", [stick, logistic, paper])
def test_three_parameter_fits_are_the_best_of_a_grid(truth: Any, seed: int) -> None:
    data = means(truth, noise=0.02, seed=seed)
    y = np.array([mean.accuracy for mean in data])
    found = compared(data).with_none
    at = np.linspace(X.min() - 2, X.max(), 300)
    hinge = np.minimum(X[:, None] - at, 0)
    hinge = hinge - hinge.mean(0)
    slope = np.maximum((y - y.mean()) @ hinge / np.maximum((hinge**2).sum(0), 1e-30), 0)
    over = ((y[:, None] - y.mean() - slope * hinge) ** 2).sum(0)
    assert named(found, "plateau-log").rss <= over.min() * (1 + 1e-9)
    assert named(found, "plateau-log").rss >= over.min() * 0.98
    middle, steepness = np.meshgrid(at, np.geomspace(0.05, 50, 300))
    share = 1 / (1 + np.exp(-steepness[..., None] * (X - middle[..., None])))
    p = share @ y / (share**2).sum(-1)
    best = ((y - p[..., None] * share) ** 2).sum(-1).min()
    assert named(found, "logistic").rss <= best * (1 + 1e-6)


def test_aicc_is_that_of_the_normal_likelihood() -> None:
    data = means(stick, noise=0.01)
    found = compared(data).lossy
    n, values = 9, []
    for fit in found.fits:
        if fit.aicc is not None:
            likelihood = stats.norm.logpdf(np.sqrt(fit.rss / n) * np.ones(n), scale=np.sqrt(fit.rss / n)).sum()
            k = fit.count + 1
            values.append((fit.name, -2 * likelihood + 2 * k + 2 * k * (k + 1) / (n - k - 1)))
    assert len(values) >= 4
    lowest = min(value for _, value in values)
    assert {fit.name: fit.delta for fit in found.fits if fit.aicc is not None} == pytest.approx(
        {name: value - lowest for name, value in values}, abs=1e-9
    )


@pytest.mark.parametrize("levels", range(2, 10))
def test_aicc_is_none_where_too_few_levels_are_left(levels: int) -> None:
    found = compared(means(stick, noise=0.005, levels=LOSSY[:levels])).lossy
    for fit in found.fits:
        assert (fit.aicc is None) == (fit.count is None or levels <= fit.count + 2), fit.name
        if fit.aicc is None:
            assert fit.reason
            assert fit.delta is None
            assert fit.name not in found.candidates


def test_left_out_error_of_a_line_is_that_of_its_leverages() -> None:
    data = means(stick, noise=0.02, levels=LOSSY)
    x, y = np.log(LOSSY), np.array([mean.accuracy for mean in data])
    design = np.column_stack([np.ones(9), x])
    hat = design @ np.linalg.pinv(design)
    left_out = ((y - hat @ y) / (1 - np.diag(hat)))[1:-1]
    fit = named(compared(data).lossy, "affine-log")
    assert fit.left_out_error == pytest.approx(np.sqrt((left_out**2).mean()))


def test_isotonic_predicts_a_level_by_the_middle_of_its_neighbours() -> None:
    data = means(lambda q, bits: [0.1, 0.4, 0.8][[0.3, 0.6, 0.9].index(bits)], levels=[10, 5, 1])
    assert named(compared(data).lossy, "isotonic").left_out_error == pytest.approx(0.05)


def test_none_counts_only_where_its_bits_do() -> None:
    data = means(stick, noise=0.005)
    odd = [LevelMean(mean.level, 0.0, mean.bits, 0.3) if mean.level == NONE else mean for mean in data]
    one, other = compared(data), compared(odd)
    assert one.lossy == other.lossy
    assert one.lossy.levels == tuple(LOSSY)
    assert one.with_none.levels == tuple(BITS)
    assert [fit.name for fit in one.with_none.fits] == ["constant", "plateau-log", "logistic", "isotonic"]
    assert one.with_none.fits != other.with_none.fits


def test_the_logistic_curve_is_not_stuck_at_a_step() -> None:
    """Measured on five levels of CIFAR-10: the best start lies at a step, the best fit is a gentle rise."""
    bits = np.exp([2.803, 0.412, -0.574, -1.367, -1.475])
    reached = [0.46852, 0.41481, 0.43148, 0.44074, 0.42222]
    levels = zip((NONE, 50, 10, 3, 1), bits, reached, strict=True)
    found = [LevelMean(level, 0.0 if level == NONE else 1 - level / 100, size, value) for level, size, value in levels]
    assert named(compared(found).with_none, "logistic").rss == pytest.approx(0.00098, abs=1e-5)


@pytest.mark.parametrize(("truth", "name"), [(stick, "plateau-log"), (logistic, "logistic"), (paper, "paper")])
def test_supports_the_model_behind_the_data(truth: Any, name: str) -> None:
    supported = [compared(means(truth, noise=0.002, seed=seed)).lossy.supported for seed in range(10)]
    assert set(supported) <= {name, None}
    assert supported.count(name) >= 7


def test_supports_a_constant_where_nothing_falls() -> None:
    supported = [compared(means(lambda q, bits: 0.7, noise=0.01, seed=seed)).lossy.supported for seed in range(10)]
    assert supported.count("constant") >= 7


def test_says_when_models_are_not_told_apart() -> None:
    found = [compared(means(logistic, noise=0.05, seed=seed)).lossy for seed in range(10)]
    unsure = [ranking for ranking in found if ranking.supported is None]
    assert len(unsure) >= 3
    for ranking in unsure:
        assert len(ranking.candidates) > 1
        assert all(named(ranking, name).delta < 2 for name in ranking.candidates)
        assert ranking.reason == f"not told apart: {', '.join(ranking.candidates)}"
    assert all(ranking.candidates == (ranking.supported,) for ranking in found if ranking not in unsure)


@pytest.mark.parametrize(
    ("truth", "verdict", "said"),
    [(paper, "holds", "R2 1.00"), (stick, "does not hold", "a constant fits better"), (logistic, "does not hold", "AICc")],
)
def test_whether_the_papers_prediction_holds(truth: Any, verdict: str, said: str) -> None:
    data = means(truth, noise=0.002)
    found = compared(data, n_approx=25).prediction
    c = curve.fit("A", [(mean.quantisation, mean.accuracy) for mean in data if mean.level != NONE]).c
    assert found.verdict == verdict
    assert said in found.sentence
    assert found.predicted == pytest.approx(c * math.log(25))
    assert found.measured == next(mean.accuracy for mean in data if mean.level == 25)
    assert f"at level 25 it predicts {found.predicted:.1%}" in found.sentence


@pytest.mark.parametrize("n_approx", [None, NONE, 77])
def test_without_n_approx_nothing_is_predicted(n_approx: Any) -> None:
    found = compared(means(stick), n_approx).prediction
    assert (found.level, found.predicted, found.measured) == (None, None, None)
    assert "predicts" not in found.sentence


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_equal_accuracies_support_nothing(value: float) -> None:
    found = compared(means(lambda q, bits: value))
    for ranking in (found.lossy, found.with_none):
        assert ranking.supported is None
        assert ranking.reason == "all accuracies are equal"
        assert {fit.r2 for fit in ranking.fits} | {fit.aicc for fit in ranking.fits} == {None}
    assert found.prediction.verdict == "unknown"


@pytest.mark.parametrize("levels", [[], [NONE], [25], [NONE, 25], [1], [100, 1]])
def test_too_few_levels_are_an_answer(levels: list) -> None:
    found = compare_models("A", means(stick, levels=levels) if levels else [], 25)
    assert found.lossy.supported is None
    assert "too few" in found.lossy.reason or "equal" in found.lossy.reason
    assert found.prediction.verdict == "unknown"
    assert all(fit.parameters or fit.reason for fit in found.lossy.fits)


def test_unknown_bits_leave_the_models_in_q() -> None:
    data = [
        LevelMean(mean.level, mean.quantisation, None if mean.level == 10 else mean.bits, mean.accuracy)
        for mean in means(stick)
    ]
    found = compared(data).lossy
    assert {fit.name for fit in found.fits if not fit.parameters} == {"plateau-log", "logistic"}
    assert "bits" in named(found, "logistic").reason
    assert named(found, "affine-log").aicc is not None


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(list(BITS)), st.integers(0, 10).map(lambda n: n / 10)), st.randoms())
def test_whatever_is_measured_no_number_is_invented_and_the_order_is_no_matter(accuracies: dict, random: Any) -> None:
    data = [LevelMean(level, 0.0 if level == NONE else (100 - level) / 100, BITS[level], a) for level, a in accuracies.items()]
    found = compared(data, 25)
    for fit in (*found.lossy.fits, *found.with_none.fits):
        numbers = [*fit.parameters.values(), fit.rss, fit.r2, fit.aicc, fit.delta, fit.left_out_error]
        assert all(math.isfinite(number) for number in numbers if number is not None)
        assert fit.rss is None or named(found.lossy, "affine-log").rss is None or fit.rss >= 0
    random.shuffle(data)
    assert compared(data, 25) == found


def test_the_formulas_are_documented() -> None:
    assert list(MODELS) == ["paper", "constant", "affine-log", "plateau-log", "logistic", "isotonic"]
    assert all(model.formula for model in MODELS.values())
