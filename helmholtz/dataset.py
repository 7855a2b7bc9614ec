"""The data set of a run: which records, in which split and shard, under which fingerprint.

`index_dataset` lists a source once, splits it, deals every split's records to shards by a hash of their keys, and writes
the lists below ``data/<fingerprint>/``: ``records/train-00000-of-00008.jsonl`` (one line a record), ``rejected.jsonl``, and
last ``dataset.json``. The fingerprint is a SHA-256 of those lists and of the options that decide what a record becomes. It
depends on content, labels and splits, so moving a folder changes nothing; only between a folder and a bucket it differs,
because an object store's own checksums stand in for the content's.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from helmholtz.control import permuted
from helmholtz.errors import SourceError, StorageError
from helmholtz.experiment import Dataset
from helmholtz.manifest import Count, RejectedEntry
from helmholtz.sources import open_source
from helmholtz.sources.base import SPLITS, Rejected, Source, SourceRecord, Split
from helmholtz.splits import assign_splits
from helmholtz.storage import Store
from helmholtz.stored import Model, read_lines, read_model


class ListedRecord(Model):
    """One line of a shard's record list."""

    key: str
    label: int
    digest: str
    nbytes: int


class TestGroups(Model):
    """``test-groups.json``: which test records are alike, so that luck with one of them is luck with all."""

    __test__ = False  # no pytest class

    groups: tuple[Count, ...]  # number of each test record's group, in the order of the shards

    @model_validator(mode="after")
    def _are_numbered(self) -> Self:
        if self.groups and max(self.groups) >= len(self.groups):  # what counts them makes room for so many
            raise ValueError(f"groups: {len(self.groups)} records can't be in group {max(self.groups)}")
        return self


class DatasetIndex(Model):
    """``dataset.json``: a split data set, ready to be compressed."""

    format: Literal[2] = 2  # 1: records' digests were BLAKE2b
    fingerprint: str
    kind: str
    description: str
    classes: tuple[str, ...]
    records: dict[Split, Count]
    groups: dict[Split, Count]  # distinct groups that these records come from
    shards: dict[Split, Annotated[int, Field(ge=0, le=10_000)]]
    unused: Count  # records in no split: beyond `dataset.limit`, or of a group that a prescribed test split touches
    rejected: Count

    @model_validator(mode="after")
    def _has_every_split(self) -> Self:
        if any(counts.keys() != set(SPLITS) for counts in (self.records, self.groups, self.shards)):
            raise ValueError(f"records, groups and shards: each must tell of {', '.join(SPLITS)}")
        return self

    @property
    def folder(self) -> str:
        """Key of the folder below the run root."""
        return f"data/{self.fingerprint}"

    def shard_names(self) -> Iterator[tuple[Split, str]]:
        """(split, name without ending) of every shard, e.g. ``("train", "train-00000-of-00008")``."""
        for split in SPLITS:
            count = self.shards[split]
            for number in range(count):
                yield split, f"{split}-{number:05d}-of-{count:05d}"


def index_dataset(store: Store, dataset: Dataset) -> DatasetIndex:
    """Lists and splits the data set, and records it below the run root; mends what is damaged there.

    Raises SourceError if the source can't be used or too much of it is unusable.
    """
    index, listing, shards = _index(dataset)
    for key, content in _files(index, listing, shards):
        if not store.exists(key) or store.read_bytes(key) != content:  # not there yet, or damaged since
            store.write_bytes(key, content)
    return index


def preview(dataset: Dataset, sample: int) -> tuple[DatasetIndex, list[str]]:
    """The index without writing anything, and the keys of at most `sample` records, spread over the training split."""
    index, listing, shards = _index(dataset)
    rows = [row for shard in shards["train"] for row in shard]
    return index, [listing.keys[row] for row in rows[:: max(1, len(rows) // sample)][:sample]]


def _index(dataset: Dataset) -> tuple[DatasetIndex, _Listing, dict[Split, list[list[int]]]]:
    source = open_source(dataset)
    listing = _list(source)
    check_rejected(listing.rejected, len(listing.keys) + len(listing.rejected), dataset.max_rejected, "listing the source")
    groups = np.frombuffer(listing.groups, dtype=np.uint64)
    split_of = assign_splits(
        np.frombuffer(listing.labels, dtype=np.int32),
        groups,
        np.frombuffer(listing.prescribed, dtype=np.int8),
        classes=source.classes,
        validation=dataset.validation,
        test=dataset.test,
        seed=dataset.split_seed,
        limit=dataset.limit,
    )
    if dataset.permute_labels:
        labels = permuted(np.frombuffer(listing.labels, dtype=np.int32), split_of, dataset.split_seed)
        listing.labels = array("i", labels.tolist())
    shards = _deal(listing, split_of, dataset)
    index = DatasetIndex(
        fingerprint=fingerprint(
            source.classes,
            dataset,
            ((split, _lines(listing, rows)) for split in SPLITS for rows in shards[split]),
            _rejected_lines(listing),
        ),
        kind=dataset.kind,
        description=source.description,
        classes=source.classes,
        records={split: sum(len(rows) for rows in shards[split]) for split in SPLITS},
        groups={split: len(np.unique(groups[split_of == number])) for number, split in enumerate(SPLITS)},
        shards={split: len(shards[split]) for split in SPLITS},
        unused=int(np.count_nonzero(split_of < 0)),
        rejected=len(listing.rejected),
    )
    return index, listing, shards


def read_index(store: Store, fingerprint: str) -> DatasetIndex:
    """The index written earlier under `fingerprint`."""
    return read_model(store, f"data/{fingerprint}/dataset.json", DatasetIndex)


def read_records(store: Store, index: DatasetIndex, name: str) -> list[ListedRecord]:
    """The records of the shard `name`, in shard order."""
    return read_lines(store, records_key(index, name), ListedRecord)


def records_key(index: DatasetIndex, name: str) -> str:
    """Key of the record list of the shard `name`."""
    return f"{index.folder}/records/{name}.jsonl"


def read_test_groups(store: Store, fingerprint: str, rejected: Collection[str]) -> np.ndarray:
    """Number of the group of each test record, int [records], in the order of the shards, without the `rejected` keys.

    The groups that are left are numbered 0, 1, 2, ...
    """
    groups: np.ndarray = np.array(read_model(store, f"data/{fingerprint}/test-groups.json", TestGroups).groups)
    if not rejected:
        return groups
    index, gone = read_index(store, fingerprint), frozenset(rejected)
    names = (name for split, name in index.shard_names() if split == "test")
    keys = (record.key for name in names for record in read_records(store, index, name))
    stays = np.array([key not in gone for key in keys])
    if len(stays) != len(groups):
        where = f"{store.uri}/data/{fingerprint}/test-groups.json"
        raise StorageError(f"{where}: {len(groups)} groups for {len(stays)} listed records; delete it and run again")
    kept = groups[stays]
    return np.unique(kept, return_inverse=True)[1]


def read_rejected(store: Store, index: DatasetIndex) -> list[RejectedEntry]:
    """The records set aside while listing."""
    return read_lines(store, f"{index.folder}/rejected.jsonl", RejectedEntry)


def check_rejected(rejected: Sequence[Rejected | RejectedEntry], total: int, limit: float, stage: str) -> None:
    """Raises SourceError if more than the stated share of the records was set aside."""
    if rejected and len(rejected) > limit * total:
        shown = "; ".join(f"{r.key}: {r.reason}" for r in rejected[:5])
        more = f"; and {len(rejected) - 5} more" if len(rejected) > 5 else ""
        raise SourceError(
            f"{stage}: {len(rejected)} of {total} records can't be used, more than dataset.max_rejected={limit:g} allows "
            f"({shown}{more}). Mend them, or raise dataset.max_rejected."
        )


@dataclass
class _Listing:
    """A source's records as columns, so that a million of them take little memory."""

    keys: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    labels: array[int] = field(default_factory=lambda: array("i"))
    nbytes: array[int] = field(default_factory=lambda: array("q"))
    groups: array[int] = field(default_factory=lambda: array("Q"))
    prescribed: array[int] = field(default_factory=lambda: array("b"))
    rejected: list[Rejected] = field(default_factory=list)


def _list(source: Source) -> _Listing:
    listing = _Listing()
    for record in source.records():
        if isinstance(record, SourceRecord):
            listing.keys.append(record.key)
            listing.digests.append(record.digest)
            listing.labels.append(record.label)
            listing.nbytes.append(record.nbytes)
            listing.groups.append(_hash(record.digest if record.group is None else record.group))
            listing.prescribed.append(-1 if record.split is None else SPLITS.index(record.split))
        else:
            listing.rejected.append(record)
    if not listing.keys:
        raise SourceError(f"{source.description}: no usable record in it")
    if len(set(listing.keys)) < len(listing.keys):
        raise SourceError(f"{source.description}: two records have the same key")
    return listing


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "little")


def _deal(listing: _Listing, split_of: np.ndarray, dataset: Dataset) -> dict[Split, list[list[int]]]:
    """Rows of each shard of each split. Shard k holds every n-th record in the order of the hashed keys."""
    order = np.fromiter((_hash(key) for key in listing.keys), dtype=np.uint64, count=len(listing.keys))
    train = int(np.count_nonzero(split_of == 0))
    per_shard = max(1, -(-train // dataset.shards))
    shards: dict[Split, list[list[int]]] = {}
    for number, split in enumerate(SPLITS):
        rows = np.flatnonzero(split_of == number)
        rows = rows[np.argsort(order[rows], kind="stable")]
        count = min(len(rows), dataset.shards, max(1, -(-len(rows) // per_shard)))
        shards[split] = [rows[k::count].tolist() for k in range(count)]
    return shards


def _lines(listing: _Listing, rows: list[int]) -> bytes:
    return "".join(
        json.dumps(
            {
                "key": listing.keys[row],
                "label": listing.labels[row],
                "digest": listing.digests[row],
                "nbytes": listing.nbytes[row],
            }
        )
        + "\n"
        for row in rows
    ).encode()


def fingerprint(classes: Sequence[str], dataset: Dataset, lists: Iterable[tuple[Split, bytes]], rejected: bytes) -> str:
    """Of a data set whose shards' record lists, and list of rejected records, have this content; lists in shard order."""
    head = {"format": 2, "classes": classes, "max_pixels": dataset.max_pixels, "noise": dataset.noise}
    sha256 = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for split, content in lists:
        sha256.update(b"\0" + split.encode() + b"\0")
        sha256.update(content)
    sha256.update(b"\0rejected\0" + rejected)
    return sha256.hexdigest()[:16]


def _rejected_lines(listing: _Listing) -> bytes:
    return "".join(json.dumps({"key": r.key, "reason": r.reason}) + "\n" for r in listing.rejected).encode()


def _files(index: DatasetIndex, listing: _Listing, shards: dict[Split, list[list[int]]]) -> Iterator[tuple[str, bytes]]:
    """(key, content) of everything below the data set's folder but its levels; ``dataset.json`` last."""
    rows = (rows for split in SPLITS for rows in shards[split])
    for (_, name), mine in zip(index.shard_names(), rows, strict=True):
        yield records_key(index, name), _lines(listing, mine)
    tested = np.frombuffer(listing.groups, dtype=np.uint64)[[row for mine in shards["test"] for row in mine]]
    groups = np.unique(tested, return_inverse=True)[1]
    yield f"{index.folder}/test-groups.json", TestGroups(groups=tuple(groups.tolist())).model_dump_json().encode()
    yield f"{index.folder}/rejected.jsonl", _rejected_lines(listing)
    yield f"{index.folder}/dataset.json", index.model_dump_json(indent=2).encode()
