"""Users' audio files that only ffmpeg reads, with ffmpeg itself and with a program in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("soundfile")

from helmholtz.audio import decode
from tests.tones import CLIP, TONE, by_ffmpeg, reason, wav


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".m4a", ("-c:a", "aac", "-b:a", "96k")),
        (".mp4", ("-c:a", "alac")),
        (".aac", ("-c:a", "aac", "-b:a", "96k")),
        (".wma", ("-c:a", "wmav2", "-b:a", "96k")),
        (".mka", ("-c:a", "aac")),
        (".webm", ("-c:a", "libopus")),
        (".wv", ()),
    ],
)
def test_what_only_ffmpeg_reads(tmp_path: Path, suffix: str, options: tuple[str, ...]) -> None:
    data = by_ffmpeg(tmp_path, suffix, *options)
    clip = decode(data, CLIP)
    assert len(clip.samples) == CLIP
    assert clip.bitrate == pytest.approx(8 * len(data) / 1000 / 2, rel=0.06)
    peak = np.abs(np.fft.rfft(clip.samples)).argmax() / 2  # Hz
    assert peak == pytest.approx(440, abs=1)


def test_stereo_at_48_khz_through_ffmpeg(tmp_path: Path) -> None:
    data = by_ffmpeg(tmp_path, ".m4a", "-ac", "2", "-ar", "48000", samples=np.tile(TONE, 2))
    assert decode(data, CLIP).notes == ("stereo", "resampled", "cropped")
    assert reason(data[: len(data) // 3]) == "truncated audio"


def test_mp4_with_its_index_in_front_and_its_sound_cut_off(tmp_path: Path) -> None:
    """ffmpeg would decode what is there, and say nothing."""
    data = by_ffmpeg(tmp_path, ".m4a", "-movflags", "+faststart")
    assert reason(data[: int(0.8 * len(data))]) == "truncated audio"
    assert reason(b"\0\0\0\x20ftypM4A " + bytes(100)) == "damaged audio"


SIGNATURES = [
    (b"\0\0\0\x18ftypM4A " + bytes(12), "mp4"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"#!AMR\n", "amr"),
    (b"wvpk", "wv"),
    (b"MAC ", "ape"),
    (b"\xff\xf1", "aac"),
    (b"\xff\xf9", "aac"),
]


@pytest.mark.parametrize(("data", "kind"), SIGNATURES)
def test_without_ffmpeg_its_formats_are_set_aside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: bytes, kind: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert reason(data) == "needs ffmpeg on the PATH"


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, status: int = 0) -> Path:
    """Puts a program named ffmpeg first on the PATH, which writes `answer`. Returns the file that gets its arguments."""
    pytest.importorskip("pydub")
    (folder / "answer.wav").write_bytes(answer)
    program = folder / "ffmpeg"
    program.write_text(
        f'#!/bin/sh\necho "$@" > "{folder}/arguments"\nfor last; do :; done\n'
        f'cat "{folder}/answer.wav" > "$last"\nexit {status}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder / "arguments"


@pytest.mark.parametrize(("data", "kind"), SIGNATURES)
def test_ffmpeg_is_told_the_format_and_the_duration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: bytes, kind: str
) -> None:
    """So that it neither guesses (a playlist would name other files) nor decodes for hours."""
    arguments = stand_in(tmp_path, monkeypatch, wav(np.repeat(TONE, 2).tobytes(), channels=2))
    clip = decode(data, CLIP)
    np.testing.assert_array_equal(clip.samples, TONE)
    assert (clip.bitrate, clip.notes) == (1, ("stereo",))
    words = arguments.read_text().split()
    assert words[words.index("-f") + 1] == kind
    assert words.index("-f") < words.index("-i")
    assert words[words.index("-t") + 1] == "60.0"


@pytest.mark.parametrize(
    ("answer", "status", "expected"),
    [
        (b"", 1, "damaged audio"),
        (b"", 0, "damaged audio"),
        (wav(b""), 0, "no samples"),
        (wav(TONE.tobytes(), channels=9), 0, "more than 8 channels"),
        (wav(TONE.tobytes(), rate=500_000), 0, "sample rate outside 1000 to 384000 Hz"),
    ],
)
def test_what_ffmpeg_makes_nothing_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: bytes, status: int, expected: str
) -> None:
    stand_in(tmp_path, monkeypatch, answer, status)
    assert reason(b"wvpk") == expected
