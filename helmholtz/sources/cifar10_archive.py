"""The archive ``cifar-10-binary.tar.gz``: fetched from its authors, checked, and unpacked, each all or nothing."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import shutil
import sys
import tarfile
import tempfile
import urllib.request
import zlib
from pathlib import Path
from typing import Any

from helmholtz.errors import SourceError

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
# pragma: allowlist nextline secret
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"  # as the authors' page states it
TIMEOUT = 30.0  # seconds without a byte
MAX_ARCHIVE_BYTES = 1 << 28  # the archive has 170 MB, and 185 MB unpacked; more is not it
MAX_BATCH_BYTES = 10_000 * 3073

FOLDER = "cifar-10-batches-bin"
META = "batches.meta.txt"
TRAIN_BATCHES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_BATCH = "test_batch.bin"
FILES = (*TRAIN_BATCHES, TEST_BATCH, META)


def download(folder: Path, *, url: str = URL, md5: str = MD5) -> None:
    """Fetches the archive and unpacks it to ``folder/cifar-10-batches-bin``.

    Raises SourceError if it can't be fetched or written, or isn't what its checksum says.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch:
            archive = Path(scratch, "cifar-10-binary.tar.gz")
            found = _fetch(url, archive)
            if found != md5:
                raise SourceError(f"{url}: MD5 is {found}, expected {md5}: the download is damaged or not CIFAR-10; try again")
            unpack(archive, folder / FOLDER)
    except (OSError, http.client.HTTPException) as error:
        raise SourceError(
            f"{url}: can't be fetched to {folder}: {error}; check the network and the folder, or fetch the file another way "
            "and let dataset.path name it"
        ) from error


def unpack_to_cache(archive: Path) -> Path:
    """The folder that holds the unpacked content of `archive`: below the user's cache, unpacked once for all processes."""
    try:
        status = archive.stat()
    except OSError as error:
        raise SourceError(f"{archive}: can't be read: {error.strerror}; dataset.path names no such archive") from error
    identity = f"{archive.absolute()}\0{status.st_size}\0{status.st_mtime_ns}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "helmholtz").expanduser()
    target = cache / f"cifar10-{hashlib.blake2b(os.fsencode(identity), digest_size=8).hexdigest()}"
    if not target.is_dir():
        try:
            unpack(archive, target)
        except OSError as error:
            raise SourceError(
                f"{cache}: can't unpack {archive} here: {error}; set XDG_CACHE_HOME to a folder that can"
            ) from error
    return target


def unpack(archive: Path, target: Path) -> None:
    """Makes the folder `target` with the seven files of the archive, and nothing else that may be in it.

    Raises SourceError if the archive is damaged or lacks one of them, OSError if `target` can't be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unpack-") as scratch:
        whole = Path(scratch, FOLDER)
        whole.mkdir()
        _unpack_files(archive, whole)
        try:
            whole.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process came first
                raise


def _fetch(url: str, path: Path) -> str:
    """Writes the content of `url` to `path`; its MD5, hexadecimal."""
    from rich.console import Console
    from rich.progress import Progress

    md5 = hashlib.md5(usedforsecurity=False)
    progress = Progress(console=Console(stderr=True), disable=not sys.stderr.isatty())
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response, path.open("wb") as file, progress:  # noqa: S310 - ours
        length = response.headers.get("Content-Length", "")
        task = progress.add_task("CIFAR-10", total=int(length) if length.isdecimal() else None)
        while chunk := response.read(1 << 20):
            file.write(chunk)
            md5.update(chunk)
            progress.advance(task, len(chunk))
            if file.tell() > MAX_ARCHIVE_BYTES:
                raise SourceError(f"{url}: larger than {MAX_ARCHIVE_BYTES} bytes, so it is not CIFAR-10")
    return md5.hexdigest()


class _Bounded:
    """A decompressed stream that ends in SourceError rather than fill the memory or run for hours."""

    def __init__(self, file: gzip.GzipFile, name: Path) -> None:
        self._file = file
        self._name = name
        self._left = MAX_ARCHIVE_BYTES

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise SourceError(f"{self._name}: unpacks to more than {MAX_ARCHIVE_BYTES} bytes, so it is not CIFAR-10")
        return data


def _unpack_files(archive: Path, folder: Path) -> None:
    try:
        with gzip.open(archive) as file:
            stream: Any = _Bounded(file, archive)  # tarfile asks for a whole file object, and calls read()
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    name = member.name.removeprefix("./").removeprefix(f"{FOLDER}/")
                    content = tar.extractfile(member) if name in FILES and member.isreg() else None
                    if content is not None:
                        if member.size > MAX_BATCH_BYTES:
                            raise SourceError(f"{archive}: {name} has {member.size} bytes, expected at most {MAX_BATCH_BYTES}")
                        with (folder / name).open("wb") as out:
                            shutil.copyfileobj(content, out)
            while stream.read(1 << 20):  # gzip compares its checksum at the very end, where tar doesn't read
                pass
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(f"{archive}: damaged, or no .tar.gz ({error}); fetch it again from {URL}") from error
    lacking = [name for name in FILES if not (folder / name).is_file()]
    if lacking:
        raise SourceError(f"{archive}: lacks {', '.join(lacking)}; expected cifar-10-binary.tar.gz from {URL}")
