"""Plucked strings, synthesised and rendered to the twelve effect classes: a labelled audio set that needs no files.

Each note is a string of its own pitch (E2 to E5, as in IDMT's guitar notes), decay, brightness and plucking point, drawn from a
hash of the seed and its number; all its clips form a group. By Karplus and Strong, Digital Synthesis of Plucked-String and Drum
Timbres, Computer Music Journal 7(2), 1983, with the plucking point and tuning of Jaffe and Smith, Extensions of the
Karplus-Strong Plucked-String Algorithm, in the same issue.

Clips are the same on every machine but for the rounding of its mathematical functions, which may move single samples by a step
of 16 bits; digests are those of what a clip is made from, and are the same everywhere.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from helmholtz.errors import BadRecord, ExperimentError
from helmholtz.sources.base import Rejected, SourceRecord
from helmholtz.sources.rendered import CLASSES, clips, parse_key
from helmholtz.sources.selection import select_classes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NOTES = 60
MAX_NOTES = 10_000
LOWEST, HIGHEST = 40, 76  # MIDI: E2, 82.4 Hz, to E5, 659.3 Hz
_VERSION = 1  # of the strings; the effects have their own


@dataclass(frozen=True, slots=True)
class PluckedStrings:
    """The source `plucked-strings`. Keys are ``note-<number>#<class>``, e.g. ``note-0017#Tremolo``."""

    classes: tuple[str, ...]
    notes: int
    seed: int

    @classmethod
    def open(cls, classes: Sequence[str] | None = None, notes: int = NOTES, seed: int = 0) -> Self:
        """Raises SourceError for an unknown class, ExperimentError for a number of notes outside 3..10000."""
        if not 3 <= notes <= MAX_NOTES:
            raise ExperimentError(f"plucked-strings: {notes} notes asked for; use 3 (one a split) to {MAX_NOTES}")
        return cls(select_classes(CLASSES, classes, "plucked-strings"), notes, seed)

    @property
    def description(self) -> str:
        return f"{self.notes} plucked strings by Karplus-Strong, each in {len(self.classes)} effect classes (seed {self.seed})"

    def records(self) -> Iterator[SourceRecord | Rejected]:
        for number in range(self.notes):
            name = f"note-{number:04d}"
            yield from clips(name, f"{name} of plucked strings {_VERSION}", name, self.classes, self.seed)

    def load(self, key: str, digest: str | None = None) -> NDArray[np.int16]:  # noqa: ARG002  # made anew, it can't change
        """int16 [88200], mono, 44,100 Hz."""
        from helmholtz.effects.rendering import render

        note, name = parse_key(key, self.classes)
        match = re.fullmatch(r"note-([0-9]{4})", note)
        if match is None or int(match[1]) >= self.notes:
            raise BadRecord("not a key of this source")
        return render(_string(self.seed, note), name, self.seed, note)


@functools.lru_cache(maxsize=16)
def _string(seed: int, note: str) -> NDArray[np.float64]:
    from helmholtz.effects.registry import uniform

    def drawn(name: str, low: float, high: float) -> float:
        return low + (high - low) * uniform(seed, note, name)

    pitch = LOWEST + int(drawn("pitch", 0, HIGHEST - LOWEST + 1))
    return pluck(
        frequency=440 * 2 ** ((pitch - 69) / 12),
        decay=drawn("decay", 0.6, 4.0),
        position=drawn("position", 0.08, 0.5),
        brightness=drawn("brightness", 0.2, 0.9),
        noise=int(drawn("noise", 0, 2**32)),
    )


def pluck(frequency: float, decay: float, position: float, brightness: float, noise: int) -> NDArray[np.float64]:
    """Two seconds of a plucked string, float64 [88200] of peak 1, at 44,100 Hz.

    `frequency` in hertz; `decay` is the time in seconds in which the fundamental falls by about 60 dB; `position` of the pluck
    as a share of the string (harmonics with a node there are missing); `brightness` of the pluck is 0..1; `noise` seeds it.
    """
    import numpy as np
    from scipy.signal import lfilter

    from helmholtz.effects.rendering import FRAMES, RATE
    from helmholtz.effects.reverb import white_noise

    period = RATE / frequency
    damping = 0.1  # of the loop's two-point mean: treble dies first
    whole = int(period - damping)
    fraction = period - damping - whole
    burst = np.zeros(FRAMES)
    burst[:whole] = lfilter([brightness], [1, brightness - 1], white_noise(whole, noise))
    burst[:whole] -= burst[:whole].mean()  # the loop would keep a direct current for ever
    pick = max(1, round(position * whole))
    burst[pick:] -= burst[:-pick].copy()

    loop = 10 ** (-3 * period / (decay * RATE)) * np.convolve([1 - damping, damping], [1 - fraction, fraction])
    feedback = np.zeros(whole + 3)
    feedback[0] = 1.0
    feedback[whole : whole + 3] -= loop
    string = lfilter([1.0], feedback, burst)
    return np.asarray(string / np.max(np.abs(string)))
