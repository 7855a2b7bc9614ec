"""Dry notes rendered to effect classes: keys, groups, digests, laziness, and notes that can't be used."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helmholtz.errors import BadRecord, ExperimentError, SourceError
from helmholtz.sources.base import Rejected
from helmholtz.sources.guitar_effects import SAME_PITCH, GuitarEffects
from helmholtz.sources.plucked_strings import pluck
from helmholtz.splits import assign_splits

from .conftest import SHARED

NOTES = SHARED / "guitar-notes"


def audio(samples: np.ndarray, rate: int = 44_100, kind: str = "FLAC", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def string(number: int, frames: int = 44_100) -> np.ndarray:
    return 0.5 * pluck(110.0 * (1 + number / 7), 2.0, 0.2, 0.5, number)[:frames]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Six takes: two instruments, two pitches; one in a folder of its own, one with a name in Greek."""
    for number, name in enumerate(
        ("emily_a2_f_rr1.flac", "emily_a2_p_rr2.flac", "emily_eb3_f_rr1.wav", "deep/er/yr_a2_f_rr1.flac", "λ.FLAC", "a#b.flac")
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(audio(string(number), kind=path.suffix[1:].upper()))
    (tmp_path / "notes.csv").write_text("not audio")
    (tmp_path / ".hidden.flac").write_bytes(b"x")
    return tmp_path


def split(records, seed=0):
    """Key -> side, dealt the way `dataset` deals them: groups by the hash of their name."""
    hashes = [int.from_bytes(hashlib.blake2b(r.group.encode(), digest_size=8).digest()) for r in records]
    return assign_splits(
        np.array([r.label for r in records]),
        np.array(hashes, np.uint64),
        np.full(len(records), -1, np.int8),
        classes=[str(n) for n in range(12)],
        validation=0.2,
        test=0.25,
        seed=seed,
        limit=None,
    )


def test_every_note_in_every_class(notes):
    source = GuitarEffects.open(str(notes))
    records = list(source.records())
    assert len(records) == 6 * 12
    assert {r.key for r in records} >= {
        "emily_a2_f_rr1.flac#Chorus",
        "deep/er/yr_a2_f_rr1.flac#NoFX",
        "λ.FLAC#EQ",
        "a#b.flac#EQ",
    }
    assert len({r.digest for r in records}) == 72
    assert all(source.classes[r.label] == r.key.rpartition("#")[2] and r.nbytes == 176_400 for r in records)
    assert records == list(pickle.loads(pickle.dumps(source)).records())  # noqa: S301  # our own object
    clip = source.load("a#b.flac#Chorus")
    assert clip.dtype == np.int16
    assert clip.shape == (88_200,)


@pytest.mark.parametrize("group", [None, SAME_PITCH])
def test_no_note_on_two_sides(notes, group):
    records = list(GuitarEffects.open(str(notes), group=group).records())
    for seed in range(20):
        sides = defaultdict(set)
        for record, side in zip(records, split(records, seed), strict=True):
            note = record.key.rpartition("#")[0]
            sides[re.search(r"emily_[a-g]b?[0-9]|.*", note)[0] if group else note].add(side)
        assert all(len(side) == 1 for side in sides.values())
        assert set.union(*sides.values()) == {0, 1, 2}


def test_what_a_note_is():
    def pitch(name: str) -> str | None:
        match = re.search(SAME_PITCH, name)
        return match and match[1]

    assert pitch("emily_a2_f_rr1.flac") == "emily_a2"
    assert pitch("pasta_spaghetti_db6_vl1_rr3.flac") == "pasta_spaghetti_db6"
    assert pitch("some/where/spanish_F3.flac") == "spanish_F3"
    assert pitch("yr_finger_A.flac") is None


def test_a_clip_depends_on_content_class_and_seed_alone(notes):
    source, other_seed = GuitarEffects.open(str(notes)), GuitarEffects.open(str(notes), seed=1)
    before = source.load("emily_a2_f_rr1.flac#Reverb")
    assert np.array_equal(before, source.load("emily_a2_f_rr1.flac#Reverb"))
    assert not np.array_equal(before, other_seed.load("emily_a2_f_rr1.flac#Reverb"))
    digests = {r.key: r.digest for r in source.records()}
    assert not set(digests.values()) & {r.digest for r in other_seed.records()}
    (notes / "emily_a2_f_rr1.flac").rename(notes / "renamed.flac")
    assert np.array_equal(before, source.load("renamed.flac#Reverb"))
    renamed = {r.key: r.digest for r in source.records()}
    assert renamed["renamed.flac#Reverb"] == digests["emily_a2_f_rr1.flac#Reverb"]


def test_a_new_renderer_gives_new_digests(notes, monkeypatch):
    source = GuitarEffects.open(str(notes))
    before = {r.digest for r in source.records()}
    monkeypatch.setattr("helmholtz.effects.rendering.VERSION", 99)
    assert not before & {r.digest for r in source.records()}


def test_equal_files_are_one_note(notes):
    copy = notes / "copy_c3_f.flac"
    copy.write_bytes((notes / "emily_a2_f_rr1.flac").read_bytes())
    records = [r for r in GuitarEffects.open(str(notes)).records() if r.key.startswith(("copy", "emily_a2_f"))]
    assert len({r.group for r in records}) == 1
    by_pitch = list(GuitarEffects.open(str(notes), group=SAME_PITCH).records())
    refused = [r for r in by_pitch if isinstance(r, Rejected)]
    assert len(refused) == 12
    assert all("same content as" in r.reason for r in refused)


def test_classes_can_be_chosen(notes):
    source = GuitarEffects.open(str(notes), classes=["Vibrato", "Chorus"])
    assert source.classes == ("Chorus", "Vibrato")
    assert {r.label for r in source.records()} == {0, 1}
    with pytest.raises(BadRecord, match="not a key"):
        source.load("emily_a2_f_rr1.flac#Reverb")
    with pytest.raises(SourceError, match=r"no class 'Fuzz'.*'Chorus'"):
        GuitarEffects.open(str(notes), classes=["Fuzz", "Chorus"])


def test_wrong_places_are_errors(tmp_path):
    with pytest.raises(SourceError, match="no such folder"):
        GuitarEffects.open(str(tmp_path / "nowhere"))
    with pytest.raises(ExperimentError, match="regular expression"):
        GuitarEffects.open(str(tmp_path), group="(")
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(SourceError, match=r"no audio file in it \(1 other files.*dry notes.*\.flac"):
        list(GuitarEffects.open(str(tmp_path)).records())


@pytest.mark.parametrize(
    "key", ["", "#", "a.flac", "gone.flac#Chorus", "../a.flac#Chorus", "/etc/passwd#Chorus", "a\0b#Chorus", "#Chorus"]
)
def test_keys_that_are_none(notes, key):
    with pytest.raises(BadRecord):
        GuitarEffects.open(str(notes)).load(key)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (audio(string(0), kind="WAV")[:5000], "truncated audio"),
        (audio(np.zeros(0), kind="WAV"), "no samples"),
        (audio(np.zeros(44_100)), "silent"),
        (audio(string(0, 441)), "shorter than 50 ms"),  # 10 ms
        (b"RIFF" + bytes(100), None),
        (b"not audio at all", "not audio"),
        (audio(np.full(9000, np.nan), kind="WAV", subtype="FLOAT"), "not numbers"),
    ],
)
def test_notes_that_cannot_be_used_are_set_aside_in_all_classes(tmp_path, content, reason):
    (tmp_path / "a.wav").write_bytes(content)
    source = GuitarEffects.open(str(tmp_path))
    for record in source.records():
        with pytest.raises(BadRecord, match=reason):
            source.load(record.key)


def test_an_empty_file_is_set_aside_twelve_times(notes):
    (notes / "empty.wav").touch()
    rejected = [r for r in GuitarEffects.open(str(notes)).records() if isinstance(r, Rejected)]
    assert len(rejected) == 12
    assert {r.reason for r in rejected} == {"empty file"}


@pytest.mark.parametrize(
    ("rate", "channels", "kind", "subtype"),
    [
        (48_000, 2, "WAV", "PCM_24"),
        (8_000, 1, "WAV", "ULAW"),
        (22_050, 1, "OGG", "VORBIS"),
        (44_100, 2, "AIFF", "FLOAT"),
        (96_000, 6, "FLAC", None),
    ],
)
def test_other_formats_sound_the_same(tmp_path, rate, channels, kind, subtype):
    """A 441 Hz tone stays one, whatever it was stored as."""
    tone = 0.4 * np.sin(2 * np.pi * 441 * np.arange(2 * rate) / rate)
    (tmp_path / f"a.{kind.lower()}").write_bytes(audio(np.repeat(tone[:, None], channels, axis=1), rate, kind, subtype))
    clip = GuitarEffects.open(str(tmp_path)).load(f"a.{kind.lower()}#NoFX").astype(float)
    spectrum = np.abs(np.fft.rfft(clip * np.hanning(88_200)))
    assert np.argmax(spectrum) == 882
    assert spectrum[880:885].max() > 50 * np.delete(spectrum, range(870, 895)).max()


def test_of_a_long_recording_only_the_start_is_read(tmp_path):
    import time

    hour = np.zeros(3600 * 8000, np.int16)
    hour[:16000] = (8000 * string(0, 16000)).astype(np.int16)
    soundfile.write(tmp_path / "hour.flac", hour, 8000)
    start = time.perf_counter()
    clip = GuitarEffects.open(str(tmp_path)).load("hour.flac#NoFX")
    assert time.perf_counter() - start < 2
    assert clip.shape == (88_200,)


def test_the_real_notes_split_by_file_and_by_pitch():
    if not NOTES.is_dir():
        pytest.skip("the real guitar notes aren't beside this checkout")
    for group in (None, SAME_PITCH):
        source = GuitarEffects.open(str(NOTES), group=group)
        records = list(source.records())
        assert len(records) == 15_240
        sides = defaultdict(set)
        for record, side in zip(records, split(records), strict=True):
            name = record.key.rpartition("#")[0]
            sides[name.rsplit("_", 2)[0] if group and name.count("_") > 2 else name].add(side)
        assert all(len(side) == 1 for side in sides.values())
    loudest = [np.abs(source.load(record.key).astype(int)).max() for record in records[::1000]]
    assert max(loudest) < 32_767
