"""What one architecture does at one level, over its seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from helmholtz.analysis.answers import read_answers
from helmholtz.analysis.estimate import Documented, Estimate, estimate
from helmholtz.analysis.prices import training_cost
from helmholtz.analysis.table import Row, Run
from helmholtz.levels import Level


class CellSummary(Documented):
    """One architecture at one level, over its seeds."""

    architecture: str
    """The architecture."""
    level: Level
    """The level."""
    quantisation: float
    """Relative quantisation Q, 0..1."""
    parameters: int | None
    """Parameters, trainable and not; null before the first result."""
    multiply_accumulates: int | None
    """Of one forward pass over one record."""
    complete: int
    """Trials that were trained and tested."""
    diverged: int
    """Trials that diverged: they have no accuracy."""
    missing: int
    """Trials without a result so far."""
    test_accuracy: Estimate
    """Over the complete trials, fractions; its interval also holds the luck with the test records."""
    validation_accuracy: Estimate
    """At the epoch it chose, over the complete trials; fractions."""
    epochs_to_converge: Estimate
    """Over the complete trials; values of trials not seen to converge within the budget count as they are, as lower bounds."""
    not_converged: int
    """Complete trials that were not seen to converge: still rising at the end of the budget, or that was below ten epochs."""
    epochs_to_converge_reference: Estimate
    """The reference code's measure, over the trials where it is defined."""
    train_seconds: Estimate
    """Seconds of training alone, over the complete trials."""
    seconds_to_converge: Estimate
    """Of these, seconds until converged (epochs to converge out of the epochs of the budget); lower bounds as those are."""
    cost_to_converge: Estimate | None
    """Money for these seconds, in the currency of the experiment's prices; null without a price."""


def summarise_cell(run: Run, table: Sequence[Row], architecture: str, level: Level) -> CellSummary:
    """What the trials of `architecture` at `level` gave; `table` are the run's rows."""
    mine = [row for row in table if row.architecture == architecture and row.level == level]
    done = [row for row in mine if row.status == "complete"]
    confidence = run.experiment.analysis.confidence

    def over_seeds(column: str, most: float = math.inf) -> Estimate:
        return _possible(estimate([getattr(row, column) for row in done if getattr(row, column) is not None], confidence), most)

    packed = {row.seed: row.test_right for row in done if row.test_right is not None}
    luck = read_answers(packed, done[0].test_groups or "").luck() if packed else None
    accuracies = [row.test_accuracy for row in done if row.test_accuracy is not None]
    spent = [seconds for row in done if (seconds := _seconds_to_converge(run, row)) is not None]
    to_converge = _possible(estimate(spent, confidence))
    return CellSummary(
        architecture=architecture,
        level=level,
        quantisation=run.codec.quantisation(level),
        parameters=next((row.parameters for row in mine if row.parameters is not None), None),
        multiply_accumulates=next((row.multiply_accumulates for row in mine if row.multiply_accumulates is not None), None),
        complete=len(done),
        diverged=sum(row.status == "diverged" for row in mine),
        missing=sum(row.status == "missing" for row in mine),
        test_accuracy=_possible(estimate(accuracies, confidence, luck), 1.0),
        validation_accuracy=over_seeds("validation_accuracy", 1.0),
        epochs_to_converge=over_seeds("epochs_to_converge"),
        not_converged=sum(row.converged is False for row in done),
        epochs_to_converge_reference=over_seeds("epochs_to_converge_reference"),
        train_seconds=over_seeds("train_seconds"),
        seconds_to_converge=to_converge,
        cost_to_converge=training_cost(run.experiment.prices, to_converge),
    )


def _possible(found: Estimate, most: float = math.inf) -> Estimate:
    """Its interval within 0 and `most`: shares, counts and times lie nowhere else."""
    if found.low is None or found.high is None:
        return found
    return found.model_copy(update={"low": max(0.0, found.low), "high": min(most, found.high)})


def _seconds_to_converge(run: Run, row: Row) -> float | None:
    if row.train_seconds is None or row.epochs_to_converge is None:
        return None
    return row.train_seconds * row.epochs_to_converge / run.experiment.training.epochs
