"""Compress: every record, once, to every level, as TFRecord shards with a manifest a level.

One unit of work is one shard of the record lists: its records are read, encoded at every level that still lacks this
shard, and written to one file a level. A file is published whole, then its part (a small JSON with its totals); a level's
manifest is the sum of its parts and is written last. So the stage can be killed anywhere and run again, the bytes don't
depend on who runs which shard, and memory holds a few records at a time (256 KiB of samples, or one record).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

from helmholtz.codecs import open_codec
from helmholtz.codecs.base import Codec
from helmholtz.dataset import DatasetIndex, check_rejected, read_rejected
from helmholtz.errors import SourceError, StorageError
from helmholtz.experiment import Experiment
from helmholtz.levels import Level
from helmholtz.manifest import LevelManifest, SplitEntry, check_same_records, level_folder, read_manifest
from helmholtz.shard_compressor import ShardPart, ShardTask, part_key
from helmholtz.sources.base import Split
from helmholtz.storage import Store
from helmholtz.stored import read_model


def compress(store: Store, experiment: Experiment, index: DatasetIndex) -> dict[Level, LevelManifest]:
    """Makes every level of the experiment whole below the run root, and returns the manifests.

    Raises SourceError if more records turn out unusable than `dataset.max_rejected` allows.
    """
    codec = open_codec(experiment)
    manifests: dict[Level, LevelManifest] = {}
    missing = []
    for level in experiment.all_levels:
        whole = _whole_level(store, index, codec, level)
        if whole is None:
            missing.append(level)
        else:
            manifests[level] = whole
    tasks = _tasks(store, index, codec, missing)
    if tasks:
        from helmholtz.beam import run_tasks

        run_tasks(store, experiment, index, tasks)
    for level in missing:
        manifests[level] = _merge(store, index, codec, level)
    for manifest in manifests.values():
        total = sum(index.records.values()) + index.unused + index.rejected
        check_rejected(manifest.rejected, total, experiment.dataset.max_rejected, "compressing")
        _check_classes(manifest)
    check_same_records(store, manifests.values())
    for level in missing:
        key = f"{level_folder(index.fingerprint, codec.identity, level)}/manifest.json"
        store.write_bytes(key, manifests[level].model_dump_json(indent=2).encode())
    return manifests


def _whole_level(store: Store, index: DatasetIndex, codec: Codec, level: Level) -> LevelManifest | None:
    """The manifest of a level whose shards are all there, or None."""
    folder = level_folder(index.fingerprint, codec.identity, level)
    if not store.exists(f"{folder}/manifest.json"):
        return None
    manifest = read_manifest(store, index.fingerprint, codec.identity, level)
    shards = [shard for split in manifest.splits.values() for shard in split.shards]
    return manifest if all(store.size(f"{folder}/{shard.name}") == shard.nbytes for shard in shards) else None


def _check_classes(manifest: LevelManifest) -> None:
    """Raises SourceError if a class has lost all its records of a split to rejection."""
    for split, entry in manifest.splits.items():
        for name, count in zip(manifest.classes, entry.per_class, strict=True):
            if not count:
                such = "; ".join(f"{entry.key}: {entry.reason}" for entry in manifest.rejected[:3])
                raise SourceError(
                    f"class {name!r}: no {split} record of it can be used; {len(manifest.rejected)} records are set aside "
                    f"({such}, ...). Mend them, or leave the class out with dataset.classes."
                )


def _tasks(store: Store, index: DatasetIndex, codec: Codec, levels: Sequence[Level]) -> list[ShardTask]:
    folders = {level: level_folder(index.fingerprint, codec.identity, level) for level in levels}
    tasks = []
    for split, name in index.shard_names():
        lacking = tuple(level for level in levels if not _is_whole(store, folders[level], name))
        if lacking:
            tasks.append(ShardTask(split, name, lacking))
    return tasks


def _is_whole(store: Store, folder: str, name: str) -> bool:
    key = part_key(folder, name)
    if not store.exists(key):
        return False
    try:
        part = read_model(store, key, ShardPart)
    except StorageError:
        return False  # damaged: made again
    shard = f"{folder}/{part.shard.name}"
    if store.size(shard) != part.shard.nbytes:
        return False
    with store.scratch() as scratch:  # only after an interruption, or when someone has deleted a manifest to have it checked
        store.download(shard, scratch / "shard")
        with (scratch / "shard").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == part.shard.sha256


def _merge(store: Store, index: DatasetIndex, codec: Codec, level: Level) -> LevelManifest:
    folder = level_folder(index.fingerprint, codec.identity, level)
    by_split: dict[Split, list[ShardPart]] = {}
    for split, name in index.shard_names():
        part = read_model(store, part_key(folder, name), ShardPart)
        if part.shard.name != f"{name}.tfrecord":
            raise StorageError(f"{store.uri}/{part_key(folder, name)}: describes {part.shard.name}; delete it and run again")
        by_split.setdefault(split, []).append(part)
    for split, split_parts in by_split.items():
        found = sum(part.shard.records + len(part.rejected) for part in split_parts)
        if found != index.records[split]:
            raise StorageError(
                f"{store.uri}/{folder}: {found} {split} records where the data set has {index.records[split]}; "
                "delete that folder and run again"
            )
    parts = [part for split in by_split.values() for part in split]
    samples = sum(part.samples for part in parts)
    coded_rates = _sum_counts(part.coded_rates for part in parts)
    rejected = [*read_rejected(store, index), *(entry for part in parts for entry in part.rejected)]
    return LevelManifest(
        dataset=index.fingerprint,
        codec=codec.identity,
        medium=codec.medium,
        level=level,
        quantisation=codec.quantisation(level),
        sample=codec.sample,
        payload_bits_per_sample=sum(part.coded_bits for part in parts) / samples if samples else 0.0,
        bitrate=sum(part.bitrates for part in parts) / sum(coded_rates.values()) if coded_rates else None,
        coded_rates=coded_rates,
        classes=index.classes,
        splits={split: _totals(split_parts, index.groups[split]) for split, split_parts in by_split.items()},
        rejected=tuple(sorted(rejected, key=lambda entry: entry.key)),
        double_compressed=sum(part.double_compressed for part in parts),
        source_levels=_sum_counts(part.source_levels for part in parts),
        notes=_sum_counts(part.notes for part in parts),
        versions={name: version for part in parts for name, version in part.versions.items()},
    )


def _totals(parts: list[ShardPart], groups: int) -> SplitEntry:
    return SplitEntry(
        records=sum(part.shard.records for part in parts),
        groups=groups,
        per_class=tuple(sum(column) for column in zip(*(part.per_class for part in parts), strict=True)),
        payload_bytes=sum(part.payload_bytes for part in parts),
        coded_bits=sum(part.coded_bits for part in parts),
        samples=sum(part.samples for part in parts),
        source_bytes=sum(part.source_bytes for part in parts),
        shards=tuple(part.shard for part in parts),
    )


def _sum_counts(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))
