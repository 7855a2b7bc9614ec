"""The bit arithmetic, against the numbers of the paper and the tables that libjpeg really writes."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from helmholtz.codecs.bits import scale_factor, scaled_tables, theoretical_bits
from helmholtz.codecs.jpeg import JpegCodec
from helmholtz.codecs.jpeg_stream import read_stream

QUALITIES = range(1, 101)


@pytest.mark.parametrize(
    ("quality", "luminance", "chrominance", "lost", "left"),
    [
        (100, 64, 64, 7.585, 8.415),
        (80, 1477, 2221, 12.531, 3.469),
        (50, 3688, 5505, 13.843, 2.157),
        (25, 7376, 11010, 14.843, 1.157),
        (19, 9368, 14204, 15.205, 0.795),
        (10, 12560, 15110, 15.385, 0.615),
        (1, 16320, 16320, 15.579, 0.421),
    ],
)
def test_standard_accounting(quality: int, luminance: int, chrominance: int, lost: float, left: float) -> None:
    tables = scaled_tables(quality)
    assert [int(t.sum(dtype=int)) for t in tables] == [luminance, chrominance]
    bits = theoretical_bits(quality)["standard"]
    assert bits.lost == pytest.approx(lost, abs=5e-4)
    assert bits.left == pytest.approx(left, abs=5e-4)


@pytest.mark.parametrize(("quality", "left"), [(80, 3.714), (50, 16 - math.log2(12487)), (25, 1.392), (19, 0.997)])
def test_paper_accounting(quality: int, left: float) -> None:
    bits = theoretical_bits(quality)["paper"]
    assert bits.left == pytest.approx(left, abs=5e-4)
    assert bits.lost + bits.left == 16


def test_paper_accounting_has_no_value_at_100_and_goes_below_zero() -> None:
    assert theoretical_bits(100).keys() == {"standard"}
    assert all("paper" in theoretical_bits(q) for q in range(1, 100))
    assert [q for q in range(1, 100) if theoretical_bits(q)["paper"].left < 0] == list(range(1, 10))


def test_more_quality_never_loses_more() -> None:
    for accounting in ("standard", "paper"):
        lost = [theoretical_bits(q)[accounting].lost for q in QUALITIES if accounting in theoretical_bits(q)]
        assert lost == sorted(lost, reverse=True)
    assert all(0 < theoretical_bits(q)["standard"].left < 16 for q in QUALITIES)


@pytest.mark.parametrize("quality", QUALITIES)
def test_tables_are_those_in_the_files(quality: int) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    with Image.open(file) as opened:
        tables = opened.quantization  # type: ignore[attr-defined]  # JpegImageFile's
    codec = JpegCodec("4:2:0", 100)
    ours = read_stream(codec.encode(codec.prepare(image), quality).data).tables
    for slot, table in enumerate(scaled_tables(quality)):
        np.testing.assert_array_equal(table.ravel(), tables[slot])
        np.testing.assert_array_equal(table, ours[slot])


def test_tables_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        scaled_tables(50)[0][0, 0] = 1


@pytest.mark.parametrize("quality", [0, 101, -5])
def test_no_such_quality(quality: int) -> None:
    with pytest.raises(ValueError, match=r"1\.\.100"):
        scale_factor(quality)
    with pytest.raises(ValueError, match=r"1\.\.100"):
        theoretical_bits(quality)
