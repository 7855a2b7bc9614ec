"""Users' audio files: formats put together by hand or by other programs, and every kind of damage."""

from __future__ import annotations

import tracemalloc
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

soundfile = pytest.importorskip("soundfile")

from helmholtz.audio import decode, fit, resample, to_int16
from helmholtz.codecs.base import Prepared
from helmholtz.codecs.mp3 import Mp3Codec
from helmholtz.errors import BadRecord
from tests.tones import CLIP, RATE, TONE, by_soundfile, reason, tone_error, wav


def test_sixteen_bits_come_through_exactly() -> None:
    samples = np.random.default_rng(1).integers(-32768, 32768, CLIP).astype(np.int16)
    for data in (
        wav(samples.tobytes()),
        by_soundfile(samples, "FLAC"),
        by_soundfile(samples, "AIFF"),
        by_soundfile(samples, "AU"),
    ):
        clip = decode(data, CLIP)
        np.testing.assert_array_equal(clip.samples, samples)
        assert clip.samples.dtype == np.int16
        assert (clip.bitrate, clip.notes) == (None, ())


def test_the_standard_librarys_wav(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "ä ü.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(TONE.tobytes())
    np.testing.assert_array_equal(decode((tmp_path / "ä ü.wav").read_bytes(), CLIP).samples, TONE)


def test_other_depths() -> None:
    eight = (TONE // 256 + 128).astype(np.uint8)
    clip = decode(wav(eight.tobytes(), bits=8), CLIP)
    assert clip.notes == ("8-bit",)
    np.testing.assert_array_equal(clip.samples, (eight.astype(np.int16) - 128) * 256)
    deep = TONE.astype(np.int32) * 256 + 200  # rounds up, to the next 16-bit value
    clip = decode(wav(deep.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes(), bits=24), CLIP)
    assert clip.notes == ("24-bit",)
    np.testing.assert_array_equal(clip.samples, TONE + 1)
    clip = decode(wav((TONE.astype("<i4") * 65536).tobytes(), bits=32), CLIP)
    assert clip.notes == ("32-bit",)
    np.testing.assert_array_equal(clip.samples, TONE)
    for dtype, bits in (("<f4", 32), ("<f8", 64)):
        clip = decode(wav((TONE / 32768).astype(dtype).tobytes(), kind=3, bits=bits), CLIP)
        assert clip.notes == ("float",)
        np.testing.assert_array_equal(clip.samples, TONE)


def test_float_beyond_full_scale_is_clipped_and_told() -> None:
    loud = (TONE / 32768 * 4).astype("<f4")
    clip = decode(wav(loud.tobytes(), kind=3, bits=32), CLIP)
    assert clip.notes == ("float", "clipped")
    assert (clip.samples.min(), clip.samples.max()) == (-32768, 32767)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_float_that_is_no_number(bad: float) -> None:
    content = (TONE / 32768).astype("<f4")
    content[5000] = bad
    assert reason(wav(content.tobytes(), kind=3, bits=32)) == "samples that are not numbers"


def test_channels_are_averaged() -> None:
    other = np.roll(TONE, 1000)
    both = np.stack([TONE, other], axis=1)
    clip = decode(wav(both.tobytes(), channels=2), CLIP)
    assert clip.notes == ("stereo",)
    np.testing.assert_allclose(clip.samples, (TONE.astype(float) + other) / 2, atol=0.5)
    six = np.repeat(TONE[:, None], 6, axis=1)
    clip = decode(wav(six.tobytes(), channels=6), CLIP)
    assert clip.notes == ("6 channels",)
    np.testing.assert_array_equal(clip.samples, TONE)


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 48_000, 96_000, 192_000])
def test_other_sample_rates(rate: int) -> None:
    """The tone, sampled at another rate, is the same tone, at the same place."""
    samples = (np.sin(2 * np.pi * 440 * np.arange(3 * rate) / rate) * 12_000).astype(np.int16)
    clip = decode(wav(samples.tobytes(), rate=rate), CLIP)
    assert clip.notes == ("resampled", "cropped")
    assert tone_error(clip, 2000, CLIP) < 1e-5  # up to its last sample: what follows in the file is known
    exact = decode(wav(samples[: 2 * rate].tobytes(), rate=rate), CLIP)
    assert exact.notes == ("resampled",)
    assert tone_error(exact) < 1e-5


def test_stereo_24_bit_at_96_khz() -> None:
    samples = np.sin(2 * np.pi * 440 * np.arange(2 * 96_000) / 96_000) * 12_000 / 32768
    clip = decode(by_soundfile(np.stack([samples, samples], axis=1), "FLAC", "PCM_24", 96_000), CLIP)
    assert clip.notes == ("24-bit", "stereo", "resampled")
    assert tone_error(clip) < 1e-6


@pytest.mark.parametrize("seconds", [0.01, 1 / RATE, 1.0])
def test_short_files_are_padded(seconds: float) -> None:
    frames = round(seconds * RATE)
    clip = decode(wav(np.full(frames, 7, np.int16).tobytes()), CLIP)
    assert clip.notes == ("padded",)
    assert (clip.samples[:frames] == 7).all()
    assert not clip.samples[frames:].any()
    assert len(clip.samples) == CLIP


def test_silence_is_kept_and_told() -> None:
    assert decode(wav(bytes(2 * CLIP)), CLIP).notes == ("silent",)
    assert decode(wav(bytes(200)), CLIP).notes == ("padded", "silent")


def test_no_samples() -> None:
    for data in (wav(b""), by_soundfile(np.zeros(0, np.int16), "AIFF"), by_soundfile(np.zeros(0, np.int16), "AU")):
        assert reason(data) == "no samples"


def test_three_hours_cost_what_two_seconds_cost() -> None:
    hours = 3 * 3600
    # libmpg123 would believe the length in libsndfile's own files, so here are LAME's without one.
    mp3 = Mp3Codec().encode(Prepared(np.tile(TONE, 10), 10 * CLIP), 8).data
    for data, note in (
        (wav(bytes(8000 * hours), rate=8000, bits=8), "8-bit"),
        (mp3 * (hours // 20), "cropped"),
    ):
        tracemalloc.start()
        try:
            clip = decode(data, CLIP)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert note in clip.notes
        assert "cropped" in clip.notes
        assert peak < 8e6


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "MP3", "AIFF", "WAV", "CAF"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_file_is_set_aside(kind: str, share: float) -> None:
    random = np.random.default_rng(2)
    data = by_soundfile((TONE / 32768 + random.normal(size=CLIP) * 0.01).astype(np.float32), kind)
    assert decode(data, CLIP).bitrate is None or kind in ("OGG", "MP3")
    # Nothing in a FLAC or CAF file tells a cut end from other damage.
    assert reason(data[: int(share * len(data))]) == ("damaged audio" if kind in ("FLAC", "CAF") else "truncated audio")


@pytest.mark.parametrize("kind", ["OGG", "MP3", "AIFF", "WAV"])
def test_a_file_truncated_behind_the_clip_is_used_and_told(kind: str) -> None:
    long = np.tile(TONE, 5)
    data = by_soundfile((long / 32768).astype(np.float32), kind)
    clip = decode(data[: int(0.7 * len(data)) - 1], CLIP)
    assert {"truncated", "cropped"} <= set(clip.notes)
    assert "truncated" not in decode(data, CLIP).notes


@pytest.mark.parametrize(
    ("claimed", "rejected", "notes"),
    [
        (2 * CLIP + 2, "", ("truncated",)),  # all that the clip needs is there
        (2**31 - 2**20, "", ("truncated",)),
        (0xFFFFFFFF, "", ("unknown length",)),  # ffmpeg to a pipe
        (0x7FFFF000, "", ("unknown length",)),  # SoX to a pipe
        (0x80000000, "", ("unknown length",)),  # arecord
        (2 * CLIP - 2, "", ("padded",)),
        (0, "no samples", ()),
    ],
)
def test_a_header_that_lies_about_the_length(claimed: int, rejected: str, notes: tuple[str, ...]) -> None:
    data = wav(TONE.tobytes(), claimed=claimed)
    if rejected:
        assert reason(data) == rejected
    else:
        assert decode(data, CLIP).notes == notes


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"rate": 0}, "damaged audio"),
        ({"rate": 999}, "sample rate outside 1000 to 384000 Hz"),
        ({"rate": 2_000_000_000}, "sample rate outside 1000 to 384000 Hz"),
        ({"channels": 0}, "damaged audio"),
        ({"channels": 9}, "more than 8 channels"),
        ({"channels": 1000}, "more than 8 channels"),
        ({"kind": 0x1234}, "damaged audio"),
    ],
)
def test_a_header_that_lies_about_the_rest(options: dict[str, Any], expected: str) -> None:
    assert reason(wav(TONE.tobytes(), **options)) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty file"),
        (b"\0", "not audio"),
        (b"hello, world", "not audio"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not audio"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "not audio"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "not audio"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "not audio"),
        (b"RIFF", "truncated audio"),
        (b"fLaC", "damaged audio"),
        (b"OggS", "truncated audio"),
        (b"ID3", "damaged audio"),
        (b"\xff\xfb\x90\xc4" + bytes(50), "damaged audio"),
    ],
)
def test_what_is_no_audio(data: bytes, expected: str) -> None:
    assert reason(data) == expected


@pytest.mark.parametrize(("kind", "subtype"), [("MP3", None), ("OGG", "VORBIS"), ("OGG", "OPUS")])
def test_lossy_files_tell_their_bitrate(kind: str, subtype: str | None) -> None:
    rate = 48_000 if subtype == "OPUS" else RATE
    samples = np.sin(2 * np.pi * 440 * np.arange(3 * rate) / rate) * 12_000 / 32768
    data = by_soundfile(samples.astype(np.float32), kind, subtype, rate)
    clip = decode(data, CLIP)
    assert clip.bitrate == pytest.approx(8 * len(data) / 1000 / 3, rel=0.1)
    assert "cropped" in clip.notes


def test_an_mp3_with_a_picture_and_stray_bytes() -> None:
    mp3 = by_soundfile((TONE / 32768).astype(np.float32), "MP3")
    size = 100_000
    tag = b"ID3\x04\0\0" + bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)
    assert decode(tag + mp3, CLIP).bitrate == decode(mp3, CLIP).bitrate
    assert "stray bytes" in decode(mp3 + bytes(500) + mp3, 4 * RATE).notes


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_damage_ends_in_a_clip_or_a_reason(draw: st.DataObject) -> None:
    data = bytearray(draw.draw(st.sampled_from(WHOLE)))
    for _ in range(draw.draw(st.integers(0, 6))):
        data[draw.draw(st.integers(0, min(len(data) - 1, 300)))] = draw.draw(st.integers(0, 255))
    data = data[: draw.draw(st.integers(0, len(data)))]
    try:
        clip = decode(bytes(data), 4410)
    except BadRecord:
        return
    assert clip.samples.shape == (4410,)
    assert clip.bitrate is None or clip.bitrate >= 1


WHOLE = [
    wav(TONE[:4410].tobytes()),
    wav((TONE[:2000] / 32768).astype("<f4").tobytes(), kind=3, bits=32),
    *(
        by_soundfile((TONE[:8000] / 32768).astype(np.float32), kind)
        for kind in ("FLAC", "OGG", "MP3", "AIFF", "CAF", "AU", "RF64")
    ),
]


@given(st.integers(0, 50), st.integers(1, 50))
def test_fit(length: int, frames: int) -> None:
    samples = np.arange(1, length + 1, dtype=np.int16)
    fitted, notes = fit(samples, frames)
    assert fitted.tolist() == [*range(1, min(length, frames) + 1), *[0] * (frames - length)]
    assert ("cropped" in notes, "padded" in notes, "silent" in notes) == (length > frames, length < frames, length == 0)


@given(st.lists(st.integers(-32768, 32767), min_size=1))
def test_rounding_is_exact_for_16_bits(samples: list[int]) -> None:
    exact = np.array(samples, np.int16)
    np.testing.assert_array_equal(to_int16((exact / 32768).astype(np.float32)), exact)


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 24_000, 32_000])
def test_resampling_delays_nothing(rate: int) -> None:
    """An impulse stays where it was, and the sum of samples over their rate with it."""
    impulse = np.zeros(rate, np.float32)
    impulse[rate // 2] = 1
    result = resample(impulse, rate)
    assert len(result) == RATE
    assert abs(int(result.argmax()) - RATE // 2) <= 1
    assert result.sum() / RATE == pytest.approx(1 / rate, rel=1e-3)
