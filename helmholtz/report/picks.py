"""The same few test records at every level: picked once, and read from the shards themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from helmholtz.analysis.table import Run
from helmholtz.analysis.wording import kilohertz, level_label
from helmholtz.errors import BadRecord
from helmholtz.levels import Level
from helmholtz.manifest import LevelManifest, level_folder
from helmholtz.shards import read_shard
from helmholtz.storage import Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pick:
    """A chosen test record."""

    shard: str
    key: str
    label: int


@dataclass(frozen=True, slots=True)
class Shown(Generic[T]):
    """Picked records at every level that is written, least compressed first."""

    names: tuple[str, ...]  # class of each record
    levels: dict[Level, tuple[T | None, ...]]  # each record; None where it is damaged, or the level has none of that key

    @property
    def lacking(self) -> str | None:
        """Why there is nothing to show, or None if there is something."""
        if not self.levels:
            return "No level is written yet."
        return None if self.names else "The test split is empty."


def read_picks(store: Store, run: Run, count: int, convert: Callable[[bytes], T]) -> Shown[T]:
    """Up to `count` test records, picked by the split's seed; `convert` makes of a payload what is shown of it.

    Where it raises BadRecord the record is missing. `count` is 1 or more.
    """
    levels = [level for level in run.extended.all_levels if level in run.manifests]
    if not levels:
        return Shown((), {})
    first = run.manifests[levels[0]]
    picks = pick(store, first, run.experiment.dataset.split_seed, count)
    return Shown(
        tuple(first.classes[p.label] for p in picks),
        {level: _read(store, run.manifests[level], picks, convert) for level in levels},
    )


def pick(store: Store, manifest: LevelManifest, seed: int, count: int) -> list[Pick]:
    """Up to `count` test records, by hash of seed and key, going round the classes.

    Reads shards only until every class (or `count` of them) has been seen and `count` records are there.
    """
    by_label: dict[int, list[tuple[str, Pick]]] = {}
    for shard, key, label, _ in _records(store, manifest, [entry.name for entry in manifest.splits["test"].shards]):
        seen = sum(len(found) for found in by_label.values())
        started = any(p.shard == shard for found in by_label.values() for _, p in found)
        if not started and len(by_label) >= min(count, len(manifest.classes)) and seen >= count:
            break
        found = by_label.setdefault(label, [])
        found.append((_hash(seed, key), Pick(shard, key, label)))
        found.sort(key=lambda item: item[0])
        del found[count:]
    order = sorted(by_label, key=lambda label: _hash(seed, manifest.classes[label]))
    rounds = [by_label[label][turn][1] for turn in range(count) for label in order if turn < len(by_label[label])]
    return sorted(rounds[:count], key=lambda p: (p.label, p.key))


def level_facts(run: Run, level: Level) -> tuple[str, str]:
    """A written level's label, and what it takes in the test split, in lines: bytes a record, bits a sample, coded rates."""
    manifest = run.manifests[level]
    split = manifest.splits["test"]
    facts = [
        f"{split.payload_bytes / max(1, split.records):,.0f} bytes",
        f"{split.coded_bits / max(1, split.samples):.2f} bits a {run.codec.sample}",
        *([f"coded at {kilohertz(manifest.coded_rates)}"] if manifest.coded_rates else []),
    ]
    return level_label(run, level), "\n".join(facts)


def unwritten(run: Run) -> str:
    """A sentence for the caption about the levels that can't be shown yet; empty where there are none."""
    names = [level_label(run, level) for level in run.extended.all_levels if level not in run.manifests]
    return f" Not written yet: {', '.join(names)}." if names else ""


def short(name: str, longest: int = 12) -> str:
    """A class name on one line, cut to `longest` characters."""
    line = " ".join(name.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _hash(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed}:{text}".encode()).hexdigest()


def _records(store: Store, manifest: LevelManifest, names: Sequence[str]) -> Iterator[tuple[str, str, int, bytes]]:
    """(shard, key, label, payload) of each record of the named shards, one shard downloaded at a time."""
    folder = level_folder(manifest.dataset, manifest.codec, manifest.level)
    with store.scratch() as scratch:
        for name in names:
            path = scratch / "shard"
            store.download(f"{folder}/{name}", path)
            for key, label, payload in read_shard(path):
                yield name, key, label, payload


def _read(store: Store, manifest: LevelManifest, picks: Sequence[Pick], convert: Callable[[bytes], T]) -> tuple[T | None, ...]:
    there = {entry.name for entry in manifest.splits["test"].shards}
    wanted = {p.key for p in picks}
    found: dict[str, T] = {}
    for _, key, _, payload in _records(store, manifest, sorted({p.shard for p in picks} & there)):
        if key in wanted:
            try:
                found[key] = convert(payload)
            except BadRecord:
                continue  # it shows as missing
    return tuple(found.get(p.key) for p in picks)
