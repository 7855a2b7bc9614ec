"""Equivalence: what is shown about a level's difference from `none` on both sides, and what could not have been seen.

Two one-sided tests, paired as those of non-inferiority are (TOST; Schuirmann 1987): a level is equivalent if its difference
is shown to lie above minus the margin and below the margin. It tells "no loss found" apart from "a loss would not have been
seen".
"""

from __future__ import annotations

import math
from typing import Literal

from helmholtz.analysis.estimate import Documented, Luck, half_width
from helmholtz.analysis.noninferiority import Comparison
from helmholtz.levels import Level

Finding = Literal["equivalent", "different", "loss", "none found", "blind", "untestable"]


class Equivalence(Documented):
    """What a comparison with none shows about the size of the difference."""

    level: Level
    """The compressed level."""
    p_value: float | None
    """Of the two one-sided tests together (the larger of the two), 0..1; null where the comparison is untestable."""
    finding: Finding
    """equivalent: shown to differ by less than the margin, either way; different: shown to differ by more; loss: shown to lose,
    but neither less nor more than the margin; none found: no loss is shown, though one of the margin would have been with
    probability 0.8 or more; blind: no loss is shown, but one of the margin could well have been missed; untestable: no spread
    can be estimated, or trials diverged."""


def equivalence(comparison: Comparison, margin: float) -> Equivalence:
    """TOST of `comparison` at `margin` (a fraction), each side at the confidence at which the level has to pass."""
    mean, sd, n = comparison.difference, comparison.sd, comparison.pairs
    if comparison.verdict == "untestable" or mean is None or sd is None:
        return Equivalence(level=comparison.level, p_value=None, finding="untestable")
    error = sd / math.sqrt(n)
    bound = half_width(error, n, comparison.bound_confidence, comparison.luck)
    finding: Finding = "blind"
    if abs(mean) + bound < margin:
        finding = "equivalent"
    elif abs(mean) - bound > margin:
        finding = "different"
    elif mean + bound < 0:
        finding = "loss"
    elif comparison.detectable is not None and comparison.detectable <= margin:
        finding = "none found"
    return Equivalence(level=comparison.level, p_value=_p_value(margin - abs(mean), error, n, comparison.luck), finding=finding)


def _p_value(room: float, error: float, n: int, luck: Luck | None) -> float:
    """Of the side that is nearer to its margin, by `room`: one minus the confidence whose bound just reaches it."""
    if error == 0 and luck is None:
        return float(room <= 0)
    from scipy import optimize

    def excess(logit: float) -> float:
        return half_width(error, n, 1 / (1 + math.exp(-logit)), luck) - abs(room)

    most = 30.0  # of the logit: a tail of 1e-13
    tail = 1 / (1 + math.exp(optimize.brentq(excess, 0.0, most, xtol=1e-9))) if excess(most) > 0 else 0.0
    return tail if room > 0 else 1 - tail
