"""The table behind every figure: one row a trial, results joined with the manifests of their levels."""

from __future__ import annotations

import csv
import dataclasses
import io
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from helmholtz.analysis.answers import Integers, in_groups, write_sizes
from helmholtz.codecs import open_codec
from helmholtz.codecs.base import Codec
from helmholtz.dataset import read_test_groups
from helmholtz.errors import StorageError
from helmholtz.experiment import Experiment
from helmholtz.levels import NONE, Level, parse_level, sort_key
from helmholtz.manifest import LevelManifest, check_same_records, level_folder, read_manifest
from helmholtz.refinement import Refinement
from helmholtz.results import TrialResult, finished_result, pack_right, unpack_right
from helmholtz.storage import Store
from helmholtz.trials import Trial, trials

BY_LEVEL = ("tested_at", "right_at")  # fields of a row that are one column a level

READERS = 16  # threads: a bucket answers in tens of milliseconds, and there may be hundreds of results

Status = Literal["complete", "diverged", "missing"]


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a run has left behind so far."""

    experiment: Experiment  # as the user wrote it
    dataset: str  # fingerprint
    codec: Codec
    manifests: dict[Level, LevelManifest]  # levels not written yet are absent
    results: tuple[tuple[Trial, TrialResult | None], ...]  # every trial, those of refinement included, in training order
    refinement: Refinement | None = None
    test_groups: Integers | None = None  # number of each test record's group, in their order; None where each is its own

    @property
    def extended(self) -> Experiment:
        """The experiment with the levels that refinement has asked for."""
        return self.refinement.extend(self.experiment) if self.refinement else self.experiment


@dataclass(frozen=True, slots=True)
class Row:
    """One trial; the fields are the columns of curves.csv, the last two one a level. None where there is no such value."""

    trial: str  # id
    status: Status
    codec: str  # identity, e.g. "jpeg-420"
    level: Level
    Q: float  # relative quantisation, 0..1
    architecture: str
    parameters: int | None
    multiply_accumulates: int | None  # of one forward pass over one record
    seed: int
    test_accuracy: float | None  # 0..1
    validation_accuracy: float | None  # 0..1, at best_epoch
    best_epoch: int | None
    epochs_to_converge: int | None
    converged: bool | None  # False: epochs_to_converge is only a lower bound
    epochs_to_converge_reference: int | None
    payload_bits_per_sample: float | None  # measured entropy-coded bits a pixel or frame of the level, all splits
    payload_bytes: int | None  # of the level, all splits
    coded_bytes: float | None  # of these, entropy-coded content alone
    source_bytes: int | None  # what the same records take in the source
    bitrate: float | None  # audio: kbit/s realised, mean over the records
    train_records: int | None  # of the level
    validation_records: int | None
    test_records: int | None
    chance: float | None  # 0..1: share of the test records that are of the most frequent class
    train_seconds: float | None
    records_per_second: float | None
    test_groups: str | None  # sizes of the groups of alike test records, in runs: see `analysis.answers.write_sizes`
    test_right: str | None  # which test records it had right, those of a group side by side: see `results.pack_right`
    tested_at: Mapping[Level, float]  # test accuracy by level tested at, its own included; empty without `training.mismatch`
    right_at: Mapping[Level, str]  # likewise, as `test_right`


def read_run(
    store: Store, experiment: Experiment, dataset: str, *, refinement: Refinement | None = None, known: Run | None = None
) -> Run:
    """Reads what there is of `experiment`, and of what `refinement` adds; results that are `known` aren't read again.

    Raises StorageError or ShardError for files that are there but aren't what they should be.
    """
    codec = open_codec(experiment)
    extended = refinement.extend(experiment) if refinement else experiment
    expected = trials(extended, dataset, codec.identity)
    manifests = known.manifests if known else {}
    results = {trial: result for trial, result in known.results if result} if known else {}

    def manifest(level: Level) -> LevelManifest | None:
        if level in manifests:
            return manifests[level]
        there = store.exists(f"{level_folder(dataset, codec.identity, level)}/manifest.json")
        return read_manifest(store, dataset, codec.identity, level) if there else None

    def result(trial: Trial) -> TrialResult | None:
        return results[trial] if trial in results else finished_result(store, trial)

    with ThreadPoolExecutor(READERS) as pool:
        found = dict(zip(extended.all_levels, pool.map(manifest, extended.all_levels), strict=True))
        finished = tuple(zip(expected, pool.map(result, expected), strict=True))
    written = {level: there for level, there in found.items() if there is not None}
    check_same_records(store, written.values())
    groups = known.test_groups if known else _test_groups(store, dataset, next(iter(written.values()), None))
    return Run(experiment, dataset, codec, written, finished, refinement, groups)


def _test_groups(store: Store, dataset: str, manifest: LevelManifest | None) -> Integers | None:
    test = manifest.splits.get("test") if manifest else None
    if manifest is None or test is None:
        return None
    gone = [entry.key for entry in manifest.rejected]
    if test.groups == test.records and not (gone and store.exists(f"data/{dataset}/test-groups.json")):
        return None
    groups = read_test_groups(store, dataset, gone)
    if len(groups) != test.records:
        raise StorageError(f"{store.uri}/data/{dataset}: {len(groups)} test records are listed, but {test.records} are written")
    sizes = np.bincount(groups)
    if (sizes == 1).all():
        return None
    by_size = np.argsort(np.argsort(sizes, kind="stable"), kind="stable")  # a table of their sizes is short then
    return np.asarray(by_size[groups])


def rows(run: Run) -> tuple[Row, ...]:
    """One row a trial, missing ones included, in training order."""
    return tuple(_row(run, trial, result) for trial, result in run.results)


def _row(run: Run, trial: Trial, result: TrialResult | None) -> Row:
    manifest = run.manifests.get(trial.level)
    splits = manifest.splits if manifest else {}
    right_at = _right_at(run, result) if result else {}
    several = len(right_at) > 1
    return Row(
        trial=trial.id,
        status=result.status if result else "missing",
        codec=trial.codec,
        level=trial.level,
        Q=run.codec.quantisation(trial.level),
        architecture=trial.architecture,
        parameters=result.parameters if result else None,
        multiply_accumulates=result.multiply_accumulates if result else None,
        seed=trial.seed,
        test_accuracy=result.test_accuracy if result and result.status == "complete" else None,
        validation_accuracy=result.validation_accuracy if result else None,
        best_epoch=result.best_epoch if result else None,
        epochs_to_converge=result.epochs_to_converge if result else None,
        converged=result.converged if result else None,
        epochs_to_converge_reference=result.epochs_to_converge_reference if result else None,
        payload_bits_per_sample=manifest.payload_bits_per_sample if manifest else None,
        payload_bytes=manifest.payload_bytes if manifest else None,
        coded_bytes=manifest.coded_bytes if manifest else None,
        source_bytes=manifest.source_bytes if manifest else None,
        bitrate=manifest.bitrate if manifest else None,
        train_records=splits["train"].records if "train" in splits else None,
        validation_records=splits["validation"].records if "validation" in splits else None,
        test_records=splits["test"].records if "test" in splits else None,
        chance=splits["test"].most_frequent if "test" in splits else None,
        train_seconds=result.train_seconds if result else None,
        records_per_second=result.records_per_second if result else None,
        test_groups=_test_sizes(run, result.test_records) if result and right_at else None,
        test_right=pack_right(right_at[trial.level]) if right_at else None,
        tested_at={level: float(right.mean()) for level, right in right_at.items()} if several else {},
        right_at={level: pack_right(right) for level, right in right_at.items()} if several else {},
    )


def _right_at(run: Run, result: TrialResult) -> dict[Level, NDArray[np.bool_]]:
    """Level tested at -> right answers, those of a group side by side; the trial's own level first, nothing if it diverged."""
    if result.test_right is None:
        return {}
    if run.test_groups is not None and len(run.test_groups) != result.test_records:
        raise StorageError(
            f"trials/{result.trial}/result.json: tested on {result.test_records} records, where the data set has "
            f"{len(run.test_groups)}; delete it and run again"
        )
    packed = {result.level: result.test_right} | {parse_level(level): found for level, found in result.right_at.items()}
    return {level: in_groups(unpack_right(found, result.test_records), run.test_groups) for level, found in packed.items()}


def _test_sizes(run: Run, records: int) -> str:
    return write_sizes([1] * records if run.test_groups is None else np.bincount(run.test_groups).tolist())


def leading_architecture(table: Sequence[Row], architectures: Sequence[str]) -> str:
    """Of `architectures` the one with the highest mean validation accuracy at none: so the test set doesn't choose."""

    def at_none(architecture: str) -> float:
        values = [
            row.validation_accuracy
            for row in table
            if row.architecture == architecture
            and row.level == NONE
            and row.status == "complete"
            and row.validation_accuracy is not None
        ]
        return statistics.fmean(values) if values else -1.0

    return max(architectures, key=at_none)


def curves_csv(table: Sequence[Row]) -> str:
    """The rows as CSV (RFC 4180, UTF-8, with a header); an empty cell where there is no value.

    With `training.mismatch` the last columns are ``tested_at_none``, ``tested_at_75`` and so on, then ``right_at_none`` ...
    """
    levels = sorted({level for row in table for level in row.tested_at}, key=sort_key)
    names = [field.name for field in dataclasses.fields(Row) if field.name not in BY_LEVEL]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*names, *(f"{name}_{level}" for name in BY_LEVEL for level in levels)])
    for row in table:
        by_level = (getattr(row, name).get(level) for name in BY_LEVEL for level in levels)
        writer.writerow([*(getattr(row, name) for name in names), *by_level])
    return text.getvalue()
