"""Epochs to converge: the reference code's measure, for comparison, and one that noise doesn't move by tens of epochs.

Both read a validation accuracy an epoch and count epochs from 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

SHARE = 0.99  # of the final accuracy
MINIMUM_EPOCHS = 10  # a shorter curve can't show a plateau


def reference(validation_accuracy: Sequence[float] | np.ndarray, window: int = 10) -> int | None:
    """The reference code's measure: the first epoch of the first window whose mean exceeds 99% of the curve's maximum.

    None where it is undefined: fewer epochs than the window, or no such window (at 0.4 points of noise from epoch to
    epoch, a third of the curves have none, because the maximum is itself noise).
    """
    accuracy = np.asarray(validation_accuracy, dtype=np.float64)
    if len(accuracy) < window:
        return None
    means = np.convolve(accuracy, np.full(window, 1 / window), mode="valid")
    reached = np.flatnonzero(means > SHARE * accuracy.max())
    return int(reached[0]) + 1 if len(reached) else None


def robust(validation_accuracy: Sequence[float] | np.ndarray) -> tuple[int, bool]:
    """(epoch, converged): the first epoch at which the curve, its noise removed, is within 1% of its plateau.

    The noise is removed by the best non-decreasing least-squares fit (isotonic regression), and the plateau is the fit's
    mean over the last quarter of the epochs. `converged` is False, and the epoch only a lower bound, where that epoch
    itself lies in the last quarter (the curve still rises where its plateau is measured) or where there are fewer than
    ten epochs. A curve that never rises has its plateau from epoch 1 on.

    Chosen by simulation among eight variants on saturating exponentials with 0.4 points of noise: with the fit's last value
    for plateau its standard deviation is two to five times larger, since an isotonic fit bends up at its end; measured as
    a share of the rise instead of the level it is up to half larger. Raises ValueError for an empty curve.
    """
    from scipy.optimize import isotonic_regression

    epochs = len(validation_accuracy)
    if epochs == 0:
        raise ValueError("an empty curve has no convergence")
    fit = isotonic_regression(validation_accuracy).x
    plateau_from = epochs - max(1, epochs // 4)  # index
    reached = int(np.argmax(fit >= SHARE * fit[plateau_from:].mean()))
    return reached + 1, epochs >= MINIMUM_EPOCHS and reached < plateau_from
