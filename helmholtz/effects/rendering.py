"""A dry note, rendered to a clip of one class.

Loudness must not tell the class: all clips of one note have the same RMS over their two seconds (of a shorter part, as
`mp3.seconds` may take, effects that swell or die away differ by about a decibel). It is that of the dry note at a peak of -6
to -24 dBFS, drawn for the note and not for the class; so wide, because effects differ in how far their peaks stand above
their RMS and the peak alone would tell (a random forest names 14% of the clips of unseen real notes by it, where chance is
8%). No clip is ever cut off: one whose peak would still pass full scale is made softer as a whole. All effects answer within
a millisecond or keep the original in place, so no class starts late.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from helmholtz.effects.registry import EFFECTS, uniform
from helmholtz.effects.samples import Samples
from helmholtz.errors import BadRecord

VERSION = 1  # raised with every change of what a clip sounds like, so that digests change too
RATE = 44_100  # hertz
FRAMES = 88_200  # two seconds, as in IDMT-SMT-Audio-Effects
MIN_FRAMES = RATE // 20  # 50 ms; shorter than that is a click, not a note
SILENCE = 1e-4  # peak, -80 dBFS
LOUDEST, SOFTEST = -6.0, -24.0  # dBFS, peak of the dry note behind a clip
FULL_SCALE = 0.98


def render(dry: Samples, class_name: str, seed: int, key: str) -> NDArray[np.int16]:
    """The note `dry`, mono float [n] at 44,100 Hz, as int16 [88200] with the effect `class_name` (of `registry.EFFECTS`).

    Before the effect it is cut to two seconds, or filled up with silence, and set to peak 1, since drive depends on level. The
    parameters depend on nothing but `seed`, `key` (of the note) and the class. Raises BadRecord for what is no note: shorter
    than 50 ms, silent (below -80 dBFS), or not finite.
    """
    effect = EFFECTS[class_name]
    note = _prepared(dry)
    wet = effect.apply(note, RATE, **effect.draw(seed, key, class_name))
    level = 10 ** ((SOFTEST + (LOUDEST - SOFTEST) * uniform(seed, key, "level")) / 20)
    gain = min(level * _rms(note) / _rms(wet), FULL_SCALE / np.max(np.abs(wet)))
    return np.asarray(np.rint(32767 * gain * wet).astype(np.int16))


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def _prepared(dry: Samples) -> Samples:
    if dry.ndim != 1 or len(dry) < MIN_FRAMES:
        raise BadRecord("shorter than 50 ms")
    cut = np.asarray(dry[:FRAMES], dtype=np.float64)
    if not np.all(np.isfinite(cut)):
        raise BadRecord("samples are not finite")
    peak = np.max(np.abs(cut))
    if peak < SILENCE:
        raise BadRecord("silent")
    return np.pad(cut / peak, (0, FRAMES - len(cut)))
