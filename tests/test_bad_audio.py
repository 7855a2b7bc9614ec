"""Odd and broken audio files from a user's folder to the shards: each gets its documented treatment, none is lost."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("lameenc")

from helmholtz.compress import compress
from helmholtz.dataset import index_dataset, read_rejected
from helmholtz.errors import SourceError
from helmholtz.experiment import Experiment
from helmholtz.levels import NONE
from helmholtz.manifest import LevelManifest, level_folder
from helmholtz.shards import read_shard
from helmholtz.storage import LocalStore

RATE = 44_100


def tone(seconds: float, rate: int = RATE, channels: int = 1, pitch: float = 220.0) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * pitch * time)
    return wave if channels == 1 else np.stack([wave] * channels, axis=1)


def wav(samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16", form: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype, format=form)
    return file.getvalue()


def lying(data: bytes) -> bytes:
    """The data chunk claims a gigabyte."""
    at = data.index(b"data") + 4
    return data[:at] + (1 << 30).to_bytes(4, "little") + data[at + 4 :]


def overflowing() -> bytes:
    """Two channels of finite samples, whose mean is none, at another rate."""
    return wav(np.full((48_000, 2), 3e38, np.float32), rate=48_000, subtype="FLOAT")


# File -> (content, note in the manifest if it is used, reason if it is set aside); docs/audio.md says the same.
ODD: dict[str, tuple[Callable[[], bytes], str | None, str | None]] = {
    "truncated.wav": (lambda: wav(tone(1))[:20_000], None, "truncated audio"),
    "no samples.wav": (lambda: wav(tone(0)), None, "no samples"),
    "8 bit.wav": (lambda: wav(tone(1, pitch=230), subtype="PCM_U8"), "8-bit", None),
    "24 bit.wav": (lambda: wav(tone(1, pitch=231), subtype="PCM_24"), "24-bit", None),
    "float.wav": (lambda: wav(tone(1, pitch=232), subtype="FLOAT"), "float", None),
    "stereo.wav": (lambda: wav(tone(1, channels=2, pitch=233)), "stereo", None),
    "96 kHz.wav": (lambda: wav(tone(1, rate=96_000, pitch=234), rate=96_000), "resampled", None),
    "three hours.flac": (lambda: wav(np.zeros(3 * 3600 * 1000), rate=1000, form="FLAC"), "silent", None),
    "silent.wav": (lambda: wav(np.zeros(30_000)), "silent", None),
    "10 ms.wav": (lambda: wav(tone(0.01, pitch=235)), "padded", None),
    "truncated.au": (lambda: wav(tone(1, pitch=238), form="AU")[:20_000], None, "truncated audio"),
    "truncated RF64.wav": (lambda: wav(tone(1, pitch=239), form="RF64")[:20_000], None, "truncated audio"),
    "beyond numbers.wav": (lambda: overflowing(), None, "samples that are not numbers"),
    "header lies.wav": (lambda: lying(wav(tone(0.3, pitch=236))), None, "truncated audio"),
    "empty.wav": (lambda: b"", None, "empty file"),
    "text.mp3": (lambda: b"not audio at all, but a text" * 10, None, "not audio"),
    "naïve 音.wav": (lambda: wav(tone(1, pitch=237)), None, None),
}


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Two classes: 30 sound files each, and all of ODD among the first."""
    root = tmp_path / "sounds"
    for label, name in enumerate(("high", "low")):
        (root / name).mkdir(parents=True)
        for number in range(30):
            (root / name / f"{number:02d}.wav").write_bytes(wav(tone(0.7, pitch=300 + 500 * (1 - label) + number)))
    for name, (content, _, _) in ODD.items():
        (root / "high" / name).write_bytes(content())
    return root


def experiment(path: Path, **dataset: object) -> Experiment:
    content = {"dataset": {"kind": "audio-folder", "path": str(path), "shards": 2, **dataset}, "levels": [NONE, 8]}
    return Experiment.model_validate({**content, "mp3": {"seconds": 0.7}})


def written(folder: Path, run: Experiment) -> tuple[LocalStore, dict[object, LevelManifest]]:
    store = LocalStore(str(folder))
    index = index_dataset(store, run.dataset)
    read_rejected(store, index)
    return store, dict(compress(store, run, index))


def test_each_odd_file_gets_its_documented_treatment(odd: Path, tmp_path: Path) -> None:
    store, manifests = written(tmp_path / "root", experiment(odd, max_rejected=0.2))
    for level, manifest in manifests.items():
        rejected = {Path(entry.key).name: entry.reason for entry in manifest.rejected}
        assert rejected == {name: reason for name, (_, _, reason) in ODD.items() if reason is not None}
        found = []
        for split in manifest.splits.values():
            for shard in split.shards:
                folder = level_folder(manifest.dataset, manifest.codec, manifest.level)
                found += [Path(key).name for key, _, _ in read_shard(Path(store.uri, folder, shard.name))]
        used = {name for name, (_, _, reason) in ODD.items() if reason is None}
        assert used <= set(found)
        assert len(found) == 60 + len(used), level
        for _, note, _ in ODD.values():
            assert note is None or manifest.notes[note] >= 1
        assert manifest.notes["silent"] == 2
        assert manifest.coded_rates == {str(RATE if level == NONE else 8000): len(found)}


def test_the_realised_bitrate_stands_in_the_manifest(odd: Path, tmp_path: Path) -> None:
    _, manifests = written(tmp_path / "root", experiment(odd, max_rejected=0.2))
    assert manifests[8].bitrate == pytest.approx(8, rel=0.001)
    lossless = manifests[NONE]
    assert lossless.bitrate is not None
    bits = sum(split.coded_bits for split in lossless.splits.values())
    samples = sum(split.samples for split in lossless.splits.values())
    assert lossless.bitrate == pytest.approx(bits / samples * 44.1, rel=0.001)
    assert lossless.payload_bits_per_sample == pytest.approx(bits / samples)


def test_past_the_stated_share_the_run_stops(odd: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"can't be used, more than dataset.max_rejected=0.01 allows \(.*wav: .*\)"):
        written(tmp_path / "root", experiment(odd, max_rejected=0.01))


def test_a_dry_note_that_changes_after_listing_is_set_aside(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    for number in range(12):
        (notes / f"{number:02d}.wav").write_bytes(wav(tone(0.7, pitch=100 + 20 * number)))
    dataset = {"kind": "guitar-effects", "path": str(notes), "classes": ["NoFX", "Tremolo"], "max_rejected": 0.5, "shards": 1}
    run = Experiment.model_validate({"dataset": dataset, "levels": [NONE, 8], "mp3": {"seconds": 0.6}})
    store = LocalStore(str(tmp_path / "root"))
    index = index_dataset(store, run.dataset)
    (notes / "03.wav").write_bytes(wav(tone(0.7, pitch=999)))
    manifests = compress(store, run, index)
    for manifest in manifests.values():
        assert {(e.key, e.reason) for e in manifest.rejected} == {
            (f"03.wav#{name}", "changed since it was listed") for name in ("NoFX", "Tremolo")
        }


def test_a_tiny_run_of_all_stages_ends_with_a_report(tmp_path: Path) -> None:
    from helmholtz import stages
    from helmholtz.experiment_file import parse_experiment

    text = (
        "dataset: {kind: plucked-strings, notes: 12, classes: [NoFX, Distortion], shards: 1}\nlevels: [none, 8]\n"
        "seeds: 2\nmp3: {seconds: 0.6}\ntraining: {epochs: 2, batch_size: 8}\n"
    )
    root = str(tmp_path)
    experiment = parse_experiment(text, name="tiny")
    plan = stages.plan(root, experiment)
    for cell in stages.compress(root, plan):
        stages.train(root, cell["plan"], cell["architecture"], cell["level"])
    assert stages.compress(root, plan) == []  # everything is there
    stages.publish(root, experiment)
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["trials"]["complete"] == 4
    assert report["codec"]["name"] == "mp3"
    assert {cell["parameters"] for cell in report["cells"]} == {31_002}  # 320 + 376 + 3 x 9,248 + 10 x 4 x 32 x 2 + 2
