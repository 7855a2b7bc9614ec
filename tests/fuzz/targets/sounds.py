"""Sound files, and payloads of the MP3 codec; 16-bit WAV files against Python's own reader."""

from __future__ import annotations

import io
import struct
import wave
from pathlib import Path

import numpy as np
import soundfile

from helmholtz.audio import decode
from helmholtz.codecs.mp3 import Mp3Codec
from helmholtz.errors import BadRecord
from tests.fuzz.target import Target
from tests.fuzz.targets.mp3_streams import corpus as mp3_corpus
from tests.fuzz.targets.mp3_streams import tone

FRAMES = 26_460
CODEC = Mp3Codec(seconds=FRAMES / 44_100)


def written(samples: np.ndarray, rate: int, container: str, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype, format=container)
    return file.getvalue()


def corpus() -> list[bytes]:
    mono = tone(3_000)
    stereo = np.stack([mono, mono[::-1]], axis=1)
    kinds = (
        ("WAV", "PCM_16"), ("WAV", "PCM_U8"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"), ("WAV", "ULAW"),
        ("WAV", "IMA_ADPCM"), ("WAVEX", "PCM_16"), ("RF64", "PCM_16"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("CAF", "PCM_16"),
        ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("CAF", "ALAC_16"),
    )  # fmt: skip
    made = [written(mono, 44_100 if subtype != "OPUS" else 48_000, *kind) for kind in kinds if (subtype := kind[1])]
    made += [written(stereo, 22_050, "WAV", "PCM_16"), written(stereo, 8_000, "FLAC", "PCM_24")]
    plain = made[0]
    chunk = b"LIST" + struct.pack("<I", 5) + b"INFOx\0"
    return [*made, plain[:36] + chunk + plain[36:], plain[:40] + b"\xff\xff\xff\xff" + plain[44:], *mp3_corpus()]


def check(data: bytes, folder: Path) -> str:
    _check_payload(data)
    clip = decode(data, FRAMES)
    assert clip.samples.shape == (FRAMES,), "not as long as a clip"
    assert clip.samples.dtype == np.int16, "not of 16 bits"
    assert clip.bitrate is None or clip.bitrate >= 1, "no bitrate"
    assert ("silent" in clip.notes) == (not clip.samples.any()), "silent, or not"
    if not {"truncated", "unknown length"} & set(clip.notes):
        _check_wav(data, clip.samples)
    return " ".join(sorted(set(clip.notes) - {"padded"})) or "plain"


def _check_payload(data: bytes) -> None:
    try:
        samples = CODEC.decode(data)
    except BadRecord:
        return
    assert samples.shape == (FRAMES,), "a payload that isn't as long as a clip"


def _check_wav(data: bytes, samples: np.ndarray) -> None:
    """Against Python's `wave`, where both read a mono file of 16 bits at 44.1 kHz."""
    if not data.startswith(b"RIFF") or int.from_bytes(data[4:8], "little") != len(data) - 8:
        return
    try:
        with wave.open(io.BytesIO(data)) as file:
            if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, 44_100):
                return
            expected = np.frombuffer(file.readframes(FRAMES), "<i2")
    except Exception:  # stricter than libsndfile
        return
    assert (samples[: len(expected)] == expected).all(), "other samples than by Python's wave"
    assert not samples[len(expected) :].any(), "more samples than by Python's wave"


TARGET = Target(corpus, check, speed=1)
