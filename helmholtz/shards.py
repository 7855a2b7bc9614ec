"""Shards: TFRecord files of `tf.train.Example`, written and read without TensorFlow (see `helmholtz.example`).

An example has three features: ``payload`` (bytes: a whole media file such as a JPEG), ``label`` (int64) and ``key`` (bytes,
UTF-8). The framing is TFRecord's: little-endian length, masked CRC-32C of the length, data, masked CRC-32C of the data.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

import google_crc32c

from helmholtz.errors import ShardError
from helmholtz.example import around_identity, decode_example, identity
from helmholtz.manifest import ShardEntry

if TYPE_CHECKING:
    from helmholtz.storage import Store

_LENGTH, _CRC = struct.Struct("<Q"), struct.Struct("<I")
_WRITTEN = 1 << 17  # bytes at least that are hashed and written at once: each call costs as much as some kilobytes
MAX_RECORD_BYTES = 1 << 30  # a longer record is taken for corruption, not allocated


class ShardWriter:
    """Writes one shard to a local file. Use as a context manager, then ask for `entry`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] = path.open("wb", buffering=0)
        self._sha256 = hashlib.sha256()
        self._records = 0
        self._nbytes = 0
        self._waiting: list[bytes] = []  # to be written
        self._waiting_bytes = 0

    def add(self, key: str, label: int, payload: bytes) -> None:
        """Appends one record."""
        self.extend([identity(key, label)], [payload])

    def extend(self, identities: Sequence[bytes], payloads: Sequence[bytes]) -> None:
        """Appends records, each an `example.identity` and a payload: together, for a call costs as much as a small one."""
        for same, payload in zip(identities, payloads, strict=True):
            length, start, between = _framing(len(same), len(payload))
            head = b"".join((start, same, between))
            crc = google_crc32c.extend(google_crc32c.value(head), payload)
            self._waiting += (length, head, payload, _masked(crc))
            self._waiting_bytes += len(head) + len(payload) + 16
        self._records += len(payloads)
        if self._waiting_bytes >= _WRITTEN:
            self._write()

    def _write(self) -> None:
        data = b"".join(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        self._sha256.update(data)
        self._nbytes += len(data)
        view = memoryview(data)
        while view:  # a raw file may take less
            view = view[self._file.write(view) :]

    def entry(self) -> ShardEntry:
        """What was written, once the file is closed."""
        return ShardEntry(name=self.path.name, records=self._records, nbytes=self._nbytes, sha256=self._sha256.hexdigest())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._file:
            if kind is None:
                self._write()


def read_shard(path: Path) -> Iterator[tuple[str, int, bytes]]:
    """(key, label, payload) of each record. Raises ShardError, with the record's number, where the file is damaged."""
    remaining = path.stat().st_size
    with path.open("rb") as file:
        number = 0
        try:
            while remaining:
                header = file.read(12)
                length = int.from_bytes(header[:8], "little")
                if len(header) < 12 or header != _length(length):
                    raise ShardError("damaged or truncated length")
                remaining -= 12 + length + 4
                if remaining < 0 or length > MAX_RECORD_BYTES:
                    raise ShardError("ends after the file does")
                data, crc = file.read(length), file.read(4)
                if crc != _masked_crc(data):
                    raise ShardError("checksum differs")
                yield decode_example(data)
                number += 1
        except ShardError as error:
            raise ShardError(f"{path}: record {number}: {error}") from error


def fetch_shard(store: Store, folder: str, entry: ShardEntry, path: Path) -> None:
    """Downloads the shard `entry`, of the level at the key `folder`, to the local file `path`, and checks it.

    Raises ShardError, naming the shard and what to do, where it isn't what the manifest says.
    """
    key = f"{folder}/{entry.name}"
    if Path(entry.name).name != entry.name:
        raise ShardError(f"{store.uri}/{folder}/manifest.json: {entry.name!r} is not a file name")
    if not store.exists(key):
        raise damaged(f"{store.uri}/{key}", "the shard is gone")
    store.download(key, path)
    if problem := check_shard(path, entry):
        raise damaged(f"{store.uri}/{key}", problem)


def check_shard(path: Path, entry: ShardEntry) -> str | None:
    """What is wrong with the local file `path`, if it is to be the shard `entry`; None if nothing is."""
    if path.stat().st_size != entry.nbytes:
        return f"{path.stat().st_size} bytes instead of {entry.nbytes}"
    with path.open("rb") as file:
        same = hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
    return None if same else "its SHA-256 is not the manifest's"


def damaged(where: str, what: str) -> ShardError:
    """The error of a shard that isn't what its manifest says, with what to do."""
    return ShardError(f"{where}: {what}; delete this level's manifest.json and run again to rewrite it")


@functools.lru_cache(maxsize=1 << 13)  # at 32x32 pixels, most records have the length of another
def _framing(same: int, payload: int) -> tuple[bytes, bytes, bytes]:
    """The length before an Example with an identity and a payload of so many bytes, and what is around its identity."""
    start, between = around_identity(same, payload)
    return _length(len(start) + same + len(between) + payload), start, between


@functools.lru_cache(maxsize=1 << 13)
def _length(nbytes: int) -> bytes:
    length = _LENGTH.pack(nbytes)
    return length + _masked_crc(length)


def _masked_crc(data: bytes) -> bytes:
    return _masked(google_crc32c.value(data))


def _masked(crc: int) -> bytes:
    return _CRC.pack(((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
