"""How far a run is, read from its root: works for a run on this machine as for one on a cluster."""

from __future__ import annotations

import json
from dataclasses import dataclass

from helmholtz.codecs import open_codec
from helmholtz.codecs.base import Codec
from helmholtz.dataset import read_index
from helmholtz.errors import HelmholtzError
from helmholtz.experiment import Experiment
from helmholtz.manifest import level_folder
from helmholtz.refinement import Refinement
from helmholtz.results import progress_key, result_key
from helmholtz.stages import Plan, find_plan, find_refinement
from helmholtz.storage import Store
from helmholtz.trials import trials


@dataclass(frozen=True, slots=True)
class Progress:
    """Work done and work planned, in shards (one a level), trials and epochs."""

    shards: int
    shards_total: int
    trials: int
    trials_total: int
    epochs: float
    epochs_total: int
    refining: str  # what refinement is at, e.g. "round 2 of 4, quality 17"; empty before its first round
    more: bool  # refinement may still ask for more than is counted here


def finished_pieces(store: Store) -> frozenset[str]:
    """Keys of all finished shards and trials in this root, whatever experiment they belong to."""
    keys = [*store.list("data"), *store.list("trials")]
    return frozenset(key for key in keys if "/parts/" in key or key.endswith("/result.json"))


def count_reused(store: Store, experiment: Experiment, earlier: frozenset[str]) -> tuple[int, int]:
    """How many (shards, trials) of this planned experiment are among the `earlier` finished pieces."""
    planned = find_plan(store, experiment)
    if planned is None:
        return 0, 0
    experiment = _extended(store, planned)
    codec = open_codec(experiment).identity
    names = [name for _, name in read_index(store, planned.dataset).shard_names()]
    folders = [level_folder(planned.dataset, codec, level) for level in experiment.all_levels]
    shards = sum(f"{folder}/parts/{name}.json" in earlier for folder in folders for name in names)
    return shards, sum(result_key(trial.id) in earlier for trial in trials(experiment, planned.dataset, codec))


def read_progress(store: Store, experiment: Experiment) -> Progress | None:
    """The progress of `experiment` in this root, or None until it is planned."""
    planned = find_plan(store, experiment)
    if planned is None:
        return None
    refinement = find_refinement(store, planned)
    experiment = _extended(store, planned)
    codec = open_codec(experiment)
    index = read_index(store, planned.dataset)
    shards = [name for _, name in index.shard_names()]
    written = 0
    for level in experiment.all_levels:
        folder = level_folder(index.fingerprint, codec.identity, level)
        if store.exists(f"{folder}/manifest.json"):
            written += len(shards)
        else:
            written += sum(store.exists(f"{folder}/parts/{name}.json") for name in shards)
    finished, epochs = 0, 0.0
    planned_trials = trials(experiment, index.fingerprint, codec.identity)
    for trial in planned_trials:
        if store.exists(result_key(trial.id)):
            finished += 1
            epochs += experiment.training.epochs
        else:
            epochs += _epochs(store, trial.id)
    return Progress(
        shards=written,
        shards_total=len(shards) * len(experiment.all_levels),
        trials=finished,
        trials_total=len(planned_trials),
        epochs=epochs,
        epochs_total=len(planned_trials) * experiment.training.epochs,
        refining=_refining(codec, experiment, refinement),
        more=bool(experiment.refine.rounds) and not (refinement and refinement.last),
    )


def _extended(store: Store, planned: Plan) -> Experiment:
    """The planned experiment with the levels that refinement has asked for so far."""
    refinement = find_refinement(store, planned)
    return refinement.extend(planned.experiment) if refinement else planned.experiment


def _refining(codec: Codec, experiment: Experiment, refinement: Refinement | None) -> str:
    if refinement is None or not refinement.rounds:
        return ""
    levels = ", ".join(codec.label(level) for level in refinement.rounds[-1])
    return f"round {len(refinement.rounds)} of {experiment.refine.rounds}, {levels}"


def _epochs(store: Store, trial: str) -> float:
    key = progress_key(trial)
    if not store.exists(key):
        return 0.0
    try:
        return float(json.loads(store.read_bytes(key))["epoch"])
    except (HelmholtzError, ValueError, KeyError, TypeError):
        return 0.0  # being replaced, or of another make: progress is only for show
