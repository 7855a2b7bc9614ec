"""The marker walk, against Pillow's reading of the same files and files put together by hand."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helmholtz.codecs.bits import scaled_tables
from helmholtz.codecs.jpeg_stream import BASELINE, coded_bytes, estimate_quality, read_stream

NOISE = np.random.default_rng(7).integers(0, 256, (65, 47, 3), np.uint8)


def jpeg(samples: np.ndarray = NOISE, mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(samples).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2) + body


def by_hand(
    scan: bytes, *, table: bytes = b"\0" + bytes(range(1, 65)), between: bytes = b"", end: bytes = b"\xff\xd9"
) -> bytes:
    """A grey 8x8 file around `scan`; nothing could decode it, for it has no Huffman tables."""
    frame = segment(0xC0, bytes((8, 0, 8, 0, 8, 1, 1, 0x11, 0)))
    return b"\xff\xd8" + segment(0xDB, table) + between + frame + segment(0xDA, bytes((1, 1, 0, 0, 63, 0))) + scan + end


def scan_bits_by_state_machine(data: bytes) -> int:
    """Counts, byte by byte, what stands between each SOS header and the next marker. For well-formed files."""
    position, total = 2, 0
    while data[position + 1] != 0xD9:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4])
        position += 2 + length
        if marker != 0xDA:
            continue
        while True:
            if data[position] != 0xFF:
                total, position = total + 1, position + 1
            elif data[position + 1] == 0:
                total, position = total + 1, position + 2
            elif 0xD0 <= data[position + 1] <= 0xD7:
                position += 2
            else:
                break
    return 8 * total


@pytest.mark.parametrize(
    ("scan", "coded"),
    [
        (b"", 0),
        (b"\x12", 1),
        (b"\x12\xff\x00\x34", 3),
        (b"\xff\x00\xff\x00", 2),
        (b"\x12\xff\xd0\x34\xff\xd7\x56", 3),
        (b"\xff\x00\xff\xd0\xff\x00", 2),
        (b"\x00\xff\x00\x00", 3),
        (b"\x12\xff\xff\xd0\x34", 2),  # a fill byte before RST0
    ],
)
def test_coded_bits_by_hand(scan: bytes, coded: int) -> None:
    stream = read_stream(by_hand(scan))
    assert (stream.coded_bits, stream.scans, stream.well_formed) == (8 * coded, 1, True)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}, {"optimize": True}])
@pytest.mark.parametrize("quality", [5, 75, 100])
def test_coded_bits_of_real_files(mode: str, options: dict[str, Any], quality: int) -> None:
    data = jpeg(mode=mode, quality=quality, **options)
    stream = read_stream(data)
    assert stream.coded_bits == scan_bits_by_state_machine(data) > 0
    assert stream.progressive == ("progressive" in options)
    assert (stream.scans > 1) == stream.progressive
    assert stream.well_formed
    assert stream.size == len(data)


def test_stuffed_bytes_count_once() -> None:
    data = jpeg(quality=100)
    start = data.rindex(b"\xff\xda") + 14
    stuffed = sum(data[i : i + 2] == b"\xff\x00" for i in range(start, len(data)))
    assert stuffed > 20
    assert coded_bytes(data, start, len(data) - 2) == len(data) - 2 - start - stuffed


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_headers(subsampling: str) -> None:
    stream = read_stream(jpeg(subsampling=subsampling))
    assert (stream.width, stream.height, stream.precision, stream.process) == (47, 65, 8, BASELINE)
    assert stream.subsampling == subsampling
    assert stream.jfif
    assert stream.is_ycbcr
    assert stream.adobe_transform is None


@pytest.mark.parametrize(("name", "subsampling"), [("411", "4:1:1"), ("440", "4:4:0")])
def test_rare_subsampling(name: str, subsampling: str) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    assert read_stream(imagecodecs.jpeg8_encode(NOISE, subsampling=name)).subsampling == subsampling


def test_colours_and_subsampling_of_others() -> None:
    assert read_stream(jpeg(mode="L")).subsampling == "4:0:0"
    assert not read_stream(jpeg(keep_rgb=True)).is_ycbcr
    cmyk = read_stream(jpeg(mode="CMYK"))
    assert len(cmyk.components) == 4
    assert cmyk.adobe_transform is not None


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_tables_in_natural_order(mode: str) -> None:
    data = jpeg(mode=mode, quality=63)
    with Image.open(io.BytesIO(data)) as image:
        expected = image.quantization  # type: ignore[attr-defined]  # JpegImageFile's
    tables = read_stream(data).tables
    assert tables.keys() == expected.keys()
    for slot, table in tables.items():
        np.testing.assert_array_equal(table.ravel(), expected[slot])
        assert not np.array_equal(table, table.T) or slot == 1


@pytest.mark.parametrize("quality", range(1, 101))
def test_quality_of_pillows_files_is_exact(quality: int) -> None:
    small = NOISE[:8, :8]
    for mode, options in (("RGB", {}), ("L", {}), ("RGB", {"progressive": True}), ("RGB", {"keep_rgb": True})):
        assert estimate_quality(read_stream(jpeg(small, mode, quality=quality, **options))) == quality


@pytest.mark.parametrize("quality", [10, 40, 75, 92])
def test_quality_of_nearly_standard_tables(quality: int) -> None:
    luminance, chrominance = (table.astype(int) for table in scaled_tables(quality))
    luminance[3, 4] += 1
    chrominance[0, 0] += 1
    tables = {0: luminance.ravel().tolist(), 1: chrominance.ravel().tolist()}
    assert estimate_quality(read_stream(jpeg(qtables=tables))) == quality
    only_one = {0: luminance.ravel().tolist()}
    assert estimate_quality(read_stream(jpeg(qtables=only_one))) == quality


def test_quality_of_extreme_tables() -> None:
    wide = b"\x10" + b"\xff\xff" * 64
    assert estimate_quality(read_stream(by_hand(b"", table=wide))) == 1
    assert read_stream(by_hand(b"", table=wide)).tables[0].max() == 65535
    assert estimate_quality(read_stream(by_hand(b"", table=b"\0" + b"\0" * 64))) == 100  # zeros are damage, but no crash


def test_stray_bytes_and_missing_end_are_not_well_formed() -> None:
    assert read_stream(by_hand(b"\x12", between=b"\xff\xff\xff")).well_formed  # fill bytes are allowed
    assert not read_stream(by_hand(b"\x12", between=b"\0\0")).well_formed
    assert not read_stream(by_hand(b"\x12", end=b"")).well_formed
    assert not read_stream(by_hand(b"\x12", end=b"\xff")).well_formed


def test_what_follows_the_end_is_not_read() -> None:
    data = by_hand(b"\x12")
    stream = read_stream(data + b"\xff\xdajunk" * 9)
    assert (stream.size, stream.coded_bits, stream.well_formed) == (len(data), 8, True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\xff\xd8",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xdb\x00",
        b"\xff\xd8\xff\xdb\x00\x01",
        b"\xff\xd8\xff\xdb\xff\xff",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8" + segment(0xC0, bytes((8, 0, 8, 0, 8, 0))),
        b"\xff\xd8" + segment(0xC0, bytes((8, 0, 8, 0, 8, 1, 1, 0, 0))),
        by_hand(b"", table=b"\1" + bytes(64)),
        by_hand(b"", table=b"\0" + bytes(63)),
        by_hand(b"", between=segment(0xC0, bytes((8, 0, 8, 0, 8, 1, 1, 0x11, 0)))),
    ],
)
def test_what_is_no_jpeg(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_stream(data)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_is_read_or_refused(draw: st.DataObject) -> None:
    data = bytearray(draw.draw(st.sampled_from([jpeg(), jpeg(progressive=True), by_hand(b"\x12")])))
    for _ in range(draw.draw(st.integers(0, 8))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    data = data[: draw.draw(st.integers(0, len(data)))]
    try:
        stream = read_stream(bytes(data))
    except ValueError:
        return
    assert 0 <= stream.coded_bits <= 8 * len(data)
    assert 1 <= estimate_quality(stream) <= 100
    assert stream.subsampling
