"""Modulation effects: a slow oscillator moves a delay, a filter or the level.

Structures after Zölzer (ed.), DAFX: Digital Audio Effects, 2nd edition, chapter 2, and Dattorro, Effect Design Part 2, Journal
of the AES 45(10), 1997. Every function takes mono samples, float [n], and the sample rate in hertz, and returns float [n].
"""

from __future__ import annotations

import numpy as np
from scipy.signal import sosfilt

from helmholtz.effects.samples import Samples, delayed, oscillator

_SWEEP_STEP = 64  # samples over which the phaser's filters stay the same: 1.5 ms at 44.1 kHz
_FLANGER_ECHOES = 8


def chorus(samples: Samples, rate: int, *, frequency: float, depth: float, delay: float, mix: float, phase: float) -> Samples:
    """Two detuned copies beside the original, `delay` and 1.3 `delay` seconds late, +- `depth` seconds at `frequency` hertz.

    They sweep a third of a turn apart; `mix` (0..1) is their share.
    """
    wet = np.zeros_like(samples)
    for voice in range(2):
        sweep = oscillator(len(samples), rate, frequency, phase + voice / 3)
        wet += delayed(samples, (delay * (1 + 0.3 * voice) + depth * sweep) * rate)
    return np.asarray((1 - mix) * samples + mix * wet / np.sqrt(2))


def flanger(samples: Samples, rate: int, *, frequency: float, depth: float, feedback: float, phase: float) -> Samples:
    """A comb filter whose notches sweep: a copy delayed by up to `depth` seconds, fed back by `feedback` (0..0.7).

    The recursion v = D(x + feedback v), D the moving delay, is written out as its first 8 terms: D x + feedback D D x + ...
    """
    swept = (1.0 + oscillator(len(samples), rate, frequency, phase)) / 2
    delay = (0.0005 + depth * swept) * rate
    wet, echo = np.zeros_like(samples), samples
    for order in range(_FLANGER_ECHOES):
        echo = delayed(echo, delay)
        wet += feedback**order * echo
    return samples + wet


def phaser(samples: Samples, rate: int, *, frequency: float, lowest: float, octaves: float, phase: float) -> Samples:
    """Four first-order all-pass filters in series, added to the original: two notches that sweep.

    Their corner moves from `lowest` hertz up by `octaves` and back, at `frequency` hertz.
    """
    steps = -(-len(samples) // _SWEEP_STEP)
    swept = (1 + oscillator(steps, rate, frequency * _SWEEP_STEP, phase)) / 2
    tangent = np.tan(np.pi * np.minimum(lowest * 2 ** (octaves * swept) / rate, 0.45))
    shifted, state = np.empty_like(samples), np.zeros((4, 2))
    for step, a in enumerate((tangent - 1) / (tangent + 1)):
        block = slice(step * _SWEEP_STEP, (step + 1) * _SWEEP_STEP)
        sections = np.tile([a, 1.0, 0.0, 1.0, a, 0.0], (4, 1))
        shifted[block], state = sosfilt(sections, samples[block], zi=state)
    return samples + shifted


def tremolo(samples: Samples, rate: int, *, frequency: float, depth: float, phase: float) -> Samples:
    """The level swings between 1 and 1 - `depth` (0..1) as a sine, at `frequency` hertz."""
    swing = (1 + oscillator(len(samples), rate, frequency, phase)) / 2
    return samples * (1 - depth * swing)


def vibrato(samples: Samples, rate: int, *, frequency: float, depth: float, phase: float) -> Samples:
    """The pitch swings at `frequency` hertz: read up to `depth` seconds earlier or later, so on average at no delay."""
    return delayed(samples, depth * rate * oscillator(len(samples), rate, frequency, phase))
