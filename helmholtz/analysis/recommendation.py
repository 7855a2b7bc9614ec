"""The answer as one sentence that an engineer can act on, and what has to be said beside it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import takewhile
from typing import Literal

from helmholtz.analysis.caveats import accuracies_at_none, caveats
from helmholtz.analysis.estimate import Documented, Estimate, estimate, spread, spread_is_known
from helmholtz.analysis.noninferiority import Comparison, Walk, seeds_needed, to_decide
from helmholtz.analysis.refine import bracket
from helmholtz.analysis.smallest_architecture import SmallestArchitecture
from helmholtz.analysis.table import Row, Run, leading_architecture
from helmholtz.analysis.wording import (
    a_sample,
    evidence,
    level_label,
    level_name,
    original,
    overhead,
    points,
    signed,
    source_compressed,
    times_smaller,
)
from helmholtz.levels import NONE, Level

MANY_HEADERS = 0.25  # share of the bytes from which on the sizes mislead without a word about it
SIMILAR = 0.01  # two sizes this close (relative) are not worth telling apart

Outcome = Literal["level", "all-pass", "none-passes", "undecided", "chance", "too-few-seeds", "no-levels", "no-results"]


class Recommendation(Documented):
    """What to do, and how sure that is."""

    outcome: Outcome
    """level: a level passes and a lower one doesn't; all-pass: even the lowest level passes; none-passes: the least compressed
    level is shown to lose more than the margin; undecided: for the least compressed level neither is shown; chance: nothing
    is learned at none; too-few-seeds: no spread over seeds, so no test; no-levels: no lossy level was asked for; no-results:
    no complete trial at none."""
    sentence: str
    """The answer."""
    level: Level | None
    """Level to use; null if none can be recommended."""
    architecture: str | None
    """Architecture the answer is about: of those trained at every level, the one with the highest mean validation accuracy at
    none. Validation accuracy, so that the test set chooses nothing."""
    epochs_ratio: Estimate | None
    """Epochs to converge at the level over those at none: geometric mean of the paired ratios; null unless all pairs
    converged."""
    details: tuple[str, ...]
    """Further statements: where the walk stopped and why, the other architectures, the bits left."""
    caveats: tuple[str, ...]
    """What weakens the answer."""


def recommend(run: Run, table: Sequence[Row], walks: Sequence[Walk], smallest: SmallestArchitecture) -> Recommendation:
    """The recommendation, from the walk of the architecture that learns best at none, and the one through architectures."""
    leading = leading_architecture(table, [walk.architecture for walk in walks])
    walk = next(walk for walk in walks if walk.architecture == leading)
    outcome = _outcome(walk, table)
    epochs = _epochs_ratio(run, table, walk) if walk.n_approx is not None else None
    return Recommendation(
        outcome=outcome,
        sentence=_sentence(outcome, run, table, walk, epochs, smallest),
        level=walk.n_approx,
        architecture=walk.architecture if outcome != "no-results" else None,
        epochs_ratio=epochs,
        details=(*_enough(run, walk, smallest), *_details(outcome, run, walk, walks, epochs)),
        caveats=tuple(caveats(run, table, walk)),
    )


def _outcome(walk: Walk, table: Sequence[Row]) -> Outcome:
    if not accuracies_at_none(table, walk):
        return "no-results"
    if not walk.comparisons:
        return "no-levels"
    if walk.above_chance is False:
        return "chance"
    if walk.n_approx is not None:
        return "level" if walk.stopped_at is not None else "all-pass"
    first = walk.comparisons[0].verdict
    return "too-few-seeds" if first == "untestable" else "none-passes" if first == "inferior" else "undecided"


def _sentence(
    outcome: Outcome, run: Run, table: Sequence[Row], walk: Walk, epochs: Estimate | None, smallest: SmallestArchitecture
) -> str:
    margin = points(run.experiment.analysis.margin)
    if outcome == "no-results":
        return "Nothing can be said yet: no trial without compression is complete, and every level is compared with it."
    if outcome == "no-levels":
        return "Nothing can be said about compression: the experiment has no level beside none; add some to levels."
    if outcome == "chance":
        mean = statistics.fmean(accuracies_at_none(table, walk))
        return (
            f"Nothing can be concluded: without compression architecture {walk.architecture} is right in {mean:.1%} of the "
            f"test records, which is not shown to be above chance ({walk.chance:.1%}, the most frequent class); "
            f"{_to_learn_more(run, table, walk)}."
        )
    if outcome in ("level", "all-pass"):
        return _passing(outcome, run, walk, epochs, smallest)
    first = walk.comparisons[0]
    name = level_name(run, first.level)
    if outcome == "too-few-seeds":
        return f"Nothing can be concluded about {name} or below: {first.reason}.{_point_estimates(run, walk)}"
    if outcome == "none-passes":
        keep = "as they are" if source_compressed(run) else "lossless"
        higher = "test a higher level or " if run.codec.between(NONE, first.level) else ""
        return (
            f"Keep the data {keep}: even {name}, the least compressed level tested, loses more than {margin} "
            f"of accuracy ({evidence(first, walk, run)}); {higher}decide, before a new run, on a larger margin."
        )
    needed = to_decide(first, run.experiment.analysis.margin)
    return (
        f"No level can be recommended yet: {name}, the least compressed level tested, is neither shown to lose less than "
        f"{margin} nor to lose more ({evidence(first, walk, run)}); use {needed} in a new run."
    )


def _to_learn_more(run: Run, table: Sequence[Row], walk: Walk) -> str:
    accuracies = accuracies_at_none(table, walk)
    over, sd = statistics.fmean(accuracies) - walk.chance, spread(accuracies)
    if over > 0 and sd is not None and spread_is_known(len(accuracies), sd):
        needed = seeds_needed(sd, over, run.experiment.analysis.confidence)
        if needed and needed > len(accuracies):
            return f"with this spread, about {needed} seeds would show it"
    rising = [row for row in table if (row.architecture, row.level) == (walk.architecture, NONE) and row.converged is False]
    longer = "train for longer" if rising else "training had converged, so use more test records, another learning rate,"
    return f"{longer} or check the labels"


def _passing(outcome: Outcome, run: Run, walk: Walk, epochs: Estimate | None, smallest: SmallestArchitecture) -> str:
    best = next(comparison for comparison in walk.comparisons if comparison.level == walk.n_approx)
    gains = [*_sizes(run, best.level), *([_epochs_phrase(epochs)] if epochs else [])]
    sentence = (
        f"{level_name(run, best.level)} loses less than {points(run.experiment.analysis.margin)} of accuracy "
        f"({evidence(best, walk, run)})" + (f": {', '.join(gains)}" if gains else "")
    )
    if smallest.smallest:
        sentence += f"; architecture {smallest.smallest} is enough"
    if outcome == "all-pass":
        sentence += "; even this most compressed level tested passes, so test lower ones"
    return sentence + "."


def _sizes(run: Run, level: Level) -> list[str]:
    manifest, none = run.manifests.get(level), run.manifests.get(NONE)
    if not manifest or not none or not manifest.payload_bytes:
        return []
    to_none, to_source = none.payload_bytes / manifest.payload_bytes, manifest.ratio_to_source
    said = [f"{times_smaller(to_none)} than {original(run)}"]
    if to_source is not None and not math.isclose(to_none, to_source, rel_tol=SIMILAR):
        said.append(f"{times_smaller(to_source)} than the source's own bytes")
    return said


def _epochs_ratio(run: Run, table: Sequence[Row], walk: Walk) -> Estimate | None:
    """Geometric mean over seeds of epochs at the level / epochs at none, with its t interval in the logarithm."""
    done = {
        (row.level, row.seed): row
        for row in table
        if row.architecture == walk.architecture and row.status == "complete" and row.level in (NONE, walk.n_approx)
    }
    seeds = [seed for level, seed in done if level == NONE and (walk.n_approx, seed) in done]
    logs = []
    for seed in seeds:
        before, after = done[NONE, seed], done[walk.n_approx or NONE, seed]
        if not (before.converged and after.converged and before.epochs_to_converge and after.epochs_to_converge):
            return None
        logs.append(math.log(after.epochs_to_converge / before.epochs_to_converge))
    found = estimate(logs, run.experiment.analysis.confidence)
    mean, low, high = (None if end is None else math.exp(end) for end in (found.mean, found.low, found.high))
    return Estimate(n=found.n, mean=mean, sd=None, low=low, high=high)


def _epochs_phrase(ratio: Estimate) -> str:
    if ratio.mean is None or ratio.low is None or ratio.high is None or ratio.low <= 1 <= ratio.high:
        return "no clear change in epochs to converge"
    fewer = ratio.mean < 1
    low, high = sorted((abs(1 - ratio.low), abs(1 - ratio.high)))
    return f"{abs(1 - ratio.mean):.0%} {'fewer' if fewer else 'more'} epochs to converge ({low:.0%} to {high:.0%})"


def _point_estimates(run: Run, walk: Walk) -> str:
    margin = run.experiment.analysis.margin
    within = [c.level for c in takewhile(lambda c: c.difference is not None and c.difference > -margin, walk.comparisons)]
    if not within:
        return ""
    return f" By the means alone, unconfirmed, {level_name(run, within[-1])} is within {points(margin)} of {original(run)}."


def _details(outcome: Outcome, run: Run, walk: Walk, walks: Sequence[Walk], epochs: Estimate | None) -> list[str]:
    details = []
    stop = next((c for c in walk.comparisons if c.level == walk.stopped_at), None)
    if outcome == "level" and stop:
        details.append(f"The walk stopped at {level_name(run, stop.level)}: {_why_stopped(stop, walk, run)}.")
    if outcome in ("level", "none-passes", "undecided"):
        details.extend(_how_fine(run, walk))
    if outcome not in ("no-results", "no-levels"):
        for other in walks:
            if other is not walk:
                answer = "no level" if other.n_approx is None else level_name(run, other.n_approx)
                details.append(f"Architecture {other.architecture}, by a walk of its own, passes down to: {answer}.")
    if walk.n_approx is not None:
        details.extend(_bits(run, walk.n_approx))
        if epochs is None:
            details.append("Epochs to converge can't be compared: some trials were not seen to converge within the budget.")
    return details


def _enough(run: Run, walk: Walk, found: SmallestArchitecture) -> list[str]:
    """Which architecture is enough, against which, and what level and architecture cost together."""
    if found.level is None or not found.comparisons:
        return []
    place = level_name(run, found.level)
    if found.smallest is None:
        return [f"No architecture smaller than {found.largest} is shown to be enough at {place}: {found.reason}."]
    one = next(smaller for smaller in found.comparisons if smaller.architecture == found.smallest)
    difference, low, high = one.comparison.difference, one.comparison.low, one.comparison.high
    said = f"Architecture {found.smallest} ({one.parameters:,} parameters) is enough at {place}: against {found.largest}, the"
    said += " largest trained there, it is not worse by the margin"
    if difference is not None and low is not None and high is not None:
        said += f" (difference {signed(difference)} points, interval {signed(low)}..{signed(high)})"
    whole = found.whole_difference
    if whole and whole.mean is not None and whole.low is not None and whole.high is not None:
        said += (
            f"; both changes together, from {found.largest} {original(run)}, make {signed(whole.mean)} points "
            f"({signed(whole.low)}..{signed(whole.high)})"
        )
    if walk.architecture != found.smallest:
        said += f"; the level itself was found with {walk.architecture}"
    return [f"{said}."]


def _how_fine(run: Run, walk: Walk) -> list[str]:
    """Whether the codec has levels between the last that passed and the first that didn't."""
    found = bracket(walk)
    if found is None:
        return []
    high, low = (level_label(run, level) for level in found)
    if run.codec.between(*found):
        look = "" if run.experiment.refine.rounds else "; refine.rounds looks there"
        return [f"Levels between {high} and {low} were not tested{look}."]
    passes = "" if found[0] == NONE else f"{high} passes, and "
    return [f"No finer answer is possible with this codec: {passes}{low}, the next level, is not shown to."]


def _why_stopped(stop: Comparison, walk: Walk, run: Run) -> str:
    if stop.verdict == "untestable":
        return stop.reason
    if stop.verdict == "inferior":
        return f"it loses more than the margin ({evidence(stop, walk, run)})"
    more = f"; {to_decide(stop, run.experiment.analysis.margin)} would tell a loss of the margin from none"
    sees = "" if stop.detectable is None else f", which can tell a loss of {points(stop.detectable)} or more from none"
    return f"it is not shown to lose less than the margin ({evidence(stop, walk, run)}{sees}){more}"


def _bits(run: Run, level: Level) -> list[str]:
    details = []
    sample, manifest, none = run.codec.sample, run.manifests.get(level), run.manifests.get(NONE)
    if manifest:
        before = f", {none.payload_bits_per_sample:.2f} {original(run)}" if none else ""
        headers = 1 - manifest.coded_bytes / manifest.payload_bytes if manifest.payload_bytes else 0.0
        if headers > MANY_HEADERS:
            details.append(f"{headers:.0%} of the bytes at this level are {overhead(run.codec.medium)}, not content.")
        measured = f"{manifest.payload_bits_per_sample:.2f} entropy-coded bits a {sample}"
        details.append(f"Measured: {measured}{before}{a_sample(run)}.")
    if theory := run.codec.bits(level):
        left = ", ".join(f"{bits.left:.2f} ({name})" for name, bits in theory.items())
        details.append(f"Theory: of 16 bits a {sample}, so many are left, by accounting: {left}.")
    else:
        details.append(
            f"Theory: the paper has none of the bits that {run.codec.name.upper()} leaves; the measured ones stand alone."
        )
    return details
