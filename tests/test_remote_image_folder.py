"""Class folders in object stores: they give what local ones do."""

from __future__ import annotations

import pickle

import pytest

from helmholtz.errors import BadRecord, SourceError, StorageError
from helmholtz.sources import folders
from tests.object_store import remote
from tests.test_image_folder import PETS, listed, opened, write


@pytest.fixture(params=["gs", "s3"])
def scheme(request):
    if request.param == "s3":
        pytest.importorskip("boto3", reason="the extra s3 isn't installed")
    return request.param


def test_an_object_store_gives_what_a_folder_does(tmp_path, monkeypatch, scheme):
    files = PETS | {"cat/empty.png": b"", "cat/again.jpg": b"cat one", "dog/copy.jpg": b"cat two", "notes.txt": b"x"}
    local = opened(write(tmp_path, files))
    objects = {f"sets/pets/{name}": content for name, content in files.items()} | {
        "sets/pets/cat/": b"",  # what a web console leaves behind for a folder
        "sets/petshop/fish/1.jpg": b"x",
    }
    with remote(scheme, objects, monkeypatch) as server:
        source = opened(f"{scheme}://bucket/sets/pets/")
        assert source.classes == local.classes
        records, rejected = listed(source)
        there, refused = listed(local)
        assert rejected == refused
        assert {k: (r.label, r.nbytes) for k, r in records.items()} == {k: (r.label, r.nbytes) for k, r in there.items()}
        assert all(":" in r.digest for r in records.values())
        assert records["cat/again.jpg"].digest == records["cat/1.jpg"].digest
        server.requests.clear()
        source = pickle.loads(pickle.dumps(source))  # noqa: S301 - our own
        assert all(source.load(key) == PETS[key] for key in PETS)
        assert sum("sets" in request for request in server.requests) <= 2 * len(PETS)
        with pytest.raises(BadRecord, match="file is gone"):
            source.load("cat/none.jpg")
        monkeypatch.setattr(folders, "MAX_FILE_BYTES", 8)
        assert source.load("dog/4.gif") == b"dog four"
        with pytest.raises(BadRecord, match="file over 256 MiB"):
            source.load("dog/a/b/3.JPEG")


def test_split_folders_at_the_top_of_a_bucket(monkeypatch, scheme):
    files = {f"{s}/{c}/{s}.png": f"{s}{c}".encode() for s in ("train", "test") for c in ("cat", "dog")}
    with remote(scheme, files, monkeypatch):
        source = opened(f"{scheme}://bucket")
        assert {key: r.split for key, r in listed(source)[0].items()} == {key: key.split("/")[0] for key in files}
        assert source.load("test/cat/test.png") == b"testcat"


def test_objects_whose_names_are_no_paths(monkeypatch, scheme):
    objects = PETS | {"cat//double.jpg": b"x"}
    with remote(scheme, objects, monkeypatch):
        records, rejected = listed(opened(f"{scheme}://bucket"))
        assert records.keys() == PETS.keys()
        assert rejected == {"cat//double.jpg": "object name is not a path"}


def test_objects_without_md5_are_told_apart_by_their_place(monkeypatch):
    with remote("gs", PETS | {"cat/composite.jpg": b"x"}, monkeypatch):
        assert listed(opened("gs://bucket"))[0]["cat/composite.jpg"].digest.startswith("etag:")


def test_an_object_that_has_changed_since_is_set_aside(monkeypatch, scheme):
    with remote(scheme, PETS, monkeypatch) as server:
        source = opened(f"{scheme}://bucket")
        record = listed(source)[0]["cat/1.jpg"]
        assert source.load(record.key, record.digest) == PETS["cat/1.jpg"]
        server.objects = PETS | {"cat/1.jpg": b"another picture"}  # was taken for the one that was listed
        with pytest.raises(BadRecord, match="changed since it was listed"):
            source.load(record.key, record.digest)


def test_an_empty_prefix_is_an_error(monkeypatch, scheme):
    with remote(scheme, PETS, monkeypatch), pytest.raises(SourceError, match="holds no folders"):
        opened(f"{scheme}://bucket/elsewhere")


def test_a_store_that_is_not_there_is_a_storage_error(monkeypatch):
    pytest.importorskip("boto3", reason="the extra s3 isn't installed")
    with remote("s3", PETS, monkeypatch) as server:
        source = opened("s3://bucket")
        server.objects = None
        with pytest.raises(StorageError, match="s3://bucket"):
            source.load("cat/1.jpg")
