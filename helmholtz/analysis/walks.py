"""The walk of one architecture through a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from helmholtz.analysis.answers import Answers, read_answers
from helmholtz.analysis.noninferiority import Walk, walk
from helmholtz.analysis.refine import confidences, with_rounds
from helmholtz.analysis.table import Row, Run
from helmholtz.levels import Level
from helmholtz.manifest import LevelManifest


def walk_of(run: Run, table: Sequence[Row], architecture: str) -> Walk:
    """Of `architecture` through the experiment's levels and, if it is the one that is refined, those of refinement.

    `table` are the run's rows.
    """
    accuracies = accuracies_of(table, architecture)
    diverged = Counter(row.level for row in table if row.architecture == architecture and row.status == "diverged")
    experiment, refined = run.experiment, run.refinement
    asked = refined.rounds if refined and refined.architecture == architecture else ()
    return walk(
        architecture,
        accuracies,
        with_rounds(experiment.levels, asked),
        seeds=experiment.seeds,
        chance=_chance(run),
        margin=experiment.analysis.margin,
        confidence=experiment.analysis.confidence,
        required=confidences(run.codec, experiment.refine, experiment.levels, experiment.analysis.confidence),
        diverged=diverged,
        test_records=_effective_groups(run),
        answers=answers_of(table, architecture),
    )


def accuracies_of(table: Sequence[Row], architecture: str) -> dict[Level, dict[int, float]]:
    """Test accuracies of `architecture`: level -> seed -> 0..1."""
    accuracies: dict[Level, dict[int, float]] = {}
    for row in table:
        if row.architecture == architecture and row.test_accuracy is not None:
            accuracies.setdefault(row.level, {})[row.seed] = row.test_accuracy
    return accuracies


def answers_of(table: Sequence[Row], architecture: str) -> dict[Level, Answers]:
    """Right answers of `architecture` in the test set, by level."""
    packed: dict[Level, dict[int, str]] = {}
    sizes = ""
    for row in table:
        if row.architecture == architecture and row.test_right is not None and row.test_groups is not None:
            packed.setdefault(row.level, {})[row.seed] = row.test_right
            sizes = row.test_groups
    return {level: read_answers(by_seed, sizes) for level, by_seed in packed.items()}


def tested_records(run: Run) -> int | None:
    """Records of the test split, or None while no level is written."""
    manifest: LevelManifest | None = next(iter(run.manifests.values()), None)
    return manifest.splits["test"].records if manifest and "test" in manifest.splits else None


def tested_groups(run: Run) -> int | None:
    """Groups that the test records come from, or None while no level is written.

    What the test set's luck is judged by: the records of a group are alike (takes of one note, patches of one photograph), a
    network is right or wrong with them together, and a test set of few groups is a small one.
    """
    return tested_records(run) if run.test_groups is None else len(np.unique(run.test_groups))


def _effective_groups(run: Run) -> int | None:
    """As many groups of equal size as have the luck that these have: fewer where some are large and many small."""
    if run.test_groups is None:
        return tested_records(run)
    sizes = np.bincount(run.test_groups)
    return max(1, int(sizes.sum() ** 2 / (sizes**2).sum()))


def _chance(run: Run) -> float:
    """Accuracy of always answering the test split's most frequent class; 1 / classes where they are balanced."""
    manifest: LevelManifest | None = next(iter(run.manifests.values()), None)
    share = manifest.splits["test"].most_frequent if manifest and "test" in manifest.splits else None
    return share if share is not None else max((1 / result.classes for _, result in run.results if result), default=0.0)
