"""Shards: TFRecord files of `tf.train.Example`, written and read without TensorFlow (see `helmholtz.example`).

An example has three features: ``payload`` (bytes: a whole media file such as a JPEG), ``label`` (int64) and ``key`` (bytes,
UTF-8). The framing is TFRecord's: little-endian length, masked CRC-32C of the length, data, masked CRC-32C of the data.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

import google_crc32c

from helmholtz.errors import ShardError
from helmholtz.example import decode_example, encode_example
from helmholtz.manifest import ShardEntry

if TYPE_CHECKING:
    from helmholtz.storage import Store

_LENGTH, _CRC = struct.Struct("<Q"), struct.Struct("<I")
MAX_RECORD_BYTES = 1 << 30  # a longer record is taken for corruption, not allocated


class ShardWriter:
    """Writes one shard to a local file. Use as a context manager, then ask for `entry`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] = path.open("wb", buffering=0)
        self._sha256 = hashlib.sha256()
        self._records = 0
        self._nbytes = 0

    def add(self, key: str, label: int, payload: bytes) -> None:
        """Appends one record."""
        self.extend([(key, label, payload)])

    def extend(self, records: Iterable[tuple[str, int, bytes]]) -> None:
        """Appends records (key, label, payload), written together: small ones would cost as much to write as to make."""
        examples = [encode_example(key, label, payload) for key, label, payload in records]
        frames = b"".join([part for data in examples for part in (_length(len(data)), data, _masked_crc(data))])
        view = memoryview(frames)
        while view:  # a raw file may take less
            view = view[self._file.write(view) :]
        self._sha256.update(frames)
        self._records += len(examples)
        self._nbytes += len(frames)

    def entry(self) -> ShardEntry:
        """What was written, once the file is closed."""
        return ShardEntry(name=self.path.name, records=self._records, nbytes=self._nbytes, sha256=self._sha256.hexdigest())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


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


@functools.lru_cache(maxsize=1 << 16)
def _length(nbytes: int) -> bytes:
    length = _LENGTH.pack(nbytes)
    return length + _masked_crc(length)


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return _CRC.pack(((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
