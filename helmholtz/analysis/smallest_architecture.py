"""The smallest architecture that is enough at a level: non-inferior to the largest that was trained there.

Architectures are compared pairwise, seed by seed, with the one of the most parameters, and tested in the order of their
parameters, next largest first; the first that isn't shown to lose less than the margin ends the walk. That order is fixed by
the networks, before any of them is trained, so each test may spend the whole error: a wrong answer needs the first
architecture that truly loses the margin to pass, which happens with probability 1 - confidence at most (Maurer, Hothorn,
Lehmacher 1995). From the smallest up, ending at the first that passes, every truly inferior one would be a chance of its own to
err. The price of the order: a small architecture that is as good is not found behind a larger one that isn't.

That error doesn't hold the choice of the level, which is made with the same trials: see docs/method.md, "Complexity".

The reference is the largest, not the best: which is best would be read from the same accuracies. Of a seed, two
architectures share the order of the data but not their initial weights, so pairing removes less noise than between levels.
"""

from __future__ import annotations

from collections.abc import Mapping

from helmholtz.analysis.answers import Answers
from helmholtz.analysis.estimate import Documented, Estimate
from helmholtz.analysis.noninferiority import Comparison, compare
from helmholtz.levels import Level

BySeed = Mapping[int, float]


class SmallerArchitecture(Documented):
    """One architecture against the largest at the same level."""

    architecture: str
    """The smaller architecture."""
    parameters: int
    """Its parameters, trainable and not."""
    comparison: Comparison
    """As of levels, but the differences are its accuracy minus that of the largest architecture, at the same level."""


class SmallestArchitecture(Documented):
    """Which architecture is enough at N_approx."""

    level: Level | None
    """N_approx of the architecture the answer is about; null if there is none, and then nothing is compared."""
    largest: str | None
    """The architecture of the most parameters that was trained there: the reference."""
    comparisons: tuple[SmallerArchitecture, ...]
    """Every smaller one trained there, next largest first. Those behind the first that doesn't pass are not reached."""
    stopped_at: str | None
    """First architecture that doesn't pass; null if all pass or none was compared."""
    smallest: str | None
    """Fewest parameters of those that passed; null if none did."""
    whole_difference: Estimate | None
    """Accuracy of the smallest at N_approx minus that of the largest at none, paired over seeds: what both changes cost
    together. Not tested: two margins may add up. Null without a smallest, or where the largest wasn't trained at none."""
    reason: str
    """Why there is no smallest, or empty."""


def smallest_architecture(
    level: Level,
    accuracies: Mapping[str, BySeed],
    parameters: Mapping[str, int],
    *,
    seeds: int,
    margin: float,
    confidence: float,
    diverged: Mapping[str, int] | None = None,
    answers: Mapping[str, Answers] | None = None,
) -> SmallestArchitecture:
    """Walks down the architectures of `parameters` (how many each has) at `level`; `accuracies` are of each seed, 0..1.

    An architecture of which trials `diverged` (architecture -> how many) doesn't pass; if it is the largest, none does.
    `answers` are those that gave the accuracies.
    """
    order = sorted(parameters, key=lambda architecture: (-parameters[architecture], architecture))
    if len(order) < 2:
        return nothing_smaller(level, "only one architecture was trained there")
    largest, *smaller = order
    reference = accuracies.get(largest, {})
    lost = diverged or {}
    found = []
    for architecture in smaller:
        own = accuracies.get(architecture, {})
        differences = [own[seed] - reference[seed] for seed in sorted(own.keys() & reference.keys())]
        luck = (
            answers[architecture].less(answers[largest]).luck()
            if answers and {architecture, largest} <= answers.keys()
            else None
        )
        comparison = compare(
            level, differences, seeds - len(differences), margin, confidence, reference=f"architecture {largest}", luck=luck
        )
        for name in (largest, architecture):
            if lost.get(name):
                reason = (
                    f"{lost[name]} of {seeds} trials of architecture {name} diverged, and the others alone would flatter it"
                )
                comparison = comparison.model_copy(update={"verdict": "untestable", "reason": reason})
        found.append(SmallerArchitecture(architecture=architecture, parameters=parameters[architecture], comparison=comparison))
    passed = 0
    while passed < len(found) and found[passed].comparison.verdict == "non-inferior":
        passed += 1
    stopped = found[passed] if passed < len(found) else None
    return SmallestArchitecture(
        level=level,
        largest=largest,
        comparisons=tuple(found),
        stopped_at=stopped.architecture if stopped else None,
        smallest=found[passed - 1].architecture if passed else None,
        whole_difference=None,
        reason="" if passed or stopped is None else _why_none(stopped, largest),
    )


def nothing_smaller(level: Level | None, reason: str) -> SmallestArchitecture:
    """Where there is nothing to compare."""
    return SmallestArchitecture(
        level=level, largest=None, comparisons=(), stopped_at=None, smallest=None, whole_difference=None, reason=reason
    )


def _why_none(stopped: SmallerArchitecture, largest: str) -> str:
    comparison = stopped.comparison
    if comparison.verdict == "untestable":
        return comparison.reason
    shown = "is shown to lose more than" if comparison.verdict == "inferior" else "is not shown to lose less than"
    return f"already {stopped.architecture}, the next smaller, {shown} the margin against {largest}"
