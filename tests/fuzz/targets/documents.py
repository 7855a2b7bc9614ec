"""What a run root holds as JSON: each document, mutated, is refused by who reads it, or is all that it says, in finite numbers.

A case is a line with the document's key in the root, and its content.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from pydantic import BaseModel

from helmholtz import lease
from helmholtz.attempts import Start, lacking_sentence
from helmholtz.codecs import open_codec
from helmholtz.dataset import (
    DatasetIndex,
    ListedRecord,
    TestGroups,
    read_index,
    read_records,
    read_rejected,
    read_test_groups,
)
from helmholtz.export_claim import CLAIM, Claim, claim_of
from helmholtz.export_claim import check as check_claim
from helmholtz.manifest import RejectedEntry, level_folder, read_manifest
from helmholtz.progress import read_progress
from helmholtz.published import PAGE, Published, read_published
from helmholtz.refinement import Refinement
from helmholtz.report.publish import analyse
from helmholtz.report.stored_report import KEY as REPORT
from helmholtz.report.stored_report import read_report
from helmholtz.results import progress_key, read_result, result_key
from helmholtz.shard_compressor import ShardPart, part_key
from helmholtz.stages import Plan, find_plan, find_refinement, latest_plan, plan_key
from helmholtz.storage import Store, open_store
from helmholtz.stored import read_model
from helmholtz.trials import trials
from tests import synthetic_run
from tests.fuzz.engine import empty_folder
from tests.fuzz.target import Refused, Target
from tests.fuzz.trees import mutate_json

RUN = synthetic_run.experiment(levels=["none", 10], seeds=2, refine={"rounds": 1, "levels": 1})
DATASET = synthetic_run.DATASET
CODEC = open_codec(RUN).identity
TRIAL = trials(RUN, DATASET, CODEC)[0]
FOLDER = level_folder(DATASET, CODEC, 10)
PLAN = Plan(experiment=RUN, dataset=DATASET)
INDEX = DatasetIndex(
    fingerprint=DATASET, kind="photographs", description="photographs", classes=("a", "b"),
    records={"train": 2, "validation": 1, "test": 3}, groups={"train": 2, "validation": 1, "test": 2},
    shards={"train": 1, "validation": 1, "test": 1}, unused=0, rejected=1,
)  # fmt: skip
TEST_LIST = f"data/{DATASET}/records/test-00000-of-00001.jsonl"
ATTEMPT = f"attempts/run/train/plan/{TRIAL.architecture}-{TRIAL.level}/0001-ab.json"


@functools.cache
def root() -> dict[str, bytes]:
    """Key -> content of every document of a root."""
    with empty_folder() as folder:
        store = open_store(str(folder))
        synthetic_run.write_run(store, RUN)
        analyse(store, RUN, DATASET)
        manifest = read_manifest(store, DATASET, CODEC, 10)
        shard = next(manifest.shards())
        part = ShardPart(
            shard=shard, per_class=(1, 2), payload_bytes=9, coded_bits=8, samples=7, source_bytes=6, rejected=(),
            double_compressed=0, source_levels={"none": 3}, notes={}, versions={"pillow": "12"},
        )  # fmt: skip
        listed = [ListedRecord(key=f"a/{n}.png", label=0, digest="d" * 32, nbytes=9) for n in range(3)]
        page = Path(__file__).read_bytes()
        claim = claim_of(manifest)
        models: dict[str, BaseModel] = {
            "experiment.json": PLAN,
            plan_key(RUN): PLAN,
            plan_key(RUN).replace(".json", "-refinement.json"): Refinement(dataset=DATASET, architecture="A", rounds=((5,),)),
            f"data/{DATASET}/dataset.json": INDEX,
            f"data/{DATASET}/test-groups.json": TestGroups(groups=(0, 0, 1)),
            part_key(FOLDER, shard.name.removesuffix(".tfrecord")): part,
            ATTEMPT: Start(failure="it failed"),
            "lease/000001.json": lease.Lease(run="other", machine="far away", process=7, beat=0.0, released=True),
            CLAIM: claim,
            "runs/run.json": Published(page=hashlib.sha256(page).hexdigest()),
        }
        written = {key: (folder / key).read_bytes() for key in (f"{FOLDER}/manifest.json", result_key(TRIAL.id), REPORT)}
        lines = {
            TEST_LIST: "".join(each.model_dump_json() + "\n" for each in listed).encode(),
            f"data/{DATASET}/rejected.jsonl": RejectedEntry(key="a/x.png", reason="empty file").model_dump_json().encode(),
            progress_key(TRIAL.id): b'{"epoch": 3, "of": 30}',
        }
        return written | lines | {key: model.model_dump_json().encode() for key, model in models.items()} | {PAGE: page}


def corpus() -> list[bytes]:
    return [f"{key}\n".encode() + content for key, content in root().items() if key != PAGE]


def mutate(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    key, _, content = data.partition(b"\n")
    others = [other.partition(b"\n")[2] for other in corpus[:40]]
    return key + b"\n" + mutate_json(random, content, others)


def check(data: bytes, folder: Path) -> str:
    key, _, content = data.partition(b"\n")
    name = key.decode("utf-8", "replace")
    if name not in root():
        raise Refused("the case names no document")
    for each, other in root().items():
        path = folder / "root" / each
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if each == name else other)
    store = open_store(str(folder / "root"))
    for found in _READ[_kind(name)](store):
        check_finite(found)
    return _kind(name)


def _kind(name: str) -> str:
    if name.endswith("-refinement.json"):
        return "refinement"
    return "part" if "/parts/" in name else next(kind for kind in _READ if kind in name)


def check_finite(value: Any) -> None:
    """That a model, as JSON, is strict JSON, and the same when it is read back; and that a number is one."""
    if isinstance(value, BaseModel):
        text = value.model_dump_json()
        json.dumps(value.model_dump(mode="json"), allow_nan=False)
        assert type(value).model_validate_json(text) == value, "read back it is another"
    elif isinstance(value, np.ndarray):
        assert np.issubdtype(value.dtype, np.integer), "numbers of groups that aren't whole"
    elif isinstance(value, float):
        assert math.isfinite(value), "not finite"


def _taken(store: Store) -> list[Any]:
    found = read_model(store, "lease/000001.json", lease.Lease)
    return [found, lease.take(store, found.run if found.run == "other" else "mine")]


def _progress(store: Store) -> list[Any]:
    found = read_progress(store, RUN)
    assert found is not None
    assert 0 <= found.epochs <= found.epochs_total, "more epochs than there are"
    return [found.epochs]


def _index(store: Store) -> list[Any]:
    index = read_index(store, DATASET)
    names = list(itertools.islice(index.shard_names(), 100_000))
    assert len(names) <= 30_000, "more shards than there may be"
    return [index, read_progress(store, RUN) and None]


_READ: dict[str, Callable[[Store], Sequence[Any]]] = {
    "experiment.json": lambda store: [latest_plan(store)],
    "plans/": lambda store: [find_plan(store, RUN)],
    "refinement": lambda store: [found := find_refinement(store, PLAN), found and found.extend(RUN)],
    "dataset.json": _index,
    "test-groups.json": lambda store: [read_test_groups(store, DATASET, ()), read_test_groups(store, DATASET, {"a/1.png"})],
    "part": lambda store: [read_model(store, part_key(FOLDER, "train-00000-of-00001"), ShardPart)],
    "attempts/": lambda store: [lacking_sentence(store, "run", "plan", [TRIAL], 4)],
    "lease/": _taken,
    CLAIM: lambda store: [check_claim(store, Claim.model_validate_json(root()[CLAIM]))],
    "runs/": lambda store: [read_published(store, "run") and None],
    "manifest.json": lambda store: [
        found := read_manifest(store, DATASET, CODEC, 10), found.ratio_to_source, float(found.coded_bytes),
        *(split.most_frequent for split in found.splits.values()),
    ],
    "result.json": lambda store: [read_result(store, TRIAL.id)],
    REPORT: lambda store: [read_report(store), *read_report(store).metrics().values()],
    "records/": lambda store: read_records(store, INDEX, "test-00000-of-00001"),
    "rejected.jsonl": lambda store: read_rejected(store, INDEX),
    "progress.json": _progress,
}  # fmt: skip

TARGET = Target(corpus, check, mutate, where=("root",), speed=1.5)
