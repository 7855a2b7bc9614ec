"""Image files of common kinds decoded directly, with the pixels that Pillow gives, in a fraction of its time.

Plain are RGB files of 8 bits, whole, with nothing in them that asks for a conversion or a note (see `helmholtz.images`): JFIF
without EXIF data or colours other than YCbCr, not progressive; BMP, uncompressed; binary PPM without comments, whose pixels
need no decoding at all. All others, and whatever is wrong with a file, are Pillow's. PNG is none of them, for libpng prints
what it finds wrong.
"""

from __future__ import annotations

import math
import re
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import imagecodecs
import numpy as np

from helmholtz.codecs.jpeg_stream import APP0, BASELINE, DQT, SOS, JpegStream, read_stream

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Samples = npt.NDArray[np.uint8]

MAX_SIDE = 65_500  # libjpeg's JPEG_MAX_DIMENSION

_JFIF, _APP0 = b"\xff\xd8\xff\xe0\x00\x10JFIF\0", b"\xff\xe0"
_DHT, _DRI, _COM = 0xC4, 0xDD, 0xFE
_PLAIN = frozenset((BASELINE, SOS, DQT, _DHT, _DRI, APP0, _COM))  # no EXIF data, further pictures, Adobe's colours
_BMP = struct.Struct("<2sI4xIIiiHHI")  # signature, file size, offset of the pixels, then a BITMAPINFOHEADER up to compression
_PPM = re.compile(rb"P6[ \n](\d{1,5})[ \n](\d{1,5})[ \n]255\n")  # width, height


class Plain(NamedTuple):
    """A plain file, decoded."""

    samples: Samples  # [height, width, 3]; of a PPM file those of its content itself, which can't be written to
    format: str  # Pillow's name
    stream: JpegStream | None = None  # of a JPEG file


def decode_plain(data: bytes, max_pixels: int) -> Plain | None:
    """`data` decoded; None if the file isn't plain, is damaged, or has over `max_pixels`.

    Nothing is allocated for more pixels than that, whatever the file claims.
    """
    if data.startswith(_JFIF):
        stream = _plain_stream(data)
        if stream is None:
            return None
        samples = _decoded(imagecodecs.jpeg8_decode, data, stream.height, stream.width, max_pixels)
        return None if samples is None else Plain(samples, "JPEG", stream)
    if size := _bmp_size(data):
        samples = _decoded(imagecodecs.bmp_decode, data, *size, max_pixels)
        return None if samples is None else Plain(samples, "BMP")
    if ppm := _PPM.match(data):
        width, height = map(int, ppm.groups())
        if not _allowed(height, width, max_pixels) or len(data) - ppm.end() != 3 * width * height:
            return None
        return Plain(np.frombuffer(data, np.uint8, offset=ppm.end()).reshape(height, width, 3), "PPM")
    return None


def _allowed(height: int, width: int, max_pixels: int) -> bool:
    return 0 < height * width <= max_pixels and max(height, width) <= MAX_SIDE


def _decoded(decoder: Callable[..., Any], data: bytes, height: int, width: int, max_pixels: int) -> Samples | None:
    if not _allowed(height, width, max_pixels):
        return None
    samples = unfilled(height, width, 3)
    try:
        return samples if decoder(data, out=samples).shape == samples.shape else None
    except (RuntimeError, ValueError):
        return None


def unfilled(*shape: int) -> Samples:
    """uint8 of that shape, C-contiguous, for decoders to write to.

    In memory aligned to 32 bytes libjpeg-turbo writes rows past the cache, which takes it twice as long for small images.
    """
    nbytes = math.prod(shape)
    memory = np.empty(nbytes + 32, np.uint8)
    start = (16 - memory.ctypes.data) % 32
    return memory[start : start + nbytes].reshape(shape)


def _plain_stream(data: bytes) -> JpegStream | None:
    try:
        stream = read_stream(data)
    except ValueError:
        return None
    whole = stream.well_formed and stream.size == len(data)
    usual = stream.scans == 1 and (stream.precision, len(stream.components)) == (8, 3)
    once = data.find(_APP0, 4) < 0  # Pillow reads a second one, too, and may refuse it
    return stream if whole and usual and once and stream.markers <= _PLAIN else None


def _bmp_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) of an uncompressed file of 24 bits a pixel, from the bottom up, with nothing else in it."""
    if not data.startswith(b"BM") or len(data) < _BMP.size:
        return None
    _, nbytes, offset, header, width, height, planes, bits, compression = _BMP.unpack_from(data)
    if (offset, header, planes, bits, compression) != (54, 40, 1, 24, 0) or min(height, width) <= 0:
        return None
    return (height, width) if nbytes == len(data) == offset + (3 * width + 3) // 4 * 4 * height else None
