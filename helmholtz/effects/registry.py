"""The twelve classes of IDMT-SMT-Audio-Effects: which effect each is, and within which ranges its parameters are drawn.

The ranges are ours, those usual for guitar. IDMT's own plug-in settings stand in the set's PDF and XML lists, of which only its
"standard tremolo" could be read (sine, 6 Hz, level 100%: list G73-00000-3341-568, kept in mirdata's tests); ours include it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from helmholtz.effects.samples import Samples


@dataclass(frozen=True, slots=True)
class Effect:
    """A function of (samples, rate, **parameters), and the range of each parameter.

    Ranges are drawn from evenly in the logarithm where they span positive numbers more than four times apart, else evenly.
    """

    apply: Callable[..., Samples]
    ranges: Mapping[str, tuple[float, float]]

    def draw(self, seed: int, key: str, class_name: str) -> dict[str, float]:
        """One value a parameter, the same on every machine: from a hash of all three arguments and the parameter's name."""
        return {name: _within(uniform(seed, key, class_name, name), *ends) for name, ends in self.ranges.items()}


def uniform(seed: int, *names: str) -> float:
    """A number in 0..1 (1 left out), from BLAKE2b of the arguments; unlike a generator's, it stays the same over versions."""
    text = "\0".join((str(seed), *names))
    return (int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 11) * 2.0**-53


def _within(share: float, low: float, high: float) -> float:
    if low > 0 and high / low > 4:
        return low * math.exp(share * math.log(high / low))
    return low + share * (high - low)


def _effects() -> dict[str, Effect]:
    from helmholtz.effects import echo, equaliser, modulation, nonlinear, reverb

    turn = (0.0, 1.0)
    return {
        "Chorus": Effect(
            modulation.chorus,
            {"frequency": (0.4, 1.5), "depth": (0.001, 0.003), "delay": (0.012, 0.025), "mix": (0.45, 0.6), "phase": turn},
        ),
        "Distortion": Effect(nonlinear.distortion, {"drive": (26, 40), "tone": (3000, 8000)}),
        "EQ": Effect(equaliser.equaliser, {"bass": (-12, 12), "middle": (-12, 12), "treble": (-12, 12), "centre": (400, 1500)}),
        "FeedbackDelay": Effect(echo.feedback_delay, {"delay": (0.15, 0.4), "level": (0.4, 0.7), "feedback": (0.4, 0.65)}),
        "Flanger": Effect(
            modulation.flanger, {"frequency": (0.3, 1.2), "depth": (0.001, 0.005), "feedback": (0.3, 0.6), "phase": turn}
        ),
        "NoFX": Effect(lambda samples, _: samples, {}),
        "Overdrive": Effect(nonlinear.overdrive, {"drive": (10, 22), "bias": (0.1, 0.4), "tone": (3000, 8000)}),
        "Phaser": Effect(
            modulation.phaser, {"frequency": (0.3, 1.5), "lowest": (200, 400), "octaves": (2.0, 3.5), "phase": turn}
        ),
        "Reverb": Effect(
            reverb.reverb,
            {"decay": (0.6, 2.5), "predelay": (0.0, 0.02), "damping": (2000, 6000), "mix": (0.2, 0.5), "room": (0.0, 1.0)},
        ),
        "SlapbackDelay": Effect(echo.slapback_delay, {"delay": (0.05, 0.12), "level": (0.4, 0.8)}),
        "Tremolo": Effect(modulation.tremolo, {"frequency": (3.0, 9.0), "depth": (0.6, 1.0), "phase": turn}),
        "Vibrato": Effect(modulation.vibrato, {"frequency": (3.5, 7.5), "depth": (0.0004, 0.0015), "phase": turn}),
    }


EFFECTS: Mapping[str, Effect] = MappingProxyType(_effects())
