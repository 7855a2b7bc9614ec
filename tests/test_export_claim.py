"""The claim an export lays to its folder: it is stopped anywhere and goes on, and of two at once one is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helmholtz.errors import StorageError
from helmholtz.export import Exported, export
from helmholtz.levels import Level
from helmholtz.storage import LocalStore, open_store
from tests.exporting import DOCUMENTS, LEFT, content, export_to, of_level


class StoppedError(Exception):
    """Stands for whatever ends an export between two files."""


@pytest.mark.parametrize("after", range(9))
def test_an_export_stopped_anywhere_goes_on(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """However the folders are spelled the second time, and with the report made again since."""
    run, to, real, keys = tmp_path / "run", tmp_path / "set", LocalStore.upload, []
    shutil.copytree(finished, run)

    def upload(self: LocalStore, path: Path, key: str) -> None:
        if self.uri == str(to):
            keys.append(key)
            if len(keys) > after:
                raise StoppedError
        real(self, path, key)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "upload", upload)
        with pytest.raises(StoppedError):
            export_to(run, to)
        for thread in threading.enumerate():  # copies under way, which the error has not waited for
            if thread.name.startswith("ThreadPoolExecutor"):
                thread.join()
    assert not (to / "manifest.json").exists()
    (run / "report" / "report.html").write_bytes(b"<!doctype html><title>made again</title>")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(run)
    done = export(open_store("link/../run/"), open_store("./set/"), None)
    assert (done.kept, done.edited) == (min(after, 4), ())
    assert content(to).keys() >= LEFT
    assert (to / "report.html").read_bytes() == b"<!doctype html><title>made again</title>"


def test_of_two_levels_at_once_one_is_refused(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have found the place empty before either writes."""
    both, listed = threading.Barrier(2), LocalStore.list

    def listing(self: LocalStore, prefix: str) -> Iterator[str]:
        found = list(listed(self, prefix))
        if self.uri == str(tmp_path / "set"):
            both.wait(10)
        return iter(found)

    monkeypatch.setattr(LocalStore, "list", listing)

    def attempt(level: Level) -> Exported | StorageError:
        try:
            return export_to(finished, tmp_path / "set", level)
        except StorageError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(attempt, [25, 50]))
    (done,) = [end for end in ends if isinstance(end, Exported)]
    (refused,) = [end for end in ends if isinstance(end, StorageError)]
    assert f"another data set or level lies here already, level {done.level}" in str(refused)
    for entry in of_level(finished, done.level)[1].shards():
        assert hashlib.sha256((tmp_path / "set" / entry.name).read_bytes()).hexdigest() == entry.sha256


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda to: (to / "export.json").unlink(), r"export\.json: gone"),
        (lambda to: (to / "test-00000-of-00002.tfrecord").unlink(), "tfrecord: gone or changed while"),
        (lambda to: (to / "test-00000-of-00002.tfrecord").write_bytes(b"of another level"), "tfrecord: gone or changed while"),
        (lambda to: _reclaim(to / "export.json", level=50), "another data set or level lies here already, level 50"),
        (lambda to: _reclaim(to / "export.json", shards="f" * 64), "other shards of this level"),
    ],
)
def test_it_looks_again_before_the_manifest(
    finished: Path, tmp_path: Path, change: Callable[[Path], object], says: str
) -> None:
    def meanwhile(copied: int, total: int) -> None:
        if copied == total:
            change(tmp_path)

    with pytest.raises(StorageError, match=says):
        export(open_store(str(finished)), open_store(str(tmp_path)), on_copied=meanwhile)
    assert not DOCUMENTS & content(tmp_path).keys()


def _reclaim(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("claim", [b"", b"[]", b"{", b'{"format": 1}', b" " * (2 << 20), b"\xff"])
def test_a_claim_that_is_none_is_refused(finished: Path, tmp_path: Path, claim: bytes) -> None:
    (tmp_path / "export.json").write_bytes(claim)
    with pytest.raises(StorageError, match=r"export\.json: gone, damaged or of something else; choose an empty place"):
        export_to(finished, tmp_path)
    assert (tmp_path / "export.json").read_bytes() == claim
