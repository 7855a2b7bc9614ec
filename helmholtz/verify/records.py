"""A data set's lists: every record once, in one split, with no content in two, and of the fingerprint they are filed under."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from helmholtz.dataset import DatasetIndex, fingerprint, read_index, read_records, read_rejected, read_test_groups, records_key
from helmholtz.errors import HelmholtzError
from helmholtz.experiment import Dataset
from helmholtz.sources.base import Split
from helmholtz.storage import Store
from helmholtz.verify.findings import Findings

ONE_GROUP = "give such records one group (dataset.group), in a new run: networks flatter themselves on what they have seen"
AGAIN = "run the experiment again, which lists the source anew and mends it"


@dataclass(frozen=True, slots=True)
class Listed:
    """What the lists of a data set say, for those who check what was made of it."""

    index: DatasetIndex
    readable: frozenset[str]  # names of the shards whose lists can be read


def check_dataset(store: Store, name: str, dataset: Dataset | None, found: Findings) -> Listed | None:
    """Checks the lists below ``data/<name>``; None if there is no telling what belongs there.

    `dataset` are the options they were made with, which the fingerprint depends on; without them it isn't checked.
    """
    try:
        index = read_index(store, name)
    except HelmholtzError as error:
        found.add(f"data/{name}/dataset.json", f"can't be read ({error})", AGAIN)
        return None
    found.checked["data sets"] += 1
    if index.fingerprint != name:
        found.add(f"{index.folder}/dataset.json", f"is of data set {index.fingerprint}, and lies in data/{name}", AGAIN)
        return None
    readable = _check_lists(store, index, found)
    with found.catching():
        rejected = len(read_rejected(store, index))
        if rejected != index.rejected:
            found.add(f"{index.folder}/rejected.jsonl", f"{rejected} records instead of {index.rejected}", AGAIN)
    with found.catching():
        groups = read_test_groups(store, name, ())
        if (len(groups), len(set(groups.tolist()))) != (index.records["test"], index.groups["test"]):
            counts = f"{len(groups)} records in {len(set(groups.tolist()))} groups"
            wanted = f"{index.records['test']} in {index.groups['test']}"
            found.add(f"{index.folder}/test-groups.json", f"{counts} instead of {wanted}", AGAIN)
    if dataset is not None and len(readable) == sum(index.shards.values()):
        with found.catching():
            rejected_lines = store.read_bytes(f"{index.folder}/rejected.jsonl")
            made = fingerprint(index.classes, dataset, _contents(store, index), rejected_lines)
            if made != name:
                found.add(f"{index.folder}/records", f"the lists are those of data set {made}", AGAIN)
    return Listed(index, readable)


def _contents(store: Store, index: DatasetIndex) -> Iterator[tuple[Split, bytes]]:
    for split, name in index.shard_names():
        yield split, store.read_bytes(records_key(index, name))


def _check_lists(store: Store, index: DatasetIndex, found: Findings) -> frozenset[str]:
    """Of one data set 32 bytes a record are held at once, for its key and its content."""
    keys: dict[int, Split] = {}
    contents: dict[int, Split] = {}
    counts = dict.fromkeys(index.records, 0)
    readable = set()
    for split, shard in index.shard_names():
        where = records_key(index, shard)
        with found.catching():
            records = read_records(store, index, shard)
            readable.add(shard)
            counts[split] += len(records)
            found.checked["records"] += len(records)
            for record in records:
                name, key, content = json.dumps(record.key), hash(record.key), hash(record.digest)
                if not 0 <= record.label < len(index.classes):
                    found.add(where, f"{name} has label {record.label} of {len(index.classes)} classes", AGAIN)
                if key in keys:
                    found.add(where, f"{name} is listed twice, in {keys[key]} and {split}", AGAIN)
                if contents.get(content, split) != split:
                    found.add(where, f"the content of {name} is in the {contents[content]} split, too", ONE_GROUP)
                keys[key] = contents[content] = split
    for split, count in counts.items():
        if count != index.records[split] and len(readable) == sum(index.shards.values()):
            found.add(f"{index.folder}/dataset.json", f"{count} {split} records are listed, not {index.records[split]}", AGAIN)
    return frozenset(readable)
