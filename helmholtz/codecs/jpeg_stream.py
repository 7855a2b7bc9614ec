"""What a JPEG file says about itself: its markers are walked (ISO/IEC 10918-1, Annex B), nothing is decoded."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt

from helmholtz.codecs.bits import scaled_tables

SOI, EOI, SOS, DQT, APP0, APP14 = 0xD8, 0xD9, 0xDA, 0xDB, 0xE0, 0xEE
BASELINE, EXTENDED, PROGRESSIVE = 0xC0, 0xC1, 0xC2
# All SOF markers: C0..CF without DHT, JPG and DAC.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # TEM and RSTn have no length
# Their first byte is said by itself ("xx*", not "x+"): what begins with a literal is searched for five times as fast.
_SCAN_END = re.compile(rb"\xff\xff*[^\x00\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff\xff*[\xd0-\xd7]")

# Figure A.6: natural position of the k-th coefficient in zig-zag order.
_ZIGZAG = np.array(
    sorted(range(64), key=lambda i: (i // 8 + i % 8, i % 8 if (i // 8 + i % 8) % 2 == 0 else i // 8)),
)


@dataclass(frozen=True, slots=True)
class Component:
    """One colour component of the frame (B.2.2)."""

    id: int
    horizontal: int  # sampling factors
    vertical: int
    table: int  # quantisation table slot, 0..3


@dataclass(slots=True)
class JpegStream:
    """The headers of a JPEG file and the size of its entropy-coded content."""

    width: int = 0
    height: int = 0
    precision: int = 0  # bits a sample
    process: int = 0  # the SOF marker: BASELINE, EXTENDED, PROGRESSIVE, or one that few decoders know
    components: tuple[Component, ...] = ()
    tables: dict[int, npt.NDArray[np.uint16]] = field(default_factory=dict)  # slot -> [8, 8], natural order, as last defined
    jfif: bool = False
    adobe_transform: int | None = None  # of the Adobe APP14 marker: 0 none (RGB or CMYK), 1 YCbCr, 2 YCCK
    coded_bits: int = 0  # entropy-coded bits of all scans, with the padding of each scan's last byte
    scans: int = 0
    markers: set[int] = field(default_factory=set)  # outside of scans, without SOI and EOI
    well_formed: bool = True  # no bytes between segments that belong to none, and EOI is there
    size: int = 0  # bytes from SOI to EOI; the file may go on after that

    @property
    def progressive(self) -> bool:
        """Whether the frame is coded progressively."""
        return self.process == PROGRESSIVE

    @property
    def subsampling(self) -> str:
        """``4:4:4``, ``4:2:2``, ``4:2:0``, ``4:4:0``, ``4:1:1``; ``4:0:0`` for grey; otherwise the factors, ``2x2,1x2,1x1``."""
        factors = [(c.horizontal, c.vertical) for c in self.components]
        if len(factors) == 1:
            return "4:0:0"
        (horizontal, vertical), *chrominance = factors
        ratios = {(horizontal / h, vertical / v) for h, v in chrominance}
        names: dict[tuple[float, float], str] = {
            (1, 1): "4:4:4",
            (2, 1): "4:2:2",
            (2, 2): "4:2:0",
            (1, 2): "4:4:0",
            (4, 1): "4:1:1",
        }
        name = names.get(next(iter(ratios))) if len(ratios) == 1 else None
        return name or ",".join(f"{h}x{v}" for h, v in factors)

    @property
    def is_ycbcr(self) -> bool:
        """Whether three components are luminance and chrominance, by the rules of libjpeg (``default_decompress_parms``)."""
        if self.jfif:
            return True
        if self.adobe_transform is not None:
            return self.adobe_transform == 1
        return bytes(c.id for c in self.components) != b"RGB"


def read_stream(data: bytes) -> JpegStream:
    """The structure of the JPEG file `data`. Like libjpeg it skips stray bytes between segments, and reads to EOI or the end.

    Raises ValueError if this isn't JPEG or has no complete frame header, scan and quantisation tables.
    """
    if not data.startswith(b"\xff\xd8"):
        raise ValueError("no SOI marker")
    stream = JpegStream()
    position = 2
    while True:
        start = data.find(b"\xff", position)
        stream.well_formed &= start == position
        if start < 0:
            break
        while data[start : start + 2] == b"\xff\xff":  # fill bytes, B.1.1.2
            start += 1
        marker = data[start + 1] if start + 1 < len(data) else EOI
        position = start + 2
        if marker == EOI:
            stream.well_formed &= position <= len(data)
            break
        if marker in _ALONE:
            stream.markers.add(marker)
            continue
        if marker in (0, SOI):
            stream.well_formed = False
            continue
        position = _read_segment(stream, marker, data, position)
    stream.size = min(position, len(data))
    if not stream.components or not stream.scans:
        raise ValueError("no frame or no scan")
    if missing := {c.table for c in stream.components} - stream.tables.keys():
        raise ValueError(f"no quantisation table {min(missing)}")
    return stream


def coded_bytes(data: bytes, start: int, end: int) -> int:
    """Entropy-coded bytes in data[start:end], part of one scan without RST markers; a stuffed FF 00 counts as one."""
    return end - start - data.count(b"\xff\x00", start, end)


def estimate_quality(stream: JpegStream) -> int:
    """The libjpeg quality, 1..100, that the file's quantisation tables speak for.

    The first table that the components use is held against Annex K's luminance table at every quality, the further ones
    against the chrominance table; the answer is the quality with the least mean ``|log(table / scaled)|``. That is 0, so the
    answer is exact, for every file with libjpeg's standard tables; others (Photoshop, cameras) get their nearest relative.
    """
    slots = list(dict.fromkeys(c.table for c in stream.components))
    tables = np.stack([stream.tables[slot] for slot in slots])
    distances = np.abs(np.log(np.maximum(tables, 1), dtype=np.float64) - _log_tables()[:, [0, *[1] * (len(slots) - 1)]])
    return 1 + int(distances.mean(axis=(1, 2, 3)).argmin())


@cache
def _log_tables() -> npt.NDArray[np.float64]:
    logs: npt.NDArray[np.float64] = np.log(np.array([scaled_tables(q) for q in range(1, 101)]), dtype=np.float64)
    return logs


def _read_segment(stream: JpegStream, marker: int, data: bytes, position: int) -> int:
    """Takes in the segment whose length field is at `position`; returns where the next one starts."""
    length = int.from_bytes(data[position : position + 2])
    end = position + length
    if length < 2 or end > len(data):
        raise ValueError(f"segment {marker:02X} at byte {position - 2} is cut short")
    body = data[position + 2 : end]
    stream.markers.add(marker)
    if marker in _FRAMES:
        _read_frame(stream, marker, body)
    elif marker == DQT:
        _read_tables(stream, body)
    elif marker == APP0:
        stream.jfif |= body.startswith(b"JFIF\0")
    elif marker == APP14 and body.startswith(b"Adobe") and len(body) >= 12:
        stream.adobe_transform = body[11]
    elif marker == SOS:
        return _read_scan(stream, data, end)
    return end


def _read_frame(stream: JpegStream, marker: int, body: bytes) -> None:
    if stream.components:
        raise ValueError("more than one frame")
    if len(body) < 6 or not body[5] or len(body) != 6 + 3 * body[5]:
        raise ValueError("damaged frame header")
    stream.process, stream.precision = marker, body[0]
    stream.height, stream.width = int.from_bytes(body[1:3]), int.from_bytes(body[3:5])
    fields = (body[i : i + 3] for i in range(6, len(body), 3))
    stream.components = tuple(Component(name, factors >> 4, factors & 15, table) for name, factors, table in fields)
    if not all(c.horizontal and c.vertical for c in stream.components):
        raise ValueError("damaged frame header")


def _read_tables(stream: JpegStream, body: bytes) -> None:
    position = 0
    while position < len(body):
        wide, slot = body[position] >> 4, body[position] & 15
        nbytes = 128 if wide else 64
        values = body[position + 1 : position + 1 + nbytes]
        if len(values) != nbytes:
            raise ValueError("damaged quantisation table")
        table = np.empty(64, np.uint16)
        table[_ZIGZAG] = np.frombuffer(values, ">u2" if wide else np.uint8)
        stream.tables[slot] = table.reshape(8, 8)
        position += 1 + nbytes


def _read_scan(stream: JpegStream, data: bytes, start: int) -> int:
    following = _SCAN_END.search(data, start)
    end = following.start() if following else len(data)
    restarts = sum(len(match[0]) for match in _RESTART.finditer(data, start, end))
    stream.coded_bits += 8 * (coded_bytes(data, start, end) - restarts)
    stream.scans += 1
    return end
