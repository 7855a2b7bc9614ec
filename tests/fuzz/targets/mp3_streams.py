"""The walk through an MP3 file's frames, against a table of the standard and libsndfile's header."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np

from helmholtz.codecs.mp3 import Mp3Codec
from helmholtz.codecs.mp3_stream import nominal_bitrate, read_stream
from tests.fuzz.mutations import mutate_bytes
from tests.fuzz.target import Refused, Target

CODEC = Mp3Codec(seconds=0.6)


def tone(frames: int = 26_460) -> np.ndarray:
    """int16 [frames], mono at 44.1 kHz."""
    time = np.arange(frames) / 44_100
    noise = np.random.default_rng(1).normal(0, 300, frames)
    return (9_000 * np.sin(2 * np.pi * 440 * time) + noise).astype(np.int16)


def corpus() -> list[bytes]:
    clip = CODEC.prepare(tone())
    plain = [CODEC.encode(clip, level).data for level in (8, 32, 64, 128)]
    tag = b"ID3\x04\x00\x00\x00\x00\x01\x00" + bytes(128)
    frame = plain[3][:417]
    xing = frame[:21] + b"Xing\0\0\0\1" + (20).to_bytes(4) + frame[33:]
    vbri = frame[:36] + b"VBRI" + bytes(10) + (20).to_bytes(4) + frame[54:]
    return [*plain, tag + plain[1], xing + plain[3], vbri + plain[3], plain[1] + b"TAG" + bytes(125)]


def mutate(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    if random.random() < 0.3:  # a header of its own, somewhere
        at = random.randint(0, len(data))
        header = (0xFFE00000 | random.getrandbits(21)).to_bytes(4)
        data = data[:at] + header + data[at + random.choice((0, 4)) :]
    return mutate_bytes(random, data, corpus)


def check(data: bytes, folder: Path) -> str:
    try:
        stream = read_stream(data)
    except ValueError as error:
        raise Refused(str(error)) from error
    assert stream.frames >= 1, "no frame"
    assert stream.samples == stream.frames * (1152 if stream.version == "1" else 576), "samples aren't frames"
    assert math.isfinite(stream.bitrate), "bitrate isn't finite"
    assert 8 <= stream.bitrate <= 330, "no bitrate of layer III"
    assert 0 <= stream.main_data_bits <= 8 * len(data), "more bits than bytes"
    assert 0 <= stream.coded_bits <= 4 * 4095 * stream.frames, "more coded bits than part2_3_length can say"
    if data[:1] == b"\xff":
        with contextlib.suppress(ValueError):
            assert 8 <= nominal_bitrate(data) <= 320, "no bitrate of layer III"
    if stream.well_formed and data[:1] == b"\xff":
        _check_header(data, stream.sample_rate, stream.channels)
    return f"version {stream.version}"


def _check_header(data: bytes, rate: int, channels: int) -> None:
    import soundfile

    try:
        info = soundfile.info(io.BytesIO(data))
    except soundfile.SoundFileError:
        return
    if info.format == "MP3":
        assert info.samplerate == rate, "not the sample rate that libsndfile sees"


TARGET = Target(corpus, check, mutate, speed=5)
