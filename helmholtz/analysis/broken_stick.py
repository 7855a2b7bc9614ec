"""Where accuracy begins to fall, in bits: a plateau, then a line in the logarithm of the payload's bits.

accuracy(x) = plateau for x >= breakpoint, plateau - slope * (breakpoint - x) below, x = ln(bits a sample). Least squares
over all trials; what the trials of one seed share (initialisation, order of the data) is taken out as an effect of its own.

The interval is that of the profile likelihood: it holds those breakpoints whose best stick lies no further from the levels'
means than the very best does, measured by all that moves them, each part with its own degrees of freedom: single trials
(their scatter within the levels, (levels - 1) (seeds - 1) degrees), the luck of the test set, and whatever else moves whole
levels off the stick, such as a true curve that isn't one (the levels' scatter about the fit beyond the other two, levels - 3
degrees). The seeds alone are blind to the last two, so more of them narrow the interval only while theirs is the larger part.

Luck with the test records moves single levels, and also all of them smoothly: a test set with more records of middling
difficulty than there should be, on which all networks lose too much at every level, leaves no scatter. The records show it:
with `answers` the covariance that they give the levels' accuracies is known (`helmholtz.analysis.answers`), and so the
variance that this gives the breakpoint, which depends on where it is: the largest is taken of all that the interval holds.
The interval then holds for another test set of that size, too. docs/statistics.md has the coverage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from helmholtz.analysis.answers import Answers, shared_covariance
from helmholtz.analysis.estimate import NO_SPREAD, Documented, half_width
from helmholtz.analysis.stick import Floats, Stick, StickProblem
from helmholtz.levels import Level

FEWEST_LEVELS = 4  # three parameters, and one more to see how well they fit
ROUNDS = 4  # of widening the interval by the luck at what it holds; in simulations the second is most often the last


class BrokenStick(Documented):
    """Plateau and drop of one architecture in ln(bits), `none` included at its own measured bits."""

    architecture: str
    """Architecture whose accuracies were fitted."""
    levels: int
    """Levels with at least one complete trial and known bits."""
    trials: int
    """Complete trials at these levels."""
    plateau: float | None
    """Accuracy above the breakpoint, a fraction, mean over seeds; null if none is seen."""
    slope: float | None
    """Accuracy lost below the breakpoint for each unit of ln(bits), at least 0: times 0.69 for each halving of the bits. Null
    if it can't be told, because only the lowest level lies below the breakpoint."""
    breakpoint: float | None
    """Bits a sample at which accuracy begins to fall; null if it can't be told."""
    low: float | None
    """Lower end of the confidence interval of the breakpoint, bits a sample; null if open."""
    high: float | None
    """Upper end of the confidence interval of the breakpoint, bits a sample; null if open."""
    above: Level | None
    """The most compressed level that is still on the plateau; null if there is none, or no drop."""
    below: Level | None
    """The least compressed level that is below the breakpoint; null if there is none."""
    reason: str
    """Why something is null, or empty."""


def broken_stick(
    architecture: str,
    accuracies: Mapping[Level, Mapping[int, float]],
    bits: Mapping[Level, float],
    confidence: float,
    *,
    answers: Mapping[Level, Answers] | None = None,
) -> BrokenStick:
    """Fits `accuracies` (level -> seed -> 0..1) at `bits` (level -> measured bits a sample); interval at `confidence` (0..1).

    With the `answers` that gave them, the interval holds the luck of the test set, too. Levels without a trial, or without
    bits above 0, are left out.
    """
    trials = [
        (math.log(bits[level]), accuracy, seed, level)
        for level, by_seed in accuracies.items()
        if bits.get(level, 0.0) > 0
        for seed, accuracy in by_seed.items()
    ]
    used = {level for level, by_seed in accuracies.items() if by_seed and bits.get(level, 0.0) > 0}
    nothing = BrokenStick(
        architecture=architecture, levels=len(used), trials=len(trials), plateau=None, slope=None, breakpoint=None,
        low=None, high=None, above=None, below=None, reason="",
    )  # fmt: skip
    distinct = len({x for x, _, _, _ in trials})
    if distinct < FEWEST_LEVELS:
        return _because(
            nothing, f"{distinct} different sizes of level with a complete trial: at least {FEWEST_LEVELS} are needed"
        )
    x, y, seeds = (np.array(column) for column in list(zip(*trials, strict=True))[:3])
    problem = StickProblem(x, y, np.unique(seeds, return_inverse=True)[1])
    if problem.degrees < 1:
        return _because(nothing, "too few seeds are complete at more than one level")
    stick = problem.fit()
    by_size = sorted(used, key=lambda level: bits[level])
    found = nothing.model_copy(update=_estimates(stick, by_size, bits))
    luck = _test_set([level for *_, level in trials], answers) if answers else np.zeros((1, len(trials)))
    return found.model_copy(update=_interval(problem, stick, found.reason, confidence, luck))


def _because(found: BrokenStick, reason: str) -> BrokenStick:
    return found.model_copy(update={"reason": reason})


def _estimates(stick: Stick, by_size: list[Level], bits: Mapping[Level, float]) -> dict[str, object]:
    """The fields of the best fit; `by_size` are the levels, fewest bits first."""
    if stick.slope == 0:
        return {
            "plateau": stick.plateau,
            "slope": 0.0,
            "reason": "no drop: on the whole accuracy does not fall with compression",
        }
    if math.isinf(stick.breakpoint):
        return {"slope": stick.slope, "below": by_size[-1], "reason": "no plateau: accuracy falls from the largest level on"}
    above = [level for level in by_size if math.log(bits[level]) >= stick.breakpoint]
    below = [level for level in by_size if math.log(bits[level]) < stick.breakpoint]
    bracket: dict[str, object] = {"plateau": stick.plateau, "above": above[0], "below": below[-1]}
    if stick.flat:
        reason = "only the lowest level lies below the plateau: where between it and the next the drop begins can't be told"
        return bracket | {"reason": f"{reason}; test a level between"}
    return bracket | {"slope": stick.slope, "breakpoint": math.exp(stick.breakpoint)}


def _interval(problem: StickProblem, stick: Stick, reason: str, confidence: float, luck: Floats) -> dict[str, object]:
    scatter = stick.lack_of_fit / stick.degrees
    if scatter <= NO_SPREAD**2:
        return {"reason": _joined(reason, "the levels scatter too little about the fit for an interval")}
    low, high = _accepted(problem, stick, scatter, confidence, luck)
    if math.isinf(low):
        shown = "no drop is shown (a constant accuracy fits the levels almost as well)" if stick.slope else ""
        return {"reason": _joined(shown, reason)}
    if math.isinf(high):
        reason = reason or "no plateau is shown (a straight line fits almost as well), so the interval is open above"
        return {"low": math.exp(low), "reason": reason}
    return {"low": math.exp(low), "high": math.exp(high), "reason": reason}


def _accepted(problem: StickProblem, stick: Stick, scatter: float, confidence: float, luck: Floats) -> tuple[float, float]:
    """Ends of the interval; `luck` are deviations that the test set gives the trials, (sources, n)."""
    probability = (1 + confidence) / 2
    known = problem.lack_of_fit(stick, luck) / stick.degrees + problem.trial_variance
    parts = [(scatter - known, stick.degrees), (problem.trial_variance, problem.trial_degrees)]
    low = high = stick.breakpoint
    most = -1.0
    for _ in range(ROUNDS):
        variance = float(((luck @ problem.sensitivities(low, high).T) ** 2).sum(0).max())
        if variance <= most:
            break
        most = variance
        low, high = problem.accepted(stick.lack_of_fit + half_width([*parts, (most, None)], probability) ** 2)
    return low, high


def _test_set(levels: Sequence[Level], answers: Mapping[Level, Answers]) -> Floats:
    """Independent deviations of the trials, (sources, n), that together have the covariance of the test set's luck.

    `levels` are those of the trials. To what was seen of each level's own luck one unit is added, as for means.
    """
    names = list(dict.fromkeys(levels))
    covariance = shared_covariance([answers[level] for level in names])
    covariance += np.diag([answers[level].unit ** 2 for level in names])
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0)))[[names.index(level) for level in levels]].T)


def _joined(*reasons: str) -> str:
    return "; ".join(reason for reason in reasons if reason)
