"""The walk through a JPEG file's markers, against a count byte by byte and Pillow's header."""

from __future__ import annotations

import io
import math
from pathlib import Path

from PIL import Image

from helmholtz.codecs.jpeg_stream import estimate_quality, read_stream
from tests.conftest import picture
from tests.fuzz.target import Refused, Target
from tests.fuzz.targets.images import saved


def corpus() -> list[bytes]:
    rgb = Image.fromarray(picture(3, 21, 30))
    return [
        *(saved(rgb, "JPEG", quality=quality) for quality in (1, 30, 75, 100)), saved(rgb, "JPEG", progressive=True),
        *(saved(rgb, "JPEG", subsampling=subsampling) for subsampling in (0, 1)), saved(rgb.convert("L"), "JPEG"),
        saved(rgb.convert("CMYK"), "JPEG"), saved(rgb, "JPEG", restart_marker_blocks=1), saved(rgb, "JPEG", optimize=True),
        saved(rgb, "JPEG", comment="x" * 300, exif=b"Exif\0\0" + b"y" * 200),
    ]  # fmt: skip


def check(data: bytes, folder: Path) -> str:
    try:
        stream = read_stream(data)
    except ValueError as error:
        raise Refused(str(error)) from error
    assert 0 <= stream.coded_bits <= 8 * len(data), "more coded bits than bytes"
    assert 4 <= stream.size <= len(data), "goes on behind the file's end"
    assert stream.scans >= 1, "no scan"
    assert 1 <= estimate_quality(stream) <= 100, "no such quality"
    assert stream.subsampling, "no subsampling"
    assert math.isfinite(stream.coded_bits), "not finite"
    if stream.well_formed:
        assert stream.coded_bits == 8 * coded_bytes(data), "other coded bits than counted byte by byte"
        assert data[stream.size - 2 : stream.size] == b"\xff\xd9", "doesn't end at EOI"
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            size = image.size
    except Exception:
        return "not by Pillow"
    assert size == (stream.width, stream.height), "not of the size that Pillow sees"
    return "progressive" if stream.progressive else "sequential"


def coded_bytes(data: bytes) -> int:
    """Entropy-coded bytes of all scans, by a machine of two states that looks at one byte after the other."""
    position, total, in_scan = 2, 0, False
    while position < len(data):
        if in_scan and (data[position] != 0xFF or data[position + 1 : position + 2] == b"\0"):
            position += 2 if data[position] == 0xFF else 1
            total += 1
            continue
        at = position
        while data[at + 1 : at + 2] == b"\xff":
            at += 1
        marker = data[at + 1] if at + 1 < len(data) else 0xD9
        if in_scan and 0xD0 <= marker <= 0xD7:
            position = at + 2
            continue
        if in_scan and marker == 0:  # fill bytes in front of a stuffed one
            total += at - position
            position = at
            continue
        in_scan = False
        if marker == 0xD9:
            return total
        if marker == 1 or 0xD0 <= marker <= 0xD7:
            position = at + 2
            continue
        position = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        in_scan = marker == 0xDA
    return total


TARGET = Target(corpus, check, speed=6)
