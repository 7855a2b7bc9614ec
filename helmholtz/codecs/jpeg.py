"""The JPEG codec: libjpeg-turbo at quality 1..100, and PNG (or the source's own JPEG file) for ``none``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, ClassVar, Literal

import numpy as np

from helmholtz.codecs.base import Bits, Encoded, EncodedBatch, Medium, Prepared
from helmholtz.codecs.bits import theoretical_bits
from helmholtz.codecs.jpeg_stream import BASELINE, EXTENDED, PROGRESSIVE, JpegStream, estimate_quality, read_stream
from helmholtz.errors import BadRecord
from helmholtz.levels import NONE, Level
from helmholtz.sources.base import Raw

Subsampling = Literal["4:2:0", "4:2:2", "4:4:4"]

_FACTORS = {"4:2:0": "420", "4:2:2": "422", "4:4:4": "444"}

# Marker and length of a scan header with three components. No baseline table before it can hold a zero byte after FF DA.
_SCAN_HEADER = b"\xff\xda\x00\x0c"
_SCAN = 623  # where the scan behind it begins in a file of three components with standard tables of 8 bits

_JFIF, _PNG = b"\xff\xd8\xff\xe0\x00\x10JFIF\0", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"  # how our files begin
_FRAME_HEADER = b"\xff\xc0\x00\x11\x08"  # of a baseline frame with three components of 8 bits
_FRAME = 158  # where it is in such a file, behind JFIF's segment and two tables


@dataclass(frozen=True, slots=True)
class JpegCodec:
    """JPEG as Pillow writes it, byte for byte: standard tables scaled to the quality, standard Huffman codes, baseline."""

    subsampling: Subsampling  # of the chrominance planes
    max_pixels: int  # larger images are set aside

    name: ClassVar[str] = "jpeg"
    medium: ClassVar[Medium] = "image"
    sample: ClassVar[str] = "pixel"
    scale: ClassVar[str] = "quality"
    passes_through: ClassVar[bool] = True

    @property
    def identity(self) -> str:
        """``jpeg-420``, ``jpeg-422`` or ``jpeg-444``."""
        return f"jpeg-{_FACTORS[self.subsampling]}"

    def check(self, level: Level) -> None:
        """Raises ValueError unless `level` is ``none`` or a quality in 1..100."""
        if level != NONE and not 1 <= level <= 100:
            raise ValueError(f"{level} is not a JPEG quality: use none or 1 to 100")

    def between(self, high: Level, low: Level) -> tuple[int, ...]:
        """Every whole quality strictly between `high` and `low`, best first; ``none`` lies above 100."""
        self.check(high)
        self.check(low)
        return () if low == NONE else tuple(range(100 if high == NONE else high - 1, low, -1))

    def label(self, level: int) -> str:
        """For example ``quality 25``."""
        return f"quality {level}"

    def quantisation(self, level: Level) -> float:
        """``(100 - q) / 100``, the x axis of the paper's figures; 0 for ``none``, and for 100 too."""
        self.check(level)
        return 0.0 if level == NONE else (100 - level) / 100

    def bits(self, level: Level) -> dict[str, Bits]:
        """Theoretical bits by the ``standard`` tables and as in the ``paper`` (not at 100); empty for ``none``."""
        self.check(level)
        return {} if level == NONE else theoretical_bits(level)

    def prepare(self, raw: Raw) -> Prepared:
        """The image decoded, from the bytes of a file or as uint8 [height, width, 3].

        A JPEG file that every decoder reads alike is also kept as it is, for ``none``. Raises BadRecord for what can't be used.
        """
        if isinstance(raw, bytes):
            return self._prepare_file(raw)
        if raw.dtype != np.uint8 or raw.ndim != 3 or raw.shape[2] != 3:
            raise BadRecord(f"not RGB samples, but {raw.dtype} {list(raw.shape)}")
        from helmholtz.images import check_size

        height, width = raw.shape[:2]
        check_size(height, width, self.max_pixels)
        return Prepared(samples=np.ascontiguousarray(raw), count=height * width)

    def _prepare_file(self, data: bytes) -> Prepared:
        from helmholtz.images import decode

        image = decode(data, self.max_pixels)
        count = image.samples.shape[0] * image.samples.shape[1]
        if image.format != "JPEG":
            return Prepared(image.samples, count, notes=image.notes)
        try:
            stream = image.stream or read_stream(data)
        except ValueError as error:
            raise BadRecord("damaged image") from error
        passthrough = data if _is_portable(stream) else None
        return Prepared(image.samples, count, passthrough, estimate_quality(stream), image.notes)

    def encode(self, record: Prepared, level: Level) -> Encoded:
        """The image at `level`: a JPEG file, or for ``none`` the source's own JPEG file if it was kept, or else a PNG file.

        `coded_bits` are those of the entropy-coded segments (stuffed bytes and RST markers not counted), or of PNG's IDAT data.
        """
        if level == NONE:
            return _lossless(record)
        data = _jpeg_encoder()(record.samples, level=level, subsampling=_FACTORS[self.subsampling])
        start, end = data.index(_SCAN_HEADER) + 14, len(data) - 2
        # In this scan, without RST markers, an FF is always one with a stuffed 00, and single bytes are counted faster.
        return Encoded(data, 8 * (end - start - data.count(b"\xff", start, end)))

    def encode_all(self, records: Sequence[Prepared], level: Level) -> EncodedBatch:
        """Several images at `level`: the same, in fewer of Python's calls, which at 32x32 cost as much as the count."""
        if level == NONE:
            return EncodedBatch.of([_lossless(record) for record in records])
        encoder, factors = _jpeg_encoder(), _FACTORS[self.subsampling]
        payloads = [encoder(record.samples, level=level, subsampling=factors) for record in records]
        # A level's headers differ in the size alone, so all scans begin at one place. FFs that follow are stuffed, or EOI's.
        if payloads and not payloads[0].startswith(_SCAN_HEADER, _SCAN - 14):
            return EncodedBatch.of([self.encode(record, level) for record in records])
        nbytes, stuffed = sum(map(len, payloads)), sum([data.count(b"\xff", _SCAN) for data in payloads])
        return EncodedBatch(payloads, 8 * (nbytes - stuffed - len(payloads) * (_SCAN + 1)))

    def decode(self, payload: bytes, into: Any = None) -> Any:
        """uint8 [height, width, 3]: `into`, if that is its shape. Raises BadRecord if it is damaged or over `max_pixels`."""
        decoder, shape = _as_encoded(payload)
        if decoder is not None and 0 < shape[0] * shape[1] <= self.max_pixels:
            if into is None or into.shape != shape:
                into = np.empty(shape, np.uint8)
            try:
                decoded = decoder(payload, out=into)
            except (RuntimeError, ValueError):
                pass  # whatever is wrong with it, Pillow says
            else:
                if decoded.shape == shape:  # one channel of 1x3 pixels fits three of 1x1
                    return decoded
        from helmholtz.images import decode

        return decode(payload, self.max_pixels).samples

    def versions(self) -> dict[str, str]:
        """Versions of imagecodecs and the libraries in it that write the payloads, and of Pillow, which reads the sources."""
        import imagecodecs
        import PIL

        return {
            "imagecodecs": imagecodecs.__version__,
            "libjpeg-turbo": imagecodecs.jpeg8_version().removeprefix("libjpeg_turbo "),
            "libpng": imagecodecs.png_version().removeprefix("libpng "),
            "pillow": PIL.__version__,
        }


def _is_portable(stream: JpegStream) -> bool:
    """Whether TensorFlow decodes this file, and to the pixels that Pillow sees.

    Left out: damaged structure, 12-bit, lossless and arithmetic coding, RGB, CMYK and YCCK.
    """
    return (
        stream.well_formed
        and stream.process in (BASELINE, EXTENDED, PROGRESSIVE)
        and stream.precision == 8
        and (len(stream.components) == 1 or (len(stream.components) == 3 and stream.is_ycbcr))
    )


def _as_encoded(payload: bytes) -> tuple[Callable[..., Any] | None, tuple[int, int, int]]:
    """A direct decoder, six times as fast at 32x32 as Pillow, and the samples' shape, if this looks like a file of `encode`'s.

    The decoder is given memory for so many pixels, and refuses a file that turns out to have others.
    """
    if payload.startswith(_JFIF) and payload.startswith(_FRAME_HEADER, _FRAME) and payload.endswith(b"\xff\xd9"):
        height, width = int.from_bytes(payload[_FRAME + 5 : _FRAME + 7]), int.from_bytes(payload[_FRAME + 7 : _FRAME + 9])
        return _jpeg_decoder(), (height, width, 3)
    if payload.startswith(_PNG) and payload[24:29] == b"\x08\x02\0\0\0":  # 8 bits of RGB, not interlaced
        return _png_decoder(), (int.from_bytes(payload[20:24]), int.from_bytes(payload[16:20]), 3)
    return None, (0, 0, 0)


def _lossless(record: Prepared) -> Encoded:
    if record.passthrough is not None:
        return Encoded(record.passthrough, read_stream(record.passthrough).coded_bits)
    data = _png_encoder()(record.samples)
    return Encoded(data, 8 * _idat_bytes(data))


def _idat_bytes(data: bytes) -> int:
    """Bytes of compressed data in a PNG file: the IDAT chunks without their lengths, names and checksums."""
    total, position = 0, 8
    while position < len(data):
        length = int.from_bytes(data[position : position + 4])
        if data[position + 4 : position + 8] == b"IDAT":
            total += length
        position += 12 + length
    return total


# imagecodecs takes 0.1 s to import, and 0.5 us to look up in every call: a tenth of the time of a 32x32 image.
@cache
def _jpeg_encoder() -> Callable[..., Any]:
    import imagecodecs

    return imagecodecs.jpeg8_encode


@cache
def _jpeg_decoder() -> Callable[..., Any]:
    import imagecodecs

    return imagecodecs.jpeg8_decode


@cache
def _png_decoder() -> Callable[..., Any]:
    import imagecodecs

    return imagecodecs.png_decode


@cache
def _png_encoder() -> Callable[..., Any]:
    import imagecodecs

    # All levels are compared with this file's size, so it should be small; it also takes longer than all of them together.
    # Measured on photographs of 256x256: this 6.4 ms, 98.5 kB; level 1 3.6 ms, 107.5 kB; level 6 12.4 ms, 97.6 kB; level 9
    # 29.3 ms, 96.9 kB. At 32x32: 81 us, 2253 bytes; level 6 85 us, 2250 bytes; Pillow's default 112 us, 2258 bytes.
    return partial(
        imagecodecs.png_encode,
        level=4,
        strategy=imagecodecs.PNG.STRATEGY.FILTERED,
        filter=imagecodecs.PNG.FILTER.ALL,
    )
