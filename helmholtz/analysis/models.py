"""Which response model the data support, and whether the paper's prediction holds.

All models are compared on the same data, the means of the lossy levels: `none` has Q = 0 as quality 100 has, so that a
model in Q can't take it, and AICc compares only fits to the same data. The models in bits are fitted a second time with
`none`, at its own measured bits, and compared among themselves.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Literal

from helmholtz.analysis import curve
from helmholtz.analysis.estimate import NO_SPREAD, Documented, spread
from helmholtz.analysis.response import MODELS, LevelMean, ResponseModel
from helmholtz.levels import NONE, Level, sort_key

TOLD_APART = 2.0  # AICc difference from which on the worse has "considerably less support" (Burnham, Anderson 2004)

PAPER = "paper"


class ModelFit(Documented):
    """One response model, fitted by least squares to the means of one architecture's levels."""

    name: str
    """Name of the model."""
    formula: str
    """Accuracy as a function; Q in percent, bits a sample, natural logarithms."""
    levels: int
    """Levels fitted."""
    parameters: dict[str, float]
    """Estimates by name; empty if it can't be fitted."""
    count: int | None
    """Number of parameters: of isotonic, its steps. The residual variance is not counted."""
    rss: float | None
    """Residual sum of squares (accuracies as fractions)."""
    r2: float | None
    """1 - rss / (sum of squares about the mean): negative where a constant fits better; null for equal accuracies."""
    aicc: float | None
    """n ln(rss / n) + 2 k + 2 k (k + 1) / (n - k - 1), k = count + 1: lower is better; null unless n > count + 2."""
    delta: float | None
    """AICc above the lowest of this comparison; null without AICc."""
    left_out_error: float | None
    """Root mean square error of predicting each inner level from a fit to all others. The least and the most compressed level
    are never left out, since predicting them would be extrapolation; null if too few levels remain."""
    reason: str
    """Why something is null, or empty."""


class Ranking(Documented):
    """Models fitted to the same levels."""

    levels: tuple[Level, ...]
    """The levels fitted, least compressed first."""
    fits: tuple[ModelFit, ...]
    """Every model that can take these levels."""
    supported: str | None
    """The model with the lowest AICc, if all others with one are worse by at least 2; null if they are not told apart."""
    candidates: tuple[str, ...]
    """Models whose AICc is less than 2 above the lowest, best first."""
    reason: str
    """Why no model is supported, or empty."""


class Prediction(Documented):
    """Whether the paper's prediction, accuracy = c ln(100 - Q), holds."""

    verdict: Literal["holds", "not told apart", "does not hold", "unknown"]
    """holds: it is the model that the data support; not told apart: its AICc is less than 2 above the lowest, and so is
    another's; does not hold: another model's is lower by at least 2; unknown: too few levels for a comparison."""
    r2: float | None
    """Its R2 over the lossy levels."""
    delta: float | None
    """Its AICc above that of the best model."""
    level: Level | None
    """N_approx, at which prediction and measurement are compared; null if no lossy level is N_approx."""
    predicted: float | None
    """Accuracy that the fitted curve predicts there."""
    measured: float | None
    """Mean accuracy measured there."""
    sentence: str
    """All this in words."""


class ModelComparison(Documented):
    """The response models of one architecture."""

    architecture: str
    """The architecture."""
    lossy: Ranking
    """All models, on the lossy levels."""
    with_none: Ranking
    """The models that can take `none`: those in bits, at its measured bits, isotonic and the constant."""
    prediction: Prediction
    """Whether the paper's prediction holds."""


def compare_models(architecture: str, means: Sequence[LevelMean], n_approx: Level | None) -> ModelComparison:
    """Fits every model to `means`, one a level, in any order; `n_approx` is the level that non-inferiority named, if any."""
    ordered = sorted(means, key=lambda mean: sort_key(mean.level), reverse=True)
    lossy = [mean for mean in ordered if mean.level != NONE]
    ranking = _rank(lossy, MODELS)
    there = next((mean for mean in lossy if mean.level == n_approx), None)
    return ModelComparison(
        architecture=architecture,
        lossy=ranking,
        with_none=_rank(ordered, {name: model for name, model in MODELS.items() if model.scale != "Q"}),
        prediction=_prediction(ranking, there),
    )


def _rank(means: Sequence[LevelMean], models: dict[str, ResponseModel]) -> Ranking:
    fits = [_fit(name, model, means) for name, model in models.items()]
    known = sorted((fit.aicc, fit.name) for fit in fits if fit.aicc is not None)
    compared = tuple(fit.model_copy(update={"delta": fit.aicc - known[0][0]}) if fit.aicc is not None else fit for fit in fits)
    candidates = tuple(name for aicc, name in known if aicc - known[0][0] < TOLD_APART)
    reason = ""
    if len(known) < 2:
        reason = f"{len(means)} levels are too few to compare models" if _spread(means) else "all accuracies are equal"
    elif len(candidates) > 1:
        reason = f"not told apart: {', '.join(candidates)}"
    return Ranking(
        levels=tuple(mean.level for mean in reversed(means)),
        fits=compared,
        supported=None if reason else candidates[0],
        candidates=candidates,
        reason=reason,
    )


def _fit(name: str, model: ResponseModel, means: Sequence[LevelMean]) -> ModelFit:
    n = len(means)
    nothing = ModelFit(
        name=name, formula=model.formula, levels=n, parameters={}, count=None, rss=None, r2=None, aicc=None, delta=None,
        left_out_error=None, reason="",
    )  # fmt: skip
    if reason := _unfit(name, model, means):
        return nothing.model_copy(update={"reason": reason})
    fitted = model.fit(means)
    rss = math.fsum((mean.accuracy - fitted.predict(mean)) ** 2 for mean in means)
    sd = _spread(means)
    aicc = _aicc(n, fitted.count, rss) if sd else None
    reasons = [
        *([] if sd else ["all accuracies are equal: no R2 and no AICc"]),
        *([f"no AICc: {n} levels for {fitted.count} parameters"] if sd and aicc is None else []),
    ]
    found = {
        "parameters": fitted.parameters, "count": fitted.count, "rss": rss, "r2": 1 - rss / ((n - 1) * sd**2) if sd else None,
        "aicc": aicc, "left_out_error": _left_out_error(name, model, means), "reason": "; ".join(reasons),
    }  # fmt: skip
    return nothing.model_copy(update=found)


def _unfit(name: str, model: ResponseModel, means: Sequence[LevelMean]) -> str:
    if model.scale == "bits" and any(mean.bits is None or mean.bits <= 0 for mean in means):
        return "the bits of some levels are not known"
    places = {mean.bits if model.scale == "bits" else mean.quantisation if model.scale == "Q" else mean.level for mean in means}
    if len(places) < model.fewest:
        return f"{len(places)} different levels: {name} needs {model.fewest}"
    return ""


def _aicc(n: int, count: int, rss: float) -> float | None:
    k = count + 1  # the residual variance
    if n - k - 1 <= 0:
        return None
    # A fit can't be known to be better than the rounding of the accuracies; without a floor an exact one would be -inf.
    return n * math.log(max(rss / n, NO_SPREAD**2)) + 2 * k + 2 * k * (k + 1) / (n - k - 1)


def _left_out_error(name: str, model: ResponseModel, means: Sequence[LevelMean]) -> float | None:
    errors = []
    for at, mean in enumerate(means[1:-1], start=1):
        others = [*means[:at], *means[at + 1 :]]
        if _unfit(name, model, others):
            return None
        errors.append(mean.accuracy - model.fit(others).predict(mean))
    return math.sqrt(statistics.fmean(error**2 for error in errors)) if errors else None


def _spread(means: Sequence[LevelMean]) -> float | None:
    return spread([mean.accuracy for mean in means])


def _prediction(ranking: Ranking, there: LevelMean | None) -> Prediction:
    fit = next(fit for fit in ranking.fits if fit.name == PAPER)
    verdict: Literal["holds", "not told apart", "does not hold", "unknown"] = "unknown"
    if fit.delta is not None and len([other for other in ranking.fits if other.delta is not None]) > 1:
        in_reach = PAPER in ranking.candidates
        verdict = "holds" if ranking.supported == PAPER else "not told apart" if in_reach else "does not hold"
    predicted = curve.predict(fit.parameters["c"], there.quantisation) if there and fit.parameters else None
    said = [f"Accuracy = c ln(100 - Q): {verdict}"]
    if fit.r2 is not None:
        said.append(f"R2 {fit.r2:.2f}" + (" (a constant fits better)" if fit.r2 < 0 else ""))
    if fit.delta and verdict != "unknown":
        said.append(f"AICc {fit.delta:.1f} above that of {ranking.candidates[0]}")
    if there and predicted is not None:
        said.append(f"at level {there.level} it predicts {predicted:.1%}, and {there.accuracy:.1%} was measured")
    return Prediction(
        verdict=verdict, r2=fit.r2, delta=fit.delta, level=there.level if there else None, predicted=predicted,
        measured=there.accuracy if there else None, sentence="; ".join(said) + ".",
    )  # fmt: skip
