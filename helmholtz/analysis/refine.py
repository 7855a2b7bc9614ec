"""Refinement: after the sweep, the levels between the last that passes and the first that doesn't, asked for in rounds.

Each round takes levels that divide this bracket evenly (one level: bisection), walks down them, and so leaves a narrower
bracket, until no level of the codec lies inside or the rounds are spent.

A truly inferior level gets one chance to pass in the sweep and one more in each round, so each test has to be stricter. Let
the codec's levels that truly lose the margin be all those from some level down. If no level was wrong so far, the bracket
that can go wrong is the sweep's one that this level lies in, and what is asked for inside it doesn't hang on chance. Its
tests, one in the sweep and one a round, therefore share the error (Bonferroni): half for the sweep, the other half in equal
parts for the rounds that this bracket needs. What each level must reach is fixed before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from helmholtz.analysis.noninferiority import Walk
from helmholtz.codecs.base import Codec
from helmholtz.experiment import Refine
from helmholtz.levels import NONE, Level, sort_key

Rounds = tuple[tuple[int, ...], ...]
"""The levels that were asked for, round by round."""

Tested = Callable[[Rounds], Walk | None]
"""The walk through the sweep and these rounds, or None while trials of theirs are missing."""


def confidences(codec: Codec, settings: Refine, levels: Sequence[Level], confidence: float) -> dict[Level, float]:
    """One-sided confidence at which each level must pass, of the sweep's `levels` and of all between them (level -> 0..1).

    `levels` begin with ``none``, least compressed first. The chance that the walk's answer truly loses the margin or more is
    then at most 1 - `confidence`, if more compression never loses less.
    """
    error, found = 1 - confidence, {}
    for high, low in pairwise(levels):
        inner = codec.between(high, low)
        rounds = rounds_needed(len(inner), settings)
        found[low] = 1 - error / 2 if rounds else confidence
        found |= {level: 1 - error / (2 * max(1, rounds)) for level in inner}
    return found


def rounds_needed(inner: int, settings: Refine) -> int:
    """Rounds until no level is left in a bracket of so many inner levels, whichever way they go; at most `settings.rounds`."""
    rounds = 0
    while inner and rounds < settings.rounds:
        inner = -(-(inner + 1) // (min(settings.levels, inner) + 1)) - 1
        rounds += 1
    return rounds


def next_levels(codec: Codec, settings: Refine, walk: Walk) -> tuple[int, ...]:
    """Levels to train next: inside the walk's bracket, least compressed first; none of them if it has no bracket."""
    found = bracket(walk)
    if found is None or not walk.above_chance:
        return ()
    inner = codec.between(*found)
    count = min(settings.levels, len(inner))
    return tuple(inner[n * (len(inner) + 1) // (count + 1) - 1] for n in range(1, count + 1))


def bracket(walk: Walk) -> tuple[Level, Level] | None:
    """Last level that passed (``none`` if none did) and first that didn't; None where all passed, or none was tested."""
    if walk.stopped_at is None:
        return None
    levels = [NONE, *(comparison.level for comparison in walk.comparisons)]
    return levels[levels.index(walk.stopped_at) - 1], walk.stopped_at


def follow(codec: Codec, settings: Refine, tested: Tested) -> Rounds:
    """All that refinement asks for, from the sweep on; the last round may be one that isn't trained yet.

    It hangs on nothing but the trials' results: asked again it says the same, so nothing needs to be kept.
    """
    asked: Rounds = ()
    for _ in range(settings.rounds):
        walk = tested(asked)
        further = next_levels(codec, settings, walk) if walk else ()
        if not further:
            break
        asked += (further,)
    return asked


def with_rounds(levels: Sequence[Level], asked: Rounds) -> tuple[Level, ...]:
    """`levels` and those asked for, least compressed first."""
    return tuple(sorted((*levels, *(level for further in asked for level in further)), key=sort_key))
