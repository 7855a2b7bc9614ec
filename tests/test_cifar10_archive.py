"""CIFAR-10's archive: unpacked, downloaded, and with all that can be wrong on the way."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import socket
import tarfile
from pathlib import Path

import pytest

from helmholtz.errors import SourceError
from helmholtz.sources import cifar10 as module
from helmholtz.sources import cifar10_archive
from tests.object_store import serve
from tests.tiny_cifar10 import (
    BATCHES,
    FOLDER,
    archive,
    check,
    content,
    opened,
    own_cache,  # noqa: F401  # a fixture of every test
    packed,
)


def test_the_archive_itself(tmp_path, monkeypatch):
    files = content()
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(archive(files))
    check(opened(path), files)
    (cached,) = (tmp_path / "cache" / "helmholtz").iterdir()
    assert {p.name for p in cached.iterdir()} == files.keys()
    monkeypatch.setattr(cifar10_archive, "unpack", lambda *_: pytest.fail("unpacked twice"))
    check(opened(path), files)


def test_an_archive_gives_only_the_expected_files(tmp_path):
    files = content()
    evil = {"../evil": b"x", "/tmp/helmholtz-evil": b"x", f"{FOLDER}/../../evil": b"x", f"{FOLDER}/readme.html": b"x"}
    path = tmp_path / "cifar.tar.gz"
    path.write_bytes(packed({**evil, **{f"./{FOLDER}/{name}": data for name, data in files.items()}}))
    check(opened(path), files)
    assert not list(tmp_path.rglob("*evil*"))
    assert not list(tmp_path.rglob("readme*"))
    assert not Path("/tmp/helmholtz-evil").exists()


def test_links_in_an_archive_are_no_files(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in (*BATCHES, "batches.meta.txt"):
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(member)
    (tmp_path / "x.tgz").write_bytes(buffer.getvalue())
    with pytest.raises(SourceError, match=r"lacks data_batch_1\.bin"):
        opened(tmp_path / "x.tgz")


def zeros(size: int) -> bytes:
    buffer = io.BytesIO()
    with gzip.open(buffer, "wb", compresslevel=1) as file:
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda data: b"", "damaged|lacks"),
        (lambda data: b"no archive", "damaged"),
        (lambda data: data[: len(data) // 2], "damaged"),
        (lambda data: data[:5000] + bytes(100) + data[5100:], "damaged"),
        (lambda data: gzip.compress(b"not a tar" * 1000), "damaged"),
        (lambda data: packed({f"{FOLDER}/test_batch.bin": bytes(30_730_001)}), "30730001 bytes, expected at most 30730000"),
        (lambda data: packed({"other": bytes(3 << 20)}), "unpacks to more than"),
    ],
)
def test_damaged_archives_are_errors_and_leave_nothing_behind(tmp_path, monkeypatch, damage, problem):
    if "unpacks" in problem:
        monkeypatch.setattr(cifar10_archive, "MAX_ARCHIVE_BYTES", 1 << 20)
    (tmp_path / "x.tar.gz").write_bytes(damage(archive()))
    with pytest.raises(SourceError, match=problem) as error:
        opened(tmp_path / "x.tar.gz")
    assert "x.tar.gz" in str(error.value)
    assert not list((tmp_path / "cache" / "helmholtz").iterdir())


def test_a_missing_archive_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="No such file"):
        opened(tmp_path / "none.tar.gz")


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "x.tar.gz").write_bytes(archive())
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(SourceError, match="set XDG_CACHE_HOME"):
        opened(tmp_path / "x.tar.gz")


def fetch(folder: Path, data: bytes, md5: str | None = None) -> None:
    with serve({"cifar.tar.gz": data}) as server:
        url = f"http://127.0.0.1:{server.server_port}/bucket/cifar.tar.gz"
        cifar10_archive.download(folder, url=url, md5=md5 or hashlib.md5(data, usedforsecurity=False).hexdigest())


def test_download_makes_a_whole_set(tmp_path, monkeypatch):
    files = content()
    monkeypatch.setattr(module, "download", lambda folder: fetch(folder, archive(files)))
    target = tmp_path / "new" / "place"
    check(opened(target, download=True), files)
    assert [p.name for p in target.iterdir()] == [FOLDER]
    monkeypatch.setattr(module, "download", lambda folder: pytest.fail("downloaded twice"))
    check(opened(target, download=True), files)


@pytest.mark.parametrize(
    ("data", "md5", "problem"),
    [
        (archive(), "0" * 32, "MD5 is .*, expected 0000"),
        (b"", "0" * 32, "MD5 is d41d8cd98f00b204e9800998ecf8427e"),
        (b"no archive", None, "damaged"),
        (archive({"test_batch.bin": b"x"}), None, "lacks data_batch_1"),
    ],
)
def test_a_bad_download_leaves_nothing_behind(tmp_path, data, md5, problem):
    with pytest.raises(SourceError, match=problem):
        fetch(tmp_path / "data", data, md5)
    assert not list((tmp_path / "data").iterdir())


def test_a_download_without_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10_archive, "MAX_ARCHIVE_BYTES", 1 << 20)
    with pytest.raises(SourceError, match="larger than"):
        fetch(tmp_path / "data", bytes(3 << 20))


@contextlib.contextmanager
def talker(answer: bytes):
    """A server that says `answer` to the first caller, and then hangs up."""
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x.tar.gz"
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nshort",
    ],
)
def test_broken_connections_are_errors(tmp_path, answer):
    with talker(answer) as url, pytest.raises(SourceError, match=r"can't be fetched|MD5 is") as error:
        cifar10_archive.download(tmp_path / "data", url=url)
    assert url in str(error.value)
    assert not list((tmp_path / "data").iterdir())


def test_no_network_is_an_error_that_says_what_to_do(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SourceError, match=r"refused.*check the network.*dataset\.path"):
        cifar10_archive.download(tmp_path, url=f"http://127.0.0.1:{port}/x.tar.gz")


def test_the_archive_is_the_authors():
    assert cifar10_archive.URL == "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    # pragma: allowlist nextline secret
    assert cifar10_archive.MD5 == "c32a1d4ab5d03f1284b67883e8d87530"
