"""Zip archives as folders: members are read one by one, by name; nothing is unpacked, so no name can lead outside.

An archive may itself be a member of another one, if it is stored there uncompressed (a compressed one can't be read at random).
"""

from __future__ import annotations

import functools
import io
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from helmholtz.errors import BadRecord, SourceError
from helmholtz.sources import folders
from helmholtz.sources.base import Rejected, check_unchanged, content_digest
from helmholtz.sources.folders import TOO_LARGE, File

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MAX_LISTING_BYTES = 64 << 20  # of an archive's directory, which is read whole: about half a million members
_END_RECORD = struct.Struct("<4s4H2LH")


@dataclass(frozen=True, slots=True)
class ZipFolder:
    """The content of the zip archive at the local `path`, or of the archive that is its member `inner`. A `folders.Folder`."""

    path: str
    inner: str | None = None

    @property
    def uri(self) -> str:
        return self.path if self.inner is None else f"{self.path}/{self.inner}"

    def subfolders(self, key: str) -> list[str]:
        prefix = f"{key}/" if key else ""
        below = (info.filename[len(prefix) :] for info in self._archive().infolist() if info.filename.startswith(prefix))
        return sorted({name.partition("/")[0] for name in below if "/" in name} - {""})

    def files(self, key: str, *, deep: bool = True) -> list[File | Rejected]:
        prefix = f"{key}/" if key else ""
        members = (info for info in self._archive().infolist() if info.filename.startswith(prefix))
        named = (info for info in members if not info.filename.endswith("/"))  # is_dir() fails where there is no name
        wanted = (info for info in named if deep or "/" not in info.filename.removeprefix(prefix))
        return sorted(map(_described, wanted), key=lambda file: file.key)

    def digest(self, file: File) -> str:
        return content_digest(self.read(file.key))

    def read(self, key: str, digest: str | None = None) -> bytes:
        archive = self._archive()
        try:
            info = archive.getinfo(key)
            if info.file_size > folders.MAX_FILE_BYTES:
                raise BadRecord(TOO_LARGE)
            data = archive.read(info)  # never more than file_size, whatever the compressed data hold
        except KeyError as error:
            raise BadRecord("file is gone") from error
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError) as error:
            raise BadRecord("damaged archive member") from error
        except (NotImplementedError, RuntimeError) as error:
            raise BadRecord("archive member is encrypted or packed in an unknown way") from error
        check_unchanged(data, digest)
        return data

    def _archive(self) -> zipfile.ZipFile:
        # By process: one that was forked shares the file position with its parent.
        return _opened(self.path, self.inner, os.getpid())


def _described(info: zipfile.ZipInfo) -> File | Rejected:
    path = PurePosixPath(info.filename)
    if info.filename != str(path) or path.is_absolute() or ".." in path.parts:
        return Rejected(info.filename, "member name is not a path")
    return File(info.filename, info.file_size)


@functools.lru_cache(maxsize=16)
def _opened(path: str, inner: str | None, _process: int) -> zipfile.ZipFile:
    where = path if inner is None else f"{path}/{inner}"
    with _explained(where), ExitStack() as opened:
        file: io.BufferedIOBase = opened.enter_context(Path(path).open("rb"))
        if inner is not None:
            file = io.BufferedReader(_window(path, inner, file))
        _check_listing(file, where)
        archive = zipfile.ZipFile(file)
        opened.pop_all()  # stays open for as long as it is cached
        return archive


@contextmanager
def _explained(where: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, struct.error) as error:
        raise SourceError(f"{where}: can't be read as a zip archive ({error}); fetch it again, or unpack it") from error


def _window(path: str, inner: str, file: io.BufferedIOBase) -> _Window:
    info = _opened(path, None, os.getpid()).getinfo(inner)
    if info.compress_type != zipfile.ZIP_STORED:
        raise SourceError(
            f"{path}: holds {inner} compressed, so that single files can't be read; unpack {Path(path).name} once (the "
            "archives in it may stay packed), and name the folder"
        )
    file.seek(info.header_offset)
    name_length, extra_length = struct.unpack("<26x2H", file.read(30))
    return _Window(file, info.header_offset + 30 + name_length + extra_length, info.file_size)


def _check_listing(file: io.BufferedIOBase, where: str) -> None:
    """Raises SourceError if the archive is cut off, or its directory claims to be larger than we are ready to read."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - (1 << 16) - _END_RECORD.size))
    tail = file.read()
    start = tail.rfind(b"PK\5\6")
    if start >= 0 and len(tail) - start >= _END_RECORD.size:
        *_, listing, _offset, comment = _END_RECORD.unpack_from(tail, start)
        if start + _END_RECORD.size + comment != len(tail):  # else zipfile would take the end of an inner archive for ours
            raise SourceError(
                f"{where}: can't be read as a zip archive (it doesn't end as one, so it is cut off); fetch it again"
            )
        if _MAX_LISTING_BYTES < listing < 0xFFFF_FFFF:
            raise SourceError(f"{where}: its directory takes {listing} bytes; at most {_MAX_LISTING_BYTES} are read; unpack it")


class _Window(io.RawIOBase):
    """The `size` bytes of `file` from `start`, as a file of their own."""

    def __init__(self, file: io.BufferedIOBase, start: int, size: int) -> None:
        self._file, self._start, self._size, self._position = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._position = max(0, offset + (0, self._position, self._size)[whence])
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        wanted = max(0, min(len(view), self._size - self._position))
        self._file.seek(self._start + self._position)
        data = self._file.read(wanted)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
