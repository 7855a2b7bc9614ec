"""Files decoded without Pillow: with its pixels, its refusals and its notes, or not at all."""

from __future__ import annotations

import io
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from helmholtz import images
from helmholtz.errors import BadRecord
from helmholtz.images import decode
from helmholtz.plain_images import decode_plain
from tests.conftest import picture
from tests.fuzz.mutations import mutate_bytes

MANY = 1 << 20
RGB = Image.fromarray(picture(3, 21, 30))


def file(kind: str, image: Image.Image = RGB, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def exif() -> Image.Exif:
    found = Image.Exif()
    found[ExifTags.Base.Orientation] = 6
    return found


PLAIN = [
    *(file("JPEG", quality=q, subsampling=s) for q in (1, 50, 95, 100) for s in ("4:4:4", "4:2:2", "4:2:0")),
    file("JPEG", restart_marker_blocks=1),
    file("JPEG", comment=b"who took it"),
    file("JPEG", optimize=True),
    *(file(kind, RGB.resize(size)) for kind in ("JPEG", "BMP", "PPM") for size in ((1, 1), (1, 9), (17, 3), (64, 48))),
]
OTHERS = {
    "EXIF": file("JPEG", exif=exif()),
    "colour profile": file("JPEG", icc_profile=b"x" * 200),
    "progressive": file("JPEG", progressive=True),
    "grey": file("JPEG", RGB.convert("L")),
    "CMYK": file("JPEG", RGB.convert("CMYK")),
    "RGB components": file("JPEG", keep_rgb=True),
    "frames": file("MPO", save_all=True, append_images=[RGB.rotate(90)]),
    "two APP0": PLAIN[0][:20] + b"\xff\xe0\x00\x07JFIF\0" + PLAIN[0][20:],
    "too long for JPEG": file("BMP", RGB.resize((1, 65_501))),
    "behind EOI": PLAIN[0] + b"more",
    "cut": PLAIN[0][:-2],
    "PNG": file("PNG"),
    "palette BMP": file("BMP", RGB.convert("P")),
    "32 bits BMP": file("BMP", RGB.convert("RGBA")),
    "cut BMP": file("BMP")[:-1],
    "cut PPM": file("PPM")[:-1],
    "behind the pixels of a PPM": file("PPM") + b"more",
    "comment in a PPM": file("PPM").replace(b"P6\n", b"P6\n# by hand\n"),
    "grey PPM": file("PPM", RGB.convert("L")),
    "other white of a PPM": file("PPM").replace(b"\n255\n", b"\n254\n"),
    "16 bits PPM": file("PPM").replace(b"\n255\n", b"\n65535\n") + bytes(3 * 21 * 30),
    "PPM of no pixels": b"P6\n0 9\n255\n",
    "empty": b"",
    "no more than a signature": b"BM",
}


def pillows(data: bytes, monkeypatch: pytest.MonkeyPatch) -> images.Decoded | str:
    """What Pillow alone makes of `data`, or why it refuses it."""
    with monkeypatch.context() as patch:
        patch.setattr(images, "decode_plain", lambda *_: None)
        return ours(data)


def ours(data: bytes) -> images.Decoded | str:
    try:
        return decode(data, MANY)
    except BadRecord as error:
        return error.reason


def assert_same(one: images.Decoded | str, other: images.Decoded | str) -> None:
    if isinstance(one, str) or isinstance(other, str):
        assert one == other
        return
    np.testing.assert_array_equal(one.samples, other.samples)
    assert (one.format, one.notes, one.samples.dtype) == (other.format, other.notes, other.samples.dtype)
    assert one.samples.flags.c_contiguous


@pytest.mark.parametrize("data", PLAIN)
def test_plain_files_have_pillows_pixels(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decode_plain(data, MANY) is not None
    assert_same(ours(data), pillows(data, monkeypatch))


@pytest.mark.parametrize("kind", OTHERS)
def test_all_others_are_left_to_pillow(kind: str) -> None:
    assert decode_plain(OTHERS[kind], MANY) is None


@pytest.mark.parametrize("kind", ["JPEG", "BMP", "PPM"])
def test_nothing_larger_than_allowed(kind: str) -> None:
    assert decode_plain(file(kind), 21 * 30) is not None
    assert decode_plain(file(kind), 21 * 30 - 1) is None
    with pytest.raises(BadRecord, match="more than 629 pixels"):
        decode(file(kind), 21 * 30 - 1)


@pytest.mark.parametrize("side", [0, -1, 1 << 30])
def test_a_bmp_that_lies_about_its_size(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(file("BMP"))
    data[22:26] = side.to_bytes(4, "little", signed=True)
    assert decode_plain(bytes(data), 1 << 62) is None
    assert_same(ours(bytes(data)), pillows(bytes(data), monkeypatch))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_damaged_files_are_as_pillow_sees_them(seed: int, mended: bool) -> None:
    random = Random(seed)  # noqa: S311  # no secret
    data = mutate_bytes(random, random.choice(PLAIN), PLAIN)
    if mended and data.startswith(b"\xff\xd8"):
        data = data[:-2] + b"\xff\xd9"  # gets further than to the check of its end
    with pytest.MonkeyPatch.context() as patch:
        assert_same(ours(data), pillows(data, patch))
