"""A tone as files of audio, and what becomes of it."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")

from helmholtz.audio import Clip, decode
from helmholtz.errors import BadRecord

RATE = 44_100
CLIP = 2 * RATE
TONE = (np.sin(2 * np.pi * 440 * np.arange(CLIP) / RATE) * 12_000).astype(np.int16)


def wav(
    content: bytes, *, kind: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16, claimed: int | None = None
) -> bytes:
    """A WAV file, by the format's definition; `claimed` is what the data chunk says of its size."""
    size = len(content) if claimed is None else claimed
    head = struct.pack("<HHIIHH", kind, channels, rate, min(rate * channels * bits // 8, 2**32 - 1), channels * bits // 8, bits)
    riff = min(36 + size, 2**32 - 1)
    return (
        b"RIFF"
        + struct.pack("<I", riff)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + head
        + b"data"
        + struct.pack("<I", size)
        + content
    )


def by_soundfile(samples: np.ndarray, kind: str, subtype: str | None = None, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def by_ffmpeg(folder: Path, suffix: str, *options: str, samples: np.ndarray = TONE) -> bytes:
    pytest.importorskip("pydub")
    exe = shutil.which("ffmpeg")
    if exe is None:
        pytest.skip("no ffmpeg on the PATH")
    source, target = folder / "source.wav", folder / f"target{suffix}"
    source.write_bytes(wav(samples.tobytes()))
    subprocess.run([exe, "-y", "-i", str(source), *options, str(target)], check=True, capture_output=True)
    return target.read_bytes()


def reason(data: bytes, frames: int = CLIP) -> str:
    with pytest.raises(BadRecord) as caught:
        decode(data, frames)
    return caught.value.reason


def tone_error(clip: Clip, start: int = 2000, end: int = CLIP - 2000) -> float:
    """Power of the difference to the tone over the tone's, away from the edges."""
    difference = clip.samples[start:end].astype(float) - TONE[start:end]
    return float(np.square(difference).mean() / np.square(TONE[start:end].astype(float)).mean())
