"""Response models: accuracy as a function of a level's quantisation, bits or rank, each fitted to the levels' means.

Models in Q need no bits; the others do. `none` has Q = 0 as JPEG quality 100 has, so a model in Q can't take it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from helmholtz.analysis import curve
from helmholtz.analysis.stick import StickProblem
from helmholtz.levels import Level, sort_key

Floats = NDArray[np.floating[Any]]

STEEPEST = 50.0  # of the logistic curve: beyond, it is a step for levels that are 10% apart


@dataclass(frozen=True, slots=True)
class LevelMean:
    """One level of one architecture."""

    level: Level
    quantisation: float  # Q, 0..1, below 1
    bits: float | None  # measured bits a sample, above 0; None if unknown
    accuracy: float  # mean over seeds, 0..1


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model with its parameters found."""

    parameters: dict[str, float]
    count: int  # of parameters
    predict: Callable[[LevelMean], float]


@dataclass(frozen=True, slots=True)
class ResponseModel:
    """One way accuracy may depend on the level."""

    formula: str
    scale: Literal["Q", "bits", "rank"]
    fewest: int  # levels that it can be fitted to
    fit: Callable[[Sequence[LevelMean]], Fitted]  # of at least `fewest` levels, most compressed first


def _constant(means: Sequence[LevelMean]) -> Fitted:
    mean = float(_accuracies(means).mean())
    return Fitted({"a": mean}, 1, lambda _: mean)


def _paper(means: Sequence[LevelMean]) -> Fitted:
    c = curve.fit("", [(mean.quantisation, mean.accuracy) for mean in means]).c or 0.0
    return Fitted({"c": c}, 1, lambda mean: curve.predict(c, mean.quantisation))


def _affine_log(means: Sequence[LevelMean]) -> Fitted:
    x = np.array([curve.predict(1.0, mean.quantisation) for mean in means])
    c, a = np.polyfit(x, _accuracies(means), 1)
    return Fitted({"a": float(a), "c": float(c)}, 2, lambda mean: float(a + c * curve.predict(1.0, mean.quantisation)))


def _plateau_log(means: Sequence[LevelMean]) -> Fitted:
    x = _log_bits(means)
    stick = StickProblem(x, _accuracies(means), np.zeros(len(means), int)).fit()
    p, c = stick.plateau, stick.slope
    a = p - c * min(stick.breakpoint, float(x.max())) if c else p
    if math.isinf(stick.breakpoint) and c:  # a straight line: no plateau among these levels
        return Fitted({"a": a, "c": c}, 3, lambda mean: a + c * _log(mean))
    return Fitted({"p": p, "a": a, "c": c}, 3, lambda mean: min(p, a + c * _log(mean)))


def _logistic(means: Sequence[LevelMean]) -> Fitted:
    """Least squares, middle at most a span of the levels beyond them; the top is linear, so only middle and steepness are
    searched: from the best middles of several steepnesses, since the best start of all may lead to a minimum that isn't."""
    from scipy import optimize, special

    x, y = _log_bits(means), _accuracies(means)

    def top(middle: float, steepness: float) -> float:
        share = special.expit(steepness * (x - middle))
        return float(share @ y / (share @ share))

    def residuals(at: Floats) -> Floats:
        return np.asarray(top(*at) * special.expit(at[1] * (x - at[0])) - y)

    def slopes(at: Floats) -> Floats:
        share = special.expit(at[1] * (x - at[0]))
        by_middle, by_steepness = np.array([np.full_like(x, -at[1]), x - at[0]]) * share * (1 - share)
        changes = np.column_stack([by_middle, by_steepness])
        p = top(*at)
        return np.asarray(p * changes + np.outer(share, (y - 2 * p * share) @ changes / (share @ share)))

    low, high = float(x.min()), float(x.max())
    span = high - low
    bounds = ([low - span, 0.05], [high + span, STEEPEST])
    between = (x[1:] + x[:-1]) / 2  # where a steep fall between two levels has its middle
    middles = np.unique([*np.linspace(low - span / 2, high, 13), *between])
    fits = []
    for steepness, tried in ((0.3, 1), (1.0, 1), (3.0, 1), (10.0, 2), (30.0, 2)):  # steep ones have more minima
        costs = [float((residuals(np.array([middle, steepness])) ** 2).sum()) for middle in middles]
        best = middles[np.argsort(costs, kind="stable")[:tried]]
        fits += [optimize.least_squares(residuals, (at, steepness), slopes, bounds, x_scale=(span, 1.0)) for at in best]
    middle, steepness = (float(value) for value in min(fits, key=lambda fit: float(fit.cost)).x)
    p = top(middle, steepness)
    return Fitted(
        {"p": p, "middle": middle, "steepness": steepness},
        3,
        lambda mean: float(p * special.expit(steepness * (_log(mean) - middle))),
    )


def _isotonic(means: Sequence[LevelMean]) -> Fitted:
    from scipy import optimize

    fitted = optimize.isotonic_regression(_accuracies(means)).x
    steps = len(np.unique(fitted))
    levels = [mean.level for mean in means]
    parameters = {f"at {level}": float(value) for level, value in zip(levels, fitted, strict=True)}

    def predict(mean: LevelMean) -> float:
        if mean.level in levels:
            return float(fitted[levels.index(mean.level)])
        between = sum(_less(other, mean) for other in means)
        return float(fitted[max(between - 1, 0)] + fitted[min(between, len(means) - 1)]) / 2

    return Fitted(parameters, steps, predict)


MODELS: dict[str, ResponseModel] = {
    "paper": ResponseModel("c ln(100 - Q)", "Q", 2, _paper),
    "constant": ResponseModel("a", "rank", 1, _constant),
    "affine-log": ResponseModel("a + c ln(100 - Q)", "Q", 2, _affine_log),
    "plateau-log": ResponseModel("min(p, a + c ln(bits)), c >= 0", "bits", 3, _plateau_log),
    "logistic": ResponseModel("p / (1 + exp(-steepness (ln(bits) - middle)))", "bits", 3, _logistic),
    "isotonic": ResponseModel("any that does not fall as compression weakens", "rank", 2, _isotonic),
}
"""All response models by name: the paper's prediction, then a constant, which any other has to beat. The number of parameters
of isotonic is that of its steps (Meyer and Woodroofe 2000, Annals of Statistics 28, 1083-1104), of the others that of their
formula, in which Q is in percent."""


def _less(one: LevelMean, other: LevelMean) -> bool:
    """Whether `one` is the more compressed."""
    return sort_key(one.level) > sort_key(other.level)


def _accuracies(means: Sequence[LevelMean]) -> Floats:
    return np.array([mean.accuracy for mean in means])


def _log_bits(means: Sequence[LevelMean]) -> Floats:
    return np.array([_log(mean) for mean in means])


def _log(mean: LevelMean) -> float:
    return math.log(mean.bits) if mean.bits else -math.inf
