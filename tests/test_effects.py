"""Effects: each does what its name says, measured from outside; loudness doesn't tell the class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helmholtz.effects import echo, equaliser, modulation, nonlinear, reverb
from helmholtz.effects.registry import EFFECTS, uniform
from helmholtz.effects.rendering import FRAMES, RATE, render
from helmholtz.effects.samples import delayed
from helmholtz.errors import BadRecord
from helmholtz.sources.plucked_strings import pluck
from helmholtz.sources.rendered import CLASSES

TIME = np.arange(FRAMES) / RATE


def tone(frequency: float) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * TIME)


def impulse() -> np.ndarray:
    return np.eye(1, FRAMES, 0)[0]


def level_at(samples: np.ndarray, frequency: float) -> float:
    """Amplitude of a component, by its correlation with a windowed complex exponential."""
    window = np.hanning(len(samples))
    return float(2 * abs(np.sum(samples * window * np.exp(-2j * np.pi * frequency * TIME))) / window.sum())


def envelope(samples: np.ndarray, frames: int = 441) -> np.ndarray:
    return np.sqrt(np.mean(samples[: len(samples) // frames * frames].reshape(-1, frames) ** 2, axis=1))


def strongest_frequency(series: np.ndarray, rate: float) -> float:
    spectrum = np.abs(np.fft.rfft((series - series.mean()) * np.hanning(len(series)), 1 << 17))
    return float(np.argmax(spectrum) * rate / (1 << 17))


def note(number: int) -> np.ndarray:
    decay, position, brightness = (uniform(number, name) for name in ("decay", "position", "brightness"))
    return pluck(
        82.4 * 2 ** (uniform(number, "pitch") * 3), 0.6 + 3 * decay, 0.1 + 0.4 * position, 0.2 + 0.7 * brightness, number
    )


def test_the_classes_are_idmts_twelve():
    assert tuple(EFFECTS) == CLASSES
    assert len(CLASSES) == 12


@pytest.mark.parametrize("frequency", [3.0, 6.0, 9.0])
def test_tremolo_swings_at_its_rate(frequency):
    wet = modulation.tremolo(tone(1000), RATE, frequency=frequency, depth=0.8, phase=0.3)
    swing = envelope(wet)
    assert strongest_frequency(swing, 100) == pytest.approx(frequency, abs=0.15)
    assert swing.min() / swing.max() == pytest.approx(0.2, abs=0.03)


def test_vibrato_swings_the_pitch_and_leaves_the_level():
    wet = modulation.vibrato(tone(440), RATE, frequency=5.0, depth=0.001, phase=0.0)
    inner = envelope(wet)[5:-5]
    assert inner.max() / inner.min() < 1.05
    moved = np.sin(2 * np.pi * 440 * (TIME - 0.001 * np.sin(2 * np.pi * 5 * TIME)))
    assert np.allclose(wet[100:-100], moved[100:-100], atol=1e-3)
    crossings = np.flatnonzero((wet[:-1] < 0) & (wet[1:] >= 0))
    exact = crossings - wet[crossings] / (wet[crossings + 1] - wet[crossings])
    pitch = RATE / np.diff(exact)
    inner = pitch[20:-20]
    assert inner.max() == pytest.approx(440 * (1 + 2 * np.pi * 5 * 0.001), rel=0.003)
    assert np.median(inner) == pytest.approx(440, rel=0.005)
    assert strongest_frequency(inner, 440) == pytest.approx(5.0, abs=0.2)


def test_slapback_is_one_echo():
    wet = echo.slapback_delay(impulse(), RATE, delay=0.1, level=0.6)
    assert np.flatnonzero(np.abs(wet) > 1e-6).tolist() == [0, 4410]
    assert wet[4410] == pytest.approx(0.6)


def test_feedback_delay_is_a_row_of_decaying_echoes():
    wet = echo.feedback_delay(impulse(), RATE, delay=0.25, level=0.5, feedback=0.4)
    places = np.flatnonzero(wet)
    assert places.tolist() == [11025 * n for n in range(8)]
    assert wet[places] == pytest.approx([1, *(0.5 * 0.4**n for n in range(7))])


def test_chorus_is_two_late_copies_that_move():
    still = modulation.chorus(impulse(), RATE, frequency=1.0, depth=0.0, delay=1000 / RATE, mix=0.5, phase=0.0)
    assert np.flatnonzero(np.abs(still) > 1e-6).tolist() == [0, 1000, 1300]
    wet = modulation.chorus(tone(440), RATE, frequency=1.0, depth=0.002, delay=0.02, mix=0.5, phase=0.0)
    assert envelope(wet)[10:-10].min() < 0.7 * envelope(wet)[10:-10].max()  # beats
    assert strongest_frequency(wet, RATE) == pytest.approx(440, abs=10)


def test_flanger_is_the_recursion_it_stands_for():
    """With the delay standing still: y[n] = x[n] + v[n], v[n] = x[n-d] + feedback v[n-d]."""
    from scipy.signal import lfilter

    dry = np.random.default_rng(0).normal(size=FRAMES)
    wet = modulation.flanger(dry, RATE, frequency=0.0, depth=2 * (20 / RATE - 0.0005), feedback=0.4, phase=0.0)
    comb = lfilter(np.eye(1, 21, 20)[0], np.concatenate([[1], np.zeros(19), [-0.4]]), dry)
    assert np.max(np.abs(wet - dry - comb)) < 0.4**8 * 6
    assert np.std(wet - dry - comb) < 0.4**8 * 1.2


def test_flanger_notches_move():
    rng = np.random.default_rng(1)
    wet = modulation.flanger(rng.normal(size=FRAMES), RATE, frequency=0.5, depth=0.004, feedback=0.0, phase=-0.25)
    for start, delay in ((0, 0.0005), (RATE, 0.0045)):  # where the sweep turns
        part = np.fft.rfft(wet[start : start + 2048])
        lag = np.argmax(np.fft.irfft(np.abs(part) ** 2)[10:400]) + 10
        assert lag == pytest.approx(delay * RATE, abs=3)


def test_phaser_makes_two_notches_and_passes_energy():
    wet = modulation.phaser(impulse(), RATE, frequency=0.0, lowest=1000.0, octaves=0.0, phase=0.0)
    response = np.abs(np.fft.rfft(wet))
    dips = np.flatnonzero((response[1:-1] < response[:-2]) & (response[1:-1] < response[2:]) & (response[1:-1] < 0.05)) + 1
    # Four all-pass sections turn by pi and 3 pi where each turns by a quarter, at tan(pi f/rate) = tan(pi f0/rate) tan(pi/8).
    expected = [np.arctan(np.tan(np.pi * 1000 / RATE) * np.tan(angle)) / np.pi * FRAMES for angle in (np.pi / 8, 3 * np.pi / 8)]
    assert dips == pytest.approx(expected, rel=0.01)
    assert response[0] == pytest.approx(2, abs=0.01)


def test_phaser_sweeps():
    rng = np.random.default_rng(2)
    wet = modulation.phaser(rng.normal(size=FRAMES), RATE, frequency=0.5, lowest=200.0, octaves=4.0, phase=-0.25)
    low, high = (np.abs(np.fft.rfft(wet[a : a + 4096])) for a in (0, RATE))
    bins = np.fft.rfftfreq(4096, 1 / RATE)
    around = (bins > 1000) & (bins < 1600)  # lower notch of the raised sweep: 3200 tan(pi/8) = 1325 Hz
    assert high[around].mean() < 0.7 * low[around].mean()


def test_overdrive_and_distortion_add_harmonics():
    dry = 0.9 * tone(441)
    soft = nonlinear.overdrive(dry, RATE, drive=12.0, bias=0.3, tone=8000.0)
    hard = nonlinear.distortion(dry, RATE, drive=30.0, tone=8000.0)
    for wet in (soft, hard):
        assert level_at(wet, 3 * 441) > 0.1 * level_at(wet, 441)
        assert abs(wet.mean()) < 0.01
    assert level_at(hard, 2 * 441) < 1e-3 * level_at(hard, 441)  # symmetric: odd harmonics alone
    assert level_at(soft, 2 * 441) > 0.02 * level_at(soft, 441)
    assert level_at(hard, 7 * 441) / level_at(hard, 441) > level_at(soft, 7 * 441) / level_at(soft, 441)


def test_distortion_aliases_little():
    """Of a tone at 5 kHz no harmonic but the 3rd lies below 22.05 kHz; the 5th, at 25 kHz, would fold to 19.1 kHz."""
    wet = nonlinear.distortion(tone(5000), RATE, drive=30.0, tone=20_000.0)
    assert level_at(wet, RATE - 25_000) < 0.01 * level_at(wet, 5000)


def test_equaliser_gains_are_as_set_and_linear():
    setting = {"bass": 9.0, "middle": -6.0, "treble": 4.0, "centre": 800.0}
    response = np.fft.rfft(equaliser.equaliser(impulse(), RATE, **setting))
    in_db = 20 * np.log10(np.abs(response))
    assert in_db[0] == pytest.approx(9, abs=0.1)
    assert in_db[2 * 20_000] == pytest.approx(4, abs=0.3)
    flat = {"bass": 0.0, "treble": 0.0, "centre": 800.0}
    alone = np.fft.rfft(equaliser.equaliser(impulse(), RATE, middle=-6.0, **flat))
    assert 20 * np.log10(abs(alone[1600])) == pytest.approx(-6, abs=0.05)
    one, two = np.random.default_rng(3).normal(size=(2, FRAMES))
    both = equaliser.equaliser(2 * one - two, RATE, **setting)
    apart = 2 * equaliser.equaliser(one, RATE, **setting) - equaliser.equaliser(two, RATE, **setting)
    assert np.allclose(both, apart)
    assert np.allclose(equaliser.equaliser(one, RATE, middle=0.0, **flat), one)


def test_reverb_decays_by_60_db_in_its_time():
    wet = reverb.reverb(impulse(), RATE, decay=1.0, predelay=0.0, damping=20_000.0, mix=0.999, room=0.5)
    remaining = np.cumsum(wet[1:][::-1] ** 2)[::-1]
    in_db = 10 * np.log10(remaining / remaining[0])
    t5, t25 = (int(np.argmax(in_db < level)) / RATE for level in (-5, -25))
    assert 3 * (t25 - t5) == pytest.approx(1.0, abs=0.1)  # T20 of ISO 3382


def test_reverb_keeps_the_first_sound_in_place():
    wet = reverb.reverb(impulse(), RATE, decay=1.0, predelay=0.02, damping=4000.0, mix=0.4, room=0.1)
    assert wet[0] == pytest.approx(np.sqrt(0.6))
    assert np.all(np.abs(wet[1 : int(0.02 * RATE)]) < 1e-9)
    assert np.sum(wet[1:] ** 2) == pytest.approx(0.4, rel=0.05)
    assert not np.allclose(wet, reverb.reverb(impulse(), RATE, decay=1.0, predelay=0.02, damping=4000.0, mix=0.4, room=0.2))


@given(st.floats(-20, 20))
@settings(max_examples=25, deadline=None)
def test_reading_between_samples(delay):
    wave = np.sin(2 * np.pi * 1000 * (TIME[:2000] - delay / RATE))
    read = delayed(tone(1000)[:2000], delay)
    assert np.allclose(read[30:-30], wave[30:-30], atol=2e-3)


def test_reading_far_outside_is_silence():
    assert not delayed(np.ones(100), 1e6).any()
    assert not delayed(np.ones(100), -1e6).any()
    assert np.array_equal(delayed(np.arange(10.0), 3), [0, 0, 0, 0, 1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize("class_name", CLASSES)
def test_clips_are_whole_and_repeatable(class_name):
    dry = note(1)
    clip = render(dry, class_name, 7, "a")
    assert clip.dtype == np.int16
    assert clip.shape == (88_200,)
    assert np.array_equal(clip, render(dry, class_name, 7, "a"))
    assert np.array_equal(clip, render(0.01 * dry, class_name, 7, "a"))  # how loud the note was recorded doesn't matter
    assert class_name == "NoFX" or not np.array_equal(
        clip / np.std(clip), render(dry, class_name, 8, "a") / np.std(render(dry, class_name, 8, "a"))
    )


def test_nofx_is_the_note_itself():
    dry = note(2)
    clip = render(dry, "NoFX", 0, "a").astype(float)
    scale = np.dot(clip, dry) / np.dot(dry, dry)
    assert np.max(np.abs(clip - scale * dry)) <= 0.52  # rounding; the scale is fitted


def test_parameters_lie_in_their_ranges_and_depend_on_everything():
    for name, effect in EFFECTS.items():
        for number in range(50):
            drawn = effect.draw(number, "a", name)
            assert all(low <= drawn[key] <= high for key, (low, high) in effect.ranges.items())
    draw = EFFECTS["Tremolo"].draw
    assert len({draw(*x)["depth"] for x in ((0, "a", "x"), (1, "a", "x"), (0, "b", "x"), (0, "a", "y"))}) == 4


def test_draws_are_the_same_for_ever():
    """Digests stand for clips: this number may only change together with rendering.VERSION."""
    assert uniform(0, "note", "Chorus", "depth") == 0.21245762783597433


def test_all_classes_start_together():
    """The note's attack is found within 1 ms at the same place in all classes, so that lateness doesn't tell the class."""
    dry = np.concatenate([np.zeros(4410), note(3)[: FRAMES - 4410]])
    for class_name in CLASSES:
        clip = np.abs(render(dry, class_name, 0, "a").astype(float))
        onset = np.argmax(clip > 0.05 * clip.max())
        assert abs(onset - 4410) < 0.0025 * RATE, class_name  # vibrato: up to 1.5 ms, by nature


def test_loudness_does_not_tell_the_class():
    """A forest that sees RMS or peak alone is near chance (1/12) on notes it hasn't seen."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GroupKFold, cross_val_score

    notes = [note(number) for number in range(30)]
    clips = [render(dry, name, 0, f"{number}") / 32767 for name in CLASSES for number, dry in enumerate(notes)]
    rms = np.array([[np.sqrt(np.mean(clip**2))] for clip in clips])
    peak = np.array([[np.max(np.abs(clip))] for clip in clips])
    labels, numbers = np.repeat(np.arange(12), 30), np.tile(np.arange(30), 12)
    assert np.max(peak) < 1
    by_note = rms.reshape(12, 30)
    assert np.all(np.ptp(by_note, axis=0) < 0.002 * by_note.min(axis=0))
    forest = RandomForestClassifier(50, min_samples_leaf=5, random_state=0)
    assert cross_val_score(forest, rms, labels, groups=numbers, cv=GroupKFold(4)).mean() < 0.14
    assert cross_val_score(forest, peak, labels, groups=numbers, cv=GroupKFold(4)).mean() < 0.25


@pytest.mark.parametrize(
    ("dry", "reason"),
    [
        (np.zeros(0), "shorter than 50 ms"),
        (np.ones(441), "shorter than 50 ms"),  # 10 ms
        (np.ones((2, 44_100)), "shorter than 50 ms"),
        (np.zeros(44_100), "silent"),
        (np.full(44_100, 5e-5), "silent"),
        (np.full(44_100, np.nan), "not finite"),
        (np.append(np.ones(44_100), np.inf), "not finite"),
    ],
)
def test_what_is_no_note_is_set_aside(dry, reason):
    for class_name in ("NoFX", "Reverb"):
        with pytest.raises(BadRecord, match=reason):
            render(dry, class_name, 0, "a")


@pytest.mark.parametrize("frames", [2205, 88_199, 88_200, 88_201, 200_000])
def test_any_length_becomes_two_seconds(frames):
    dry = np.random.default_rng(frames).normal(size=frames)
    clip = render(dry, "NoFX", 0, "a")
    assert clip.shape == (88_200,)
    assert not clip[frames:].any()
    assert np.abs(clip).max() < 32767
