"""A run root in an object store: keys are objects, through google-cloud-storage or boto3 (see `helmholtz.cloud`)."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from helmholtz.storage import MAX_BYTES, checked_key, read_bounded, room

if TYPE_CHECKING:
    from cloudpathlib import CloudPath


@dataclass(frozen=True, slots=True)
class RemoteStore:
    """A root in an object store, through google-cloud-storage (gs://) or boto3 (s3://)."""

    uri: str

    def _path(self, key: str) -> CloudPath:
        from helmholtz.cloud import cloud_path

        return cloud_path(f"{self.uri}/{checked_key(key)}")

    def read_bytes(self, key: str, most: int = MAX_BYTES) -> bytes:
        with self.scratch() as folder:
            self.download(key, folder / "data")
            with (folder / "data").open("rb") as file:
                return read_bounded(file, f"{self.uri}/{key}", most)

    def write_bytes(self, key: str, data: bytes) -> None:
        with self.scratch() as folder:
            path = folder / "data"
            path.write_bytes(data)
            self.upload(path, key)

    def create(self, key: str, data: bytes) -> bool:
        from helmholtz.cloud import create, explained

        with explained(f"{self.uri}/{key}"):
            return create(self._path(key), data)

    def upload(self, path: Path, key: str) -> None:
        from helmholtz.cloud import explained

        with explained(f"{self.uri}/{key}"):
            self._path(key).upload_from(path, force_overwrite_to_cloud=True)

    def download(self, key: str, path: Path) -> None:
        from helmholtz.cloud import download, explained

        with explained(f"{self.uri}/{key}"):
            download(self._path(key), path)

    def remove(self, key: str) -> None:
        from helmholtz.cloud import explained

        with explained(f"{self.uri}/{key}"):
            self._path(key).unlink(missing_ok=True)

    def exists(self, key: str) -> bool:
        return self.size(key) is not None

    def size(self, key: str) -> int | None:
        from helmholtz.cloud import explained

        with explained(f"{self.uri}/{key}"):
            path = self._path(key)
            return int(path.stat().st_size) if path.is_file() else None

    def list(self, prefix: str) -> Iterator[str]:
        from helmholtz.cloud import cloud_path, explained

        with explained(f"{self.uri}/{prefix}"):
            base = cloud_path(f"{self.uri}/{checked_key(prefix)}" if prefix else self.uri)
            keys = sorted(str(path)[len(self.uri) + 1 :] for path in base.rglob("*") if path.is_file())
        yield from keys

    def tidy(self) -> None:
        """Nothing to do: what a killed process leaves is in the machine's own temporary folder."""

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="helmholtz-") as folder, room(folder):
            yield Path(folder)
