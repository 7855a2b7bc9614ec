"""A synthetic run with all its shards, planned and analysed: what `helmholtz export` starts from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from helmholtz.analysis.summary import Report
from helmholtz.codecs import open_codec
from helmholtz.dataset import DatasetIndex
from helmholtz.experiment import Experiment
from helmholtz.levels import Level
from helmholtz.manifest import LevelManifest, level_folder, read_manifest
from helmholtz.report.publish import analyse
from helmholtz.results import pack_right, read_result, result_key
from helmholtz.shards import ShardWriter
from helmholtz.sources.base import Split
from helmholtz.stages import Plan
from helmholtz.storage import Store
from helmholtz.trials import trials
from tests import synthetic_run as synthetic

RECORDS: dict[Split, int] = {"train": 12, "validation": 4}  # really written; the manifest claims more


def finish(store: Store, run: Experiment, **written: Any) -> Report:
    """Writes the run with every shard of every level, its plan, its analysis, and a page that stands for the report."""
    synthetic.write_run(store, run, **written)
    for level in run.all_levels:
        _write_shards(store, run, level, written.get("size", 32), len(written.get("classes", synthetic.CLASSES)))
    plan(store, run)
    store.write_bytes("report/report.html", b"<!doctype html><title>report</title>")
    return analyse(store, run, synthetic.DATASET)


def plan(store: Store, run: Experiment) -> None:
    """Leaves what says that there is a run here, and of which data."""
    made = Plan(experiment=run, dataset=synthetic.DATASET)
    for key in (made.key, "experiment.json"):
        store.write_bytes(key, made.model_dump_json().encode())
    index = DatasetIndex(
        fingerprint=synthetic.DATASET,
        kind=run.dataset.kind,
        description="pictures of <discs> | made up",
        classes=synthetic.CLASSES,
        records=synthetic.RECORDS,
        groups=synthetic.RECORDS,
        shards={"train": 1, "validation": 1, "test": 2},
        unused=0,
        rejected=0,
    )
    store.write_bytes(f"{index.folder}/dataset.json", index.model_dump_json().encode())


def answer_elsewhere(store: Store, run: Experiment, accuracy: Callable[[str, Level, Level, int], float | None]) -> None:
    """Gives every result `accuracy(architecture, level trained at, level tested at, seed)` at the other levels, if not None."""
    for trial in trials(run, synthetic.DATASET, open_codec(run).identity):
        result = read_result(store, trial.id)
        if result is None or result.test_accuracy is None:
            continue
        found = {str(at): accuracy(trial.architecture, trial.level, at, trial.seed) for at in run.levels if at != trial.level}
        right = {
            at: pack_right(synthetic.right_answers(trial, value, result.test_records))
            for at, value in found.items()
            if value is not None
        }
        changed = result.model_copy(update={"right_at": right})
        store.write_bytes(result_key(trial.id), changed.model_dump_json().encode())


def _write_shards(store: Store, run: Experiment, level: Level, size: int, classes: int) -> None:
    codec = open_codec(run)
    folder = level_folder(synthetic.DATASET, codec.identity, level)
    manifest = read_manifest(store, synthetic.DATASET, codec.identity, level)
    splits = dict(manifest.splits)
    with store.scratch() as scratch:
        for split, count in RECORDS.items():
            path = Path(scratch, f"{split}-00000-of-00001.tfrecord")
            with ShardWriter(path) as shard:
                for number in range(count):
                    label = number % classes
                    if codec.medium == "audio":
                        media = synthetic.clip_payload(label, 100 + number, level, run.mp3.seconds)[0]
                    else:
                        media = synthetic.payload(100 + number, level, size)
                    shard.add(f"{split}/{number}", label, media)
            splits[split] = splits[split].model_copy(update={"shards": (shard.entry(),)})
            store.upload(path, f"{folder}/{path.name}")
    written: LevelManifest = manifest.model_copy(update={"splits": splits})
    store.write_bytes(f"{folder}/manifest.json", written.model_dump_json().encode())
