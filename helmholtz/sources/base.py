"""What a data source must be able to do: list its records, and hand over the raw content of one.

A source never decodes, splits or drops anything by itself. It lists (`records`), and loads (`load`); what the codec makes
of the raw content, and which split a record goes to, is decided elsewhere, the same way for every source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal, Protocol

import numpy as np
from blake3 import blake3

from helmholtz.errors import BadRecord

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

Raw = bytes | np.ndarray
"""A record as the source stores it: the bytes of a media file, or samples (images: uint8 [height, width, 3]; audio: int16
[frames], mono at 44.1 kHz)."""


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One labelled record, as listed by its source."""

    key: str  # unique in the source and stable, e.g. "cat/001.jpg" or "data_batch_1.bin#17"
    label: int  # index into the source's `classes`
    digest: str  # of the content (`content_digest`), of an object store with ":" in it, or of what a clip is rendered from
    nbytes: int  # bytes this record takes as the source stores it
    group: str | None = None  # records of one group never stand on two sides of a split; None: its own digest
    split: Split | None = None  # the split the source itself prescribes, if any


@dataclass(frozen=True, slots=True)
class Rejected:
    """One record that can't be used, and why (`errors.BadRecord.reason`)."""

    key: str
    reason: str


class Source(Protocol):
    """A labelled data set that can be listed once and read record by record, in any order, from any process.

    Instances are small and picklable: Beam ships them to its workers.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in label order (sorted by name where the source has no order of its own)."""

    @property
    def description(self) -> str:
        """One line for people: what this is, from where, under which licence where that is known."""

    def records(self) -> Iterator[SourceRecord | Rejected]:
        """Every record once, in a stable order. Raises SourceError when the set as a whole can't be used."""

    def load(self, key: str, digest: str | None = None) -> Raw:
        """The content of the record `key`, the one that `digest` was listed with, if given.

        Raises BadRecord if it is gone, unreadable or (where the digest tells) changed.
        """


_DIGEST_BYTES = 16
_PIECE = 1 << 18  # bytes
CHANGED = "changed since it was listed"


def content_digest(raw: Raw) -> str:
    """Hexadecimal BLAKE3, 16 bytes, of the content: equal digests mean equal content. Several times as fast as BLAKE2b."""
    content = np.ascontiguousarray(raw).data if isinstance(raw, np.ndarray) else raw
    return blake3(content).hexdigest(length=_DIGEST_BYTES)


def file_digest(file: BinaryIO) -> str:
    """`content_digest` of what is left to read in `file`, read a piece at a time."""
    digest = blake3()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest(length=_DIGEST_BYTES)


def check_unchanged(raw: Raw, digest: str | None) -> None:
    """Raises BadRecord if `digest` is one of content, and of other content than `raw`."""
    if digest is not None and ":" not in digest and content_digest(raw) != digest:
        raise BadRecord(CHANGED)
