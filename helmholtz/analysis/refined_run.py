"""A run with its refinement, worked out from the trials that are finished."""

from __future__ import annotations

from helmholtz.analysis.noninferiority import Walk
from helmholtz.analysis.refine import Rounds, follow
from helmholtz.analysis.table import Run, leading_architecture, read_run, rows
from helmholtz.analysis.walks import walk_of
from helmholtz.experiment import Experiment
from helmholtz.refinement import Refinement
from helmholtz.storage import Store


def read_refined_run(store: Store, experiment: Experiment, dataset: str) -> Run:
    """Reads what there is, with the levels that refinement asks for by now, whether they are trained or not.

    It asks for none before the experiment's own trials are finished. `dataset` is the data set's fingerprint. Raises
    StorageError or ShardError for files that are there but aren't what they should be.
    """
    run = read_run(store, experiment, dataset)
    if not experiment.refine.rounds or _unfinished(run):
        return run
    leading = leading_architecture(rows(run), experiment.architectures)

    def read(asked: Rounds) -> Run:
        refinement = Refinement(dataset=dataset, architecture=leading, rounds=asked)
        return read_run(store, experiment, dataset, refinement=refinement, known=run)

    def tested(asked: Rounds) -> Walk | None:
        nonlocal run
        run = read(asked)
        return None if _unfinished(run) else walk_of(run, rows(run), leading)

    return read(follow(run.codec, experiment.refine, tested))


def _unfinished(run: Run) -> bool:
    return any(result is None for _, result in run.results)
