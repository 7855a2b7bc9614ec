"""Reverberation by convolution with a synthetic room: exponentially decaying noise, whose treble decays faster.

After Moorer, About this reverberation business, Computer Music Journal 3(2), 1979.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, fftconvolve, sosfilt

from helmholtz.effects.samples import Samples

_DECAY_60_DB = np.log(1000.0)  # nepers


def reverb(samples: Samples, rate: int, *, decay: float, predelay: float, damping: float, mix: float, room: float) -> Samples:
    """Mono samples, float [n], in a room.

    `decay` is the time in seconds to fall by 60 dB, `predelay` seconds pass before the first reflection, frequencies above
    `damping` hertz decay in half the time, `mix` (0..1) is the room's share of the energy of its impulse response, and `room`
    (0..1) picks the pattern of reflections.
    """
    response = np.concatenate([np.zeros(round(predelay * rate)), _response(rate, decay, damping, room)])
    wet = fftconvolve(samples, response)[: len(samples)]
    return np.asarray(np.sqrt(1 - mix) * samples + np.sqrt(mix) * wet)


def _response(rate: int, decay: float, damping: float, room: float) -> Samples:
    """The room's impulse response, float [decay * rate], of energy 1."""
    count = max(1, round(decay * rate))
    white = white_noise(count, int(room * 2**32))
    low = sosfilt(butter(1, damping / (rate / 2), output="sos"), white)
    time = np.arange(count) / rate
    response = low * np.exp(-_DECAY_60_DB * time / decay) + (white - low) * np.exp(-2 * _DECAY_60_DB * time / decay)
    return np.asarray(response / np.sqrt(np.sum(response**2)))


def white_noise(count: int, seed: int) -> Samples:
    """Uniform noise in -1..1, float [count], from the raw bits of PCG64.

    NumPy keeps the raw streams of bit generators the same for ever, but not what its distributions make of them (NEP 19).
    """
    bits = np.random.PCG64(seed).random_raw(count)
    return np.asarray((bits >> np.uint64(11)) * 2.0**-52 - 1)
