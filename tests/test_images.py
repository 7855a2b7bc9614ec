"""Decoding of image files: every treatment, and that nothing but BadRecord comes out of bad files."""

from __future__ import annotations

import io
import resource
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helmholtz.errors import BadRecord
from helmholtz.images import check_size, decode

MANY = 64_000_000
RGB = np.random.default_rng(3).integers(0, 256, (21, 13, 3), np.uint8)
GREY = RGB[:, :, 0].copy()


def file(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, kind, **options)
    return out.getvalue()


def grey(values: np.ndarray) -> np.ndarray:
    return np.stack([values] * 3, axis=2)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_rgb_is_kept(kind: str) -> None:
    image = decode(file(RGB, kind), MANY)
    np.testing.assert_array_equal(image.samples, RGB)
    assert (image.format, image.notes) == (kind, ())
    assert image.samples.dtype == np.uint8
    assert image.samples.flags.c_contiguous


def test_lossless_webp_is_kept() -> None:
    np.testing.assert_array_equal(decode(file(RGB, "WEBP", lossless=True), MANY).samples, RGB)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_greyscale(kind: str) -> None:
    image = decode(file(GREY, kind), MANY)
    np.testing.assert_array_equal(image.samples, grey(GREY))
    assert image.notes == ("greyscale",)


def test_one_bit() -> None:
    bits = GREY > 127
    for kind in ("PNG", "TIFF", "BMP", "PPM"):
        image = decode(file(Image.fromarray(bits), kind), MANY)
        np.testing.assert_array_equal(image.samples, grey(np.where(bits, 255, 0)))
        assert image.notes == ("1-bit",)


def paletted() -> Image.Image:
    image = Image.fromarray(GREY % 4).convert("L")
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7])
    return image


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP"])
def test_palette(kind: str) -> None:
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]])
    image = decode(file(paletted(), kind), MANY)
    np.testing.assert_array_equal(image.samples, colours[GREY % 4])
    assert image.notes == ("palette",)


@pytest.mark.parametrize("transparency", [0, b"\x00\x80\xff\x10"])
def test_transparent_palette_keeps_its_colours(transparency: int | bytes) -> None:
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = decode(file(paletted(), "PNG", transparency=transparency), MANY)
    np.testing.assert_array_equal(image.samples, colours[GREY % 4])
    assert image.notes == ("palette", "alpha")


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_alpha_is_dropped(kind: str) -> None:
    alpha = (GREY // 2)[:, :, None]
    image = decode(file(np.concatenate([RGB, alpha], axis=2), kind), MANY)
    np.testing.assert_array_equal(image.samples, RGB)
    assert image.notes == ("alpha",)
    image = decode(file(Image.merge("LA", [Image.fromarray(GREY)] * 2), kind), MANY)
    np.testing.assert_array_equal(image.samples, grey(GREY))
    assert image.notes == ("greyscale", "alpha")


def test_transparent_colour_is_kept() -> None:
    image = decode(file(RGB, "PNG", transparency=tuple(int(v) for v in RGB[0, 0])), MANY)
    np.testing.assert_array_equal(image.samples, RGB)
    assert image.notes == ("alpha",)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_keeps_the_high_byte(kind: str) -> None:
    values = np.arange(21 * 13, dtype=np.uint16).reshape(21, 13) * 239
    image = decode(file(Image.fromarray(values), kind), MANY)
    np.testing.assert_array_equal(image.samples, grey(values >> 8))
    assert image.notes == ("greyscale", "16-bit")


def test_big_endian_sixteen_bit_tiff() -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    values = np.arange(21 * 13, dtype=np.uint16).reshape(21, 13) * 239
    image = decode(file(Image.frombytes("I;16B", (13, 21), values.astype(">u2").tobytes()), "TIFF"), MANY)
    np.testing.assert_array_equal(image.samples, grey(values >> 8))
    colours = np.stack([values, values[::-1], values[:, ::-1]], axis=2)
    image = decode(imagecodecs.png_encode(colours), MANY)
    np.testing.assert_array_equal(image.samples, colours >> 8)
    assert image.notes == ("16-bit",)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind: str) -> None:
    smooth = Image.fromarray(np.full((16, 16, 3), (200, 100, 50), np.uint8))
    image = decode(file(smooth.convert("CMYK"), kind), MANY)
    assert np.abs(image.samples.astype(int) - (200, 100, 50)).max() <= 3
    assert image.notes == ("cmyk",)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP", "MPO"])
def test_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    image = decode(file(frames[0], kind, save_all=True, append_images=frames[1:]), MANY)
    assert np.abs(image.samples.astype(int) - (255, 0, 0)).max() <= 3
    assert "first-frame" in image.notes


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_exif_orientation_is_ignored_and_noted(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode(file(RGB, kind, exif=exif), MANY)
    assert image.samples.shape == RGB.shape
    assert ("exif-orientation" in image.notes) == (orientation != 1)


def test_tiff_orientation_is_applied() -> None:
    image = decode(file(RGB, "TIFF", tiffinfo={274: 3}), MANY)
    np.testing.assert_array_equal(image.samples, RGB[::-1, ::-1])
    assert image.notes == ()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_does_not_cost_the_image() -> None:
    image = decode(file(RGB, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xee" * 40), MANY)
    assert image.samples.shape == RGB.shape
    assert image.notes == ()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_one_pixel_is_an_image(kind: str) -> None:
    assert decode(file(np.zeros((1, 1, 3), np.uint8), kind), 1).samples.shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"\0", "not an image"),
        (b"hello, world\n" * 100, "not an image"),
        ("Grüße, 世界".encode(), "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (b"%PDF-1.7\n", "not an image"),
    ],
)
def test_not_an_image(data: bytes, reason: str) -> None:
    with pytest.raises(BadRecord) as caught:
        decode(data, MANY)
    assert caught.value.reason == reason


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated(kind: str, share: float) -> None:
    data = file(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), kind)
    with pytest.raises(BadRecord) as caught:
        decode(data[: int(share * len(data))], MANY)
    assert caught.value.reason == "truncated image"


def test_truncated_bmp() -> None:
    with pytest.raises(BadRecord, match="truncated image"):
        decode(file(RGB, "BMP")[:-300], MANY)


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0")
    chunks = [struct.pack(">I", len(b) - 4) + b + struct.pack(">I", zlib.crc32(b)) for b in (body, data, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def webp_header(width: int, height: int) -> bytes:
    lossless = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0" * 20
    body = b"WEBPVP8L" + struct.pack("<I", len(lossless)) + lossless + b"\0" * (len(lossless) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    "data",
    [
        png_header(50_000, 50_000),
        png_header(2**31 - 1, 2**31 - 1),
        webp_header(16_383, 16_383),
        b"P6 60000 60000 255\n" + b"\0" * 10,
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b",\0\0\0\0\xff\xff\xff\xff\0\x02\x02L\x01\0;",
        file(RGB, "BMP")[:18] + struct.pack("<ii", 60_000, 60_000) + file(RGB, "BMP")[26:],
        file(RGB, "JPEG").replace(struct.pack(">HH", 21, 13), struct.pack(">HH", 65_000, 65_000), 1),
    ],
    ids=["png", "png-max", "webp", "ppm", "gif", "bmp", "jpeg"],
)
def test_bombs_are_refused_by_their_header(data: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadRecord) as caught:
            decode(data, MANY)
    assert caught.value.reason == "more than 64000000 pixels"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_tile_larger_than_its_image_is_refused() -> None:
    entries = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 277: 1, 322: 32768, 323: 32768, 324: 8, 325: 64}
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + b"\0" * 80
    with pytest.raises(BadRecord, match="more than 64000000 pixels"):
        decode(tiff, MANY)


def test_pixel_limit_is_inclusive() -> None:
    data = file(RGB, "PNG")
    assert decode(data, 21 * 13).samples.shape == RGB.shape
    with pytest.raises(BadRecord, match="more than 272 pixels"):
        decode(data, 21 * 13 - 1)


def test_large_images_neither_warn_nor_fail_below_our_limit() -> None:
    # Above the limits of Pillow (89 and 179 million pixels): only the truncated content is left to complain about.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadRecord, match="truncated image"):
            decode(b"P4 20000 20000\n" + b"\0" * 10, 500_000_000)


@pytest.mark.parametrize(
    ("height", "width", "reason"),
    [(65_501, 1, "too large for JPEG"), (1, 65_501, "too large for JPEG"), (0, 5, "no pixels"), (9000, 9000, "more than")],
)
def test_sizes(height: int, width: int, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        check_size(height, width, MANY)
    check_size(65_500, 1, MANY)


def test_long_side_in_a_file() -> None:
    with pytest.raises(BadRecord, match="too large for JPEG"):
        decode(file(Image.new("1", (65_501, 1)), "PNG"), MANY)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_samples_without_a_scale_are_refused(mode: str) -> None:
    with pytest.raises(BadRecord, match=f"unsupported pixel format {mode}"):
        decode(file(Image.new(mode, (4, 4)), "TIFF"), MANY)


SEEDS = [
    file(RGB, "JPEG"),
    file(RGB, "JPEG", progressive=True),
    file(RGB, "PNG"),
    file(paletted(), "PNG", transparency=0),
    file(paletted(), "GIF", save_all=True, append_images=[paletted().rotate(180)]),
    file(RGB, "BMP"),
    file(paletted(), "BMP"),
    file(RGB, "PPM"),
    file(RGB, "WEBP"),
    file(RGB, "WEBP", lossless=True),
    *(file(RGB, "TIFF", compression=how) for how in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")),
]


@pytest.mark.filterwarnings("ignore")  # Pillow's, about damaged metadata
@settings(max_examples=600, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_damaged_files_raise_only_bad_record(seed: bytes, draw: st.DataObject) -> None:
    data = bytearray(seed)
    for position, value in draw.draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=12)):
        data[position] = value
    cut = draw.draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))
    try:
        image = decode(bytes(data[:cut]), 1_000_000)
    except BadRecord:
        return
    assert image.samples.dtype == np.uint8
    assert image.samples.ndim == 3
    assert image.samples.shape[2] == 3
    assert 0 < image.samples.shape[0] * image.samples.shape[1] <= 1_000_000


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_not_images(data: bytes) -> None:
    with pytest.raises(BadRecord):
        decode(data, MANY)


@pytest.mark.parametrize("error", [struct.error("x"), MemoryError(), RecursionError(), SyntaxError("x"), KeyError(1)])
def test_whatever_pillow_raises_is_a_bad_record(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(BadRecord, match="damaged image"):
        decode(b"BM" + bytes(100), MANY)
