"""Equivalence: what is shown about a level's difference from `none` on both sides, and what could not have been seen.

Two one-sided tests, paired as those of non-inferiority are (TOST; Schuirmann 1987): a level is equivalent if its difference
is shown to lie above minus the margin and below the margin. It tells "no loss found" apart from "a loss would not have been
seen".
"""

from __future__ import annotations

import math
from typing import Literal

from helmholtz.analysis.estimate import Documented, Luck, reaches
from helmholtz.analysis.noninferiority import Comparison
from helmholtz.levels import Level

Finding = Literal["equivalent", "no loss", "different", "loss", "none found", "blind", "untestable"]


class Equivalence(Documented):
    """What a comparison with none shows about the size of the difference."""

    level: Level
    """The compressed level."""
    p_value: float | None
    """Of the two one-sided tests together (the larger of the two), 0..1; null where the comparison is untestable."""
    finding: Finding
    """equivalent: shown to differ by less than the margin, either way; no loss: shown to lose less than the margin, though a
    gain as large may be; different: shown to differ by more; loss: shown to lose, but neither less nor more than the margin;
    none found: no loss is shown, though one of the margin would have been with probability 0.8 or more; blind: no loss is
    shown, but one of the margin could well have been missed; untestable: no spread can be estimated, or trials diverged."""


def equivalence(comparison: Comparison, margin: float) -> Equivalence:
    """TOST of `comparison` at `margin` (a fraction), each side at the confidence at which the level has to pass."""
    mean, sd, n = comparison.difference, comparison.sd, comparison.pairs
    if comparison.verdict == "untestable" or mean is None or sd is None:
        return Equivalence(level=comparison.level, p_value=None, finding="untestable")
    error = sd / math.sqrt(n)
    below, above = reaches(error, n, comparison.bound_confidence, comparison.luck)
    low, high = mean - below, mean + above
    finding: Finding = "blind"
    if -margin < low and high < margin:
        finding = "equivalent"
    elif high < -margin or margin < low:
        finding = "different"
    elif -margin < low:
        finding = "no loss"
    elif high < 0:
        finding = "loss"
    elif comparison.detectable is not None and comparison.detectable <= margin:
        finding = "none found"
    p_value = max(_p_value(room, error, n, comparison.luck, side) for side, room in enumerate((margin + mean, margin - mean)))
    return Equivalence(level=comparison.level, p_value=p_value, finding=finding)


def _p_value(room: float, error: float, n: int, luck: Luck | None, side: int) -> float:
    """Of the test of one side (0: of a loss, 1: of a gain): one minus the confidence whose bound just reaches the margin.

    `room` is what lies between the mean and the margin on that side, below 0 where the mean lies beyond.
    """
    if error == 0 and luck is None:
        return float(room <= 0)
    from scipy import optimize

    def excess(logit: float) -> float:
        return reaches(error, n, 1 / (1 + math.exp(-logit)), luck)[side] - abs(room)

    most = 30.0  # of the logit: a tail of 1e-13
    tail = 1 / (1 + math.exp(optimize.brentq(excess, 0.0, most, xtol=1e-9))) if excess(most) > 0 else 0.0
    return tail if room > 0 else 1 - tail
