"""Controls: the noise that was asked for, the same at every level, and labels that mean nothing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helmholtz.codecs import open_codec
from helmholtz.codecs.jpeg import JpegCodec
from helmholtz.compress import compress
from helmholtz.control import NOTE, permuted, prepare
from helmholtz.dataset import DatasetIndex, index_dataset, read_records
from helmholtz.experiment import Experiment
from helmholtz.levels import Level
from helmholtz.storage import LocalStore

GREY = np.full((64, 64, 3), 128, np.uint8)


def experiment(path: Path, **dataset: object) -> Experiment:
    content = {"kind": "image-folder", "path": str(path), "shards": 2, **dataset}
    return Experiment.model_validate({"dataset": content, "levels": ["none", 50, 5]})


def indexed(store: LocalStore, run: Experiment) -> tuple[DatasetIndex, dict[str, list[tuple[str, int]]]]:
    index = index_dataset(store, run.dataset)
    records: dict[str, list[tuple[str, int]]] = {}
    for split, name in index.shard_names():
        records.setdefault(split, []).extend((record.key, record.label) for record in read_records(store, index, name))
    return index, records


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_noise_has_the_deviation_asked_for(share: float) -> None:
    noisy = prepare(JpegCodec("4:2:0", 10_000), GREY, "a", share)
    added = noisy.samples.astype(float) - 128
    assert added.std() == pytest.approx(255 * share, rel=0.03)
    assert abs(added.mean()) < 255 * share / 30
    assert noisy.notes == (NOTE,)


def test_noise_of_audio_is_a_share_of_its_full_scale() -> None:
    pytest.importorskip("lameenc")
    from helmholtz.codecs.mp3 import Mp3Codec

    noisy = prepare(Mp3Codec(seconds=1.0), np.zeros(44_100, np.int16), "a", 0.1)
    assert noisy.samples.dtype == np.int16
    assert noisy.samples.astype(float).std() == pytest.approx(3276.8, rel=0.03)
    loud = prepare(Mp3Codec(seconds=1.0), np.full(44_100, 32_767, np.int16), "a", 0.1)
    assert loud.samples.max() == 32_767  # clipped, not wrapped
    assert loud.samples.min() > 0


def test_noise_is_each_records_own_and_repeatable() -> None:
    codec = JpegCodec("4:2:0", 10_000)
    first, again, other = (prepare(codec, GREY, key, 0.1).samples for key in ("a", "a", "b"))
    assert np.array_equal(first, again)
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.05


def test_no_noise_changes_nothing_and_noise_passes_no_file_through() -> None:
    file = io.BytesIO()
    Image.fromarray(GREY).save(file, "JPEG", quality=80)
    codec = JpegCodec("4:2:0", 10_000)
    plain, noisy = (prepare(codec, file.getvalue(), "a", share) for share in (0.0, 0.1))
    assert plain.passthrough == file.getvalue()
    assert plain.source_level == 80
    assert noisy.passthrough is None
    assert noisy.source_level is None
    assert codec.encode(noisy, "none").data.startswith(b"\x89PNG")


def test_noise_is_in_every_level_and_in_the_fingerprint(tmp_path: Path, pictures: Path) -> None:
    store = LocalStore(str(tmp_path / "root"))
    plain, noisy = (experiment(pictures, noise=share) for share in (0.0, 0.1))
    found = {}
    for name, run in (("plain", plain), ("noisy", noisy)):
        index = index_dataset(store, run.dataset)
        found[name] = (index.fingerprint, compress(store, run, index))
    assert found["plain"][0] != found["noisy"][0]
    for level in plain.levels:
        before, after = (found[name][1][level] for name in ("plain", "noisy"))
        assert after.notes[NOTE] == 24
        assert after.payload_bits_per_sample > before.payload_bits_per_sample
        assert open_codec(noisy).identity == after.codec


def test_permuted_labels_keep_the_numbers_of_every_class_in_every_split(tmp_path: Path, pictures: Path) -> None:
    store = LocalStore(str(tmp_path / "root"))
    plain_index, plain = indexed(store, experiment(pictures))
    index, shuffled = indexed(store, experiment(pictures, permute_labels=True))
    assert index.fingerprint != plain_index.fingerprint
    for split in plain:
        assert sorted(label for _, label in plain[split]) == sorted(label for _, label in shuffled[split])
        assert {key for key, _ in plain[split]} == {key for key, _ in shuffled[split]}
    assert dict(plain["train"]) != dict(shuffled["train"])
    assert indexed(store, experiment(pictures, permute_labels=True))[1] == shuffled


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 2)), min_size=1, max_size=200), st.integers(0, 2**32))
def test_permutation_stays_within_splits(rows: list[tuple[int, int]], seed: int) -> None:
    labels, splits = (np.array(column) for column in zip(*rows, strict=True))
    shuffled = permuted(labels, splits, seed)
    for split in set(splits):
        assert sorted(shuffled[splits == split]) == sorted(labels[splits == split])


def test_permutation_takes_the_meaning_out() -> None:
    labels, splits = np.arange(40_000) % 10, np.arange(40_000) % 3
    assert np.mean(permuted(labels, splits, 0) == labels) == pytest.approx(0.1, abs=0.01)


def _report(root: str, levels: list[Level], **dataset: object) -> dict[str, Any]:
    """Of a short run on the smallest real set, photographs."""
    from helmholtz import stages

    run = Experiment.model_validate(
        {
            "dataset": {"kind": "photographs", "limit": 300, "shards": 1, **dataset},
            "levels": levels,
            "seeds": 2,
            "training": {"epochs": 3, "batch_size": 16, "learning_rate": 0.02, "input_size": 8},
            "analysis": {"margin": 0.4},
        }
    )
    plan = stages.plan(root, run)
    for cell in stages.compress(root, plan):
        stages.train(root, cell["plan"], cell["architecture"], cell["level"])
    stages.analyse(root, plan)
    report: dict[str, Any] = json.loads(Path(root, "report", "report.json").read_text())
    return report


def test_a_run_finds_what_the_controls_put_there(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    root = str(tmp_path)
    plain, noisy = (_report(root, ["none", 50, 10], noise=share) for share in (0.0, 0.2))
    permuted_ = _report(root, ["none", 10], permute_labels=True)

    def noise(report: dict[str, Any]) -> float:
        bits = {level["level"]: level["bits_per_sample"] for level in report["levels"]}
        return float(bits["none"] - bits[report["recommendation"]["level"]])

    assert noise(noisy) > noise(plain) + 3  # bits a pixel
    assert permuted_["recommendation"]["outcome"] == "chance"
    chance, records = permuted_["walks"][0]["chance"], permuted_["test_records"]
    for cell in permuted_["cells"]:
        assert cell["test_accuracy"]["mean"] < chance + 4 * (chance * (1 - chance) / records) ** 0.5
