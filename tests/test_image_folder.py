"""Class folders: what is a record, what is set aside and why, what is an error."""

from __future__ import annotations

import os
import pickle
import unicodedata
from pathlib import Path

import pytest
from blake3 import blake3

from helmholtz.errors import BadRecord, ExperimentError, SourceError
from helmholtz.experiment import Dataset
from helmholtz.sources import folders
from helmholtz.sources.base import Rejected, SourceRecord
from helmholtz.sources.image_folder import ImageFolder

PETS = {"cat/1.jpg": b"cat one", "cat/2.png": b"cat two", "dog/a/b/3.JPEG": b"dog three", "dog/4.gif": b"dog four"}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def opened(path, **options) -> ImageFolder:
    return ImageFolder.open(Dataset(kind="image-folder", path=str(path), **options))


def listed(source: ImageFolder) -> tuple[dict[str, SourceRecord], dict[str, str]]:
    found = list(source.records())
    records = {r.key: r for r in found if isinstance(r, SourceRecord)}
    rejected = {r.key: r.reason for r in found if isinstance(r, Rejected)}
    assert len(records) + len(rejected) == len(found)
    return records, rejected


def test_records_of_a_flat_folder(tmp_path):
    source = opened(write(tmp_path, PETS))
    records, rejected = listed(source)
    assert source.classes == ("cat", "dog")
    assert not rejected
    assert {key: (r.label, r.nbytes, r.group, r.split) for key, r in records.items()} == {
        "cat/1.jpg": (0, 7, None, None),
        "cat/2.png": (0, 7, None, None),
        "dog/4.gif": (1, 8, None, None),
        "dog/a/b/3.JPEG": (1, 9, None, None),
    }
    for key, content in PETS.items():
        assert source.load(key) == content
        assert records[key].digest == blake3(content).hexdigest(length=16)
    assert list(source.records()) == list(source.records())


def test_a_source_is_small_and_picklable(tmp_path):
    source = opened(write(tmp_path, PETS))
    data = pickle.dumps(source)
    assert len(data) < 1000
    assert pickle.loads(data) == source  # noqa: S301 - our own


def test_files_that_are_no_records_are_ignored(tmp_path):
    others = {"readme.txt": b"x", ".hidden/1.jpg": b"x", "cat/.2.jpg": b"x", "cat/.git/3.jpg": b"x", "cat/notes.txt": b"x"}
    records, rejected = listed(opened(write(tmp_path, PETS | others)))
    assert records.keys() == PETS.keys()
    assert not rejected


def test_a_picture_beside_the_class_folders_is_set_aside(tmp_path):
    records, rejected = listed(opened(write(tmp_path, PETS | {"stray.jpg": b"x", ".hidden.jpg": b"x"})))
    assert records.keys() == PETS.keys()
    assert rejected == {"stray.jpg": "not in a class folder"}


def test_files_of_formats_we_cannot_read_are_not_overlooked(tmp_path):
    records, _ = listed(opened(write(tmp_path, PETS | {"cat/new.avif": b"x", "cat/scan.TIF": b"y"})))
    assert {"cat/new.avif", "cat/scan.TIF"} < records.keys()


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "holds no folders"),
        ({"1.jpg": b"x"}, "holds no folders"),
        ({"cat/1.jpg": b"x"}, r"holds 1 class folder \('cat'\), at least 2 needed"),
        (PETS | {"bird/notes.txt": b"x"}, r"/bird: no image in this class folder \(1 other files, ignored\).*\.jpg"),
        ({"train/cat/1.jpg": b"x"}, r"split folders \('train'\)"),
        ({"val/cat/1.jpg": b"x", "test/cat/1.jpg": b"x"}, r"split folders \('test', 'val'\)"),
        ({f"{s}/{c}/1.jpg": b"x" for s in ("train", "val", "valid") for c in "ab"}, "each split once"),
        ({"train/1.jpg": b"x", "test/2.jpg": b"x"}, "holds 0 class folders"),
    ],
)
def test_what_is_no_set_is_an_error(tmp_path, files, problem):
    write(tmp_path, files)
    with pytest.raises(SourceError, match=problem) as error:
        list(opened(tmp_path).records())
    assert str(tmp_path) in str(error.value)


def test_an_empty_class_folder_is_an_error(tmp_path):
    write(tmp_path, PETS)
    (tmp_path / "bird").mkdir()
    with pytest.raises(SourceError, match="bird: no image"):
        list(opened(tmp_path).records())


@pytest.mark.parametrize(
    ("name", "problem"),
    [("missing", "no such folder"), ("file", "is a file"), ("http://x/y", "gs://, s3://"), ("gs://", "bucket")],
)
def test_a_path_that_is_no_folder_is_an_error(tmp_path, name, problem):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(SourceError, match=problem):
        opened(name if "://" in name else tmp_path / name)


def test_file_uris_and_home_are_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(write(tmp_path, PETS)))
    assert opened(f"file://{tmp_path}") == opened("~") == opened(tmp_path)


def test_classes_picks_a_subset(tmp_path):
    write(tmp_path, PETS | {"bird/5.jpg": b"bird", "empty/x.txt": b""})
    source = opened(tmp_path, classes=("dog", "bird"))
    assert source.classes == ("bird", "dog")
    records, _ = listed(source)
    assert {key: r.label for key, r in records.items()} == {"bird/5.jpg": 0, "dog/4.gif": 1, "dog/a/b/3.JPEG": 1}
    with pytest.raises(SourceError, match=r"no class 'cow', 'eel'.*'bird', 'cat', 'dog'"):
        opened(tmp_path, classes=("eel", "cat", "cow"))


def test_split_folders_are_kept(tmp_path):
    files = {f"{s}/{c}/{s}.png": f"{s}{c}".encode() for s in ("train", "Test", "valid") for c in ("cat", "dog")}
    source = opened(write(tmp_path, files))
    records, _ = listed(source)
    assert source.classes == ("cat", "dog")
    assert {key: r.split for key, r in records.items()} == {
        key: {"train": "train", "Test": "test", "valid": "validation"}[key.split("/")[0]] for key in files
    }


def test_without_a_test_folder_the_training_folder_is_open_to_be_cut(tmp_path):
    files = {f"{s}/{c}/{s}.png": f"{s}{c}".encode() for s in ("train", "val") for c in ("cat", "dog")}
    records, _ = listed(opened(write(tmp_path, files)))
    assert {r.split for key, r in records.items() if key.startswith("train")} == {None}
    assert {r.split for key, r in records.items() if key.startswith("val")} == {"validation"}


def test_a_split_name_beside_other_folders_is_a_class(tmp_path):
    assert opened(write(tmp_path, {"train/1.jpg": b"x", "plane/1.jpg": b"y"})).classes == ("plane", "train")


def test_bad_files_are_set_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "MAX_FILE_BYTES", 100)
    write(tmp_path, PETS | {"cat/empty.jpg": b"", "cat/huge.jpg": b"x" * 101, "cat/full.jpg": b"x" * 100})
    (tmp_path / "cat" / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "cat" / "round.jpg").symlink_to(tmp_path / "cat" / "round.jpg")
    os.mkfifo(tmp_path / "cat" / "pipe.jpg")
    records, rejected = listed(opened(tmp_path))
    assert records.keys() == {*PETS, "cat/full.jpg"}
    assert rejected == {
        "cat/empty.jpg": "empty file",
        "cat/huge.jpg": "file over 256 MiB",
        "cat/broken.jpg": "file is gone",
        "cat/round.jpg": "file can't be read: Too many levels of symbolic links",
        "cat/pipe.jpg": "not a regular file",
    }


def test_loading_what_cannot_be_loaded(tmp_path):
    source = opened(write(tmp_path, PETS))
    (tmp_path / "cat/1.jpg").unlink()
    with (tmp_path / "cat/2.png").open("wb") as file:
        file.truncate((256 << 20) + 1)  # sparse: takes no room
    outside = tmp_path.parent / "secret.jpg"
    outside.write_bytes(b"x")
    for key, reason in {
        "cat/1.jpg": "file is gone",
        "cat/2.png": "file over 256 MiB",
        "cat/1.jpg/x.jpg": "file is gone",
        "dog/a": "file can't be read: Is a directory",
        "../secret.jpg": "not a key of this source",
        str(outside): "not a key of this source",
        "cat/\0.jpg": "not a key of this source",
    }.items():
        with pytest.raises(BadRecord) as error:
            source.load(key)
        assert error.value.reason == reason


def test_a_file_that_vanishes_before_it_is_hashed_is_set_aside(tmp_path, monkeypatch):
    source = opened(write(tmp_path, PETS))
    whole = folders.LocalFolder.digest
    monkeypatch.setattr(
        folders.LocalFolder, "digest", lambda self, f: ((tmp_path / "cat/1.jpg").unlink(True), whole(self, f))[1]
    )
    assert listed(source)[1] == {"cat/1.jpg": "file is gone"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_and_folders_without_permission(tmp_path):
    write(tmp_path, PETS | {"dog/closed/5.jpg": b"x"})
    (tmp_path / "cat/1.jpg").chmod(0)
    source = opened(tmp_path)
    assert listed(source)[1] == {"cat/1.jpg": "file can't be read: Permission denied"}
    (tmp_path / "dog/closed").chmod(0)
    with pytest.raises(SourceError, match="closed: can't be listed: Permission denied"):
        listed(source)
    (tmp_path / "dog/closed").chmod(0o700)


def test_links_are_followed_but_not_round_in_a_loop(tmp_path):
    elsewhere = write(tmp_path / "elsewhere", {"x/9.jpg": b"nine"})
    top = write(tmp_path / "top", PETS)
    (top / "cat" / "linked").symlink_to(elsewhere)
    (top / "cat" / "self").symlink_to(top / "cat")
    (top / "cat" / "up").symlink_to(top)
    (top / "bird").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(top / "cat")
    records, rejected = listed(opened(top, classes=("cat", "dog")))
    assert "cat/linked/x/9.jpg" in records
    assert {*PETS} <= records.keys() | rejected.keys()
    assert len(records) + len(rejected) < 50


def test_content_in_two_classes_is_set_aside_everywhere(tmp_path):
    same = {"cat/x.jpg": b"same", "cat/y.jpg": b"same", "dog/z.jpg": b"same"}
    records, rejected = listed(opened(write(tmp_path, PETS | same)))
    assert records.keys() == PETS.keys()
    assert rejected == {
        "cat/x.jpg": "same content as dog/z.jpg, in another class",
        "cat/y.jpg": "same content as dog/z.jpg, in another class",
        "dog/z.jpg": "same content as cat/x.jpg, in another class",
    }


def test_content_twice_in_one_class_is_kept_in_one_group(tmp_path):
    records, rejected = listed(opened(write(tmp_path, PETS | {"cat/again.jpg": b"cat one"})))
    assert not rejected
    assert records["cat/again.jpg"].digest == records["cat/1.jpg"].digest
    assert records["cat/again.jpg"].group is None


@pytest.mark.parametrize(
    ("places", "refused"),
    [
        (("train", "test"), {"train": "test"}),
        (("train", "val"), {"train": "val"}),
        (("val", "test"), {"val": "test"}),
        (("train", "val", "test"), {"train": "test", "val": "test"}),
    ],
)
def test_content_in_two_splits_stays_in_the_one_that_judges(tmp_path, places, refused):
    files = {f"{s}/{c}/own.png": f"{s}{c}".encode() for s in ("train", "val", "test") for c in ("cat", "dog")}
    records, rejected = listed(opened(write(tmp_path, files | {f"{s}/cat/same.png": b"same" for s in places})))
    named = {"val": "validation", "test": "test"}
    assert rejected == {
        f"{s}/cat/same.png": f"same content as {k}/cat/same.png, in the {named[k]} split" for s, k in refused.items()
    }
    assert records.keys() == {*files, f"{places[-1]}/cat/same.png"}


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        (r"p\d+", {"cat/p1-a.jpg": "p1", "cat/p1-b.jpg": "p1", "dog/p2.jpg": "p2", "dog/x.jpg": None}),
        (r"/(p\d+)", {"cat/p1-a.jpg": "p1", "cat/p1-b.jpg": "p1", "dog/p2.jpg": "p2", "dog/x.jpg": None}),
        (r"p1(-)?", {"cat/p1-a.jpg": "-", "cat/p1-b.jpg": "-", "dog/p2.jpg": None, "dog/x.jpg": None}),
    ],
)
def test_group_is_what_the_expression_matches(tmp_path, pattern, groups):
    write(tmp_path, {key: key.encode() for key in groups})
    records, _ = listed(opened(tmp_path, group=pattern))
    assert {key: r.group for key, r in records.items()} == groups


def test_groups_share_no_content(tmp_path):
    files = {"cat/p1.jpg": b"same", "cat/p2.jpg": b"same", "dog/p3.jpg": b"other"}
    assert listed(opened(write(tmp_path, files), group=r"p\d"))[1] == {
        "cat/p2.jpg": "same content as cat/p1.jpg, in another group"
    }


@pytest.mark.parametrize("pattern", ["(", "*", "[", "(?P<x"])
def test_a_bad_expression_is_an_error_that_names_the_key(tmp_path, pattern):
    with pytest.raises(ExperimentError, match=r"dataset\.group"):
        opened(write(tmp_path, PETS), group=pattern)


def test_names_of_any_script(tmp_path):
    names = ["кошка/один.jpg", "猫/一.jpg", "a b/c\nd.jpg", "a b/e\u2028f.jpg", "e\u0301te/1.jpg", "🐈/#17?x=%20.jpg"]
    source = opened(write(tmp_path, {name: name.encode() for name in names}))
    records, rejected = listed(source)
    assert not rejected
    assert records.keys() == set(names)
    assert all(source.load(name) == name.encode() for name in names)
    assert "\u00e9te" in source.classes


def test_names_in_two_unicode_forms_are_one_class(tmp_path):
    forms = [unicodedata.normalize(form, "\u00e9t\u00e9") for form in ("NFC", "NFD")]
    files = {f"{s}/{name}/{s}.jpg": s.encode() for s, name in zip(("train", "test"), forms, strict=True)}
    files |= {f"{s}/hiver/{s}.jpg": f"h{s}".encode() for s in ("train", "test")}
    source = opened(write(tmp_path, files), classes=(forms[1], "hiver"))
    records, _ = listed(source)
    assert source.classes == ("hiver", forms[0])
    assert sorted(r.label for r in records.values()) == [0, 0, 1, 1]


def test_names_that_are_not_utf8(tmp_path):
    write(tmp_path, PETS)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/cat/\xe9.jpg")).write_bytes(b"x")
    records, rejected = listed(opened(tmp_path))
    assert records.keys() == PETS.keys()
    assert rejected == {"cat/\\xe9.jpg": "file name is not UTF-8"}
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")).mkdir()
    with pytest.raises(SourceError, match="not UTF-8; rename it"):
        opened(tmp_path)
