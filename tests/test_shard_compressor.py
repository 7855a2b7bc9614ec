"""Some records are encoded at once, and all levels of a shard are uploaded at once: neither can be told from the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helmholtz import shard_compressor
from helmholtz.compress import compress
from helmholtz.dataset import index_dataset
from helmholtz.errors import HelmholtzError, StorageError
from helmholtz.shards import read_shard
from helmholtz.storage import LocalStore
from tests.test_compress import experiment, run, shards

COUNT = 150


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """More small pictures than are encoded at once, in one shard a split, and two broken ones among them."""
    folder = tmp_path / "many"
    random = np.random.default_rng(0)
    for number in range(COUNT):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    for number in (20, 121):
        (folder / "ab"[number % 2] / f"{number}.png").write_bytes(b"\x89PNG, but no more")
    return folder


@pytest.mark.parametrize(("records", "nbytes"), [(1, 1 << 22), (7, 1 << 22), (64, 1), (64, 500), (1000, 1 << 30)])
def test_the_bytes_do_not_depend_on_how_many_records_go_together(
    tmp_path: Path, many: Path, monkeypatch: pytest.MonkeyPatch, records: int, nbytes: int
) -> None:
    wanted = experiment(many, dataset={"shards": 1, "max_rejected": 0.05})
    manifests = run(tmp_path / "as it is", wanted)
    monkeypatch.setattr(shard_compressor, "_BATCH", records)
    monkeypatch.setattr(shard_compressor, "_BATCH_BYTES", nbytes)
    again = run(tmp_path / "other", wanted)
    assert shards(tmp_path / "as it is") == shards(tmp_path / "other")
    assert {level: manifest.model_dump() for level, manifest in manifests.items()} == {
        level: manifest.model_dump() for level, manifest in again.items()
    }
    for level, manifest in again.items():
        assert sum(entry.records for entry in manifest.splits.values()) == COUNT - 2
        assert [entry.key.rpartition("/")[2] for entry in manifest.rejected] == ["20.png", "121.png"]
        found = [
            key for path in (tmp_path / "other").glob(f"data/*/jpeg-420/{level}/*.tfrecord") for key, _, _ in read_shard(path)
        ]
        assert len(set(found)) == len(found) == COUNT - 2


@dataclass(frozen=True)
class Refusing(LocalStore):
    """A store that takes no shard of quality 5."""

    def upload(self, path: Path, key: str) -> None:
        if "/5/" in key and key.endswith(".tfrecord"):
            raise StorageError(f"{key}: refused")
        super().upload(path, key)


def test_a_level_that_cannot_be_stored_ends_the_task_and_has_no_part(tmp_path: Path, many: Path) -> None:
    wanted = experiment(many, dataset={"shards": 1, "max_rejected": 0.05})
    store = Refusing(str(tmp_path / "root"))
    with pytest.raises(HelmholtzError, match="refused"):
        compress(store, wanted, index_dataset(store, wanted.dataset))
    for part in (tmp_path / "root").glob("data/*/jpeg-420/*/parts/*.json"):
        assert (part.parents[1] / f"{part.stem}.tfrecord").exists(), part
    run(tmp_path / "root", wanted)
    run(tmp_path / "whole", wanted)
    assert shards(tmp_path / "root") == shards(tmp_path / "whole")
