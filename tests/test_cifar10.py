"""CIFAR-10's binary form: in folders, archives and object stores, from the network, and with all that can be wrong."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections import Counter

import numpy as np
import pytest

from helmholtz.errors import BadRecord, HelmholtzError, SourceError
from helmholtz.sources import cifar10 as module
from helmholtz.sources.base import Rejected, SourceRecord
from tests.object_store import remote
from tests.tiny_cifar10 import (
    FOLDER,
    NAMES,
    archive,
    check,
    content,
    opened,
    own_cache,  # noqa: F401  # a fixture of every test
    write,
)


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
