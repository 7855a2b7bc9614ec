"""Training data: a level's shards fetched and verified, and decoded once into memory."""

from __future__ import annotations

import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from helmholtz.errors import BadRecord, ShardError, TrainingError
from helmholtz.manifest import LevelManifest, ShardEntry, SplitEntry, level_folder
from helmholtz.shards import damaged, fetch_shard, read_shard
from helmholtz.sources.base import SPLITS, Split

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor

    from helmholtz.storage import Store
    from helmholtz.training.inputs import Inputs

MEMORY_SHARE = 0.4  # of the available memory that a decoded level may take: another may be loaded beside it
_READ_BATCH = 256  # records
_READ_BYTES = 1 << 26  # of payloads, after which a batch ends
_ALIGNED = 64  # bytes: TensorFlow's own memory begins at such addresses
_SLOW = 5e-5  # seconds for a record that are worth threads: below, Python's lock costs more than they give
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
    """The records of a split, decoded by the codec, in the order of the shards.

    Raises ShardError where the records aren't as many, per class, as the manifest's entry `split` says, or where one
    can't be decoded.
    """
    kept = _aligned((split.records, *inputs.shape), inputs.dtype.as_numpy_dtype)
    labels = np.empty(split.records, np.int64)
    done, threads = 0, _threads()
    # One array for all batches: it stays in the cache.
    samples = inputs.samples(min(split.records, _READ_BATCH))
    with ThreadPoolExecutor(threads) as pool:
        for batch in _batches(paths):
            end = done + len(batch)
            if end > split.records:
                raise damaged(_names(paths), f"more than {split.records} records")
            labels[done:end] = [record.label for record in batch]
            _decode_all(batch, inputs, samples, pool, threads)
            kept[done:end] = inputs.features(samples[: len(batch)])
            done = end
    if done != split.records:
        raise damaged(_names(paths), f"{done} records instead of {split.records}")
    _check_labels(labels, split, paths)
    return Records(_tensor(kept), tf.constant(labels, tf.int32))


def _aligned(shape: Sequence[int], dtype: Any) -> Any:
    """An array, not filled, that may become a tensor: at another address TensorFlow would end the process."""
    nbytes = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(nbytes + _ALIGNED, np.uint8)
    start = -memory.ctypes.data % _ALIGNED
    return memory[start : start + nbytes].view(dtype).reshape(shape)


def _tensor(array: np.ndarray) -> Any:
    """The array as a tensor, which on a CPU shares its memory: a copy would take a level's memory, and its time, twice."""
    return tf.identity(tf.experimental.dlpack.from_dlpack(array.__dlpack__()))  # on the GPU, if there is one


class _Read(NamedTuple):
    """A record of a shard, as read."""

    path: Path
    number: int
    label: int
    payload: bytes

    def damaged(self, reason: str) -> ShardError:
        """The error that it can't be read."""
        return damaged(self.path.name, f"record {self.number} can't be read ({reason})")


def _batches(paths: Sequence[Path]) -> Iterator[list[_Read]]:
    """The records of the shards, `_READ_BATCH` at a time, or fewer if they are large."""
    batch: list[_Read] = []
    nbytes = 0
    for path in paths:
        number = 0
        try:
            for _, label, payload in read_shard(path):
                batch.append(_Read(path, number, label, payload))
                number += 1
                nbytes += len(payload)
                if len(batch) == _READ_BATCH or nbytes >= _READ_BYTES:
                    yield batch
                    batch, nbytes = [], 0
        except ShardError as error:
            if batch:
                yield batch  # what is wrong with an earlier record is told first
            raise _Read(path, number, 0, b"").damaged(str(error).rpartition(": ")[2]) from error
    if batch:
        yield batch


def _decode_all(batch: Sequence[_Read], inputs: Inputs, samples: Any, pool: Executor, threads: int) -> None:
    started = time.perf_counter()
    _decode(batch[:1], inputs, samples)
    if threads < 2 or time.perf_counter() - started < _SLOW:
        _decode(batch, inputs, samples)
        return
    share = math.ceil(len(batch) / threads)

    def decode(start: int) -> None:
        _decode(batch[start : start + share], inputs, samples[start : start + share])

    list(pool.map(decode, range(0, len(batch), share)))


def _decode(records: Sequence[_Read], inputs: Inputs, samples: Any) -> None:
    for record, row in zip(records, samples, strict=False):
        try:
            inputs.decode(record.payload, row)
        except BadRecord as error:
            raise record.damaged(error.reason) from error


def _threads() -> int:
    """As many as TensorFlow uses for one operation."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return tf.config.threading.get_intra_op_parallelism_threads() or cores


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


def _check_labels(labels: np.ndarray, split: SplitEntry, paths: Sequence[Path]) -> None:
    classes = len(split.per_class)
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise damaged(_names(paths), f"label {wrong[0]} where there are {classes} classes")
    counts = tuple(int(count) for count in np.bincount(labels, minlength=classes))
    if counts != split.per_class:
        raise damaged(_names(paths), f"records per class {counts} instead of {split.per_class}")


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
