"""Some records are encoded at once, and all levels of a shard are uploaded at once: neither can be told from the result."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helmholtz import shard_compressor
from helmholtz.compress import compress
from helmholtz.dataset import index_dataset
from helmholtz.errors import HelmholtzError, StorageError
from helmholtz.shard_compressor import ShardCompressor, ShardTask
from helmholtz.shards import read_shard
from helmholtz.storage import MAX_BYTES, LocalStore
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


@dataclass(frozen=True)
class Slow(LocalStore):
    """A store that takes its time for a shard, and notes when what came and went."""

    events: list[str] = field(default_factory=list)

    def upload(self, path: Path, key: str) -> None:
        if key.endswith("50/train-00000-of-00003.tfrecord"):
            time.sleep(0.5)
        super().upload(path, key)
        self.events.append(f"published {Path(key).name}")

    def read_bytes(self, key: str, most: int = MAX_BYTES) -> bytes:
        self.events.append(f"read {Path(key).name}")
        return super().read_bytes(key, most)


def tasks(store: LocalStore, folder: Path) -> tuple[ShardCompressor, list[ShardTask]]:
    wanted = experiment(folder, dataset={"shards": 3, "max_rejected": 0.05})
    index = index_dataset(store, wanted.dataset)
    found = [ShardTask(split, name, ("none", 50, 5)) for split, name in index.shard_names()]
    return ShardCompressor(store, wanted, index), found


def test_a_shard_is_published_while_the_next_is_encoded(tmp_path: Path, many: Path) -> None:
    store = Slow(str(tmp_path / "root"))
    compressor, (first, second, *_) = tasks(store, many)
    store.events.clear()
    compressor(first)
    compressor(second)
    compressor.finish()
    late, begun = f"published {first.name}.tfrecord", f"read {second.name}.jsonl"
    assert store.events.index(begun) < len(store.events) - 1 - store.events[::-1].index(late)
    for task in (first, second):
        assert len([*tmp_path.glob(f"root/data/*/jpeg-420/*/{task.name}.tfrecord")]) == 3
        assert len([*tmp_path.glob(f"root/data/*/jpeg-420/*/parts/{task.name}.json")]) == 3
    assert not [*tmp_path.glob("root/.tmp/*")]


def test_what_failed_in_the_background_is_told_and_leaves_nothing_behind(tmp_path: Path, many: Path) -> None:
    store = Refusing(str(tmp_path / "root"))
    compressor, (first, second, *_) = tasks(store, many)
    compressor(first)
    with pytest.raises(StorageError, match="refused"):
        compressor(second)
    assert not [*tmp_path.glob("root/.tmp/*")]
    assert not [*tmp_path.glob(f"root/data/*/jpeg-420/*/parts/{second.name}.json")]
    compressor(first)
    with pytest.raises(StorageError, match="refused"):
        compressor.finish()
    compressor.finish()  # nothing is left to tell
    compressor(first)
    compressor.abandon()
    assert not [*tmp_path.glob("root/.tmp/*")]


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
