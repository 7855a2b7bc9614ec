"""Folders of files, local or in an object store: what is below them, and the content of one file.

Object stores are asked through google-cloud-storage and boto3 themselves: cloudpathlib's listing leaves out the digests,
and its downloads cost several requests a file.
"""

from __future__ import annotations

import base64
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from helmholtz.cloud import cloud_path, explained
from helmholtz.errors import BadRecord, SourceError
from helmholtz.sources.base import CHANGED, Rejected, check_unchanged, file_digest
from helmholtz.storage import is_remote

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FILE_BYTES = 256 << 20  # a larger file is set aside unread
TOO_LARGE = "file over 256 MiB"


@dataclass(frozen=True, slots=True)
class File:
    """One file, by its path below the folder."""

    key: str
    nbytes: int
    digest: str | None = None  # the object store's own, as "<kind>:<value>"; None: hash the content


class Folder(Protocol):
    """A folder of files. Small and picklable. Its methods raise StorageError where an object store can't be reached."""

    @property
    def uri(self) -> str:
        """Where it is."""

    def subfolders(self, key: str) -> list[str]:
        """Names of the folders directly in the subfolder `key` ("" for the folder itself), sorted."""

    def files(self, key: str, *, deep: bool = True) -> list[File | Rejected]:
        """Every file below the subfolder `key`, at any depth unless not `deep`, by path; Rejected for those of no use."""

    def digest(self, file: File) -> str:
        """Digest of the file's content; equal digests mean equal content. Raises BadRecord if it can't be read."""

    def read(self, key: str, digest: str | None = None) -> bytes:
        """The content of a file, the one that `digest` was listed with, if given.

        Raises BadRecord if it is gone, unreadable, over MAX_FILE_BYTES, or changed since.
        """


def open_folder(path: str) -> Folder:
    """The folder at a local path, ``gs://`` or ``s3://`` URI. Raises SourceError if `path` is none or isn't there."""
    if is_remote(path):
        scheme, _, rest = path.partition("://")
        bucket, _, prefix = rest.strip("/").partition("/")
        if not bucket:
            raise SourceError(f"{path}: names no bucket; expected {scheme}://bucket/prefix")
        return GsFolder(bucket, prefix) if scheme == "gs" else S3Folder(bucket, prefix)
    if "://" in path and not path.startswith("file://"):
        raise SourceError(f"{path}: can't read from there; use gs://, s3:// or a local folder")
    local = Path(path.removeprefix("file://")).expanduser().absolute()
    if not local.is_dir():
        problem = "is a file, not a folder" if local.exists() else "no such folder"
        raise SourceError(f"{local}: {problem}; dataset.path must name the folder that holds the data")
    return LocalFolder(str(local))


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A folder on a local (or mounted) file system. Symbolic links are followed, but not round in a loop."""

    uri: str

    def subfolders(self, key: str) -> list[str]:
        return [entry.name for entry in _scan(Path(self.uri, key)) if _is_folder(entry)]

    def files(self, key: str, *, deep: bool = True) -> list[File | Rejected]:
        found: list[File | Rejected] = []
        pending = [(key, frozenset[tuple[int, int]]())]
        while pending:
            folder, above = pending.pop()
            for entry in _scan(Path(self.uri, folder)):
                below = f"{folder}/{entry.name}" if folder else entry.name
                if not _is_folder(entry):
                    found.append(_described(entry, below))
                elif deep and (identity := _identity(entry)) not in above:
                    pending.append((below, above | {identity}))
        return sorted(found, key=lambda file: file.key)

    def digest(self, file: File) -> str:
        try:
            with Path(self.uri, file.key).open("rb") as content:
                return file_digest(content)
        except OSError as error:
            raise _bad_record(error) from error

    def read(self, key: str, digest: str | None = None) -> bytes:
        if ".." in key.split("/") or key.startswith("/") or "\0" in key:
            raise BadRecord("not a key of this source")
        try:
            with open(f"{self.uri}/{key}", "rb", buffering=0) as content:  # noqa: PTH123  # Path takes as long as the file
                if os.fstat(content.fileno()).st_size > MAX_FILE_BYTES:
                    raise BadRecord(TOO_LARGE)
                data = content.read()
        except OSError as error:
            raise _bad_record(error) from error
        check_unchanged(data, digest)
        return data


def _scan(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(f"{path}: can't be listed: {error.strerror}; give this account the right to read it") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a circle, for one; it is rejected as a file
        return False


def _identity(entry: os.DirEntry[str]) -> tuple[int, int]:
    status = entry.stat()
    return status.st_dev, status.st_ino


def _described(entry: os.DirEntry[str], key: str) -> File | Rejected:
    try:
        key.encode()
    except UnicodeEncodeError:
        return Rejected(os.fsencode(key).decode("utf-8", "backslashreplace"), "file name is not UTF-8")
    try:
        status = entry.stat()
    except OSError as error:
        return Rejected(key, _bad_record(error).reason)
    if not stat.S_ISREG(status.st_mode):
        return Rejected(key, "not a regular file")
    return File(key, status.st_size)


def _bad_record(error: OSError) -> BadRecord:
    gone = isinstance(error, FileNotFoundError | NotADirectoryError)
    return BadRecord("file is gone" if gone else f"file can't be read: {error.strerror}")


@dataclass(frozen=True, slots=True)
class GsFolder:
    """A prefix in Google Cloud Storage."""

    bucket: str
    prefix: str

    @property
    def uri(self) -> str:
        return f"gs://{self.bucket}/{self.prefix}".rstrip("/")

    def _client(self) -> Any:
        return cloud_path(f"gs://{self.bucket}").client.client

    def subfolders(self, key: str) -> list[str]:
        with explained(self.uri):
            listing = self._client().list_blobs(self.bucket, prefix=_prefix(self.prefix, key), delimiter="/")
            for _ in listing:  # prefixes are known once the objects have been gone through
                pass
            return sorted(PurePosixPath(prefix).name for prefix in listing.prefixes)

    def files(self, key: str, *, deep: bool = True) -> list[File | Rejected]:
        base = _prefix(self.prefix, "")
        with explained(self.uri):
            delimiter = None if deep else "/"
            blobs = self._client().list_blobs(self.bucket, prefix=_prefix(self.prefix, key), delimiter=delimiter)
            return [_object(blob.name.removeprefix(base), blob.size, _gs_digest(blob)) for blob in blobs]

    def digest(self, file: File) -> str:
        return str(file.digest)

    def read(self, key: str, digest: str | None = None) -> bytes:
        with explained(f"{self.uri}/{key}"):
            content = self._content(key, digest)
        return _readable(content)

    def _content(self, key: str, digest: str | None) -> bytes | BadRecord:
        from google.api_core.exceptions import NotFound

        try:
            blob = self._client().bucket(self.bucket).get_blob(_prefix(self.prefix, "") + key)
            if blob is None:
                return BadRecord("file is gone")
            if digest not in (None, _gs_digest(blob)):
                return BadRecord(CHANGED)
            # Of that generation: what has been overwritten meanwhile is gone, and no other content comes in its place.
            content = self._client().bucket(self.bucket).blob(blob.name, generation=blob.generation)
            return BadRecord(TOO_LARGE) if blob.size > MAX_FILE_BYTES else bytes(content.download_as_bytes())
        except NotFound:
            return BadRecord("file is gone")


@dataclass(frozen=True, slots=True)
class S3Folder:
    """A prefix in S3, or a server that speaks its protocol."""

    bucket: str
    prefix: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def _client(self) -> Any:
        return cloud_path(f"s3://{self.bucket}").client.client

    def _pages(self, key: str, delimiter: str) -> Iterator[Any]:
        paginator = self._client().get_paginator("list_objects_v2")
        return iter(paginator.paginate(Bucket=self.bucket, Prefix=_prefix(self.prefix, key), Delimiter=delimiter))

    def subfolders(self, key: str) -> list[str]:
        with explained(self.uri):
            found = [entry["Prefix"] for page in self._pages(key, "/") for entry in page.get("CommonPrefixes", ())]
            return sorted(PurePosixPath(prefix).name for prefix in found)

    def files(self, key: str, *, deep: bool = True) -> list[File | Rejected]:
        base = _prefix(self.prefix, "")
        with explained(self.uri):
            entries = [entry for page in self._pages(key, "" if deep else "/") for entry in page.get("Contents", ())]
            return [_object(entry["Key"].removeprefix(base), entry["Size"], _s3_digest(entry)) for entry in entries]

    def digest(self, file: File) -> str:
        return str(file.digest)

    def read(self, key: str, digest: str | None = None) -> bytes:
        with explained(f"{self.uri}/{key}"):
            content = self._content(key, digest)
        return _readable(content)

    def _content(self, key: str, digest: str | None) -> bytes | BadRecord:
        from botocore.exceptions import ClientError  # type: ignore[import-untyped]  # has no types

        try:
            response = self._client().get_object(Bucket=self.bucket, Key=_prefix(self.prefix, "") + key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return BadRecord("file is gone")
            raise
        with response["Body"] as body:
            if digest not in (None, _s3_digest(response)):
                return BadRecord(CHANGED)
            return BadRecord(TOO_LARGE) if response["ContentLength"] > MAX_FILE_BYTES else bytes(body.read())


def _gs_digest(blob: Any) -> str:
    # Composite objects have no MD5, and a CRC-32C is too short to tell objects apart.
    return f"md5:{base64.b64decode(blob.md5_hash).hex()}" if blob.md5_hash else f"etag:{blob.etag}"


def _s3_digest(entry: Any) -> str:
    return "etag:" + str(entry["ETag"]).strip('"')


def _readable(content: bytes | BadRecord) -> bytes:
    if isinstance(content, BadRecord):  # handed on, not raised, because `explained` takes every exception for the store's
        raise content
    return content


def _prefix(prefix: str, key: str) -> str:
    return "".join(f"{part}/" for part in (prefix, key) if part)


def _object(key: str, nbytes: int, digest: str) -> File | Rejected:
    if key != str(PurePosixPath(key)) and not key.endswith("/"):
        return Rejected(key, "object name is not a path")
    return File(key, nbytes, digest)
