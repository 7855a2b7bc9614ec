"""The codec from outside: every bitrate, aligned to the sample, and nothing but sound that tells the level."""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("lameenc")

from helmholtz.codecs.base import Prepared
from helmholtz.codecs.mp3 import BITRATES, CODED_RATES, Mp3Codec
from helmholtz.codecs.mp3_stream import read_stream
from helmholtz.errors import BadRecord
from helmholtz.levels import NONE, Level
from tests.conftest import SHARED

RATE = 44_100
CODEC = Mp3Codec()
LEVELS: tuple[Level, ...] = (NONE, *BITRATES)


def pluck(seed: int, frames: int = 2 * RATE, onset: int = 0) -> np.ndarray:
    """A plucked string: harmonics of 80 to 400 Hz that die away, after `onset` frames of silence; int16 [frames]."""
    random = np.random.default_rng(seed)
    time = np.arange(frames - onset) / RATE
    pitch = random.uniform(80, 400)
    partials = [
        np.sin(2 * np.pi * pitch * k * time + random.uniform(0, 6)) * np.exp(-(1 + 0.4 * k) * time) / k for k in range(1, 16)
    ]
    attack = np.minimum(1, time * 500)
    wave = np.sum(partials, axis=0) * attack
    return np.concatenate([np.zeros(onset), wave / np.abs(wave).max() * 20_000]).astype(np.int16)


def lag(original: np.ndarray, decoded: np.ndarray) -> int:
    """Frames by which `decoded` comes late, by the peak of the cross-correlation."""
    n = 1 << (2 * max(len(original), len(decoded)) - 1).bit_length()
    spectrum = np.fft.rfft(decoded.astype(float), n) * np.conj(np.fft.rfft(original.astype(float), n))
    peak = int(np.fft.irfft(spectrum).argmax())
    return peak if peak < n // 2 else peak - n


def flac(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()


@pytest.mark.parametrize("level", LEVELS)
def test_decoded_clips_have_the_originals_length_and_are_aligned(level: Level) -> None:
    for seed, onset in ((1, 0), (2, 3000), (3, 20_000)):
        record = CODEC.prepare(pluck(seed, onset=onset))
        decoded = CODEC.decode(CODEC.encode(record, level).data)
        assert (decoded.shape, decoded.dtype) == ((2 * RATE,), np.int16)
        assert abs(lag(record.samples, decoded)) <= 1  # 1 ms would be 44


@pytest.mark.parametrize("level", LEVELS)
def test_real_notes_are_aligned(level: Level) -> None:
    files = sorted((SHARED / "guitar-notes").glob("*.flac"))[::250]
    if not files:
        pytest.skip("the guitar notes aren't beside this checkout")
    for file in files:
        record = CODEC.prepare(file.read_bytes())
        decoded = CODEC.decode(CODEC.encode(record, level).data)
        assert len(decoded) == 2 * RATE
        assert abs(lag(record.samples, decoded)) <= 1


def nearest_accuracy(features: np.ndarray, labels: np.ndarray, groups: np.ndarray, neighbours: int = 5) -> float:
    """Accuracy of k nearest neighbours, each feature scaled to its spread, neighbours from other groups only."""
    spread = features.std(axis=0)
    scaled = features / np.where(spread > 0, spread, 1)
    distance = np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
    # Ties (all features equal) are broken at random, or the order of the records would decide.
    distance += np.random.default_rng(0).uniform(0, 1e-9, distance.shape)
    distance[groups[:, None] == groups[None]] = np.inf
    nearest = labels[np.argsort(distance, axis=1)[:, :neighbours]]
    votes = np.stack([np.bincount(row, minlength=labels.max() + 1) for row in nearest])
    return float((votes.argmax(axis=1) == labels).mean())


def outer_features(wave: np.ndarray, rate: int) -> tuple[float, float, float]:
    """Length, sample rate, and seconds of leading silence, up to a tenth of the peak.

    A lower threshold would find MP3's pre-echo, which is sound: at 1% of the peak it comes 28 ms early at 8 kbit/s.
    """
    return len(wave), rate, float((np.abs(wave) > 0.1 * np.abs(wave).max()).argmax()) / rate


def as_any_player_does_it(payload: bytes) -> tuple[np.ndarray, int]:
    wave, rate = soundfile.read(io.BytesIO(payload))
    return wave, rate


def as_the_codec_does_it(payload: bytes) -> tuple[np.ndarray, int]:
    return CODEC.decode(payload).astype(float), RATE


@pytest.fixture(scope="module")
def sweep() -> list[tuple[int, int, bytes]]:
    """Clip, level's index and payload of 20 plucks, each after a silence of its own, at every level."""
    onsets = np.random.default_rng(9).integers(0, 8000, 20)
    records = [CODEC.prepare(pluck(clip, onset=int(onset))) for clip, onset in enumerate(onsets)]
    return [
        (clip, label, CODEC.encode(record, level).data)
        for clip, record in enumerate(records)
        for label, level in enumerate(LEVELS)
    ]


@pytest.mark.parametrize(("decoder", "tells"), [(as_the_codec_does_it, False), (as_any_player_does_it, True)])
def test_length_silence_and_sample_rate_dont_tell_the_level(
    sweep: list[tuple[int, int, bytes]], decoder: Callable[[bytes], tuple[np.ndarray, int]], tells: bool
) -> None:
    features = np.array([outer_features(*decoder(payload)) for _, _, payload in sweep])
    labels, groups = np.array([label for _, label, _ in sweep]), np.array([clip for clip, _, _ in sweep])
    accuracy = nearest_accuracy(features, labels, groups)
    chance = 1 / len(LEVELS)
    limit = chance + 3 * math.sqrt(chance * (1 - chance) / len(labels))
    assert (accuracy > 0.2) if tells else (accuracy <= limit)


@pytest.mark.parametrize("level", BITRATES)
def test_payloads_are_at_the_level_and_lames_sample_rate(level: int) -> None:
    encoded = CODEC.encode(CODEC.prepare(pluck(4)), level)
    stream = read_stream(encoded.data)
    assert stream.bitrate == pytest.approx(level, rel=0.01)
    assert stream.sample_rate == CODED_RATES[level]
    assert stream.channels == 1
    assert not stream.truncated
    assert stream.well_formed
    assert encoded.coded_bits == stream.coded_bits
    assert 0 < encoded.coded_bits < 8 * len(encoded.data)


def test_the_list_of_bitrates_is_layer_iiis() -> None:
    assert BITRATES == (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)


def test_quality_rises_with_the_bitrate() -> None:
    record = CODEC.prepare(pluck(5))
    signal = record.samples.astype(float)
    errors = [np.square(CODEC.decode(CODEC.encode(record, level).data) - signal).sum() for level in (8, 32, 64, 128, 320)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3 * np.square(signal).sum()


@pytest.mark.parametrize("level", BITRATES)
def test_loudness_doesnt_tell_the_level(level: int) -> None:
    """LAME's presets turn the volume down by up to 0.45 dB; a tone comes out as loud as it went in."""
    tone = (12_000 * np.sin(2 * np.pi * 440 * np.arange(88_200) / RATE)).astype(np.int16)
    decoded = CODEC.decode(CODEC.encode(CODEC.prepare(tone), level).data)[8_000:80_000].astype(float)
    middle = tone[8_000:80_000].astype(float)
    assert abs(20 * np.log10(decoded @ middle / (middle @ middle))) < 0.02


@pytest.mark.parametrize("level", BITRATES)
def test_the_end_of_a_clip_is_as_loud_as_its_middle(level: int) -> None:
    noise = np.random.default_rng(0).normal(0, 3_000, 88_200)
    low = np.convolve(noise, np.ones(40) / 6, mode="same").astype(np.int16)  # of frequencies that every bitrate keeps
    decoded = CODEC.decode(CODEC.encode(CODEC.prepare(low), level).data).astype(float)
    end, original = decoded[-60:], low[-60:].astype(float)
    assert np.sqrt(np.mean((end - original) ** 2)) < 0.45 * np.sqrt(np.mean(original**2))


def test_none_is_lossless_and_flac() -> None:
    record = CODEC.prepare(pluck(6))
    encoded = CODEC.encode(record, NONE)
    np.testing.assert_array_equal(CODEC.decode(encoded.data), record.samples)
    assert encoded.data.startswith(b"fLaC")
    # STREAMINFO (34 bytes) at least stands before the frames, and each of these starts with its sync code.
    metadata = len(encoded.data) - encoded.coded_bits // 8
    assert metadata >= 4 + 4 + 34
    assert encoded.data[metadata : metadata + 2] in (b"\xff\xf8", b"\xff\xf9")


def test_encoding_is_repeatable() -> None:
    record = CODEC.prepare(pluck(7))
    for level in (NONE, 8, 128):
        assert CODEC.encode(record, level) == CODEC.encode(record, level)


def test_a_file_and_its_samples_are_the_same() -> None:
    samples = pluck(8)
    from_file, from_samples = CODEC.prepare(flac(samples)), CODEC.prepare(samples)
    np.testing.assert_array_equal(from_file.samples, from_samples.samples)
    assert from_file.source_level is from_samples.source_level is None
    assert from_file.passthrough is None
    assert from_file.count == from_samples.count == 2 * RATE


@pytest.mark.parametrize("level", [8, 64, 320])
def test_an_mp3_source_is_decoded_and_its_bitrate_told(level: int) -> None:
    data = CODEC.encode(CODEC.prepare(pluck(9)), level).data
    record = CODEC.prepare(data)
    assert record.source_level == level
    assert record.passthrough is None
    assert CODEC.encode(record, NONE).data.startswith(b"fLaC")
    assert ("resampled" in record.notes) == (CODED_RATES[level] != RATE)


@pytest.mark.parametrize("frames", [1, 441, 88_199, 88_200, 88_201, 200_000])
def test_clips_of_any_length_are_brought_to_one(frames: int) -> None:
    samples = np.full(frames, 1000, np.int16)
    record = CODEC.prepare(samples)
    expected = {88_200: ()}.get(frames, ("padded",) if frames < 88_200 else ("cropped",))
    assert record.notes == expected
    assert record.count == len(record.samples) == 88_200
    assert (record.samples[:frames] == 1000).all()
    assert not record.samples[frames:].any()
    assert len(CODEC.decode(CODEC.encode(record, 8).data)) == 88_200


def test_silence_stays_silent_at_every_level() -> None:
    record = CODEC.prepare(np.zeros(88_200, np.int16))
    assert record.notes == ("silent",)
    for level in LEVELS:
        assert not CODEC.decode(CODEC.encode(record, level).data).any()


@settings(max_examples=30, deadline=None)
@given(
    seconds=st.floats(1e-4, 0.3),
    level=st.sampled_from(LEVELS),
    samples=st.lists(st.integers(-32768, 32767), min_size=1, max_size=300),
)
def test_length_holds_for_every_clip_length_and_content(seconds: float, level: Level, samples: list[int]) -> None:
    codec = Mp3Codec(seconds=seconds)
    record = codec.prepare(np.array(samples, np.int16))
    decoded = codec.decode(codec.encode(record, level).data)
    assert decoded.shape == record.samples.shape == (codec.frames,)
    if level == NONE:
        np.testing.assert_array_equal(decoded, record.samples)


@pytest.mark.parametrize("seconds", [0.05, 0.5, 3.3])
def test_the_end_of_a_clip_is_there_too(seconds: float) -> None:
    """The encoder is flushed: a burst in the last 10 ms is not lost with its delay."""
    codec = Mp3Codec(seconds=seconds)
    samples = np.zeros(codec.frames, np.int16)
    time = np.arange(441) / RATE
    samples[-441:] = 15_000 * np.sin(2 * np.pi * 800 * time)
    for level in BITRATES:
        decoded = codec.decode(codec.encode(codec.prepare(samples), level).data)
        assert np.abs(decoded[-400:]).max() > 5000


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (np.zeros(0, np.int16), "no samples"),
        (np.zeros((10, 2), np.int16), "not mono 16-bit samples, but int16 [10, 2]"),
        (np.zeros(10, np.float32), "not mono 16-bit samples, but float32 [10]"),
        (b"", "empty file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "not audio"),
    ],
)
def test_what_cant_be_used_is_set_aside(raw: bytes | np.ndarray, reason: str) -> None:
    with pytest.raises(BadRecord) as caught:
        CODEC.prepare(raw)
    assert caught.value.reason == reason


@pytest.mark.parametrize("payload", [b"", b"fLaC", b"junk" * 100, flac(pluck(1))[:30], flac(np.zeros((50, 2), np.int16))])
def test_what_is_no_payload_is_refused(payload: bytes) -> None:
    with pytest.raises(BadRecord, match=r"\w"):
        CODEC.decode(payload)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_payload_is_decoded_to_its_length_or_refused(draw: st.DataObject) -> None:
    payload = bytearray(draw.draw(st.sampled_from(PAYLOADS)))
    for _ in range(draw.draw(st.integers(1, 8))):
        payload[draw.draw(st.integers(0, len(payload) - 1))] = draw.draw(st.integers(0, 255))
    try:
        decoded = CODEC.decode(bytes(payload[: draw.draw(st.integers(0, len(payload)))]))
    except BadRecord:
        return
    assert decoded.shape == (88_200,)


PAYLOADS = [CODEC.encode(Prepared(pluck(1), 88_200), level).data for level in (NONE, 16, 128)]


@pytest.mark.parametrize("level", [0, 1, 7, 33, 127, 144, 321, -8])
def test_there_are_no_other_levels(level: int) -> None:
    for method in (CODEC.check, CODEC.quantisation, CODEC.bits, lambda value: CODEC.encode(Prepared(pluck(1), 1), value)):
        with pytest.raises(ValueError, match=r"none or one of 8, 16, .* 320 kbit/s"):
            method(level)


def test_quantisation() -> None:
    assert CODEC.quantisation(NONE) == 0
    assert CODEC.quantisation(32) == 0.75  # the paper's
    assert CODEC.quantisation(8) == 0.9375
    assert CODEC.quantisation(128) == CODEC.quantisation(320) == 0
    assert Mp3Codec(reference_bitrate=320).quantisation(160) == 0.5
    assert all(CODEC.bits(level) == {} for level in LEVELS)


def test_identity_names_every_setting() -> None:
    codecs = [Mp3Codec(), Mp3Codec(seconds=1.0), Mp3Codec(seconds=1 / 3), Mp3Codec(reference_bitrate=320)]
    assert len({codec.identity for codec in codecs}) == len(codecs)
    assert CODEC.identity == "mp3-cbr-q3-88200-ref128"


def test_pickles_and_names_its_libraries() -> None:
    assert pickle.loads(pickle.dumps(CODEC)) == CODEC  # noqa: S301  # our own
    versions = CODEC.versions()
    assert versions.keys() == {"lame", "lameenc", "libsndfile", "soundfile", "soxr"}
    assert all(value[0].isdigit() for value in versions.values())
