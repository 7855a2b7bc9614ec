"""Synthesised strings: in tune, decaying, all different; the set is balanced and its notes stay on one side."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter, defaultdict

import numpy as np
import pytest

from helmholtz.errors import BadRecord, ExperimentError, SourceError
from helmholtz.sources.plucked_strings import PluckedStrings, pluck
from helmholtz.sources.rendered import CLASSES

from .test_guitar_effects import split


@pytest.mark.parametrize("frequency", [82.407, 146.83, 329.63, 659.26])
def test_strings_are_in_tune(frequency):
    """The fundamental lies within 3 cents, by the phase between two halves of the note."""
    string = pluck(frequency, decay=8.0, position=0.23, brightness=0.6, noise=5)
    spectrum = np.abs(np.fft.rfft(string * np.hanning(len(string)), 1 << 20))
    around = slice(int(frequency * 0.94 * (1 << 20) / 44_100), int(frequency * 1.06 * (1 << 20) / 44_100))
    found = (np.argmax(spectrum[around]) + around.start) * 44_100 / (1 << 20)
    assert abs(1200 * np.log2(found / frequency)) < 3


def test_strings_die_away_in_their_time_and_treble_first():
    string = pluck(110.0, decay=1.0, position=0.5, brightness=0.9, noise=1)
    assert np.max(np.abs(string)) == 1
    start, later = (np.abs(np.fft.rfft(string[a : a + 8820] * np.hanning(8820))) for a in (4410, 4410 + 22_050))
    low, high = 110 // 5, 1650 // 5  # bins of 5 Hz: fundamental, 15th harmonic
    assert 20 * np.log10(start[low] / later[low]) == pytest.approx(30, abs=4)
    assert start[high] / later[high] > 1.2 * start[low] / later[low]


def test_harmonics_with_a_node_at_the_plucking_point_are_missing():
    string = pluck(110.25, decay=3.0, position=0.25, brightness=0.9, noise=1)
    spectrum = np.abs(np.fft.rfft(string * np.hanning(len(string))))
    harmonic = [spectrum[int(2 * n * 110.25) - 4 : int(2 * n * 110.25) + 6].max() for n in range(1, 8)]
    assert harmonic[3] < 0.1 * np.median(harmonic)


def test_the_set_is_balanced_and_its_keys_are_unique():
    source = PluckedStrings.open()
    records = list(source.records())
    assert source.classes == CLASSES
    assert Counter(r.label for r in records) == dict.fromkeys(range(12), 60)
    assert len({r.key for r in records}) == len({r.digest for r in records}) == 720
    assert records == list(pickle.loads(pickle.dumps(source)).records())  # noqa: S301  # our own object


def test_no_note_on_two_sides():
    records = list(PluckedStrings.open(notes=12).records())
    for seed in range(20):
        sides = defaultdict(set)
        for record, side in zip(records, split(records, seed), strict=True):
            sides[record.key.partition("#")[0]].add(side)
        assert all(len(side) == 1 for side in sides.values())
        assert set.union(*sides.values()) == {0, 1, 2}


def test_clips_are_those_of_any_other_process():
    script = (
        "from helmholtz.sources.plucked_strings import PluckedStrings as P; import hashlib; s = P.open(seed=3);"
        "print(hashlib.sha256(s.load('note-0007#Reverb').tobytes()).hexdigest(), next(s.records()).digest, sep=chr(10))"
    )
    there = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.splitlines()
    import hashlib

    source = PluckedStrings.open(seed=3)
    assert there[0] == hashlib.sha256(source.load("note-0007#Reverb").tobytes()).hexdigest()
    assert there[1] == next(source.records()).digest


def test_digests_are_the_same_for_ever():
    """Of this exact record, on any machine: it may only change with a version of the strings or of the renderer."""
    assert next(PluckedStrings.open().records()).digest == "note-0000 of plucked strings 1#6d4fa71f96c12a36"


def test_notes_and_seeds_differ():
    source = PluckedStrings.open()
    clips = [source.load(f"note-{n:04d}#NoFX").tobytes() for n in range(10)]
    assert len(set(clips)) == 10
    other = PluckedStrings.open(seed=1)
    assert other.load("note-0000#NoFX").tobytes() not in clips
    assert not {r.digest for r in source.records()} & {r.digest for r in other.records()}


def test_a_larger_set_contains_a_smaller_one():
    small, large = (list(PluckedStrings.open(notes=n).records()) for n in (5, 8))
    assert large[: len(small)] == small


@pytest.mark.parametrize("notes", [-1, 0, 2, 10_001])
def test_numbers_of_notes_out_of_range(notes):
    with pytest.raises(ExperimentError, match=r"use 3 .* to 10000"):
        PluckedStrings.open(notes=notes)


@pytest.mark.parametrize("key", ["", "note-0000", "note-0005#NoFX", "note-00000#NoFX", "note-0000#Fuzz", "note-\u0660000#NoFX"])
def test_keys_that_are_none(key):
    with pytest.raises(BadRecord, match="not a key"):
        PluckedStrings.open(notes=5).load(key)


def test_unknown_classes():
    with pytest.raises(SourceError, match="no class 'Wah'"):
        PluckedStrings.open(classes=("Wah", "EQ"))


def test_opening_imports_neither_scipy_nor_numpys_helpers():
    script = (
        "import sys; import helmholtz.sources.plucked_strings as p; p.PluckedStrings.open(); assert 'scipy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
