"""Whether a sound file is cut off, as far as its container tells: chunks, pages or boxes that go on behind its end.

libsndfile doesn't say: it takes what is there for the whole.
"""

from __future__ import annotations

from typing import Literal

_NO_LENGTH = 0x7FFFF000  # what writes WAV to a pipe claims this many bytes (SoX) or more (ffmpeg, arecord)
_MOST_CHUNKS = 10_000  # walked; a file with more of them in front of its sound was made to keep us busy


def ends_early(data: bytes) -> bool:
    """Whether the file `data` claims more sound than it holds. WAV, RF64, AIFF, AU, Ogg and MP4 tell; others count as whole."""
    if data.startswith((b"RIFF", b"RIFX", b"FORM", b"RF64")):
        start, size = _sound(data)
        return size is not None and start + size > len(data)
    if data.startswith(b".snd"):  # Sun and NeXT: offset of the sound and its size, or 0xFFFFFFFF
        start, size = int.from_bytes(data[4:8]), int.from_bytes(data[8:12])
        return size != 0xFFFFFFFF and start + size > len(data)
    if data.startswith(b"OggS"):
        return _ogg_ends_early(data)
    return data[4:8] == b"ftyp" and _mp4_ends_early(data)


def has_no_length(data: bytes) -> bool:
    """Whether `data` is a WAV file that leaves its length open, as written to a pipe."""
    return data.startswith(b"RIFF") and _sound(data)[1] is None


def _sound(data: bytes) -> tuple[int, int | None]:
    """Start and claimed size (None: left open) of the sound in RIFF, RF64 or AIFF; one byte too many where there is none."""
    if data.startswith(b"RF64"):  # EBU Tech 3306: the size stands in the chunk ds64, which comes first
        start, _ = _chunk(data, b"data", "little")
        return start, int.from_bytes(data[28:36], "little") if data[12:16] == b"ds64" else None
    is_aiff = data[8:12] in (b"AIFF", b"AIFC")
    start, size = _chunk(data, b"SSND" if is_aiff else b"data", "little" if data.startswith(b"RIFF") else "big")
    return start, None if size >= _NO_LENGTH else size


def _chunk(data: bytes, name: bytes, order: Literal["little", "big"]) -> tuple[int, int]:
    position = 12
    for _ in range(_MOST_CHUNKS):
        if position + 8 > len(data):
            break
        size = int.from_bytes(data[position + 4 : position + 8], order)
        if data.startswith(name, position):
            return position + 8, size
        position += 8 + size + size % 2
    return len(data), 1


def _ogg_ends_early(data: bytes) -> bool:
    """Whether the last page (RFC 3533, section 6) isn't whole, or isn't marked as the stream's last."""
    page = data.rindex(b"OggS")
    if len(data) < page + 27:
        return True
    lacing = data[page + 27 : page + 27 + data[page + 26]]
    return page + 27 + data[page + 26] + sum(lacing) > len(data) or not data[page + 5] & 4


def _mp4_ends_early(data: bytes) -> bool:
    """Whether a box (ISO/IEC 14496-12, 4.2) of the top level goes on behind the file's end."""
    position = 0
    for _ in range(_MOST_CHUNKS):
        if position + 8 > len(data):
            break
        size = int.from_bytes(data[position : position + 4])
        if size == 1:
            size = int.from_bytes(data[position + 8 : position + 16])
        if size == 0:  # up to the end
            return False
        position += max(size, 8)
    return position > len(data)
