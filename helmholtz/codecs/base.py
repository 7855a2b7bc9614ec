"""What a codec must be able to do: take a raw record, and encode it at any level.

`prepare` does, once a record, everything that doesn't depend on the level (decode, convert, check); every reason to set a
record aside is found there, so that a record is either in all levels of a set or in none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from helmholtz.levels import Level
from helmholtz.sources.base import Raw

Medium = Literal["image", "audio"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A record ready to be encoded at any level.

    `samples` is what gets compressed (images: uint8 [height, width, 3] RGB, C-contiguous). `passthrough` holds the source's
    own bytes where ``none`` hands them on untouched. `source_level` is the level the source itself was compressed at, as
    estimated from its content, or None where the source is lossless. `notes` are conversions done ("palette", "cmyk", ...).
    """

    samples: Any
    count: int  # number of samples: pixels of an image, frames of a clip
    passthrough: bytes | None = None
    source_level: int | None = None
    notes: tuple[str, ...] = ()


class Encoded(NamedTuple):
    """A payload: a whole media file, and how many of its bits are entropy-coded content (no headers, no tables)."""

    data: bytes
    coded_bits: int
    bitrate: float | None = None  # audio: kbit/s realised
    coded_rate: int | None = None  # audio: Hz at which the codec coded it


class EncodedBatch(NamedTuple):
    """Payloads of several records at one level, and how many of all their bits are coded content."""

    payloads: Sequence[bytes]
    coded_bits: int
    bitrates: Sequence[float] = ()  # audio: of each payload, as in `Encoded`
    coded_rates: Sequence[int] = ()  # audio: the same

    @classmethod
    def of(cls, encoded: Sequence[Encoded]) -> EncodedBatch:
        """Those payloads together."""
        return cls(
            [one.data for one in encoded],
            sum(one.coded_bits for one in encoded),
            [one.bitrate for one in encoded if one.bitrate is not None],
            [one.coded_rate for one in encoded if one.coded_rate is not None],
        )


@dataclass(frozen=True, slots=True)
class Bits:
    """Theoretical bits per sample at a level: lost and left. See `helmholtz.codecs.bits`."""

    lost: float
    left: float


class Codec(Protocol):
    """A lossy codec with a scale of levels, for one medium. Small and picklable."""

    name: ClassVar[str]  # "jpeg"
    medium: ClassVar[Medium]
    sample: ClassVar[str]  # what one sample is, for people: "pixel"
    scale: ClassVar[str]  # what the level number is, for people: "quality", "bitrate (kbit/s)"
    passes_through: ClassVar[bool]  # whether none hands on the files of a compressed source as they are

    @property
    def identity(self) -> str:
        """Name plus every setting that changes its output, as a folder name, e.g. ``jpeg-420``."""

    def check(self, level: Level) -> None:
        """Raises ValueError, saying what is allowed, if the codec has no such level."""

    def between(self, high: Level, low: Level) -> tuple[int, ...]:
        """All levels strictly between `high` (the less compressed one) and `low`, least compressed first."""

    def label(self, level: int) -> str:
        """The level for people: "quality 25", "32 kbit/s"."""

    def quantisation(self, level: Level) -> float:
        """Relative quantisation Q in 0..1, the x axis of every figure; 0 for ``none``."""

    def bits(self, level: Level) -> dict[str, Bits]:
        """Theoretical bits by accounting (JPEG: ``standard`` and ``paper``); empty where there is no theory or for ``none``."""

    def prepare(self, raw: Raw) -> Prepared:
        """`raw` made ready. Raises BadRecord, with the reason, if it can't be used."""

    def encode(self, record: Prepared, level: Level) -> Encoded:
        """The record at `level`; ``none`` is lossless."""

    def encode_all(self, records: Sequence[Prepared], level: Level) -> EncodedBatch:
        """What `encode` makes of each of `records`."""

    def decode(self, payload: bytes, into: Any = None) -> Any:
        """What `encode` wrote, as the samples that a trainer sees, before any resizing. Raises BadRecord if it is damaged.

        They may be written to the array `into`, which then is what is returned, if it has their shape.
        """

    def versions(self) -> dict[str, str]:
        """Names and versions of the libraries that write the payloads."""
