"""Overdrive and distortion: curves that bend or cut the waveform, at four times the sample rate, so that little aliases back.

Zölzer (ed.), DAFX, 2nd edition, section 4.3. Both expect samples of peak 1; their effect depends on level.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, resample_poly, sosfilt

from helmholtz.effects.samples import Samples

_OVERSAMPLING = 4
_DC_CUT = 20.0  # hertz


def overdrive(samples: Samples, rate: int, *, drive: float, bias: float, tone: float) -> Samples:
    """Soft, asymmetric clipping: tanh of the samples times `drive` dB, shifted by `bias` (even harmonics); `tone` low-passes.

    float [n] to float [n]; `tone` in hertz.
    """
    up = resample_poly(samples, _OVERSAMPLING, 1)
    bent = np.tanh(_gain(drive) * up + bias) - np.tanh(bias)
    return _voiced(bent, rate, len(samples), tone)


def distortion(samples: Samples, rate: int, *, drive: float, tone: float) -> Samples:
    """Hard, symmetric clipping at +-1 of the samples times `drive` dB (odd harmonics); `tone` low-passes, in hertz.

    float [n] to float [n].
    """
    up = resample_poly(samples, _OVERSAMPLING, 1)
    return _voiced(np.clip(_gain(drive) * up, -1, 1), rate, len(samples), tone)


def _gain(decibels: float) -> float:
    return float(10 ** (decibels / 20))


def _voiced(bent: Samples, rate: int, count: int, tone: float) -> Samples:
    down = resample_poly(bent, 1, _OVERSAMPLING)[:count]
    without_dc = sosfilt(butter(1, _DC_CUT / (rate / 2), "highpass", output="sos"), down)
    return np.asarray(sosfilt(butter(1, min(tone / (rate / 2), 0.95), output="sos"), without_dc))
