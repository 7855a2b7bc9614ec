"""The paper's five claims, each put to the test with what this run measured.

A verdict is given only where the test could have come out otherwise. The five are separate questions, each answered at the
experiment's confidence; nothing is corrected for there being five.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from helmholtz.analysis import curve
from helmholtz.analysis.claim import Claim
from helmholtz.analysis.claims_about_size import larger_needs_more_epochs, smaller_is_enough
from helmholtz.analysis.estimate import Estimate, estimate
from helmholtz.analysis.models import ModelComparison
from helmholtz.analysis.noninferiority import Walk, to_decide
from helmholtz.analysis.recommendation import Outcome, Recommendation
from helmholtz.analysis.smallest_architecture import SmallestArchitecture
from helmholtz.analysis.table import Row, Run
from helmholtz.analysis.walks import accuracies_of
from helmholtz.analysis.wording import level_name, original, points
from helmholtz.levels import NONE, Level

NO_SUPPORT = 10.0  # AICc difference from which on a model has "essentially no support" (Burnham, Anderson 2004)
R2 = "R² of the curve, fitted to each seed's compressed levels"
SHAPES = {
    "paper": "the paper's curve",
    "constant": "a constant",
    "affine-log": "the same curve with a free offset",
    "plateau-log": "a plateau with a drop below it",
    "logistic": "an S-shaped curve in bits",
    "isotonic": "some curve that only falls",
}

HOPELESS: dict[Outcome, tuple[str, str]] = {
    "no-results": ("No trial without compression is complete.", "Let the run finish."),
    "no-levels": ("The experiment has no compressed level.", "Add levels to the experiment."),
    "chance": (
        "Without compression nothing is shown to be learned, so there is nothing to lose.",
        "First have something learned: more seeds, longer training (training.epochs), or other labels.",
    ),
}


def claims(
    run: Run,
    table: Sequence[Row],
    answer: Recommendation,
    walks: Sequence[Walk],
    models: Sequence[ModelComparison],
    smallest: SmallestArchitecture,
) -> tuple[Claim, ...]:
    """All five, in the paper's order; 1, 2 and 5 about the architecture the answer is about."""
    at = next((n for n, walk in enumerate(walks) if walk.architecture == answer.architecture), 0)
    r2 = r2_over_seeds(run, accuracies_of(table, walks[at].architecture), models[at].lossy.levels)
    found = (
        _follows_the_curve(run, models[at], r2),
        _does_not_hurt(run, walks[at]),
        smaller_is_enough(run, table, smallest),
        larger_needs_more_epochs(run, table),
        _audio_fits_less_well(run, models[at], r2),
    )
    if answer.outcome not in HOPELESS:
        return found
    reason, remedy = HOPELESS[answer.outcome]
    return tuple(Claim(number=c.number, claim=c.claim, figure=c.figure, sentence=reason, to_test=remedy) for c in found)


def r2_over_seeds(run: Run, accuracies: Mapping[Level, Mapping[int, float]], levels: Sequence[Level]) -> Estimate:
    """R2 of the paper's curve fitted to each seed alone, over the seeds that are complete at all `levels`.

    Mean and t interval of ln(1 - R2), turned back: R2 is bounded by 1 and skewed, its logarithm isn't.
    """
    whole = [seed for seed in range(run.experiment.seeds) if all(seed in accuracies.get(level, {}) for level in levels)]
    unexplained = []
    for seed in whole:
        r2 = curve.fit("", [(run.codec.quantisation(level), accuracies[level][seed]) for level in levels]).r2
        if r2 is not None and r2 < 1:
            unexplained.append(math.log(1 - r2))
    found = estimate(unexplained, run.experiment.analysis.confidence)
    mean, low, high = (None if end is None else 1 - math.exp(end) for end in (found.mean, found.high, found.low))
    return Estimate(n=found.n, mean=mean, sd=None, low=low, high=high)


def _follows_the_curve(run: Run, found: ModelComparison, r2: Estimate) -> Claim:
    prediction, ranking = found.prediction, found.lossy
    claim = Claim(number=1, claim="Accuracy follows the curve c\N{MIDDLE DOT}ln(100 - Q).", figure="prediction")
    if prediction.verdict == "unknown" or r2.low is None or r2.high is None:
        few = f"A shape can't be judged by {len(ranking.levels)} compressed levels and {r2.n} seeds complete at all of them."
        why = few if _spread(found) else "All accuracies are equal."
        return claim.judged("not tested", why, "Use at least six compressed levels and three seeds.")
    claim = claim.measured(R2, "R2", r2.mean, r2.low, r2.high)
    fits = {fit.name: fit for fit in ranking.fits}
    miss = math.sqrt((fits["paper"].rss or 0.0) / fits["paper"].levels)
    said = f"{_compared_shapes(found)} The curve misses a level by {points(miss)} (root mean square)."
    if prediction.predicted is not None and prediction.measured is not None and prediction.level is not None:
        place = f"At {level_name(run, prediction.level)} the curve predicts {prediction.predicted:.1%}"
        said += f" {place}; {prediction.measured:.1%} was measured."
    worse = r2.high < 0 or (prediction.delta is not None and prediction.delta >= NO_SUPPORT)
    if worse and miss > run.experiment.analysis.margin:  # what misses by less is of no account, however surely it is seen
        return claim.judged("contradicted", said)
    # The rival that matters has three parameters: with fewer than six levels it can't be compared at all.
    if prediction.verdict == "holds" and r2.low > 0 and fits["plateau-log"].delta is not None:
        return claim.judged("supported", said)
    return claim.judged("not shown", said, "Use more levels, above all around the drop.")


def _spread(found: ModelComparison) -> bool:
    """Whether accuracies differ between levels: without that no model has an R2."""
    return found.prediction.r2 is not None or len(found.lossy.levels) < 2


def _compared_shapes(found: ModelComparison) -> str:
    candidates, delta = found.lossy.candidates, found.prediction.delta or 0.0
    if candidates == ("paper",):
        return "Of the shapes compared, the data support this one."
    if "paper" in candidates:
        return f"The data don't tell it from {' and '.join(SHAPES[name] for name in candidates if name != 'paper')}."
    return f"The data speak for {SHAPES[candidates[0]]} instead (AICc lower by {delta:.1f}; 10 leaves no doubt)."


def _does_not_hurt(run: Run, walk: Walk) -> Claim:
    claim = Claim(number=2, claim="Down to N_approx, compression does not hurt.", figure="accuracy")
    if not walk.comparisons:
        return claim
    margin, first = points(run.experiment.analysis.margin), walk.comparisons[0]
    shown = next((c for c in walk.comparisons if c.level == walk.n_approx), first)
    measure = f"accuracy at {level_name(run, shown.level)} less accuracy {original(run)}, architecture {walk.architecture}"
    claim = claim.measured(measure, "accuracy", shown.difference, shown.low, shown.high)
    name = level_name(run, first.level)
    if walk.n_approx is not None:
        said = (
            f"Every level tested down to {level_name(run, walk.n_approx)} is shown to lose less than {margin}. That is how "
            "N_approx is defined; what was open is whether there is such a level."
        )
        return claim.judged("supported", said)
    if first.verdict == "untestable":
        return claim.judged("not tested", f"{name}: {first.reason}.", "Use at least three seeds.")
    if first.verdict == "inferior" and not run.codec.between(NONE, first.level):
        return claim.judged("contradicted", f"Even {name}, the least compression there is, loses more than {margin}.")
    if first.verdict == "inferior":
        said = f"{name} loses more than {margin}; whether a weaker compression is harmless was not tested."
        return claim.judged("not shown", said, "Add less compressed levels.")
    needed = to_decide(first, run.experiment.analysis.margin)
    return claim.judged(
        "not shown", f"{name} is neither shown to lose less than {margin} nor more.", f"Use {needed}, in a new run."
    )


def _audio_fits_less_well(run: Run, found: ModelComparison, r2: Estimate) -> Claim:
    claim = Claim(number=5, claim="Audio fits the curve less well than images do.", figure="prediction")
    own, other = ("images", "audio") if run.codec.medium == "image" else ("audio", "images")
    if found.prediction.verdict != "unknown":
        claim = claim.measured(R2, "R2", r2.mean, r2.low, r2.high)
    return claim.judged(
        "not tested",
        f"It is about both media, and this run is of one data set of {own}. Its R2 is theirs, not that of {own} as such.",
        f"Run {other} too, over a like range of Q. Where the intervals of this R2 in the two reports lie apart, these two data "
        "sets differ in it; that the media do takes several data sets of each.",
    )
