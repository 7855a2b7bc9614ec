"""Image files: decoded as imagecodecs does it where that can, and the same again behind every level of the codec."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
from PIL import ExifTags, Image

from helmholtz.codecs.jpeg import JpegCodec
from tests.conftest import picture
from tests.fuzz.mutations import mutate_bytes
from tests.fuzz.target import Target

MAX_PIXELS = 1 << 20
CODEC = JpegCodec("4:2:0", MAX_PIXELS)


def corpus() -> list[bytes]:
    rgb = Image.fromarray(picture(3, 21, 30))
    deep = Image.fromarray(picture(4, 21, 30)[:, :, 0].astype(np.uint16) << 8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    more = [Image.fromarray(picture(5 + n, 21, 30)) for n in range(2)]
    return [
        saved(rgb, "PNG"), saved(rgb, "PNG", icc_profile=b"x" * 200), saved(rgb.convert("L"), "PNG"), saved(deep, "PNG"),
        saved(rgb.convert("P"), "PNG", transparency=3), saved(rgb.convert("RGBA"), "PNG"), saved(rgb.convert("LA"), "PNG"),
        saved(rgb.convert("1"), "PNG"), saved(rgb, "PNG", save_all=True, append_images=more),
        saved(rgb, "JPEG"), saved(rgb, "JPEG", quality=100, subsampling=0), saved(rgb, "JPEG", progressive=True),
        saved(rgb.convert("CMYK"), "JPEG"), saved(rgb.convert("L"), "JPEG"), saved(rgb, "JPEG", exif=exif),
        saved(rgb, "JPEG", restart_marker_blocks=1), saved(rgb, "MPO", save_all=True, append_images=more),
        saved(rgb, "GIF"), saved(rgb, "GIF", save_all=True, append_images=more), saved(rgb, "BMP"),
        saved(rgb.convert("1"), "BMP"), saved(rgb, "TIFF"), saved(rgb, "TIFF", compression="tiff_lzw"),
        saved(rgb, "TIFF", compression="tiff_deflate"), saved(rgb, "TIFF", compression="jpeg"),
        saved(deep, "TIFF"), saved(rgb.convert("1"), "TIFF", compression="group4"),
        saved(rgb, "WEBP"), saved(rgb, "WEBP", lossless=True), saved(rgb.convert("RGBA"), "WEBP"),
        saved(rgb, "WEBP", save_all=True, append_images=more), saved(rgb, "PPM"), saved(rgb.convert("1"), "PPM"),
        b"P2 2 2 255 1 2 3 4\n", b"P3 1 1 15 1 2 3\n",
    ]  # fmt: skip


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def mutate(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    data = mutate_bytes(random, data, corpus)
    return with_checksums(data) if data.startswith(b"\x89PNG") and random.random() < 0.7 else data


def with_checksums(data: bytes) -> bytes:
    """A PNG file with the checksum of every chunk made right, so that damage gets further than to the first one."""
    position, parts = 8, [data[:8]]
    while position + 12 <= len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        end = position + 8 + length
        parts += [data[position:end], struct.pack(">I", zlib.crc32(data[position + 4 : end]))]
        position = end + 4
    return b"".join([*parts, data[position:]])


def check(data: bytes, folder: Path) -> str:
    prepared = CODEC.prepare(data)
    samples = prepared.samples
    height, width, channels = samples.shape
    assert samples.dtype == np.uint8, "not of 8 bits"
    assert samples.flags.c_contiguous, "not contiguous"
    assert (channels, prepared.count) == (3, height * width), "not RGB, or counted wrong"
    assert 0 < height * width <= MAX_PIXELS, "larger than allowed"
    with Image.open(io.BytesIO(data)) as image:
        if not (image.format == "TIFF" and image.getexif().get(ExifTags.Base.Orientation)):
            assert image.size == (width, height), "not of the size in its header"
    _check_pixels(data, samples, prepared.notes)
    lossless = CODEC.encode(prepared, "none")
    assert (CODEC.decode(lossless.data) == samples).all(), "none isn't lossless"
    assert 0 < lossless.coded_bits <= 8 * len(lossless.data), "more coded bits than bytes"
    if prepared.passthrough is not None:
        assert lossless.data == data, "passed through, and changed"
    lossy = CODEC.encode(prepared, 30)
    assert CODEC.decode(lossy.data).shape == samples.shape, "of another shape at level 30"
    assert 0 < lossy.coded_bits <= 8 * len(lossy.data), "more coded bits than bytes"
    assert prepared.source_level is None or 1 <= prepared.source_level <= 100, "no such quality"
    return " ".join(sorted(prepared.notes)) or ("kept" if prepared.passthrough else "plain")


def _check_pixels(data: bytes, samples: np.ndarray, notes: tuple[str, ...]) -> None:
    """Against libjpeg-turbo and libpng by themselves, where they read the file as plain RGB."""
    import imagecodecs

    if notes:
        return
    try:
        if data.startswith(b"\xff\xd8"):
            other = imagecodecs.jpeg8_decode(data, outcolorspace="rgb")
        elif data.startswith(b"\x89PNG"):
            other = imagecodecs.png_decode(data)
        else:
            return
    except Exception:  # stricter than Pillow
        return
    if other.dtype == np.uint8 and other.shape == samples.shape:
        assert (other == samples).all(), "other pixels than by imagecodecs"


TARGET = Target(corpus, check, mutate, speed=2)
