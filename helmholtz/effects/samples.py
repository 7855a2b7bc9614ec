"""What every effect works on: mono samples, and reading them between two samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
"""Mono audio, float64 [n], nominally in -1..1."""


def delayed(samples: Samples, delay: Samples | float) -> Samples:
    """`samples` read `delay` samples earlier (a number, or float [n], one a sample; negative looks ahead); zero outside.

    Third-order Lagrange interpolation, whose response is flat within 1 dB up to about 0.3 of the sample rate at any fraction
    (Laakso et al., Splitting the unit delay, IEEE Signal Processing Magazine 13(1), 1996).
    """
    position = np.arange(len(samples)) - np.asarray(delay, dtype=np.float64)
    whole = np.floor(position)
    x = position - whole
    padded = np.pad(samples, 2)
    first = np.clip(whole.astype(np.int64) + 1, 0, len(padded) - 4)
    inside = (position > -2) & (position < len(samples) + 1)
    read = (
        padded[first] * (-x * (x - 1) * (x - 2) / 6)
        + padded[first + 1] * ((x + 1) * (x - 1) * (x - 2) / 2)
        + padded[first + 2] * (-(x + 1) * x * (x - 2) / 2)
        + padded[first + 3] * ((x + 1) * x * (x - 1) / 6)
    )
    return np.where(inside, read, 0.0)


def oscillator(count: int, rate: int, frequency: float, phase: float) -> Samples:
    """A sine, float [count] in -1..1; `frequency` in hertz, `phase` in turns."""
    return np.asarray(np.sin(2 * np.pi * (np.arange(count) * (frequency / rate) + phase)))
