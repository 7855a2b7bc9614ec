"""Training data: a level's shards fetched and verified, and decoded once into memory."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from helmholtz.errors import ShardError, TrainingError
from helmholtz.manifest import LevelManifest, ShardEntry, SplitEntry, level_folder
from helmholtz.shards import damaged, fetch_shard
from helmholtz.sources.base import SPLITS, Split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from helmholtz.storage import Store
    from helmholtz.training.inputs import Inputs

MEMORY_SHARE = 0.4  # of the available memory that a decoded level may take: twice that while its batches are joined
_READ_BATCH = 256  # records
_DOWNLOADS = 8  # at once


@dataclass(frozen=True, slots=True)
class Records:
    """One split, decoded: tensors `inputs`, [n, *shape] as `training.inputs` says, and `labels`, int32 [n]."""

    inputs: Any
    labels: Any

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """One level, decoded. Every split holds the same records in the same order at every level."""

    train: Records
    validation: Records
    test: Records


def load_level(store: Store, manifest: LevelManifest, inputs: Inputs) -> TrainingData:
    """The whole level, verified and decoded. Raises ShardError or TrainingError as `stage` and `load_split` do."""
    empty = [split for split in SPLITS if split not in manifest.splits or not manifest.splits[split].records]
    if empty:
        raise TrainingError(f"level {manifest.level} has no {' and no '.join(empty)} records; change the split or add data")
    _check_memory(manifest, inputs)
    with store.scratch() as folder:
        paths = stage(store, manifest, folder)
        return TrainingData(*(load_split(paths[split], manifest.splits[split], inputs) for split in SPLITS))


def load_test(store: Store, manifest: LevelManifest, inputs: Inputs) -> Records:
    """The level's test split alone. Raises ShardError or TrainingError as `load_level` does."""
    alone = manifest.model_copy(update={"splits": {"test": manifest.splits["test"]}})
    _check_memory(alone, inputs)
    with store.scratch() as folder:
        return load_split(stage(store, alone, folder)["test"], alone.splits["test"], inputs)


def stage(store: Store, manifest: LevelManifest, folder: Path) -> dict[Split, list[Path]]:
    """Downloads the level's shards into `folder`, in parallel, and checks each: split -> local files, in shard order.

    Raises ShardError, naming the shard and what to do, where one isn't what the manifest says.
    """
    where = level_folder(manifest.dataset, manifest.codec, manifest.level)

    def fetch(entry: ShardEntry) -> Path:
        path = folder / entry.name
        fetch_shard(store, where, entry, path)
        return path

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        return {split: list(pool.map(fetch, entry.shards)) for split, entry in manifest.splits.items()}


def load_split(paths: Sequence[Path], split: SplitEntry, inputs: Inputs) -> Records:
    """The records of a split, decoded, in the order of the shards.

    Raises ShardError where the records aren't as many, per class, as the manifest's entry `split` says, or where one
    can't be decoded.
    """
    examples = tf.data.TFRecordDataset([str(path) for path in paths])
    records = examples.map(lambda example: _parse(example, inputs), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    features = records.batch(_READ_BATCH).map(lambda samples, labels: (inputs.features(samples), labels))
    batches, done = [], 0
    try:
        for batch in features.prefetch(2):
            batches.append(batch)
            done += len(batch[1])
            if done > split.records:
                raise damaged(_names(paths), f"more than {split.records} records")
    except tf.errors.OpError as error:
        raise _first_bad(paths, inputs) from error
    if done != split.records:
        raise damaged(_names(paths), f"{done} records instead of {split.records}")
    labels = tf.concat([batch_labels for _, batch_labels in batches], 0)
    _check_labels(labels.numpy(), split, paths)
    return Records(tf.concat([batch_inputs for batch_inputs, _ in batches], 0), tf.cast(labels, tf.int32))


def available_memory() -> int | None:
    """Bytes that this process may still take: the machine's, or its container's if that is less. None if unknown."""
    limits = []
    try:
        meminfo = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        limits.append(int(meminfo["MemAvailable"].split()[0]) * 1024)
        group = Path("/sys/fs/cgroup")
        reclaimable = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())["inactive_file"]
        in_use = int((group / "memory.current").read_text()) - int(reclaimable)
        limits.append(int((group / "memory.max").read_text()) - in_use)
    except (OSError, KeyError, ValueError):
        pass  # not Linux, no version 2 control group, or no limit in it ("max")
    return min(limits, default=None)


def _parse(example: Any, inputs: Inputs) -> tuple[Any, Any]:
    """(decoded samples, int64) of a serialised example."""
    features = {"payload": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
    parsed = tf.io.parse_single_example(example, features)
    return inputs.decode(parsed["payload"]), parsed["label"]


def _check_labels(labels: np.ndarray, split: SplitEntry, paths: Sequence[Path]) -> None:
    classes = len(split.per_class)
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise damaged(_names(paths), f"label {wrong[0]} where there are {classes} classes")
    counts = tuple(int(count) for count in np.bincount(labels, minlength=classes))
    if counts != split.per_class:
        raise damaged(_names(paths), f"records per class {counts} instead of {split.per_class}")


def _first_bad(paths: Sequence[Path], inputs: Inputs) -> ShardError:
    """What to tell about shards that don't decode: the first record at fault."""
    for path in paths:
        number = 0
        try:
            for _ in tf.data.TFRecordDataset(str(path)).map(lambda example: _parse(example, inputs)):
                number += 1
        except tf.errors.OpError as error:
            return damaged(path.name, f"record {number} can't be read ({str(error.message).splitlines()[0][:120]})")
    return damaged(_names(paths), "a record can't be read")


def _check_memory(manifest: LevelManifest, inputs: Inputs) -> None:
    needed = sum(split.records for split in manifest.splits.values()) * math.prod(inputs.shape) * inputs.dtype.size
    available = available_memory()
    smaller = "training.input_size" if manifest.medium == "image" else "mp3.seconds"
    if available is not None and needed > MEMORY_SHARE * available:
        raise TrainingError(
            f"level {manifest.level} takes {needed:,} bytes decoded at {inputs.shape[0]}x{inputs.shape[1]}, more than "
            f"{MEMORY_SHARE:.0%} of the {available:,} available; lower {smaller} or dataset.limit, or add memory"
        )


def _names(paths: Sequence[Path]) -> str:
    return f"{paths[0].name} ..." if len(paths) > 1 else ", ".join(path.name for path in paths)
