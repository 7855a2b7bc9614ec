"""The JPEG codec: libjpeg-turbo at quality 1..100, and PNG (or the source's own JPEG file) for ``none``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, ClassVar, Literal

import numpy as np

from helmholtz.codecs.base import Bits, Encoded, Medium, Prepared
from helmholtz.codecs.bits import theoretical_bits
from helmholtz.codecs.jpeg_stream import BASELINE, EXTENDED, PROGRESSIVE, JpegStream, coded_bytes, estimate_quality, read_stream
from helmholtz.errors import BadRecord
from helmholtz.levels import NONE, Level
from helmholtz.sources.base import Raw

Subsampling = Literal["4:2:0", "4:2:2", "4:4:4"]

_FACTORS = {"4:2:0": "420", "4:2:2": "422", "4:4:4": "444"}

# Marker and length of a scan header with three components. No baseline table before it can hold a zero byte after FF DA.
_SCAN_HEADER = b"\xff\xda\x00\x0c"
_SCAN = 623  # where the scan behind it begins in a file of three components with standard tables of 8 bits


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
            stream = read_stream(data)
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
        # Where it usually is, since standard tables have one length: searching takes a tenth of a small picture's time.
        start = _SCAN if data.startswith(_SCAN_HEADER, _SCAN - 14) else data.index(_SCAN_HEADER) + 14
        return Encoded(data, 8 * coded_bytes(data, start, len(data) - 2))

    def decode(self, payload: bytes) -> Any:
        """uint8 [height, width, 3]."""
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
def _png_encoder() -> Callable[..., Any]:
    import imagecodecs

    # All levels are compared with this file's size, so it should be small. Measured on photographs, 32x32 / 256x256:
    # this 89 us, 1710 bytes / 13.0 ms, 115.5 kB; Pillow's default 126 us, 1715 bytes / 13.9 ms, 116.5 kB;
    # level 1 66 us, 1863 bytes / 3.9 ms, 124.8 kB, and 9 saves another 0.1% for 20% more time.
    return partial(
        imagecodecs.png_encode,
        level=6,
        strategy=imagecodecs.PNG.STRATEGY.FILTERED,
        filter=imagecodecs.PNG.FILTER.ALL,
    )
