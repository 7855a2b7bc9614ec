"""Log-mel features against librosa, which computes them with code of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import SHARED

pytestmark = pytest.mark.tensorflow
RATE = 44_100
TIME = np.arange(2 * RATE) / RATE


@pytest.fixture(scope="module")
def features() -> Any:
    return pytest.importorskip("helmholtz.training.features")


def clips() -> np.ndarray:
    """White noise, a decaying harmonic tone, a chirp, a click, a quiet tone: float32 [5, 88200]."""
    random = np.random.default_rng(3)
    pluck = sum(np.sin(2 * np.pi * 196 * k * TIME) / k for k in range(1, 20)) * np.exp(-2 * TIME) * 0.3
    click = np.zeros_like(TIME)
    click[30_000] = 0.9
    chirp = np.sin(2 * np.pi * (50 * TIME + 4000 * TIME**2)) * 0.5
    return np.stack([random.normal(size=TIME.size) * 0.1, pluck, chirp, click, chirp * 1e-3]).astype(np.float32)


def fitted(wave: np.ndarray) -> np.ndarray:
    return np.pad(wave[: TIME.size], (0, max(0, TIME.size - len(wave))))


def mel_by_librosa(waves: np.ndarray) -> np.ndarray:
    librosa = pytest.importorskip("librosa")
    power: np.ndarray = librosa.feature.melspectrogram(
        y=waves, sr=RATE, n_fft=2048, hop_length=512, n_mels=96, power=2, htk=True, norm=None, pad_mode="constant"
    )
    return power


def check_against_librosa(features: Any, waves: np.ndarray) -> None:
    """The tolerance that the module states."""
    librosa = pytest.importorskip("librosa")
    power = mel_by_librosa(waves)
    ours = features.log_mel(waves).numpy()
    theirs = np.stack([librosa.power_to_db(clip, ref=1.0, amin=1e-10, top_db=80.0) for clip in power])
    assert ours.shape == theirs.shape == (len(waves), 96, 173)
    assert np.abs(ours - theirs).max() < 0.1


def test_agrees_with_librosa(features: Any) -> None:
    check_against_librosa(features, clips())


def test_agrees_with_librosa_on_pure_tones(features: Any) -> None:
    tones = [np.sin(2 * np.pi * frequency * TIME) * 0.5 for frequency in (82.4, 440.0, 1000.0, 5000.0, 15_000.0)]
    check_against_librosa(features, np.stack(tones).astype(np.float32))


def test_agrees_with_librosa_on_real_notes(features: Any) -> None:
    soundfile = pytest.importorskip("soundfile")
    files: list[Path] = sorted((SHARED / "guitar-notes").glob("*.flac"))[::90]
    if not files:
        pytest.skip("the guitar notes aren't beside this checkout")
    check_against_librosa(features, np.stack([fitted(soundfile.read(file, dtype="float32")[0]) for file in files]))


def test_mel_filters_differ_as_stated(features: Any) -> None:
    librosa = pytest.importorskip("librosa")
    import tensorflow as tf

    ours = tf.signal.linear_to_mel_weight_matrix(96, 1025, RATE, 0.0, RATE / 2).numpy()
    theirs = librosa.filters.mel(sr=RATE, n_fft=2048, n_mels=96, htk=True, norm=None).T
    assert np.abs(ours - theirs).max() < 0.0046


def test_a_tone_stands_in_its_band(features: Any) -> None:
    """HTK's scale, 2595 log10(1 + f / 700), cut into 97 equal parts: band i peaks at part i + 1."""
    for frequency in (220.0, 1000.0, 5000.0, 15_000.0):
        tone = np.sin(2 * np.pi * frequency * TIME).astype(np.float32)[None]
        band = int(features.log_mel(tone).numpy()[0, :, 80].argmax())
        part = np.log10(1 + frequency / 700) / np.log10(1 + RATE / 2 / 700) * 97 - 1
        assert abs(band - part) <= 0.5 + 1e-6


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_reference_is_full_scale(features: Any, scale: float) -> None:
    """A sine of amplitude a on a bin has |X|^2 = (a * sum(window) / 2)^2 = (512 a)^2: 54.2 dB at full scale."""
    bin_frequency = 465 * RATE / 2048  # ~10 kHz, where a filter is many bins wide
    tone = (scale * np.sin(2 * np.pi * bin_frequency * TIME)).astype(np.float32)[None]
    peak = features.log_mel(tone).numpy()[0, :, 80].max()
    expected = 20 * np.log10(512 * scale)
    # The Hann window spreads it to three bins (1.5 times the power), and the filter weighs them at 0.5 to 1.
    assert expected - 2 < peak < expected + 1.8


def test_silence_is_the_floor_and_doesnt_touch_its_neighbours(features: Any) -> None:
    waves = clips()[:3]
    waves[1] = 0
    together = features.log_mel(waves).numpy()
    assert (together[1] == -100).all()
    np.testing.assert_allclose(together[0], features.log_mel(waves[:1]).numpy()[0], atol=1e-3)
    np.testing.assert_allclose(together[2], features.log_mel(waves[2:]).numpy()[0], atol=1e-3)


def test_range_is_80_db_of_each_clip(features: Any) -> None:
    decibels = features.log_mel(clips()).numpy()
    ranges = decibels.max(axis=(1, 2)) - decibels.min(axis=(1, 2))
    assert (ranges <= 80.001).all()
    assert ranges[4] == pytest.approx(80, abs=0.01)  # the quiet one too: the cut is relative
    assert decibels.max(axis=(1, 2))[2] - decibels.max(axis=(1, 2))[4] == pytest.approx(60, abs=0.01)


@pytest.mark.parametrize("frames", [1, 441, 512, 44_100, 88_200])
@pytest.mark.parametrize("count", [1, 3])
def test_shapes(features: Any, frames: int, count: int) -> None:
    result = features.log_mel(np.zeros((count, frames), np.float32))
    assert result.shape == (count, 96, features.spectrogram_frames(frames))
    assert result.dtype.name == "float32"


def test_no_clips(features: Any) -> None:
    for frames in (88_200, 44_100, 22_050):  # so that it is traced for any length, too
        assert features.log_mel(np.zeros((1, frames), np.float32)).shape == (1, 96, 1 + frames // 512)
        assert features.log_mel(np.zeros((0, frames), np.float32)).shape == (0, 96, 1 + frames // 512)


def test_works_inside_a_graph(features: Any) -> None:
    import tensorflow as tf

    waves = clips()
    dataset = tf.data.Dataset.from_tensor_slices(waves).batch(2).map(features.log_mel)
    together = np.concatenate([batch.numpy() for batch in dataset])
    np.testing.assert_allclose(together, features.log_mel(waves).numpy(), atol=0.01)
