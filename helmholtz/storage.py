"""The run root: one folder, ``gs://`` or ``s3://`` prefix that holds everything a run makes.

Names inside a root are relative POSIX paths ("keys"). A write becomes visible only when it is complete: object stores
publish an object when its upload ends, and local files are written beside their place, synced, and renamed.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from helmholtz.errors import StorageError

REMOTE_SCHEMES = ("gs", "s3")
MAX_BYTES = 1 << 29  # of what is read at once: the largest is the record list of a shard of millions
_CLAIM = 60.0  # seconds that putting a small file into place takes at most
_ABANDONED = 7 * 86_400.0  # seconds
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})  # exFAT, and some mounts of buckets


def is_remote(uri: str) -> bool:
    """Whether `uri` names an object store rather than a local path."""
    return uri.split("://", 1)[0] in REMOTE_SCHEMES if "://" in uri else False


class Store(Protocol):
    """Reads and writes keys below one root. Picklable; safe to use from many threads and processes at once."""

    @property
    def uri(self) -> str:
        """The root, as the user would write it."""

    def read_bytes(self, key: str, most: int = MAX_BYTES) -> bytes:
        """The content of `key`. Raises StorageError if it isn't there, is no file, can't be read, or has over `most` bytes."""

    def write_bytes(self, key: str, data: bytes) -> None:
        """Puts `data` at `key`, all or nothing, replacing what was there."""

    def create(self, key: str, data: bytes) -> bool:
        """Puts `data` at `key` unless something is there. Returns whether it did: of many who try at once, one does."""

    def upload(self, path: Path, key: str) -> None:
        """Puts the local file `path` at `key`, all or nothing; the file may be moved away."""

    def download(self, key: str, path: Path) -> None:
        """Writes the content of `key` to the local file `path`."""

    def remove(self, key: str) -> None:
        """Removes `key`; it needn't be there."""

    def exists(self, key: str) -> bool:
        """Whether `key` is there, whole."""

    def size(self, key: str) -> int | None:
        """Bytes at `key`, or None if it isn't there."""

    def list(self, prefix: str) -> Iterator[str]:
        """All keys below the folder `prefix`, sorted."""

    def tidy(self) -> None:
        """Removes what killed processes have left in the root."""

    def scratch(self) -> contextlib.AbstractContextManager[Path]:
        """A temporary local folder for files on their way to `upload`; gone at the end."""


def open_store(uri: str) -> Store:
    """The store at `uri`: ``gs://bucket/prefix``, ``s3://bucket/prefix``, or a local path (with or without ``file://``)."""
    if is_remote(uri):
        from helmholtz.remote_store import RemoteStore

        return RemoteStore(uri.rstrip("/"))
    if "://" in uri and not uri.startswith("file://"):
        scheme = uri.split("://", 1)[0]
        raise StorageError(f"{uri}: can't store to {scheme}://; use gs://, s3:// or a local folder")
    return LocalStore(str(Path(uri.removeprefix("file://")).expanduser().absolute()))


def checked_key(key: str) -> str:
    """`key`, if it names something inside a root. Raises StorageError."""
    parts = PurePosixPath(key).parts
    if not parts or key.startswith("/") or ".." in parts or "\\" in key or "\0" in key:
        raise StorageError(f"{key!r} is not a name inside a run root")
    return key


@dataclass(frozen=True, slots=True)
class LocalStore:
    """A root on a local (or mounted) file system."""

    uri: str

    def _path(self, key: str) -> Path:
        return Path(self.uri, checked_key(key))

    def read_bytes(self, key: str, most: int = MAX_BYTES) -> bytes:
        path = self._path(key)
        try:
            if path.exists() and not path.is_file():  # to open a pipe would wait for ever
                raise StorageError(f"{path}: is no file; remove it")
            with path.open("rb") as file:
                return read_bounded(file, f"{self.uri}/{key}", most)
        except OSError as error:
            raise StorageError(f"{self.uri}/{key}: can't read: {error.strerror}") from error

    def write_bytes(self, key: str, data: bytes) -> None:
        with self.scratch() as folder:
            path = folder / "data"
            path.write_bytes(data)
            self.upload(path, key)

    def create(self, key: str, data: bytes) -> bool:
        target = self._path(key)
        with self.scratch() as folder:
            path = folder / "data"
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                return _link(path, target)
            except OSError as error:
                raise _noroom(self.uri, error) or StorageError(f"{target}: can't write: {error.strerror}") from error

    def upload(self, path: Path, key: str) -> None:
        target = self._path(key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.stat().st_dev != target.parent.stat().st_dev:
                with self.scratch() as folder:
                    self.upload(Path(shutil.copyfile(path, folder / "data")), key)
                return
            with path.open("rb") as file:
                os.fsync(file.fileno())
            path.replace(target)
        except OSError as error:
            raise _noroom(self.uri, error) or StorageError(f"{target}: can't write: {error.strerror}") from error

    def download(self, key: str, path: Path) -> None:
        try:
            shutil.copyfile(self._path(key), path)
        except OSError as error:
            cant = StorageError(f"{self.uri}/{key}: can't read: {error.strerror}")
            raise _noroom(str(path.parent), error) or cant from error

    def remove(self, key: str) -> None:
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{self.uri}/{key}: can't remove: {error.strerror}") from error

    def exists(self, key: str) -> bool:
        return self.size(key) is not None

    def size(self, key: str) -> int | None:
        path = self._path(key)
        try:
            return path.stat().st_size if path.is_file() else None
        except OSError as error:
            raise StorageError(f"{path}: can't read: {error.strerror}") from error

    def list(self, prefix: str) -> Iterator[str]:
        base = Path(self.uri, checked_key(prefix)) if prefix else Path(self.uri)
        for folder, subfolders, files in os.walk(base, followlinks=True):  # a folder may have been moved to another disk
            inside = os.path.realpath(folder)
            subfolders[:] = sorted(name for name in subfolders if not _leads_back(Path(folder, name), inside))
            for name in sorted(files):
                yield Path(folder, name).relative_to(self.uri).as_posix()

    def tidy(self) -> None:
        """Removes the temporary folders of processes of this machine that are gone (killed), and any untouched for a week.

        Those of pods whose names are gone with them are known by their age alone: nobody writes for so long at once.
        """
        for folder in Path(self.uri, ".tmp").glob("*-*-*"):
            process = folder.name.removeprefix(f"{machine()}-").partition("-")[0]
            here = folder.name.startswith(f"{machine()}-") and process.isdecimal() and Path("/proc/self").exists()
            if not Path("/proc", process).exists() if here else time.time() - _last_write(folder) > _ABANDONED:
                shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        # Inside the root, so that `upload` is a rename; a crash leaves it behind, where nothing reads.
        parent = Path(self.uri, ".tmp")
        try:
            parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(dir=parent, prefix=f"{machine()}-{os.getpid()}-"))
        except OSError as error:
            cant = StorageError(f"{self.uri}: can't write here: {error.strerror}; choose another place")
            raise _noroom(self.uri, error) or cant from error
        try:
            with room(self.uri):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _last_write(folder: Path) -> float:
    """When something in `folder` was last written, in seconds since 1970; now, if it is changing."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return time.time()


@functools.cache
def machine() -> str:
    """Where a process number means the same process, as a word.

    The name alone doesn't tell: machines made of one image may share it, and containers share neither numbers nor names.
    """
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115  # a name, not a path
    return f"{parts[0]}.{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:12]}"


def _leads_back(folder: Path, inside: str) -> bool:
    """Whether `folder` is a link to where one is already, or above."""
    return folder.is_symlink() and Path(inside).is_relative_to(os.path.realpath(folder))


def read_bounded(file: BinaryIO, where: str, most: int = MAX_BYTES) -> bytes:
    """All of `file`, which `where` names. Raises StorageError where it has over `most` bytes."""
    data = file.read(most + 1)
    if len(data) > most:
        raise StorageError(f"{where}: more than {most:,} bytes, which nothing that a run reads at once has; delete it")
    return data


@contextlib.contextmanager
def room(place: str) -> Iterator[None]:
    """Says in a sentence that there is no room left at `place`, where a write in the block fails for that."""
    try:
        yield
    except OSError as error:
        if full := _noroom(place, error):
            raise full from error
        raise


def _noroom(place: str, error: OSError) -> StorageError | None:
    if error.errno not in _FULL:
        return None
    said = "make room there, or choose another place, and run again; what is finished is kept"
    return StorageError(f"{place}: {error.strerror}: {said}")


def _link(path: Path, target: Path) -> bool:
    """Gives the file `path` the further name `target`, whole at once, unless something has it. Returns whether it did."""
    with contextlib.suppress(FileExistsError):
        try:
            target.hardlink_to(path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _put_in(path, target)
        return True
    return False


def _put_in(path: Path, target: Path) -> None:
    """The same where there are no hard links: whoever makes the folder ``<target>.new`` first renames the file into place."""
    claim = target.with_name(f"{target.name}.new")
    with contextlib.suppress(FileNotFoundError):
        if time.time() - claim.stat().st_mtime > _CLAIM:  # of one who was killed
            claim.rmdir()
    claim.mkdir()
    try:
        if target.exists():
            raise FileExistsError(errno.EEXIST, "exists", str(target))
        path.rename(target)
    finally:
        claim.rmdir()
