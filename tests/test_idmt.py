"""IDMT-SMT-Audio-Effects, on small trees made to its published layout: folders, inner zips, outer zip."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helmholtz.errors import BadRecord, SourceError
from helmholtz.sources import folders
from helmholtz.sources.archive import ZipFolder
from helmholtz.sources.base import Rejected
from helmholtz.sources.folders import File
from helmholtz.sources.idmt import EFFECT_CODES, HALVES, Idmt
from helmholtz.sources.rendered import CLASSES

from .test_guitar_effects import split

TOP = "IDMT-SMT-AUDIO-EFFECTS"
SECOND_HALF = {"Overdrive", "Phaser", "Reverb", "SlapbackDelay", "Tremolo", "Vibrato"}
NOTES = [f"G{setting}{style}-{40 + fret}1{fret:02d}" for setting in (6, 7) for style in (1, 2) for fret in range(2)]


def wav(number: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(number).normal(size=50) / 9, 44_100, format="WAV", subtype="PCM_16")
    return file.getvalue()


def published(part: str = "guitar") -> dict[str, bytes]:
    """Eight notes in twelve classes, in two halves, with the lists and the odd files that lie beside them."""
    first, second = HALVES[part]
    files = {f"{first}/ReadMe.txt": b"read me", f"{first}/Samples/.DS_Store": b"x", f"{first}/Samples/EQ/Thumbs.db": b"x"}
    codes = {name: code for code, name in EFFECT_CODES.items()}
    number = 20_592
    for name in CLASSES:
        half = second if name in SECOND_HALF else first
        files[f"{half}/Lists/{name}/G61-00000-1111-1.xml"] = b"<content/>"
        for note in NOTES:
            number += 1
            files[f"{half}/Samples/{name}/{note}-{codes[name][0]}{codes[name]}1-{number}.wav"] = wav(number)
    return files


def unpacked(root: Path, files: dict[str, bytes], base: str = "") -> Path:
    for key, content in files.items():
        path = root / base / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for key, content in files.items():
            archive.writestr(key, content)
    return file.getvalue()


def inner_zips(files: dict[str, bytes]) -> dict[str, bytes]:
    halves = sorted({key.split("/")[0] for key in files})
    return {f"{half}.zip": zipped({k: v for k, v in files.items() if k.startswith(f"{half}/")}) for half in halves}


def build(root: Path, packing: str, files: dict[str, bytes]) -> Path:
    if packing == "tree":
        return unpacked(root / "set", files)
    if packing == "tree below its name":
        return unpacked(root / "set", files, f"{TOP}/{TOP}")
    if packing == "each half in a folder of its name":
        return unpacked(root / "set", {f"{key.split('/')[0]}/{key}": content for key, content in files.items()})
    if packing == "inner zips":
        return unpacked(
            root / "set", inner_zips(files) | {"Gitarre_polyphon2.zip": b"a duplicate, not looked at"}, f"{TOP}/{TOP}"
        )
    root.mkdir(exist_ok=True)
    outer = root / f"{TOP}.zip"
    if packing == "outer zip":
        outer.write_bytes(zipped({f"{TOP}/{TOP}/{k}": v for k, v in inner_zips(files).items()}, zipfile.ZIP_STORED))
    else:
        outer.write_bytes(zipped(files))
    return outer


PACKINGS = [
    "tree",
    "tree below its name",
    "each half in a folder of its name",
    "inner zips",
    "outer zip",
    "one zip of the tree",
]


@pytest.mark.parametrize("packing", PACKINGS)
def test_every_packing_gives_the_same_set(tmp_path, packing):
    files = published()
    source = Idmt.open(str(build(tmp_path, packing, files)))
    assert source.classes == CLASSES
    records = list(source.records())
    assert not [r for r in records if isinstance(r, Rejected)]
    expected = {key: content for key, content in files.items() if key.endswith(".wav")}
    assert {r.key for r in records} == set(expected)
    assert Counter(r.label for r in records) == dict.fromkeys(range(12), 8)
    copy = pickle.loads(pickle.dumps(source))  # noqa: S301  # our own object
    for record in records:
        assert copy.load(record.key) == expected[record.key]
        assert record.key.split("/")[2] == CLASSES[record.label]
        assert record.group == "-".join(Path(record.key).name.split("-")[:2])
        assert record.nbytes == len(expected[record.key])
    reference = Idmt.open(str(unpacked(tmp_path / "reference", files)))
    assert {r.key: r.digest for r in records} == {r.key: r.digest for r in reference.records()}


def test_no_note_on_two_sides(tmp_path):
    records = list(Idmt.open(str(unpacked(tmp_path, published()))).records())
    for seed in range(20):
        sides = defaultdict(set)
        for record, side in zip(records, split(records, seed), strict=True):
            sides[Path(record.key).name[:9]].add(side)
        assert len(sides) == 8
        assert all(len(side) == 1 for side in sides.values())
        assert set.union(*sides.values()) == {0, 1, 2}


@pytest.mark.parametrize("part", ["bass", "chords"])
def test_the_other_parts(tmp_path, part):
    root = unpacked(tmp_path, published(part))
    assert len(list(Idmt.open(str(root), part=part).records())) == 96
    with pytest.raises(SourceError, match="no 'Gitarre monophon' or 'Gitarre monophon2' in it"):
        Idmt.open(str(root))
    with pytest.raises(SourceError, match="no part 'drums'; it has 'guitar', 'bass', 'chords'"):
        Idmt.open(str(root), part="drums")


def test_names_as_published(tmp_path):
    """The names that public documents show, the polyphonic one included."""
    files = {
        "Gitarre monophon/Samples/NoFX/G61-40100-1111-20593.wav": b"a",
        "Gitarre monophon2/Samples/Tremolo/G73-45200-3341-33944.wav": b"b",
        "Gitarre polyphon/Samples/NoFX/P64-43110-1111-41185.wav": b"c",
    }
    root = str(unpacked(tmp_path, files))
    found = list(Idmt.open(root, classes=("NoFX", "Tremolo")).records())
    assert [(r.label, r.group) for r in found] == [(0, "G61-40100"), (1, "G73-45200")]
    assert [r.group for r in Idmt.open(root, classes=("NoFX",), part="chords").records()] == ["P64-43110"]


def test_files_right_below_samples_go_by_their_code(tmp_path):
    files = {
        f"Gitarre monophon/Samples/G61-40100-{code[0]}{code}1-{n}.wav": code.encode() for n, code in enumerate(EFFECT_CODES)
    }
    source = Idmt.open(str(unpacked(tmp_path, files | {"Gitarre monophon/Samples/G61-40100-5511-9.wav": b"x"})))
    found = {r.key[-8:-4]: r for r in source.records()}
    rejected = [r for r in found.values() if isinstance(r, Rejected)]
    assert [r.reason for r in rejected] == ["unknown effect code 51"]
    assert {CLASSES[r.label] for r in found.values() if r not in rejected} == set(CLASSES)


def test_what_contradicts_itself_is_set_aside(tmp_path):
    odd = {
        "Gitarre monophon/Samples/Chorus/G61-40100-3341-1.wav": b"1",
        "Gitarre monophon/Samples/Chorus/holiday.wav": b"2",
        "Gitarre monophon/Samples/Fuzz/G61-40100-4431-1.wav": b"3",
        "Gitarre monophon/Samples/Chorus/G61-40100-3311-7.wav": b"",
        "Gitarre monophon/Samples/Chorus/G61-40999-3311-8.WAV": wav(1),
        "Gitarre monophon/Samples/Chorus/G61-40998-3311-9.wav": wav(1),
    }
    source = Idmt.open(str(unpacked(tmp_path, published() | odd)))
    found = list(source.records())
    reasons = {r.key.split("/Samples/")[1]: r.reason for r in found if isinstance(r, Rejected)}
    assert reasons == {
        "Chorus/G61-40100-3341-1.wav": "effect code 34 says Tremolo, its folder Chorus",
        "Chorus/holiday.wav": "file name is not of the set's form, so its note is unknown",
        "Fuzz/G61-40100-4431-1.wav": "in the folder Fuzz, which is no class of the set",
        "Chorus/G61-40100-3311-7.wav": "empty file",
        "Chorus/G61-40999-3311-8.WAV": "same content as Gitarre monophon/Samples/Chorus/G61-40998-3311-9.wav, in another group",
    }
    assert len(found) == 96 + 6


def test_a_missing_half_is_named(tmp_path):
    files = {key: content for key, content in published().items() if key.startswith("Gitarre monophon/")}
    root = str(unpacked(tmp_path, files))
    with pytest.raises(
        SourceError, match=r"no folder Samples/Overdrive .*6 classes lack.*Vibrato.*expected IDMT.*monophon2/Samples"
    ) as error:
        Idmt.open(root)
    assert "dataset.classes" in str(error.value)
    assert len(list(Idmt.open(root, classes=("NoFX", "Chorus")).records())) == 16


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda root: root / "nowhere", "no such folder"),
        (
            lambda root: unpacked(root, {"other/1.wav": b"x"}),
            r"no 'Gitarre monophon' or .*expected IDMT-SMT-AUDIO-EFFECTS.zip of Zenodo",
        ),
        (lambda root: unpacked(root, {"a.zip": b"not a zip"}) / "a.zip", r"a\.zip: can't be read as a zip archive"),
        (lambda root: unpacked(root, {"a.zip": zipped({})}) / "a.zip", "no 'Gitarre monophon'"),
        (
            lambda root: unpacked(root, {"Gitarre monophon.zip": zipped({"x/y": b""})}),
            "holds no folder Gitarre monophon/Samples",
        ),
        (
            lambda root: unpacked(root, {"o.zip": zipped(inner_zips(published()))}) / "o.zip",
            r"holds Gitarre monophon\.zip compressed.*unpack o\.zip once",
        ),
        (
            lambda root: unpacked(root, {"o.zip": build(root, "outer zip", published()).read_bytes()[:-30]}) / "o.zip",
            "can't be read",
        ),
    ],
)
def test_what_is_not_the_set_says_what_was_expected(tmp_path, make, problem):
    with pytest.raises(SourceError, match=problem):
        list(Idmt.open(str(make(tmp_path))).records())


def test_a_set_without_usable_files(tmp_path):
    root = unpacked(tmp_path, {f"Gitarre monophon/Samples/{name}/readme.txt": b"x" for name in CLASSES})
    with pytest.raises(SourceError, match=r"no usable .wav file"):
        list(Idmt.open(str(root)).records())


@pytest.mark.parametrize("packing", ["tree", "inner zips"])
@pytest.mark.parametrize("key", ["", "Gitarre monophon", "Gitarre monophon/../../x", "Bass monophon/Samples/NoFX/a.wav", "a/b"])
def test_keys_that_are_none(tmp_path, packing, key):
    with pytest.raises(BadRecord):
        Idmt.open(str(build(tmp_path, packing, published()))).load(key)


def test_members_that_lie_or_lead_outside(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({"../up.wav": b"x", "/root.wav": b"y", "a/good.wav": b"z" * 50, "a/./dot.wav": b"w"}))
    files = ZipFolder(str(path)).files("")
    assert [f for f in files if isinstance(f, File)] == [File("a/good.wav", 50)]
    assert {f.key for f in files if isinstance(f, Rejected)} == {"../up.wav", "/root.wav", "a/./dot.wav"}
    assert not (tmp_path.parent / "up.wav").exists()
    monkeypatch.setattr(folders, "MAX_FILE_BYTES", 40)
    with pytest.raises(BadRecord, match="file over"):
        ZipFolder(str(path)).read("a/good.wav")


def test_a_bomb_gives_no_more_than_it_declares(tmp_path):
    """A member of 50 MB whose directory entry says 100 bytes: read as damaged, without its content in memory."""
    data = bytearray(zipped({"bomb.wav": bytes(50_000_000)}))
    entry = data.rindex(b"PK\1\2")
    data[entry + 24 : entry + 28] = (100).to_bytes(4, "little")
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(BadRecord, match="damaged archive member"):
        ZipFolder(str(path)).read("bomb.wav")


def test_damaged_and_encrypted_members_are_set_aside(tmp_path):
    data = bytearray(zipped({"a.wav": bytes(range(256)) * 20, "b.wav": b"b" * 99}))
    data[60:80] = bytes(20)
    entry = data.rindex(b"PK\1\2")
    data[entry + 8] |= 1
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(BadRecord, match="damaged"):
        ZipFolder(str(path)).read("a.wav")
    with pytest.raises(BadRecord, match="encrypted"):
        ZipFolder(str(path)).read("b.wav")


def test_forked_workers_do_not_disturb_each_other(tmp_path):
    """Parent and child read the same open archive in turn; sharing a file position would give each the other's bytes."""
    source = Idmt.open(str(build(tmp_path, "outer zip", published())))
    keys = [r.key for r in source.records()]
    expected = {key: source.load(key) for key in keys}
    child = os.fork()
    if child == 0:
        os._exit(0 if all(source.load(key) == expected[key] for key in keys * 5) else 1)
    assert all(source.load(key) == expected[key] for key in reversed(keys * 5))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_packed_as_it_is_published_it_comes_out_as_levels(tmp_path):
    """From the outer zip to shards: every note in every class and level, and on one side of the split."""
    from helmholtz.compress import compress
    from helmholtz.dataset import index_dataset, read_records
    from helmholtz.experiment import Experiment
    from helmholtz.storage import LocalStore

    path = str(build(tmp_path / "packed", "outer zip", published()))
    dataset = {"kind": "idmt", "path": path, "test": 0.25, "shards": 2}
    run = Experiment.model_validate({"dataset": dataset, "levels": ["none", 8], "mp3": {"seconds": 0.6}})
    store = LocalStore(str(tmp_path / "root"))
    index = index_dataset(store, run.dataset)
    sides = defaultdict(set)
    for side, name in index.shard_names():
        for record in read_records(store, index, name):
            sides[Path(record.key).name[:9]].add(side)
    assert len(sides) == 8
    assert all(len(side) == 1 for side in sides.values())
    for manifest in compress(store, run, index).values():
        assert sum(split.records for split in manifest.splits.values()) == 96
        assert manifest.notes == {"padded": 96}
        assert manifest.rejected == ()
