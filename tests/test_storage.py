"""The run root: a folder here; object stores, over HTTP, in tests/test_cloud.py."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helmholtz.errors import StorageError
from helmholtz.storage import LocalStore, open_store


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "new" / "root"))
    store.write_bytes("a/b ä.json", b"one")
    store.write_bytes("a/b ä.json", b"two")
    assert store.read_bytes("a/b ä.json") == b"two"
    assert store.exists("a/b ä.json")
    assert store.size("a/b ä.json") == 3
    assert not store.exists("a")
    assert store.size("a/none") is None
    assert list(store.list("a")) == ["a/b ä.json"]
    store.download("a/b ä.json", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"two"


def test_upload_moves_a_file_from_anywhere(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/root")
    (tmp_path / "here").write_bytes(b"x")
    store.upload(tmp_path / "here", "deep/there")
    assert store.read_bytes("deep/there") == b"x"


def test_upload_from_another_file_system(tmp_path: Path) -> None:
    shm = Path("/dev/shm")
    if not os.access(shm, os.W_OK) or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system to write to")
    source = shm / f"helmholtz-test-{os.getpid()}"
    source.write_bytes(b"far")
    try:
        store = open_store(str(tmp_path))
        store.upload(source, "k")
        assert store.read_bytes("k") == b"far"
    finally:
        source.unlink(missing_ok=True)


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../up", "a/../../up", "a\\b", "a\0b"])
def test_no_name_leads_out_of_the_root(tmp_path: Path, key: str) -> None:
    with pytest.raises(StorageError, match="not a name"):
        open_store(str(tmp_path)).read_bytes(key)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"data/x\.json: can't read"):
        open_store(str(tmp_path)).read_bytes("data/x.json")


def test_another_scheme_is_refused() -> None:
    with pytest.raises(StorageError, match=r"hdfs://.*gs://"):
        open_store("hdfs://host/path")


def test_readers_never_see_half_a_write(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    contents = [bytes([n]) * 300_000 for n in range(4)]
    store.write_bytes("k", contents[0])
    stop = threading.Event()
    seen: set[bytes] = set()

    def read() -> None:
        while not stop.is_set():
            seen.add(store.read_bytes("k"))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(20):
        for content in contents:
            store.write_bytes("k", content)
    stop.set()
    for reader in readers:
        reader.join()
    assert seen <= set(contents)
    assert len(seen) > 1


def test_scratch_leaves_nothing_behind(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with store.scratch() as folder:
        (folder / "x").write_bytes(b"1")
    assert not [*tmp_path.glob(".tmp/*")]


def test_what_killed_processes_leave_is_tidied_and_what_live_ones_use_is_not(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = (
        "import os, sys; from helmholtz.storage import LocalStore; scratch = LocalStore(sys.argv[1]).scratch();"
        "scratch.__enter__(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert len([*tmp_path.glob(".tmp/*")]) == 1
    store = LocalStore(str(tmp_path))
    with store.scratch() as mine:
        store.tidy()
        assert [*tmp_path.glob(".tmp/*")] == [mine]


def test_what_pods_with_other_names_left_is_tidied_once_nothing_of_it_was_written_for_a_week(tmp_path: Path) -> None:
    import time

    long_ago = time.time() - 8 * 86_400
    for name, inside in (("train-1-7-abc", long_ago), ("train-2-7-abc", time.time()), ("train-3-7-abc", None)):
        folder = tmp_path / ".tmp" / name
        folder.mkdir(parents=True)
        if inside is not None:
            (folder / "deep").mkdir()
            (folder / "deep" / "events").write_bytes(b"1")
            for path in (folder / "deep" / "events", folder / "deep"):
                os.utime(path, (inside, inside))
            os.utime(folder, (long_ago, long_ago))
    LocalStore(str(tmp_path)).tidy()
    assert sorted(path.name for path in tmp_path.glob(".tmp/*")) == ["train-2-7-abc", "train-3-7-abc"]
    for path in tmp_path.glob(".tmp/train-3*"):
        os.utime(path, (long_ago, long_ago))
    LocalStore(str(tmp_path)).tidy()
    assert [path.name for path in tmp_path.glob(".tmp/*")] == ["train-2-7-abc"]
    assert (tmp_path / ".tmp" / "train-2-7-abc" / "deep" / "events").is_file()


def test_what_is_read_at_once_is_bounded(tmp_path: Path) -> None:
    """A file of a terabyte, without a block of it on the disk: refused after what is allowed."""
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(StorageError, match=r"huge\.json: more than 536,870,912 bytes"):
        open_store(str(tmp_path)).read_bytes("huge.json")


def test_where_there_are_no_hard_links_one_of_many_creates_and_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    store, contents = LocalStore(str(tmp_path)), [bytes([n]) * 100_000 for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda data: store.create("lease/1", data), contents))
    assert sum(won) == 1
    assert store.read_bytes("lease/1") == contents[won.index(True)]
    assert [*store.list("")] == ["lease/1"]
