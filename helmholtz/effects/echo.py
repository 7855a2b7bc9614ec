"""Echoes: one (slapback) or a decaying row of them (feedback delay). Zölzer (ed.), DAFX, 2nd edition, section 2.6."""

from __future__ import annotations

import numpy as np

from helmholtz.effects.samples import Samples, delayed


def slapback_delay(samples: Samples, rate: int, *, delay: float, level: float) -> Samples:
    """The original and one copy, `delay` seconds later, times `level`."""
    return samples + level * delayed(samples, round(delay * rate))


def feedback_delay(samples: Samples, rate: int, *, delay: float, level: float, feedback: float) -> Samples:
    """The original and copies `delay` seconds apart: the first times `level`, each next `feedback` (0..1) times the last."""
    step = round(delay * rate)
    out = samples.copy()
    gain = level
    for start in range(step, len(samples), step):
        out[start:] += gain * samples[: len(samples) - start]
        gain *= feedback
    return np.asarray(out)
