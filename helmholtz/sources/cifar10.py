"""CIFAR-10 in its binary form (A. Krizhevsky, *Learning multiple layers of features from tiny images*, 2009).

Six files of 3,073-byte records (label, then the red, green and blue planes of 32x32 pixels), and ``batches.meta.txt`` with
the class names; in a local folder, below a ``gs://`` or ``s3://`` prefix, or inside ``cifar-10-binary.tar.gz``.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

import numpy as np

from helmholtz.errors import BadRecord, SourceError
from helmholtz.sources.base import Rejected, SourceRecord, Split, check_unchanged, content_digest
from helmholtz.sources.cifar10_archive import FILES, FOLDER, META, TEST_BATCH, TRAIN_BATCHES, download, unpack, unpack_to_cache
from helmholtz.sources.selection import select_classes
from helmholtz.storage import Store, is_remote, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from helmholtz.experiment import Dataset

RECORD_BYTES = 3073
LABELS = 10
_CHUNK = 1000  # records hashed at a time

BATCHES: dict[str, Split] = {**dict.fromkeys(TRAIN_BATCHES, "train"), TEST_BATCH: "test"}


@dataclass(frozen=True, slots=True)
class Cifar10:
    """The source `cifar10`. Keys are ``<batch file>#<record number from 0>``, e.g. ``data_batch_1.bin#17``."""

    uri: str  # the folder that directly holds the files, or the archive
    names: tuple[str, ...]  # of all ten classes, in label order
    classes: tuple[str, ...]

    @classmethod
    def open(cls, dataset: Dataset) -> Self:
        """Finds (or, with `dataset.download`, fetches) the files. Raises SourceError if one is missing or truncated."""
        uri = _locate(str(dataset.path), dataset.download)
        store = open_store(_folder(uri))
        for name in FILES:
            _check_size(store, name)
        names = _class_names(store)
        return cls(uri, names, select_classes(names, dataset.classes, uri))

    @property
    def description(self) -> str:
        return "CIFAR-10 (A. Krizhevsky 2009): 32x32 photographs in 10 classes; no licence stated, research use with citation"

    def records(self) -> Iterator[SourceRecord | Rejected]:
        label_of = {self.names.index(name): label for label, name in enumerate(self.classes)}
        for name, split in BATCHES.items():
            start = 0
            while len(rows := _read(self.uri, name, start, _CHUNK)):
                pixels = _interleaved(rows)
                for number, stored in enumerate(rows[:, 0].tolist()):
                    key = f"{name}#{start + number}"
                    if stored >= LABELS:
                        yield Rejected(key, f"label {stored} is not 0..9")
                    elif stored in label_of:
                        digest = content_digest(pixels[number])
                        yield SourceRecord(key, label_of[stored], digest, RECORD_BYTES, split=split)
                start += len(rows)

    def load(self, key: str, digest: str | None = None) -> NDArray[np.uint8]:
        """uint8 [32, 32, 3]."""
        name, _, number = key.partition("#")
        if name not in BATCHES or not (number.isdecimal() and len(number) < 10):
            raise BadRecord("not a key of this source")
        try:
            rows = _read(self.uri, name, int(number), 1)
        except SourceError as error:
            raise BadRecord("file is gone") from error
        if not len(rows):
            raise BadRecord("record is gone")
        pixels: NDArray[np.uint8] = _interleaved(rows)[0]
        check_unchanged(pixels, digest)
        return pixels


def _interleaved(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Records uint8 [n, 3073] as pixels uint8 [n, 32, 32, 3]."""
    pixels = np.empty((len(rows), 1024, 3), np.uint8)
    for plane in range(3):  # quicker than a transposition of all at once
        pixels[:, :, plane] = rows[:, 1 + 1024 * plane : 1025 + 1024 * plane]
    return pixels.reshape(-1, 32, 32, 3)


def _is_archive(uri: str) -> bool:
    return uri.endswith((".tar.gz", ".tgz"))


def _locate(path: str, fetch: bool) -> str:
    """URI of what holds the files, with the subfolder that the archive unpacks to, if they are in there."""
    store = open_store(path)
    if _is_archive(path):
        return store.uri
    for folder in ("", f"{FOLDER}/"):
        if any(store.size(folder + name) is not None for name in FILES):
            return f"{store.uri}/{folder}".rstrip("/")
    if not fetch:
        raise SourceError(
            f"{path}: no CIFAR-10 here or in {FOLDER}/: expected {', '.join(FILES)}, or let dataset.path name "
            "cifar-10-binary.tar.gz, or set dataset.download: true"
        )
    if is_remote(store.uri):
        raise SourceError(f"{path}: no CIFAR-10 here, and dataset.download writes to local folders only; copy {FOLDER}/ there")
    download(Path(store.uri))
    return f"{store.uri}/{FOLDER}"


def _check_size(store: Store, name: str) -> None:
    size = store.size(name)
    if size is None:
        raise SourceError(f"{store.uri}/{name}: missing; CIFAR-10's binary form has {', '.join(FILES)}")
    if size == 0:
        raise SourceError(f"{store.uri}/{name}: empty; copy it again")
    if name == META and size > 4096:
        raise SourceError(f"{store.uri}/{name}: {size} bytes, expected {LABELS} class names in at most 4096")
    if name != META and size % RECORD_BYTES:
        raise SourceError(
            f"{store.uri}/{name}: {size} bytes, expected a multiple of {RECORD_BYTES} ({10_000 * RECORD_BYTES} for all 10,000 "
            "records): it is truncated, or not CIFAR-10's binary form"
        )


def _class_names(store: Store) -> tuple[str, ...]:
    text = store.read_bytes(META).decode("utf-8", "replace")
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(names) != LABELS or len(set(names)) != LABELS:
        raise SourceError(f"{store.uri}/{META}: {len(set(names))} class names, expected {LABELS} different ones, one a line")
    return names


def _folder(uri: str) -> str:
    """URI of the folder that holds the files: `uri` itself, or where this machine or process has unpacked it."""
    if not _is_archive(uri):
        return uri
    if not is_remote(uri):
        return str(unpack_to_cache(Path(uri)))
    return _unpacked_remote(uri, os.getpid())


@functools.cache
def _unpacked_remote(uri: str, pid: int) -> str:
    folder = _process_cache(pid)
    parent, _, name = uri.rpartition("/")
    archive = Path(tempfile.mkdtemp(dir=folder), name)
    open_store(parent).download(name, archive)
    try:
        unpack(archive, archive.parent / FOLDER)
    except OSError as error:
        raise SourceError(f"{uri}: can't be unpacked to {archive.parent}: {error}; make room, or set TMPDIR") from error
    archive.unlink()
    return str(archive.parent / FOLDER)


def _read(uri: str, name: str, start: int, count: int) -> NDArray[np.uint8]:
    """At most `count` whole records of a batch file from record `start` on, uint8 [n, 3073]."""
    path = _path(uri, name, os.getpid())
    try:
        status = os.stat(path)  # noqa: PTH116 - once a record, and Path.stat costs as much as the record
        file = _opened(path, status.st_ino, status.st_mtime_ns)
        # Not mapped: mapped pages count as this process's memory, and grow with the set.
        data = os.pread(file.fileno(), count * RECORD_BYTES, start * RECORD_BYTES)
    except OSError as error:
        raise SourceError(f"{path}: can't be read: {error}; it was there when the set was opened") from error
    whole = len(data) // RECORD_BYTES
    return np.frombuffer(data, np.uint8, whole * RECORD_BYTES).reshape(whole, RECORD_BYTES)


@functools.cache
def _path(uri: str, name: str, pid: int) -> str:
    """Where the file is on this machine; fetched, once a process, if it has to be."""
    folder = _folder(uri)
    if not is_remote(folder):
        return f"{folder}/{name}"
    path = Path(tempfile.mkdtemp(dir=_process_cache(pid)), name)
    open_store(folder).download(name, path)
    return str(path)


@functools.cache
def _process_cache(pid: int) -> Path:
    """A folder of this process, gone at its end. `pid` keeps a forked child from using (and removing) its parent's."""
    folder = Path(tempfile.mkdtemp(prefix=f"helmholtz-cifar10-{pid}-"))
    atexit.register(_remove, folder, pid)
    return folder


def _remove(folder: Path, pid: int) -> None:
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)


@functools.lru_cache(maxsize=len(BATCHES))
def _opened(path: str, inode: int, modified: int) -> BinaryIO:  # noqa: ARG001 - part of the key: a replaced file is another
    return open(path, "rb", buffering=0)  # noqa: PTH123 - closed when the cache lets it go
