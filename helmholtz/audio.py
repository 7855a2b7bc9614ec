"""Audio files to clips (16-bit mono at 44.1 kHz, of one length), with every conversion on the way noted.

Read by libsndfile (WAV, RF64, AIFF, AU, CAF, FLAC, Ogg Vorbis and Opus, MP3) or, where it can't, through pydub by
the ffmpeg of the machine, if it has one (MP4 and M4A, WMA, Matroska and WebM, raw AAC, AMR, WavPack, Monkey's Audio). Only the
part that is used is decoded (by ffmpeg up to a minute), so that a recording of three hours costs no more than a short one.

No package brings an ffmpeg along: the wheels of imageio-ffmpeg and of PyAV hold x264 and x265, which are under the GPL.

| stored as | becomes | note |
| --- | --- | --- |
| several channels | their mean | ``stereo``, ``6 channels`` |
| another sample rate | 44.1 kHz, by soxr at its high quality | ``resampled`` |
| 8, 24 or 32 bits, float | 16 bits, rounded, without dither | ``8-bit``, ``24-bit``, ``32-bit``, ``float`` |
| samples beyond full scale | full scale | ``clipped`` |
| longer than a clip | the first part | ``cropped`` |
| shorter than a clip | zeros at the end | ``padded`` |
| nothing but zeros | kept | ``silent`` |
| a file that is cut off, behind what a clip needs | kept | ``truncated`` (where its container tells) |
| a WAV file of unknown length, as written to a pipe | all that is there | ``unknown length`` |
| an MP3 file with bytes between its frames | what libmpg123 makes of it | ``stray bytes`` |

Set aside (BadRecord): ``empty file``, ``not audio``, ``truncated audio`` (cut off within what a clip needs), ``damaged audio``
(or a codec that neither reads; FLAC and CAF files that are cut off, for their containers don't tell),
``no samples``, ``needs ffmpeg on the PATH``, ``samples that are not numbers``, and sample rates and
numbers of channels outside the bounds below.
"""

from __future__ import annotations

import io
import math
import shutil
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from helmholtz.audio_containers import ends_early, has_no_length
from helmholtz.errors import BadRecord

SAMPLE_RATE = 44_100  # Hz, of every clip
RATES = (1_000, 384_000)  # Hz that a file may have
MAX_CHANNELS = 8

_MARGIN = 0.05  # seconds read behind the clip, so that the resampler's filter (a few milliseconds) doesn't see an end there
_FFMPEG_SECONDS = 60.0  # that ffmpeg may decode; a bitrate estimated from a longer file is too high

_SOUNDFILE = (b"RIFF", b"RIFX", b"RF64", b"FORM", b".snd", b"caff", b"fLaC", b"OggS", b"ID3")
_FFMPEG = {  # first bytes -> ffmpeg's name; given to it, so that it doesn't look for itself and find a playlist of other files
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "asf",
    b"\x1a\x45\xdf\xa3": "matroska",
    b"#!AMR": "amr",
    b"wvpk": "wv",
    b"MAC ": "ape",
    b"\xff\xf1": "aac",
    b"\xff\xf9": "aac",
}
_DEPTHS = {
    "PCM_S8": "8-bit",
    "PCM_U8": "8-bit",
    "PCM_24": "24-bit",
    "PCM_32": "32-bit",
    "FLOAT": "float",
    "DOUBLE": "float",
}

Samples = npt.NDArray[np.int16]
Wave = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Clip:
    """An audio file, decoded and brought to a clip's form."""

    samples: Samples  # int16 [frames], mono, 44.1 kHz
    bitrate: int | None  # kbit/s of a lossy file, its mean; None for a lossless one
    notes: tuple[str, ...]  # conversions done, see the table above


@dataclass(frozen=True, slots=True)
class _Part:
    """What was read of a file: the part that a clip needs, if there was so much."""

    wave: Wave  # float32 [frames, channels], full scale is 1
    rate: int
    bitrate: float | None
    cut_off: bool = False  # less was decoded than the header promised
    notes: tuple[str, ...] = ()


def decode(data: bytes, frames: int) -> Clip:
    """The first `frames` (at 44.1 kHz) of the audio file `data`, zeros behind it where it is shorter.

    Raises BadRecord, and nothing else, for what can't be used. Memory is bounded by `frames`, RATES and MAX_CHANNELS; where
    ffmpeg decodes, by a minute (or `frames`, if longer) at the file's own rate and channels, which are checked after it.
    """
    if not data:
        raise BadRecord("empty file")
    kind = _kind(data)
    cut_off = ends_early(data)
    try:
        part = _read_by_libsndfile(data, frames) if kind is None else _read_by_ffmpeg(data, kind, frames)
    except BadRecord:
        raise
    except Exception as error:  # soundfile, pydub and ffmpeg raise many kinds on damaged content
        raise BadRecord("truncated audio" if cut_off else "damaged audio") from error
    cut_off = cut_off or part.cut_off
    if cut_off and len(part.wave) < _wanted(frames, part.rate):
        raise BadRecord("truncated audio")
    if not len(part.wave):
        raise BadRecord("no samples")
    if not np.isfinite(part.wave).all():
        raise BadRecord("samples that are not numbers")
    notes = [*part.notes, *_channel_notes(part.wave.shape[1])]
    if part.rate != SAMPLE_RATE:
        notes.append("resampled")
    with np.errstate(over="ignore", invalid="ignore"):  # absurdly large samples: found below
        resampled = resample(part.wave.mean(axis=1), part.rate)
    if not np.isfinite(resampled).all():
        raise BadRecord("samples that are not numbers")
    if len(resampled) and np.abs(resampled).max() > 1:
        notes.append("clipped")
    samples, fitted = fit(to_int16(resampled), frames)
    if cut_off:
        notes.append("truncated")
    # A lossy file may be damaged to a length of nothing; a level is at least 1.
    bitrate = None if part.bitrate is None else max(1, round(part.bitrate))
    return Clip(samples, bitrate, (*notes, *fitted))


def fit(samples: Samples, frames: int) -> tuple[Samples, tuple[str, ...]]:
    """The first `frames` of int16 `samples`, with zeros behind them where there are fewer, and the notes on that."""
    notes = []
    if len(samples) > frames:
        notes.append("cropped")
    elif len(samples) < frames:
        notes.append("padded")
    fitted = np.zeros(frames, np.int16)
    fitted[: len(samples)] = samples[:frames]
    if not fitted.any():
        notes.append("silent")
    return fitted, tuple(notes)


def resample(wave: Wave, rate: int) -> Wave:
    """Mono float32 `wave` [n] brought from `rate` to 44.1 kHz: [n * 44,100 / rate], rounded. The filter delays nothing.

    By soxr, which needs 0.2 to 0.6 ms for 2 s; scipy's resample_poly needs 0.7 to 1.4.
    """
    if rate == SAMPLE_RATE:
        return wave
    import soxr

    resampled: Wave = soxr.resample(wave, rate, SAMPLE_RATE)
    return resampled


def to_int16(wave: Wave) -> Samples:
    """Float samples, full scale 1, as 16-bit ones: rounded, and clipped. Exact for what was 16 bits before."""
    return np.clip(np.rint(wave * 32768), -32768, 32767).astype(np.int16)


def _kind(data: bytes) -> str | None:
    """ffmpeg's name of the file's format, or None where libsndfile is to read it. Raises BadRecord if it's neither's."""
    if data.startswith(_SOUNDFILE):
        return None
    if data[4:8] == b"ftyp":
        return "mp4"
    for signature, kind in _FFMPEG.items():
        if data.startswith(signature):
            return kind
    if _is_mpeg(data):
        return None
    raise BadRecord("not audio")


def _is_mpeg(data: bytes) -> bool:
    """Whether a header of MPEG audio, layer I to III, comes first."""
    word = int.from_bytes(data[:4])
    return len(data) >= 4 and word >> 21 == 0x7FF and word >> 17 & 3 != 0 and word >> 12 & 15 != 15 and word >> 10 & 3 != 3


def _wanted(frames: int, rate: int) -> int:
    return math.ceil(frames * rate / SAMPLE_RATE)


class Content(io.BytesIO):
    """A file's content for libsndfile, which may follow a damaged header to before its beginning."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Stays where it is if there is no such place; an error would be printed by the callback that it comes from."""
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


def _read_by_libsndfile(data: bytes, frames: int) -> _Part:
    import soundfile

    with soundfile.SoundFile(Content(data)) as file:
        _check(file.samplerate, file.channels)
        wanted = _wanted(frames, file.samplerate)
        wave = file.read(wanted + round(_MARGIN * file.samplerate), "float32", always_2d=True)
        if file.format == "MP3":
            return _of_mpeg(data, wave, file.samplerate, file.frames)
        notes = [_DEPTHS[file.subtype]] if file.subtype in _DEPTHS else []
        if has_no_length(data):
            notes.append("unknown length")
        lossless = file.subtype in _DEPTHS or file.subtype.startswith(("PCM", "ALAC"))
        bitrate = None if lossless else 8 * len(data) / 1000 * file.samplerate / max(1, file.frames)
        return _Part(wave, file.samplerate, bitrate, len(wave) < min(file.frames, wanted), tuple(notes))


def _of_mpeg(data: bytes, wave: Wave, rate: int, frames: int) -> _Part:
    from helmholtz.codecs.mp3_stream import read_stream

    try:
        stream = read_stream(data)
    except ValueError:  # layer I or II, or a free bitrate
        return _Part(wave, rate, 8 * len(data) / 1000 * rate / max(1, frames))
    return _Part(wave, rate, stream.bitrate, stream.truncated, () if stream.well_formed else ("stray bytes",))


def _read_by_ffmpeg(data: bytes, kind: str, frames: int) -> _Part:
    program = shutil.which("ffmpeg")
    if program is None:
        raise BadRecord("needs ffmpeg on the PATH")
    from pydub import AudioSegment  # only now: it warns where there is no ffmpeg

    AudioSegment.converter = program
    # Not `from_file`, which needs an ffprobe. From a local file, ffmpeg opens no network protocol.
    limit = max(_FFMPEG_SECONDS, frames / SAMPLE_RATE + _MARGIN)
    segment = AudioSegment.from_file_using_temporary_files(io.BytesIO(data), format=kind, duration=limit)
    _check(segment.frame_rate, segment.channels)
    wanted = _wanted(frames, segment.frame_rate) + round(_MARGIN * segment.frame_rate)
    bitrate = 8 * len(data) / 1000 / max(segment.duration_seconds, 1e-3)
    samples = np.frombuffer(segment.raw_data, f"<i{segment.sample_width}").reshape(-1, segment.channels)[:wanted]
    wave = (samples / float(1 << 8 * segment.sample_width - 1)).astype(np.float32)
    return _Part(wave, segment.frame_rate, bitrate)


def _check(rate: int, channels: int) -> None:
    """Raises BadRecord before anything is allocated for a header that lies."""
    if not RATES[0] <= rate <= RATES[1]:
        raise BadRecord(f"sample rate outside {RATES[0]} to {RATES[1]} Hz")
    if not 1 <= channels <= MAX_CHANNELS:
        raise BadRecord(f"more than {MAX_CHANNELS} channels")


def _channel_notes(channels: int) -> list[str]:
    if channels == 1:
        return []
    return ["stereo" if channels == 2 else f"{channels} channels"]
