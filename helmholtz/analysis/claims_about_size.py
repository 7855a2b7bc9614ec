"""Two of the paper's claims, those about the size of networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from helmholtz.analysis.claim import Claim
from helmholtz.analysis.estimate import Estimate, estimate
from helmholtz.analysis.smallest_architecture import SmallestArchitecture
from helmholtz.analysis.table import Row, Run
from helmholtz.analysis.walks import accuracies_of, answers_of
from helmholtz.analysis.wording import level_name, original, points, signed
from helmholtz.levels import NONE, Level


def smaller_is_enough(run: Run, table: Sequence[Row], found: SmallestArchitecture) -> Claim:
    """Claim 3: at N_approx some smaller architecture is non-inferior to the largest (supported), or all are inferior."""
    claim = Claim(number=3, claim="On compressed data, smaller networks do as well or better.", figure="parameters")
    if found.level is None:
        said = "No level is N_approx, so there is no compression at which to compare."
        return claim.judged("not tested", said, "First find an N_approx (claim 2).")
    place = level_name(run, found.level)
    if not found.comparisons:
        more = f"Train others there, too: also: [{{architectures: [A, B, C, D, E, F], levels: [none, {found.level}]}}]."
        return claim.judged("not tested", f"Only one architecture was trained at {place}.", more)
    named = found.smallest or found.stopped_at
    one = next(smaller for smaller in found.comparisons if smaller.architecture == named)
    against, margin = f"against {found.largest}", points(run.experiment.analysis.margin)
    measure = f"accuracy of {named} less accuracy of {found.largest}, both at {place}"
    claim = claim.measured(measure, "accuracy", one.comparison.difference, one.comparison.low, one.comparison.high)
    before = _without_compression(run, table, one.architecture, found.largest or "")
    if found.smallest:
        said = f"Architecture {named}, with {one.parameters:,} parameters, is shown to lose less than {margin} {against}."
        return claim.judged("supported", said + before)
    if all(smaller.comparison.verdict == "inferior" for smaller in found.comparisons):
        said = f"Every smaller architecture trained there is shown to lose more than {margin} {against}."
        return claim.judged("contradicted", said + before)
    said = f"{found.reason[0].upper()}{found.reason[1:]}."
    if one.comparison.verdict == "untestable":
        return claim.judged("not tested", said, "Use more seeds, in a new run.")
    needed = one.comparison.seeds_needed
    enough = f"about {needed} seeds" if needed and needed > one.comparison.pairs else "more seeds or a larger test set"
    return claim.judged("not shown", said + before, f"Use {enough}, in a new run.")


def _without_compression(run: Run, table: Sequence[Row], smaller: str, largest: str) -> str:
    """The same difference at none, which tells whether compression has to do with it."""
    one, other = (accuracies_of(table, architecture).get(NONE, {}) for architecture in (smaller, largest))
    differences = [one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())]
    answers = [answers_of(table, architecture).get(NONE) for architecture in (smaller, largest)]
    luck = answers[0].less(answers[1]).luck() if answers[0] and answers[1] else None
    found = estimate(differences, run.experiment.analysis.confidence, luck)
    if found.mean is None:
        return f" Whether compression has to do with it can't be told: they were not both trained {original(run)}."
    span = "" if found.low is None or found.high is None else f" ({signed(found.low)} to {signed(found.high)})"
    return f" Without compression {smaller} differs from {largest} by {signed(found.mean)} points{span}."


def larger_needs_more_epochs(run: Run, table: Sequence[Row]) -> Claim:
    """Claim 4: the slope of ln(epochs) in ln(parameters) within levels, one a seed, is above 0 (supported) or below."""
    claim = Claim(number=4, claim="Larger networks need more epochs to converge.", figure="convergence")
    levels, unfinished = _levels_to_compare(table)
    if not levels and unfinished:
        said = "At every level with two architectures some trials are missing, diverged or were not seen to converge."
        return claim.judged("not tested", said, "Let all trials finish; if they did, raise training.epochs.")
    if not levels:
        return claim.judged("not tested", "No level has two architectures.", "Use two or more: architectures: [A, F].")
    ratio = _epochs_for_twice_the_parameters(run, table, levels)
    measure = "epochs of a network of twice the parameters, over its own"
    claim = claim.measured(measure, "ratio", ratio.mean, ratio.low, ratio.high)
    if ratio.low is None or ratio.high is None:
        return claim.judged("not tested", "The spread over seeds can't be estimated.", "Use at least three seeds.")
    where = f"over {len(levels)} level{'' if len(levels) == 1 else 's'} at which all trials converged"
    caution = f"{where}. The architectures differ in more than size."
    if ratio.low > 1:
        return claim.judged("supported", f"They need more, {caution}")
    if ratio.high < 1:
        return claim.judged("contradicted", f"They need fewer, {caution}")
    return claim.judged("not shown", f"Neither more nor fewer is shown, {caution}", "Use more seeds, in a new run.")


def _levels_to_compare(table: Sequence[Row]) -> tuple[list[Level], bool]:
    """Levels with two architectures of which all trials converged, and whether some level has two but not that.

    A level of which some trials haven't is left out as a whole: what is missing may be just the slow ones.
    """
    found, unfinished = [], False
    for level in dict.fromkeys(row.level for row in table):
        mine = [row for row in table if row.level == level]
        if len({row.architecture for row in mine}) > 1:
            whole = all(
                row.status == "complete" and row.converged and row.epochs_to_converge and row.parameters for row in mine
            )
            if whole:
                found.append(level)
            unfinished = unfinished or not whole
    return found, unfinished


def _epochs_for_twice_the_parameters(run: Run, table: Sequence[Row], levels: Sequence[Level]) -> Estimate:
    """2 ** slope over seeds: mean and t interval of the slope, turned back."""
    slopes = []
    for seed in range(run.experiment.seeds):
        products, squares = 0.0, 0.0
        for level in levels:
            mine = [row for row in table if row.level == level and row.seed == seed]
            x = [math.log(row.parameters or 1) for row in mine]
            y = [math.log(row.epochs_to_converge or 1) for row in mine]
            centre = sum(x) / len(x)
            products += sum((a - centre) * b for a, b in zip(x, y, strict=True))
            squares += sum((a - centre) ** 2 for a in x)
        if squares:
            slopes.append(products / squares)
    found = estimate(slopes, run.experiment.analysis.confidence)
    mean, low, high = (None if end is None else 2**end for end in (found.mean, found.low, found.high))
    return Estimate(n=found.n, mean=mean, sd=None, low=low, high=high)
