"""The paper's predicted curve, Accuracy = c * log(100 - Q), fitted to what was measured (paper, section 4 and Fig. 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from helmholtz.analysis.estimate import Documented, spread


class PaperCurve(Documented):
    """Least-squares fit of accuracy = c * ln(100 - Q), Q in percent, to the mean accuracies of the lossy levels."""

    architecture: str
    """Architecture whose accuracies were fitted."""
    levels: int
    """Lossy levels with at least one complete trial."""
    c: float | None
    """The one parameter (accuracy as a fraction, natural logarithm); null if there is nothing to fit."""
    r2: float | None
    """1 - (sum of squared residuals) / (sum of squares about the mean accuracy): negative where a constant fits better;
    null for fewer than two levels or equal accuracies."""


def fit(architecture: str, means: Sequence[tuple[float, float]]) -> PaperCurve:
    """Fits c to `means`: relative quantisation (0..1, below 1) and mean accuracy (0..1) of each lossy level.

    Several levels may have the same quantisation: all count.
    """
    points = [(_log(quantisation), accuracy) for quantisation, accuracy in means]
    norm = sum(x * x for x, _ in points)
    if norm == 0:
        return PaperCurve(architecture=architecture, levels=len(points), c=None, r2=None)
    c = sum(x * y for x, y in points) / norm
    sd = spread([y for _, y in points])
    r2 = 1 - sum((y - c * x) ** 2 for x, y in points) / ((len(points) - 1) * sd**2) if sd else None
    return PaperCurve(architecture=architecture, levels=len(points), c=c, r2=r2)


def predict(c: float, quantisation: float) -> float:
    """Accuracy that the curve predicts at relative quantisation 0..1 (below 1)."""
    return c * _log(quantisation)


def _log(quantisation: float) -> float:
    # Rounded, because 1 - 0.99 is not 0.01: quality 1 must give ln(1) = 0.
    return math.log(round(100 * (1 - quantisation), 9))
