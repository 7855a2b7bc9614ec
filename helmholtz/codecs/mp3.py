"""The MP3 codec: LAME at a constant bitrate of 8..320 kbit/s, and FLAC for ``none``.

Nothing but the sound of a decoded clip tells its level. LAME codes low bitrates at lower sample rates (see `CODED_RATES`), and
every MP3 starts with the delay of its encoder and decoder; so a decoded clip is freed of the delay, resampled to 44.1 kHz,
rounded to 16 bits and cut to the clip's length, as the lossless one is. LAME also turns the volume down at low bitrates, by as
much as 0.45 dB; that is undone, too.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from helmholtz.audio import SAMPLE_RATE, Content, Samples, decode, fit, resample, to_int16
from helmholtz.codecs.base import Bits, Encoded, EncodedBatch, Medium, Prepared
from helmholtz.codecs.mp3_stream import nominal_bitrate, read_stream
from helmholtz.errors import BadRecord
from helmholtz.levels import NONE, Level
from helmholtz.sources.base import Raw

# Hz that LAME codes mono of 44.1 kHz at, by kbit/s, when left to choose. These are all bitrates of layer III but 144, which
# only MPEG-2 has: LAME would have to be forced to 24 kHz or less, and turns it into 128 otherwise.
CODED_RATES = {
    8: 8_000,
    16: 16_000,
    24: 16_000,
    32: 22_050,
    40: 24_000,
    48: 32_000,
    56: 32_000,
    **dict.fromkeys((64, 80, 96, 112, 128, 160, 192, 224, 256, 320), 44_100),
}
BITRATES = tuple(CODED_RATES)  # kbit/s
MAX_SECONDS = 600.0

# Samples at the coded rate, at every bitrate (measured: 1105 +- 0.03): LAME's 576 and the decoder's 528 + 1.
DELAY = 1105
# LAME's presets scale the sound by this, by kbit/s (presets.c; measured to 0.001 on a tone at every bitrate).
SCALES = {bitrate: {192: 0.97, 224: 0.98, 256: 1.0, 320: 1.0}.get(bitrate, 0.95) for bitrate in CODED_RATES}
_MARGIN = 0.01  # seconds decoded behind the clip, so that the resampler's filter doesn't see an end there
_QUALITY = 3  # of LAME's search, 0 best to 9 fastest; 3 is what its own program takes


@dataclass(frozen=True, slots=True)
class Mp3Codec:
    """MP3 as LAME writes it: mono, constant bitrate, LAME's own choice of sample rate and low-pass filter."""

    reference_bitrate: int = 128  # kbit/s at which Q is 0
    seconds: float = 2.0  # every clip is cut, or padded with zeros, to this length

    name: ClassVar[str] = "mp3"
    medium: ClassVar[Medium] = "audio"
    sample: ClassVar[str] = "frame"
    scale: ClassVar[str] = "bitrate (kbit/s)"
    passes_through: ClassVar[bool] = False

    @property
    def frames(self) -> int:
        """Length of every clip, in frames at 44.1 kHz."""
        return round(self.seconds * SAMPLE_RATE)

    @property
    def identity(self) -> str:
        """For example ``mp3-cbr-q3-88200-ref128``: LAME's quality, the clips' frames, and the reference bitrate (of Q)."""
        return f"mp3-cbr-q{_QUALITY}-{self.frames}-ref{self.reference_bitrate}"

    def check(self, level: Level) -> None:
        """Raises ValueError unless `level` is ``none`` or one of BITRATES."""
        if level != NONE and level not in CODED_RATES:
            raise ValueError(f"{level} is not an MP3 bitrate: use none or one of {', '.join(map(str, BITRATES))} kbit/s")

    def between(self, high: Level, low: Level) -> tuple[int, ...]:
        """Those of BITRATES strictly between `high` and `low`, highest first; ``none`` lies above all."""
        self.check(high)
        self.check(low)
        inner = (rate for rate in reversed(BITRATES) if high == NONE or rate < high)
        return () if low == NONE else tuple(rate for rate in inner if rate > low)

    def label(self, level: int) -> str:
        """For example ``32 kbit/s``."""
        return f"{level} kbit/s"

    def quantisation(self, level: Level) -> float:
        """``1 - bitrate / reference_bitrate``, the x axis of the paper's figures; 0 for ``none``.

        It is 0, too, for every bitrate at or above the reference: a sweep that goes above 128 needs a higher reference, or
        these levels fall together in the figures.
        """
        self.check(level)
        return 0.0 if level == NONE else max(0.0, 1 - level / self.reference_bitrate)

    def bits(self, level: Level) -> dict[str, Bits]:
        """Empty: there is no accounting for MP3, whose quantisation follows a psychoacoustic model. Use the measured bits."""
        self.check(level)
        return {}

    def prepare(self, raw: Raw) -> Prepared:
        """The clip, int16 [frames], from the bytes of a file or from mono int16 samples at 44.1 kHz.

        Nothing is passed through: ``none`` is always the FLAC file of these samples, for a source's own MP3 file has a delay,
        length, sample rate and channels of its own, and would tell the level. The mean bitrate of a lossy source (of all its
        channels) is its `source_level`. Raises BadRecord for what can't be used.
        """
        if isinstance(raw, bytes):
            clip = decode(raw, self.frames)
            return Prepared(clip.samples, self.frames, source_level=clip.bitrate, notes=clip.notes)
        if raw.dtype != np.int16 or raw.ndim != 1:
            raise BadRecord(f"not mono 16-bit samples, but {raw.dtype} {list(raw.shape)}")
        if not len(raw):
            raise BadRecord("no samples")
        samples, notes = fit(raw, self.frames)
        return Prepared(samples, self.frames, notes=notes)

    def encode(self, record: Prepared, level: Level) -> Encoded:
        """The clip at `level`: an MP3 file without tags, or for ``none`` a FLAC file.

        `coded_bits` are those of scale factors and Huffman codes (part2_3_length: no headers, no side information, no
        stuffing), or of FLAC's frames (its metadata isn't counted).
        """
        if level == NONE:
            data = _flac(record.samples)
            bits = 8 * (len(data) - _flac_metadata_bytes(data))
            return Encoded(data, bits, bitrate=bits / (1000 * self.seconds), coded_rate=SAMPLE_RATE)
        self.check(level)
        data = _mp3(record.samples, level)
        stream = read_stream(data)
        return Encoded(data, stream.coded_bits, bitrate=stream.bitrate, coded_rate=stream.sample_rate)

    def encode_all(self, records: Sequence[Prepared], level: Level) -> EncodedBatch:
        """Several clips at `level`."""
        return EncodedBatch.of([self.encode(record, level) for record in records])

    def decode(self, payload: bytes, into: Samples | None = None) -> Samples:  # noqa: ARG002  # resampling makes an array
        """The clip in `payload`, as `encode` wrote it: int16 [frames], mono, 44.1 kHz, aligned with the original.

        Raises BadRecord if it isn't one.
        """
        import soundfile

        try:
            with soundfile.SoundFile(Content(payload)) as file:
                if file.channels != 1 or file.samplerate not in CODED_RATES.values():
                    raise BadRecord("not a mono clip of this codec")
                if file.format == "FLAC":
                    return fit(file.read(self.frames, "int16"), self.frames)[0]
                wanted = math.ceil((self.frames / SAMPLE_RATE + _MARGIN) * file.samplerate)
                wave = file.read(DELAY + wanted, "float32")[DELAY:] / SCALES.get(nominal_bitrate(payload), 1.0)
                # Cut before resampling: the delay is a whole number of samples only at the coded rate.
                return fit(to_int16(resample(wave, file.samplerate)), self.frames)[0]
        except ValueError as error:
            raise BadRecord("not an MP3 file of this codec") from error
        except soundfile.SoundFileError as error:
            raise BadRecord("not an MP3 or FLAC file") from error

    def versions(self) -> dict[str, str]:
        """Versions of lameenc, of the LAME in it, and of the libraries that read the sources and write FLAC."""
        from importlib.metadata import version

        import soundfile

        return {
            "lame": _lame_version(),
            "lameenc": version("lameenc"),
            "libsndfile": soundfile.__libsndfile_version__,
            "soundfile": soundfile.__version__,
            "soxr": version("soxr"),
        }


def _mp3(samples: Samples, bitrate: int) -> bytes:
    import lameenc

    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(1)
    encoder.set_in_sample_rate(SAMPLE_RATE)
    encoder.set_bit_rate(bitrate)
    encoder.set_quality(_QUALITY)
    return bytes(encoder.encode(samples.tobytes())) + bytes(encoder.flush())


@cache
def _lame_version() -> str:
    """What LAME calls itself in the stuffing of its files, e.g. ``3.100`` (the bindings don't tell)."""
    data = _mp3(np.zeros(SAMPLE_RATE, np.int16), 128)
    start = data.index(b"LAME") + 4
    return data[start : start + 5].decode("ascii", "replace").rstrip("U\0")


def _flac(samples: Samples) -> bytes:
    import soundfile

    file = io.BytesIO()
    # All levels are compared with this file's size, so it should be small: a decaying tone with noise takes 91.2 kB at level 0,
    # 82.5 at 0.625 (the default), 81.2 at 1, in 1.1, 1.1 and 1.9 ms.
    soundfile.write(file, samples, SAMPLE_RATE, "PCM_16", format="FLAC", compression_level=1.0)
    return file.getvalue()


def _flac_metadata_bytes(data: bytes) -> int:
    """Bytes before the first frame: the signature and metadata blocks (RFC 9639, section 8.1)."""
    position, last = 4, False
    while not last:
        last = bool(data[position] & 0x80)
        position += 4 + int.from_bytes(data[position + 1 : position + 4])
    return position
