"""The levels of a data set: every shard is what its manifest says, and holds the listed records, each once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from helmholtz.dataset import read_records
from helmholtz.errors import ShardError
from helmholtz.levels import Level, parse_level
from helmholtz.manifest import LevelManifest, ShardEntry, SplitEntry, check_same_records, level_folder, read_manifest
from helmholtz.shard_compressor import ShardPart, part_key
from helmholtz.shards import fetch_shard, read_shard
from helmholtz.storage import Store
from helmholtz.stored import read_model
from helmholtz.verify.findings import Findings
from helmholtz.verify.records import Listed

OnRead = Callable[[int], None]
"""Called with the bytes of a shard that has been checked."""


@dataclass
class _Seen:
    """Of the records in a split's shards."""

    per_class: np.ndarray
    payload_bytes: int = 0
    records: int = 0
    whole: bool = field(default=True)  # every shard could be read, so that totals can be compared


def read_levels(store: Store, dataset: str, codec: str, levels: Iterable[str], found: Findings) -> list[LevelManifest]:
    """The manifests of the levels with these folder names; what is wrong with one is found."""
    manifests = []
    for name in levels:
        with found.catching():
            manifests.append(read_manifest(store, dataset, codec, _level(store, dataset, codec, name)))
    with found.catching():
        check_same_records(store, manifests)
    return manifests


def _level(store: Store, dataset: str, codec: str, name: str) -> Level:
    try:
        return parse_level(name)
    except ValueError as error:
        raise ShardError(f"{store.uri}/data/{dataset}/{codec}/{name}: no level ({error}); it isn't this run's") from error


def check_level(store: Store, manifest: LevelManifest, listed: Listed | None, found: Findings, on_read: OnRead) -> None:
    """Reads every shard of the level, one at a time."""
    folder = level_folder(manifest.dataset, manifest.codec, manifest.level)
    where, again = f"{folder}/manifest.json", "delete it and run again to rewrite the level"
    found.checked["levels"] += 1
    for split, entry in manifest.splits.items():
        seen = _Seen(np.zeros(len(manifest.classes), np.int64))
        for shard in entry.shards:
            before = found.total
            with found.catching():
                _check_shard(store, folder, shard, manifest, listed, seen)
            seen.whole &= found.total == before
            found.checked["shards"] += 1
            on_read(shard.nbytes)
            with found.catching():
                _check_part(store, folder, shard)
        if seen.whole:
            for what, is_, should in _totals(entry, seen):
                found.add(where, f"says {should} {split} {what}, but the shards have {is_}", again)
    coded, samples = (sum(getattr(entry, name) for entry in manifest.splits.values()) for name in ("coded_bits", "samples"))
    if samples and abs(coded / samples - manifest.payload_bits_per_sample) > 1e-9 * manifest.payload_bits_per_sample:
        found.add(where, f"{manifest.payload_bits_per_sample} bits a {manifest.sample} aren't {coded} in {samples}", again)
    if listed is not None and manifest.classes != listed.index.classes:
        found.add(where, "its classes aren't the data set's", again)
    if listed is not None:
        for split, count in listed.index.records.items():
            there = manifest.splits[split].records if split in manifest.splits else 0
            gone = sum(entry.key in _keys(store, listed, split) for entry in manifest.rejected) if there != count else 0
            if there + gone != count:
                found.add(where, f"{there} {split} records and {gone} set aside, where the data set has {count}", again)


def _totals(entry: SplitEntry, seen: _Seen) -> Iterator[tuple[str, object, object]]:
    pairs = {
        "records": (seen.records, entry.records),
        "records a class": (tuple(int(count) for count in seen.per_class), entry.per_class),
        "bytes of payload": (seen.payload_bytes, entry.payload_bytes),
    }
    return ((what, is_, should) for what, (is_, should) in pairs.items() if is_ != should)


def _keys(store: Store, listed: Listed, split: str) -> Collection[str]:
    names = [name for of, name in listed.index.shard_names() if of == split and name in listed.readable]
    return {record.key for name in names for record in read_records(store, listed.index, name)}


def _check_shard(
    store: Store, folder: str, shard: ShardEntry, manifest: LevelManifest, listed: Listed | None, seen: _Seen
) -> None:
    """Raises ShardError, naming the shard, where it isn't the manifest's or doesn't hold the records that are listed."""
    where = f"{store.uri}/{folder}/{shard.name}"
    name = shard.name.removesuffix(".tfrecord")
    wanted = None
    if listed is not None and name in listed.readable:
        gone = {entry.key for entry in manifest.rejected}
        wanted = [(each.key, each.label) for each in read_records(store, listed.index, name) if each.key not in gone]
    with store.scratch() as scratch:
        path = scratch / shard.name
        fetch_shard(store, folder, shard, path)
        number = 0
        try:
            for number, (key, label, payload) in enumerate(read_shard(path), start=1):
                if not 0 <= label < len(manifest.classes):
                    raise _other(where, f"record {number - 1} has label {label} of {len(manifest.classes)} classes")
                if wanted is not None and (number > len(wanted) or wanted[number - 1] != (key, label)):
                    raise _other(where, f"record {number - 1} ({key!r}, label {label}) isn't the one that is listed there")
                seen.per_class[label] += 1
                seen.payload_bytes += len(payload)
        except ShardError as error:
            raise ShardError(str(error).replace(str(path), where)) from error
    if number != shard.records or (wanted is not None and number != len(wanted)):
        raise _other(where, f"{number} records instead of {shard.records if wanted is None else len(wanted)}")
    seen.records += number


def _other(where: str, what: str) -> ShardError:
    return ShardError(f"{where}: {what}; delete this level's folder and run again to rewrite it")


def _check_part(store: Store, folder: str, shard: ShardEntry) -> None:
    key = part_key(folder, shard.name.removesuffix(".tfrecord"))
    if not store.exists(key):
        raise ShardError(f"{store.uri}/{key}: gone; the level is whole without it, but can't be mended: run again after a loss")
    if read_model(store, key, ShardPart).shard != shard:
        raise ShardError(f"{store.uri}/{key}: it describes another shard than the manifest; delete both and run again")


def strangers(keys: Iterable[str], manifests: Iterable[LevelManifest]) -> list[str]:
    """Of `keys`, the shards that no manifest lists."""
    known = set(
        itertools.chain.from_iterable(
            (f"{level_folder(m.dataset, m.codec, m.level)}/{shard.name}" for shard in m.shards()) for m in manifests
        )
    )
    return [key for key in keys if key.endswith(".tfrecord") and key not in known]
