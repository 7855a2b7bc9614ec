"""The JPEG codec, against Pillow (bytes and pixels) and TensorFlow (the decoder that trains on the payloads)."""

from __future__ import annotations

import dataclasses
import io
import itertools
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from helmholtz.codecs.base import Codec, Prepared
from helmholtz.codecs.jpeg import JpegCodec, Subsampling
from helmholtz.errors import BadRecord
from helmholtz.levels import Level

SUBSAMPLINGS: tuple[Subsampling, ...] = get_args(Subsampling)
CODEC = JpegCodec("4:2:0", 1_000_000)
RANDOM = np.random.default_rng(11)
NOISE = RANDOM.integers(0, 256, (75, 101, 3), np.uint8)
SMOOTH = (np.add.outer(np.arange(75), np.arange(101))[:, :, None] * (1, 1.2, 0.4)).astype(np.uint8)

images = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40).map(lambda shape: (*shape, 3)))


def file(image: np.ndarray | Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, kind, **options)
    return out.getvalue()


def by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_bytes_are_pillows_at_every_quality(subsampling: Subsampling) -> None:
    codec = JpegCodec(subsampling, 1_000_000)
    for image in (NOISE, SMOOTH, NOISE[:32, :32], NOISE[:1, :1], NOISE[:7, :17]):
        record = codec.prepare(image)
        for quality in range(1, 101):
            assert codec.encode(record, quality).data == file(image, quality=quality, subsampling=subsampling), quality


@settings(max_examples=150, deadline=None)
@given(images, st.integers(1, 100), st.sampled_from(SUBSAMPLINGS))
def test_bytes_are_pillows_for_any_image(image: np.ndarray, quality: int, subsampling: Subsampling) -> None:
    codec = JpegCodec(subsampling, 1_000_000)
    encoded = codec.encode(codec.prepare(image), quality)
    assert encoded.data == file(image, quality=quality, subsampling=subsampling)


def test_default_subsampling_is_pillows() -> None:
    assert CODEC.encode(CODEC.prepare(NOISE), 100).data == file(NOISE, quality=100)


@settings(max_examples=100, deadline=None)
@given(images)
def test_none_is_lossless(image: np.ndarray) -> None:
    encoded = CODEC.encode(CODEC.prepare(image), "none")
    np.testing.assert_array_equal(by_pillow(encoded.data), image)
    assert 0 < encoded.coded_bits < 8 * len(encoded.data)


@pytest.mark.parametrize("quality", [1, 25, 75, 100])
@pytest.mark.parametrize("image", [NOISE, SMOOTH, NOISE[:1, :1]], ids=["noise", "smooth", "one"])
def test_coded_bits_by_another_way(image: np.ndarray, quality: int) -> None:
    encoded = CODEC.encode(CODEC.prepare(image), quality)
    # Pillow's headers: SOI 2, APP0 18, two DQT 69, SOF0 19, four DHT 33, 183, 33 and 183, SOS 14; at the end EOI 2.
    scan = encoded.data[623:-2]
    stuffed = sum(pair == (0xFF, 0) for pair in itertools.pairwise(scan))
    assert encoded.coded_bits == 8 * (len(scan) - stuffed)
    if image is NOISE and quality == 100:
        assert stuffed > 50


def test_coded_bits_of_png() -> None:
    encoded = CODEC.encode(CODEC.prepare(SMOOTH), "none")
    # Signature 8, IHDR 25, one IDAT with 12 bytes around it, IEND 12.
    assert encoded.data.count(b"IDAT") == 1
    assert encoded.coded_bits == 8 * (len(encoded.data) - 8 - 25 - 12 - 12)
    large = CODEC.encode(CODEC.prepare(RANDOM.integers(0, 256, (400, 400, 3), np.uint8)), "none")
    assert 8 * 400 * 400 * 3 < large.coded_bits < 8 * len(large.data)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"optimize": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_sources_are_handed_on(mode: str, options: dict[str, Any]) -> None:
    data = file(Image.fromarray(NOISE).convert(mode), quality=67, **options)
    record = CODEC.prepare(data)
    assert record.passthrough == data
    assert record.source_level == 67
    assert record.notes == (("greyscale",) if mode == "L" else ())
    assert record.count == 75 * 101
    np.testing.assert_array_equal(record.samples, by_pillow(data))
    encoded = CODEC.encode(record, "none")
    assert encoded.data == data
    assert 0 < encoded.coded_bits < 8 * (len(data) - 150)  # the shortest headers: grey, with codes made for the image
    assert CODEC.encode(record, 30).data == file(by_pillow(data), quality=30)


def test_passthrough_bits_equal_those_of_encoding() -> None:
    encoded = CODEC.encode(CODEC.prepare(NOISE), 90)
    assert CODEC.encode(CODEC.prepare(encoded.data), "none") == encoded


@pytest.mark.parametrize("options", [{"mode": "CMYK"}, {"keep_rgb": True}, {"stray": b"\0\0"}])
def test_unusual_jpegs_become_png_but_stay_jpeg_sources(options: dict[str, Any]) -> None:
    stray = options.pop("stray", b"")
    data = file(Image.fromarray(NOISE).convert(options.pop("mode", "RGB")), quality=80, **options)
    data = data[:20] + stray + data[20:]
    record = CODEC.prepare(data)
    assert record.passthrough is None
    assert record.source_level == 80
    np.testing.assert_array_equal(by_pillow(CODEC.encode(record, "none").data), record.samples)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_other_files_have_no_source_level(kind: str) -> None:
    record = CODEC.prepare(file(NOISE, kind))
    assert record.passthrough is None
    assert record.source_level is None


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty file"),
        (b"nothing", "not an image"),
        (file(NOISE)[:-200], "truncated image"),
        (file(NOISE)[:-2], "truncated image"),
        (np.zeros((0, 5, 3), np.uint8), "no pixels"),
        (np.zeros((65_501, 1, 3), np.uint8), "too large for JPEG"),
        (np.broadcast_to(np.uint8(0), (1001, 1000, 3)), "more than 1000000 pixels"),
        (np.zeros((5, 5), np.uint8), "not RGB samples"),
        (np.zeros((5, 5, 4), np.uint8), "not RGB samples"),
        (np.zeros((5, 5, 3), np.float32), "not RGB samples"),
    ],
)
def test_what_cannot_be_used(raw: Any, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        CODEC.prepare(raw)


@pytest.mark.parametrize("view", [NOISE[::2, ::3], NOISE[:, ::-1], np.asfortranarray(NOISE), NOISE.transpose(1, 0, 2)])
def test_views_are_encoded_as_seen(view: np.ndarray) -> None:
    record = CODEC.prepare(view)
    assert record.samples.flags.c_contiguous
    assert CODEC.encode(record, 50).data == file(np.ascontiguousarray(view), quality=50)


def test_longest_side_is_encoded() -> None:
    record = CODEC.prepare(np.zeros((1, 65_500, 3), np.uint8))
    assert (
        by_pillow(CODEC.encode(record, 10).data).shape == by_pillow(CODEC.encode(record, "none").data).shape == (1, 65_500, 3)
    )


def test_levels() -> None:
    for level in ("none", 1, 100):
        CODEC.check(level)
    for level in (0, 101, -1):
        with pytest.raises(ValueError, match="none or 1 to 100"):
            CODEC.check(level)
    assert [CODEC.quantisation(level) for level in ("none", 100, 75, 1)] == [0, 0, 0.25, 0.99]
    assert CODEC.bits("none") == {}
    assert CODEC.bits(25)["standard"].left == pytest.approx(1.157, abs=5e-4)
    assert CODEC.bits(25)["paper"].left == pytest.approx(1.392, abs=5e-4)


def test_it_is_a_small_picklable_codec() -> None:
    codec: Codec = JpegCodec("4:2:2", 5)
    assert (codec.name, codec.medium, codec.sample, codec.scale) == ("jpeg", "image", "pixel", "quality")
    assert [JpegCodec(s, 5).identity for s in ("4:2:0", "4:2:2", "4:4:4")] == ["jpeg-420", "jpeg-422", "jpeg-444"]
    CODEC.encode(CODEC.prepare(NOISE), 50)
    copy = pickle.loads(pickle.dumps(codec))  # noqa: S301  # our own bytes
    assert copy == codec
    assert len(pickle.dumps(codec)) < 300
    with pytest.raises(dataclasses.FrozenInstanceError):
        codec.max_pixels = 6  # type: ignore[attr-defined]  # that is the point


def test_versions_name_the_writers() -> None:
    versions = CODEC.versions()
    assert versions.keys() == {"imagecodecs", "libjpeg-turbo", "libpng", "pillow"}
    assert all(version[0].isdigit() for version in versions.values())


def test_checking_levels_imports_no_image_library() -> None:
    script = (
        "import sys; from helmholtz.codecs.jpeg import JpegCodec; codec = JpegCodec('4:2:0', 9); codec.check(5); codec.bits(5);"
        "print([m for m in ('imagecodecs', 'PIL', 'tensorflow', 'scipy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout == "[]\n"


@pytest.fixture(scope="module")
def by_tensorflow() -> Callable[[bytes], np.ndarray]:
    """The decoder that the trainer uses."""
    tf = pytest.importorskip("tensorflow")

    def decode(data: bytes) -> np.ndarray:
        if data.startswith(b"\xff\xd8"):
            image = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE", fancy_upscaling=True)
        else:
            image = tf.io.decode_image(data, channels=3)
        return np.asarray(image)

    return decode


def sources() -> dict[str, bytes]:
    """Files of every kind that `none` has to hand on without a changed pixel."""
    image = Image.fromarray((NOISE // 8 + SMOOTH // 2).astype(np.uint8))
    plain = file(image, quality=80)
    rotated = Image.Exif()
    rotated[0x0112] = 6
    found: dict[str, bytes] = {
        "plain": plain,
        "progressive": file(image, progressive=True),
        "restarts": file(image, quality=30, restart_marker_blocks=2),
        "grey": file(image.convert("L")),
        "cmyk": file(image.convert("CMYK")),
        "rgb": file(image, keep_rgb=True),
        "trailing bytes": plain + b"and more " * 30,
        "stray bytes": plain[:20] + b"\0\0" + plain[20:],
        "several pictures": file(image, "MPO", save_all=True, append_images=[image]),
        "rotated": file(image, exif=rotated),
        "one pixel": file(image.crop((0, 0, 1, 1))),
        "png": file(image, "PNG"),
        "gif": file(image, "GIF"),
        "palette": file(image.quantize(7), "PNG"),
        "alpha": file(image.convert("RGBA"), "PNG"),
        **{subsampling: file(image, subsampling=subsampling) for subsampling in SUBSAMPLINGS},
    }
    imagecodecs = pytest.importorskip("imagecodecs")
    return found | {name: imagecodecs.jpeg8_encode(np.asarray(image), subsampling=name) for name in ("411", "440")}


def test_tensorflow_sees_the_samples_at_none(by_tensorflow: Callable[[bytes], np.ndarray]) -> None:
    for name, data in sources().items():
        record = CODEC.prepare(data)
        payload = CODEC.encode(record, "none").data
        np.testing.assert_array_equal(by_tensorflow(payload), record.samples, err_msg=name)
    for image in (NOISE, NOISE[:1, :1]):
        np.testing.assert_array_equal(by_tensorflow(CODEC.encode(CODEC.prepare(image), "none").data), image)


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_tensorflow_sees_what_pillow_sees(subsampling: Subsampling, by_tensorflow: Callable[[bytes], np.ndarray]) -> None:
    codec = JpegCodec(subsampling, 1_000_000)
    for image in (NOISE, SMOOTH, NOISE[:1, :1], NOISE[:7, :17]):
        for quality in (1, 10, 25, 50, 75, 100):
            payload = codec.encode(codec.prepare(image), quality).data
            np.testing.assert_array_equal(by_tensorflow(payload), by_pillow(payload))


@pytest.mark.filterwarnings("ignore")  # Pillow's, about damaged metadata
@pytest.mark.parametrize("seed", range(4))
def test_tensorflow_reads_every_damaged_file_that_we_accept(seed: int, by_tensorflow: Callable[[bytes], np.ndarray]) -> None:
    random = np.random.default_rng(seed)
    good = list(sources().values())
    accepted = 0
    for _ in range(60):
        data = bytearray(good[random.integers(len(good))])
        for _ in range(random.integers(1, 5)):
            data[random.integers(len(data))] = random.integers(256)
        try:
            record: Prepared = CODEC.prepare(bytes(data))
        except BadRecord:
            continue
        accepted += 1
        np.testing.assert_array_equal(by_tensorflow(CODEC.encode(record, "none").data), record.samples)
    assert accepted > 10


@pytest.mark.parametrize("level", ["none", 1, 25, 75, 100])
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_many_at_once_are_what_each_is(level: Level, subsampling: Subsampling) -> None:
    codec = JpegCodec(subsampling, 1 << 24)
    random = np.random.default_rng(0)
    sizes = [(1, 1), (8, 8), (32, 32), (255, 255), (16, 218), (33, 65_300)]  # FF in width and height, and FF DA among them
    records = [codec.prepare(random.integers(0, 256, (*size, 3), np.uint8)) for size in sizes]
    each = [codec.encode(record, level) for record in records]
    together = codec.encode_all(records, level)
    assert list(together.payloads) == [one.data for one in each]
    assert together.coded_bits == sum(one.coded_bits for one in each)
    assert (list(codec.encode_all([], level).payloads), codec.encode_all([], level).coded_bits) == ([], 0)
