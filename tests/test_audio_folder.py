"""Class folders of audio: listed like class folders of images, handed over byte by byte."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from helmholtz.errors import BadRecord, ExperimentError, SourceError
from helmholtz.sources import folders
from helmholtz.sources.audio_folder import AudioFolder
from helmholtz.sources.base import Rejected

from .test_guitar_effects import split


def write(root: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(root)


FILES = {
    "cat/1.wav": b"c1",
    "cat/deep/2.MP3": b"c2",
    "dog/1.flac": b"d1",
    "dog/2.opus": b"d2",
    "dog/notes.txt": b"x",
    "dog/.3.wav": b"y",
}


def test_classes_keys_and_content(tmp_path):
    source = AudioFolder.open(write(tmp_path, FILES))
    assert source.classes == ("cat", "dog")
    records = list(source.records())
    assert [(r.key, r.label) for r in records] == [
        ("cat/1.wav", 0),
        ("cat/deep/2.MP3", 0),
        ("dog/1.flac", 1),
        ("dog/2.opus", 1),
    ]
    assert [source.load(r.key) for r in records] == [b"c1", b"c2", b"d1", b"d2"]
    assert source.description.startswith("audio files in 2 class folders of ")


def test_split_folders_are_kept(tmp_path):
    files = {f"{side}/{name}": content + side.encode() for side in ("train", "test") for name, content in FILES.items()}
    assert {(r.key.split("/")[0], r.split) for r in AudioFolder.open(write(tmp_path, files)).records()} == {
        ("train", "train"),
        ("test", "test"),
    }


def test_no_note_on_two_sides(tmp_path):
    """Twelve takes of each of eight notes, one a class: the note in the file's name is the group."""
    files = {f"class-{c:02d}/note{n}_{c}.wav": f"{c} {n}".encode() for c in range(12) for n in range(8)}
    records = list(AudioFolder.open(write(tmp_path, files), group=r"(note\d)_").records())
    for seed in range(20):
        sides = defaultdict(set)
        for record, side in zip(records, split(records, seed), strict=True):
            sides[record.key.split("/")[1].split("_")[0]].add(side)
        assert all(len(side) == 1 for side in sides.values())
        assert set.union(*sides.values()) == {0, 1, 2}


def test_copies_do_not_cross_classes_or_groups(tmp_path):
    files = FILES | {"cat/same.wav": b"s", "dog/same.wav": b"s", "dog/a_x.wav": b"t", "dog/b_x.wav": b"t"}
    source = AudioFolder.open(write(tmp_path, files), group="/([ab])_")
    rejected = {r.key: r.reason for r in source.records() if isinstance(r, Rejected)}
    assert set(rejected) == {"cat/same.wav", "dog/same.wav", "dog/b_x.wav"}
    assert "another class" in rejected["cat/same.wav"]
    assert "another group" in rejected["dog/b_x.wav"]


def test_empty_and_huge_files_are_set_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "MAX_FILE_BYTES", 100)
    source = AudioFolder.open(write(tmp_path, FILES | {"cat/empty.wav": b"", "cat/three-hours.wav": bytes(101)}))
    rejected = {r.key: r.reason for r in source.records() if isinstance(r, Rejected)}
    assert rejected == {"cat/empty.wav": "empty file", "cat/three-hours.wav": "file over 256 MiB"}
    with pytest.raises(BadRecord, match="file over"):
        source.load("cat/three-hours.wav")


def test_damaged_files_are_listed_and_left_to_the_codec(tmp_path):
    source = AudioFolder.open(write(tmp_path, FILES | {"cat/cut.wav": b"RIFF\x24"}))
    assert source.load("cat/cut.wav") == b"RIFF\x24"
    assert not [r for r in source.records() if isinstance(r, Rejected)]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "no such folder"),
        ({"1.wav": b"x"}, "holds no folders; expected one folder of audio files a class"),
        ({"cat/1.wav": b"x"}, r"holds 1 class folder \('cat'\), at least 2 needed"),
        ({"cat/1.wav": b"x", "dog/1.jpg": b"x"}, r"dog: no audio in this class folder \(1 other files, ignored\).*\.wav"),
    ],
)
def test_wrong_layouts_say_what_was_expected(tmp_path, files, problem):
    with pytest.raises(SourceError, match=problem):
        list(AudioFolder.open(write(tmp_path / "set", files)).records())


def test_wrong_options(tmp_path):
    path = write(tmp_path, FILES)
    with pytest.raises(ExperimentError, match="regular expression"):
        AudioFolder.open(path, group="(")
    with pytest.raises(SourceError, match=r"no class 'cow'.*'cat', 'dog'"):
        AudioFolder.open(path, classes=("cow", "cat"))
    assert AudioFolder.open(path, classes=("dog", "cat")).classes == ("cat", "dog")


def test_names_in_any_script(tmp_path):
    source = AudioFolder.open(write(tmp_path, {"Zoë/ノート.wav": b"1", "ὀρνίς/1.wav": b"2"}))
    assert [source.load(r.key) for r in source.records()] == [b"1", b"2"]
    assert np.unique([r.label for r in source.records()]).tolist() == [0, 1]
