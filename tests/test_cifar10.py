"""CIFAR-10's binary form: in folders, archives and object stores, from the network, and with all that can be wrong."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import pickle
import socket
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from helmholtz.errors import BadRecord, HelmholtzError, SourceError
from helmholtz.experiment import Dataset
from helmholtz.sources import cifar10 as module
from helmholtz.sources import cifar10_archive
from helmholtz.sources.base import Rejected, SourceRecord
from helmholtz.sources.cifar10 import Cifar10
from tests.object_store import remote, serve

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BATCHES = [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
FOLDER = "cifar-10-batches-bin"


def content(records: int = 20) -> dict[str, bytes]:
    """The seven files, of random pixels; record i of a batch has label i % 10."""
    random = np.random.default_rng(0)
    files = {}
    for name in BATCHES:
        rows = random.integers(0, 256, (records, 3073), dtype=np.uint8)
        rows[:, 0] = np.arange(records) % 10
        files[name] = rows.tobytes()
    return files | {"batches.meta.txt": ("\n".join(NAMES) + "\n\n").encode()}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def archive(files: dict[str, bytes] | None = None) -> bytes:
    files = content() if files is None else files
    return packed({f"{FOLDER}/{name}": data for name, data in files.items()})


def opened(path, **options) -> Cifar10:
    return Cifar10.open(Dataset(kind="cifar10", path=str(path), **options))


def check(source: Cifar10, files: dict[str, bytes]) -> None:
    """The source holds what `files` do, pixel by pixel, as read by another way."""
    records = list(source.records())
    assert [r.key for r in records] == [f"{name}#{k}" for name in BATCHES for k in range(len(files[name]) // 3073)]
    for record in records[::7]:
        name, _, number = record.key.partition("#")
        stored = files[name][int(number) * 3073 : (int(number) + 1) * 3073]
        pixels = source.load(record.key)
        assert (pixels.dtype, pixels.shape, pixels.flags.c_contiguous, type(pixels)) == (
            np.uint8,
            (32, 32, 3),
            True,
            np.ndarray,
        )
        for y, x, channel in ((0, 0, 0), (0, 31, 1), (31, 0, 2), (5, 7, 1)):
            assert pixels[y, x, channel] == stored[1 + 1024 * channel + 32 * y + x]
        assert record.label == stored[0]
        assert record.digest == blake3(pixels.tobytes()).hexdigest(length=16)
        assert record.split == ("test" if name == "test_batch.bin" else "train")
        assert (record.nbytes, record.group) == (3073, None)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize("below", ["", FOLDER])
def test_a_folder(tmp_path, below):
    files = content()
    write(tmp_path / "data" / below, files)
    source = opened(tmp_path / "data")
    assert source.classes == tuple(NAMES)
    assert "CIFAR-10" in source.description
    check(source, files)


def test_the_real_set(cifar10):
    source = opened(cifar10.parent)
    records = list(source.records())
    assert Counter((r.split, r.label) for r in records) == {
        **{("train", k): 5000 for k in range(10)},
        **{("test", k): 1000 for k in range(10)},
    }
    assert len({r.digest for r in records}) == 60_000
    pixels = np.stack([source.load(r.key) for r in records if r.split == "train"])
    assert np.allclose(pixels.mean(axis=(0, 1, 2)) / 255, [0.4914, 0.4822, 0.4465], atol=5e-5)
    # pragma: allowlist nextline secret
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == "95eec8dce49c48f77eb01c52aede316ac6c833c1cf2b8decd935b0f7ac23ca14"


def test_batches_of_any_length_across_chunks(tmp_path):
    files = content(records=2003)
    check(opened(write(tmp_path, files)), files)


def test_a_source_is_small_and_picklable(tmp_path):
    source = opened(write(tmp_path, content()))
    source.load("test_batch.bin#3")
    assert len(pickle.dumps(source)) < 500
    again = pickle.loads(pickle.dumps(source))  # noqa: S301 - our own
    assert np.array_equal(again.load("test_batch.bin#3"), source.load("test_batch.bin#3"))


def test_labels_out_of_range_are_set_aside(tmp_path):
    files = content()
    spoilt = bytearray(files["data_batch_2.bin"])
    spoilt[0], spoilt[3073] = 10, 255
    found = list(opened(write(tmp_path, files | {"data_batch_2.bin": bytes(spoilt)})).records())
    assert len(found) == 120
    assert [r for r in found if isinstance(r, Rejected)] == [
        Rejected("data_batch_2.bin#0", "label 10 is not 0..9"),
        Rejected("data_batch_2.bin#1", "label 255 is not 0..9"),
    ]


def test_classes_picks_a_subset_in_the_files_order(tmp_path):
    source = opened(write(tmp_path, content()), classes=("truck", "cat"))
    records = list(source.records())
    assert source.classes == ("cat", "truck")
    assert Counter(r.label for r in records) == {0: 12, 1: 12}
    assert {int(r.key.split("#")[1]) % 10 for r in records if isinstance(r, SourceRecord) and r.label == 1} == {9}
    with pytest.raises(SourceError, match=r"no class 'cow'.*'airplane'"):
        opened(tmp_path, classes=("cow", "cat"))


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("data_batch_3.bin", None, r"data_batch_3\.bin: missing"),
        ("test_batch.bin", None, r"test_batch\.bin: missing"),
        ("batches.meta.txt", None, r"batches\.meta\.txt: missing"),
        ("data_batch_1.bin", b"", r"data_batch_1\.bin: empty"),
        ("data_batch_1.bin", b"x" * 3072, r"data_batch_1\.bin: 3072 bytes, expected a multiple of 3073 \(30730000"),
        ("test_batch.bin", b"x" * 30_729_999, r"test_batch\.bin: 30729999 bytes"),
        ("batches.meta.txt", b"cat\ndog\n", "2 class names, expected 10"),
        ("batches.meta.txt", b"cat\n" * 10, "1 class names, expected 10"),
        ("batches.meta.txt", b"\xff\n" * 10, "1 class names, expected 10"),
        ("batches.meta.txt", b"x" * 5000, "5000 bytes, expected 10 class names"),
    ],
)
@pytest.mark.parametrize("form", ["folder", "archive"])
def test_damaged_sets_are_errors_that_say_which_file(tmp_path, name, data, problem, form):
    files = {**content(), name: data}
    files = {key: value for key, value in files.items() if value is not None}
    if form == "folder":
        path = write(tmp_path / "data", files)
    else:
        path = write(tmp_path, {"cifar-10-binary.tar.gz": archive(files)}) / "cifar-10-binary.tar.gz"
        problem = rf"lacks {name}" if data is None else problem
    with pytest.raises(SourceError, match=problem):
        opened(path)


@pytest.mark.parametrize("download", [False, True])
def test_a_partial_set_is_never_downloaded_over(tmp_path, monkeypatch, download):
    monkeypatch.setattr(module, "download", lambda folder: pytest.fail("downloaded"))
    write(tmp_path, {"data_batch_1.bin": content()["data_batch_1.bin"]})
    with pytest.raises(SourceError, match=r"data_batch_2\.bin: missing"):
        opened(tmp_path, download=download)


def test_a_folder_without_the_set_is_an_error(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(SourceError, match=r"no CIFAR-10 here.*dataset\.download"):
            opened(path)
    with pytest.raises(HelmholtzError, match="http"):
        opened("http://example.org/cifar")


def test_keys_that_name_no_record(tmp_path):
    source = opened(write(tmp_path, content()))
    for key in (
        "",
        "data_batch_1.bin",
        "data_batch_6.bin#0",
        "../x#0",
        "data_batch_1.bin#-1",
        f"data_batch_1.bin#{'9' * 5000}",
    ):
        with pytest.raises(BadRecord, match="not a key"):
            source.load(key)
    with pytest.raises(BadRecord, match="record is gone"):
        source.load("data_batch_1.bin#20")
    (tmp_path / "data_batch_1.bin").unlink()
    with pytest.raises(BadRecord, match="file is gone"):
        source.load("data_batch_1.bin#0")


def test_replaced_files_are_read_anew(tmp_path):
    files = content()
    source = opened(write(tmp_path, files))
    before = source.load("test_batch.bin#1")
    (tmp_path / "new").write_bytes(files["data_batch_1.bin"])
    (tmp_path / "new").replace(tmp_path / "test_batch.bin")
    assert not np.array_equal(source.load("test_batch.bin#1"), before)
    assert np.array_equal(source.load("test_batch.bin#1"), source.load("data_batch_1.bin#1"))


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
    evil = {"../evil": b"x", "/tmp/helmholtz-evil": b"x", f"{FOLDER}/../../evil": b"x", f"{FOLDER}/readme.html": b"x"}  # noqa: S108
    path = tmp_path / "cifar.tar.gz"
    path.write_bytes(packed({**evil, **{f"./{FOLDER}/{name}": data for name, data in files.items()}}))
    check(opened(path), files)
    assert not list(tmp_path.rglob("*evil*"))
    assert not list(tmp_path.rglob("readme*"))
    assert not Path("/tmp/helmholtz-evil").exists()  # noqa: S108


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


@pytest.mark.parametrize("scheme", ["gs", "s3"])
@pytest.mark.parametrize("form", ["folder", "archive"])
def test_object_stores_are_asked_once_a_file(monkeypatch, scheme, form):
    if scheme == "s3":
        pytest.importorskip("boto3", reason="the extra s3 isn't installed")
    files = content()
    if form == "folder":
        path, objects = f"{scheme}://bucket/{form}", {f"{form}/{FOLDER}/{name}": data for name, data in files.items()}
    else:
        path, objects = f"{scheme}://bucket/{form}/cifar-10-binary.tar.gz", {f"{form}/cifar-10-binary.tar.gz": archive(files)}
    with remote(scheme, objects, monkeypatch) as server:
        source = pickle.loads(pickle.dumps(opened(path)))  # noqa: S301 - our own
        check(source, files)
        server.requests.clear()
        check(source, files)
        assert not [request for request in server.requests if form in request]


def test_object_stores_are_not_downloaded_to(monkeypatch):
    with remote("gs", {}, monkeypatch), pytest.raises(SourceError, match="local folders only"):
        opened("gs://bucket/none", download=True)


def test_a_forked_child_leaves_its_parents_files_alone(monkeypatch):
    files = content()
    with remote("gs", {f"forked/{name}": data for name, data in files.items()}, monkeypatch):
        source = opened("gs://bucket/forked")
        source.load("test_batch.bin#0")
        kept = module._process_cache(os.getpid())
        module._remove(kept, os.getpid() + 1)
        assert kept.is_dir()
        assert source.load("test_batch.bin#1").shape == (32, 32, 3)
