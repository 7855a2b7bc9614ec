"""Training data: a level's shards fetched and verified, decoded once into memory, and augmented in the graph."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from helmholtz.errors import ShardError, TrainingError
from helmholtz.manifest import LevelManifest, ShardEntry, SplitEntry, level_folder
from helmholtz.sources.base import SPLITS, Split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from helmholtz.codecs.base import Medium
    from helmholtz.storage import Store

SHIFT = 0.1  # largest shift, as a share of the image's side
MEMORY_SHARE = 0.4  # of the available memory that a decoded level may take: twice that while its batches are joined
_READ_BATCH = 256  # records
_DOWNLOADS = 8  # at once


@dataclass(frozen=True, slots=True)
class Records:
    """One split, decoded: tensors `images`, uint8 [n, side, side, 3], and `labels`, int32 [n]."""

    images: Any
    labels: Any

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """One level, decoded. Every split holds the same records in the same order at every level."""

    train: Records
    validation: Records
    test: Records


def load_level(store: Store, manifest: LevelManifest, input_size: int) -> TrainingData:
    """The whole level, verified and decoded. Raises ShardError or TrainingError as `stage` and `load_split` do."""
    empty = [split for split in SPLITS if split not in manifest.splits or not manifest.splits[split].records]
    if empty:
        raise TrainingError(f"level {manifest.level} has no {' and no '.join(empty)} records; change the split or add data")
    _check_memory(manifest, input_size)
    with store.scratch() as folder:
        paths = stage(store, manifest, folder)
        return TrainingData(
            *(load_split(paths[split], manifest.splits[split], manifest.medium, input_size) for split in SPLITS),
        )


def stage(store: Store, manifest: LevelManifest, folder: Path) -> dict[Split, list[Path]]:
    """Downloads the level's shards into `folder`, in parallel, and checks each: split -> local files, in shard order.

    Raises ShardError, naming the shard and what to do, where one isn't what the manifest says.
    """
    where = level_folder(manifest.dataset, manifest.codec, manifest.level)

    def fetch(entry: ShardEntry) -> Path:
        key = f"{where}/{entry.name}"
        if Path(entry.name).name != entry.name:
            raise ShardError(f"{store.uri}/{where}/manifest.json: {entry.name!r} is not a file name")
        if not store.exists(key):
            raise _damaged(f"{store.uri}/{key}", "the shard is gone")
        path = folder / entry.name
        store.download(key, path)
        if path.stat().st_size != entry.nbytes:
            raise _damaged(f"{store.uri}/{key}", f"{path.stat().st_size} bytes instead of {entry.nbytes}")
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256:
                raise _damaged(f"{store.uri}/{key}", "its SHA-256 is not the manifest's")
        return path

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        return {split: list(pool.map(fetch, entry.shards)) for split, entry in manifest.splits.items()}


def load_split(paths: Sequence[Path], split: SplitEntry, medium: Medium, input_size: int) -> Records:
    """The records of a split, decoded, in the order of the shards; images of another size are resized (bilinear, antialiased).

    Raises ShardError where the records aren't as many, per class, as the manifest's entry `split` says, or where one
    can't be decoded; TrainingError for a medium that has no decoder.
    """
    if medium != "image":
        raise TrainingError(f"no decoder for {medium}; there is one for image")
    examples = tf.data.TFRecordDataset([str(path) for path in paths])
    records = examples.map(lambda example: _parse(example, input_size), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    batches, done = [], 0
    try:
        for batch in records.batch(_READ_BATCH).prefetch(2):
            batches.append(batch)
            done += len(batch[1])
            if done > split.records:
                raise _damaged(_names(paths), f"more than {split.records} records")
    except tf.errors.OpError as error:
        raise _first_bad(paths, input_size) from error
    if done != split.records:
        raise _damaged(_names(paths), f"{done} records instead of {split.records}")
    labels = tf.concat([batch_labels for _, batch_labels in batches], 0)
    _check_labels(labels.numpy(), split, paths)
    return Records(tf.concat([batch_images for batch_images, _ in batches], 0), tf.cast(labels, tf.int32))


def decode_image(payload: Any) -> Any:
    """uint8 [height, width, 3] of a JPEG or PNG file: Pillow's pixels, exactly (its DCT and chrominance interpolation)."""
    return tf.cond(
        tf.io.is_jpeg(payload),
        lambda: tf.io.decode_jpeg(payload, channels=3, dct_method="INTEGER_ACCURATE", fancy_upscaling=True),
        lambda: tf.io.decode_png(payload, channels=3),
    )


def augment(images: Any, seed: Any) -> Any:
    """`images` [n, side, side, channels], each shifted along both axes and, with probability 1/2, mirrored left to right.

    Shifts are uniform in +-10% of the side, rounded to whole pixels; edges are replicated. That is Keras's
    ImageDataGenerator (shift range 0.1, fill mode "nearest") with nearest-neighbour resampling; later versions of it
    interpolate linearly, which blurs, and blur is what this method measures. `seed` (int32 [2]) alone decides.
    """
    count, side = tf.shape(images)[0], images.shape[1]
    draws = tf.random.stateless_uniform([3, count], seed, alg="philox")
    shifts = tf.cast(tf.round((2 * draws[:2] - 1) * SHIFT * side), tf.int32)
    pixels = tf.range(side)[tf.newaxis]
    rows = tf.clip_by_value(pixels + shifts[0][:, tf.newaxis], 0, side - 1)
    columns = tf.clip_by_value(pixels + shifts[1][:, tf.newaxis], 0, side - 1)
    columns = tf.where(draws[2][:, tf.newaxis] < 0.5, side - 1 - columns, columns)
    return tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


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


def _parse(example: Any, input_size: int) -> tuple[Any, Any]:
    """(uint8 [input_size, input_size, 3], int64) of a serialised example."""
    features = {"payload": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
    parsed = tf.io.parse_single_example(example, features)
    image = decode_image(parsed["payload"])
    size = [input_size, input_size]

    def resized() -> Any:
        pixels = tf.image.resize(image, size, antialias=True)
        return tf.saturate_cast(tf.round(pixels), tf.uint8)

    image = tf.cond(tf.reduce_all(tf.shape(image)[:2] == size), lambda: image, resized)
    return tf.ensure_shape(image, [*size, 3]), parsed["label"]


def _check_labels(labels: np.ndarray, split: SplitEntry, paths: Sequence[Path]) -> None:
    classes = len(split.per_class)
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise _damaged(_names(paths), f"label {wrong[0]} where there are {classes} classes")
    counts = tuple(int(count) for count in np.bincount(labels, minlength=classes))
    if counts != split.per_class:
        raise _damaged(_names(paths), f"records per class {counts} instead of {split.per_class}")


def _first_bad(paths: Sequence[Path], input_size: int) -> ShardError:
    """What to tell about shards that don't decode: the first record at fault."""
    for path in paths:
        number = 0
        try:
            for example in tf.data.TFRecordDataset(str(path)):
                _parse(example, input_size)
                number += 1
        except tf.errors.OpError as error:
            return _damaged(path.name, f"record {number} can't be read ({str(error.message).splitlines()[0][:120]})")
    return _damaged(_names(paths), "a record can't be read")


def _check_memory(manifest: LevelManifest, input_size: int) -> None:
    needed = sum(split.records for split in manifest.splits.values()) * input_size * input_size * 3
    available = available_memory()
    if available is not None and needed > MEMORY_SHARE * available:
        raise TrainingError(
            f"level {manifest.level} takes {needed:,} bytes decoded at {input_size}x{input_size}, more than "
            f"{MEMORY_SHARE:.0%} of the {available:,} available; lower training.input_size or dataset.limit, or add memory"
        )


def _names(paths: Sequence[Path]) -> str:
    return f"{paths[0].name} ..." if len(paths) > 1 else ", ".join(path.name for path in paths)


def _damaged(where: str, what: str) -> ShardError:
    return ShardError(f"{where}: {what}; delete this level's manifest.json and run again to rewrite it")
