"""What an MP3 file says about itself: its frames are walked (ISO/IEC 11172-3 and 13818-3, layer III), nothing is decoded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

# kbit/s by bitrate index 1..14, layer III. MPEG-2.5 is an extension by Fraunhofer with the table of MPEG-2.
MPEG1_BITRATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MPEG2_BITRATES = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)

_SAMPLE_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}  # by version bits
_VERSIONS = {3: "1", 2: "2", 0: "2.5"}
_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3")  # what may follow the last frame
_SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")  # sync, and a version that has a layer III
_FIXED = 0xFFFE0C00  # the bits of a header that are the same in all frames of a file: sync, version, layer, sample rate


@dataclass(frozen=True, slots=True)
class Mp3Stream:
    """The headers of an MP3 file and the size of its entropy-coded content. A Xing, Info or VBRI frame is not counted."""

    version: str  # of MPEG: "1", "2" or "2.5"
    sample_rate: int  # Hz, as coded
    channels: int
    frames: int  # MP3 frames
    samples: int  # a channel, with the encoder's delay and padding
    bitrate: float  # kbit/s, realised: frames with their headers over their duration
    main_data_bits: int  # bits of the frames without headers, CRC and side information
    coded_bits: int  # of these, what scale factors and Huffman codes take (part2_3_length); the rest is stuffing
    truncated: bool  # the last frame is cut off, or there are fewer frames than the Xing tag says
    well_formed: bool  # no bytes between frames that belong to none


@dataclass(frozen=True, slots=True)
class _Header:
    """What the four bytes before every frame say (11172-3, 2.4.1.3)."""

    version: int  # version bits
    sample_rate: int
    channels: int
    size: int  # bytes of the frame, header included
    side: int  # offset of the side information in the frame
    main_data: int  # offset of what follows it
    lengths: tuple[int, ...]  # how many bits of side information follow each part2_3_length in it, 12 bits each

    @property
    def samples(self) -> int:
        return 1152 if self.version == 3 else 576


def read_stream(data: bytes) -> Mp3Stream:
    """The frames of the MP3 file `data`, from its first to its last.

    ID3v2 in front and tags behind are skipped; so is what stands between frames, but then the stream isn't `well_formed`.
    Raises ValueError if there is no whole layer III frame, or the bitrate is free.
    """
    position, header = _first_frame(data)
    well_formed, truncated = position == _skip_id3(data), False
    fixed = int.from_bytes(data[position : position + 4]) & _FIXED
    announced = _announced_frames(data[position : position + header.size], header)
    if announced is not None:
        position += header.size
    frames = total = main_data_bits = coded_bits = 0
    while position + 4 <= len(data):
        word = int.from_bytes(data[position : position + 4])
        current = _header(word) if word & _FIXED == fixed else None
        if current is None:
            if data.startswith(_TAGS, position):
                break
            well_formed = False
            position = _next_sync(data, position + 1)
            continue
        if position + current.size > len(data):
            truncated = True
            break
        frames, total = frames + 1, total + current.size
        main_data_bits += 8 * (current.size - current.main_data)
        side = int.from_bytes(data[position + current.side : position + current.main_data])
        for following in current.lengths:
            coded_bits += side >> following & 0xFFF
        position += current.size
    if not frames:
        raise ValueError("an MP3 file without a whole frame")
    samples = frames * header.samples
    return Mp3Stream(
        version=_VERSIONS[header.version],
        sample_rate=header.sample_rate,
        channels=header.channels,
        frames=frames,
        samples=samples,
        bitrate=8 * total * header.sample_rate / samples / 1000,
        main_data_bits=main_data_bits,
        coded_bits=coded_bits,
        truncated=truncated or (announced or 0) > frames,
        well_formed=well_formed,
    )


def _first_frame(data: bytes) -> tuple[int, _Header]:
    """Where the first frame starts: its header is valid, and where it ends the next one or the file's end stands."""
    position = _skip_id3(data)
    while (position := _next_sync(data, position)) + 4 <= len(data):
        word = int.from_bytes(data[position : position + 4])
        header = _header(word)
        if header is not None:
            end = position + header.size
            following = int.from_bytes(data[end : end + 4])
            if end == len(data) or data.startswith(_TAGS, end) or (following ^ word) & _FIXED == 0:
                return position, header
        position += 1
    raise ValueError("not an MP3 file of layer III with a fixed or variable (not free) bitrate")


def _skip_id3(data: bytes) -> int:
    """Length of the ID3v2 tag in front (id3.org, v2.4.0 structure, 3.1): its size has 7 bits a byte."""
    if not data.startswith(b"ID3") or len(data) < 10:
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if data[5] & 0x10 else 0)


def _next_sync(data: bytes, start: int) -> int:
    found = _SYNC.search(data, start)
    return len(data) if found is None else found.start()


def nominal_bitrate(data: bytes) -> int:
    """kbit/s that the header at the very start of `data` states. Raises ValueError if there is none of layer III."""
    word = int.from_bytes(data[:4])
    if len(data) < 4 or _header(word) is None:
        raise ValueError("no MP3 frame at the start")
    return (MPEG1_BITRATES if word >> 19 & 3 == 3 else MPEG2_BITRATES)[(word >> 12 & 15) - 1]


@lru_cache(maxsize=1024)
def _header(word: int) -> _Header | None:
    version, layer = word >> 19 & 3, word >> 17 & 3
    bitrate, rate = word >> 12 & 15, word >> 10 & 3
    if word >> 21 != 0x7FF or version == 1 or layer != 1 or bitrate in (0, 15) or rate == 3:
        return None
    kbits = (MPEG1_BITRATES if version == 3 else MPEG2_BITRATES)[bitrate - 1]
    sample_rate = _SAMPLE_RATES[version][rate]
    channels = 1 if word >> 6 & 3 == 3 else 2
    side = 4 if word >> 16 & 1 else 6  # a CRC of two bytes unless the protection bit is set
    # Side information (11172-3, 2.4.1.7; 13818-3, 2.4.1.7) ends with what it says of each granule and channel: 59 bits of two
    # granules in MPEG-1, 63 of one in MPEG-2, and each begins with part2_3_length.
    if version == 3:
        samples_a_slot, nbytes, granules, bits = 144, 17 if channels == 1 else 32, 2, 59
    else:
        samples_a_slot, nbytes, granules, bits = 72, 9 if channels == 1 else 17, 1, 63
    return _Header(
        version=version,
        sample_rate=sample_rate,
        channels=channels,
        size=samples_a_slot * 1000 * kbits // sample_rate + (word >> 9 & 1),
        side=side,
        main_data=side + nbytes,
        lengths=tuple(bits * (i + 1) - 12 for i in range(granules * channels)),
    )


def _announced_frames(frame: bytes, header: _Header) -> int | None:
    """Frames that a Xing or Info tag announces (0 if it doesn't say), or None if this frame carries no tag but sound."""
    tag = frame[header.main_data : header.main_data + 12]
    if tag[:4] in (b"Xing", b"Info"):
        return int.from_bytes(tag[8:12]) if len(tag) == 12 and tag[7] & 1 else 0
    if frame[36:40] == b"VBRI":  # Fraunhofer's tag stands at the same offset in all kinds of frames
        return int.from_bytes(frame[50:54])
    return None
