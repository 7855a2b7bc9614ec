"""Around Beam: how many worker processes, and what is said where its own check finds fault."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import DirectOptions

from helmholtz.beam import _options, run_tasks
from helmholtz.dataset import index_dataset
from helmholtz.errors import HelmholtzError, StorageError
from helmholtz.experiment import Experiment
from helmholtz.shard_compressor import ShardCompressor, ShardTask
from helmholtz.storage import MAX_BYTES, LocalStore
from tests.test_compress import experiment, run


def processes(beam: dict[str, Any], tasks: int, tmp_path: Path) -> int:
    options = _options(experiment(tmp_path, beam={"runner": "multi-processing", **beam}), tasks)
    found: int = options.view_as(DirectOptions).direct_num_workers
    return found


def test_no_more_processes_than_shards(tmp_path: Path) -> None:
    assert processes({"workers": 500}, 12, tmp_path) == 12
    assert processes({"workers": 3}, 12, tmp_path) == 3


def test_by_default_one_a_processor_that_may_be_used(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert processes({}, 12, tmp_path) == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_what_dataflow_lacks_is_said(tmp_path: Path, pictures: Path) -> None:
    wanted: Experiment = experiment(pictures, beam={"runner": "dataflow"})
    with pytest.raises(HelmholtzError, match=r"beam\.options: .*project") as caught:
        run(tmp_path, wanted)
    assert "\n" not in str(caught.value)


@dataclass(frozen=True)
class Full(LocalStore):
    """A store without room for one shard, the last that is made."""

    def upload(self, path: Path, key: str) -> None:
        if key.endswith("none/test-00000-of-00001.tfrecord"):
            raise StorageError(f"{key}: no room")
        super().upload(path, key)


def test_a_bundle_is_done_when_its_last_shard_is_published(tmp_path: Path, pictures: Path) -> None:
    """The last shard's publication ends behind `process`; what is in its way must end the run, not come to light later."""
    store = Full(str(tmp_path / "root"))
    wanted = experiment(pictures, dataset={"shards": 1})
    index = index_dataset(store, wanted.dataset)
    tasks = [ShardTask(split, name, ("none",)) for split, name in index.shard_names()]
    assert tasks[-1].name == "test-00000-of-00001"
    with pytest.raises(HelmholtzError, match="no room"):
        run_tasks(store, wanted, index, tasks[-1:])
    run_tasks(store, wanted, index, tasks[:-1])
    for task in tasks[:-1]:
        assert [*tmp_path.glob(f"root/data/*/jpeg-420/none/parts/{task.name}.json")]
    assert not [*tmp_path.glob("root/.tmp/*")]


@pytest.mark.parametrize("raised", [KeyboardInterrupt, ValueError])
def test_what_fails_first_is_what_is_told(tmp_path: Path, pictures: Path, raised: type[BaseException]) -> None:
    store = Odd(str(tmp_path / "root"))
    wanted = experiment(pictures, dataset={"shards": 1})
    index = index_dataset(store, wanted.dataset)
    first, second, *_ = (ShardTask(split, name, ("none",)) for split, name in index.shard_names())
    compressor = ShardCompressor(store, wanted, index)
    compressor(first)
    store.raising.append(raised("at the second"))
    with pytest.raises(raised, match="at the second"):
        compressor(second)
    assert not [*tmp_path.glob("root/.tmp/*")]


@dataclass(frozen=True)
class Odd(LocalStore):
    """A store whose client raises what none of its errors is."""

    raising: list[BaseException] = field(default_factory=list)

    def upload(self, path: Path, key: str) -> None:
        if key.endswith(".tfrecord"):
            raise RuntimeError("odd client")
        super().upload(path, key)

    def read_bytes(self, key: str, most: int = MAX_BYTES) -> bytes:
        if self.raising:
            raise self.raising[0]
        return super().read_bytes(key, most)
