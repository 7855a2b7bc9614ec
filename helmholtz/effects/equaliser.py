"""A three-band equaliser: low shelf, peak, high shelf, by Bristow-Johnson's cookbook of biquad equations (W3C note, 2021)."""

from __future__ import annotations

import math

import numpy as np
from scipy.signal import sosfilt

from helmholtz.effects.samples import Samples

_LOW, _HIGH = 200.0, 3000.0  # hertz, the shelves' corners
_Q = 0.9  # of the peak


def equaliser(samples: Samples, rate: int, *, bass: float, middle: float, treble: float, centre: float) -> Samples:
    """Mono samples, float [n], with `bass`, `middle` and `treble` in dB; the middle band lies around `centre` hertz."""
    sections = [_shelf(bass, _LOW, rate, high=False), _peak(middle, centre, rate), _shelf(treble, _HIGH, rate, high=True)]
    return np.asarray(sosfilt(np.array(sections), samples))


def _peak(gain: float, frequency: float, rate: int) -> list[float]:
    a = 10 ** (gain / 40)
    w = 2 * math.pi * frequency / rate
    alpha, c = math.sin(w) / (2 * _Q), math.cos(w)
    return _section(1 + alpha * a, -2 * c, 1 - alpha * a, 1 + alpha / a, -2 * c, 1 - alpha / a)


def _shelf(gain: float, frequency: float, rate: int, *, high: bool) -> list[float]:
    a = 10 ** (gain / 40)
    w = 2 * math.pi * frequency / rate
    c = -math.cos(w) if high else math.cos(w)  # a high shelf is a low shelf with the frequency axis turned round
    sign = -1 if high else 1
    beta = 2 * math.sqrt(a) * math.sin(w) / math.sqrt(2)  # slope 1
    return _section(
        a * ((a + 1) - (a - 1) * c + beta),
        sign * 2 * a * ((a - 1) - (a + 1) * c),
        a * ((a + 1) - (a - 1) * c - beta),
        (a + 1) + (a - 1) * c + beta,
        sign * -2 * ((a - 1) + (a + 1) * c),
        (a + 1) + (a - 1) * c - beta,
    )


def _section(b0: float, b1: float, b2: float, a0: float, a1: float, a2: float) -> list[float]:
    return [b0 / a0, b1 / a0, b2 / a0, 1.0, a1 / a0, a2 / a0]
