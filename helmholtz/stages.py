"""The pipeline's stages as plain functions of strings and numbers: what a component calls, and nothing knows kfp.

A stage gets the run root and the resolved experiment as JSON, does its part through the library, and leaves everything in
the root. Each can be run again at any time: what is whole is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Literal

from helmholtz.attempts import attempt, lacking_sentence
from helmholtz.errors import StorageError, TrainingError
from helmholtz.experiment import Experiment
from helmholtz.levels import parse_level
from helmholtz.published import PAGE, note_published
from helmholtz.refinement import Refinement, read_refinement
from helmholtz.results import finished_result, progress_key, result_key
from helmholtz.storage import Store, open_store
from helmholtz.stored import Model, read_model
from helmholtz.trials import Trial, trials


class Plan(Model):
    """``plans/<hash of the experiment>.json``: an experiment, resolved, and the data set that it found."""

    format: Literal[1] = 1
    experiment: Experiment
    dataset: str  # fingerprint

    @property
    def key(self) -> str:
        """Where it lies in the run root."""
        return plan_key(self.experiment)

    @property
    def id(self) -> str:
        """Its name in the pipeline: changes with the experiment and with the data, so a cached task is never a wrong one."""
        return f"{_hash(self.experiment)}-{self.dataset}"


def _hash(experiment: Experiment) -> str:
    """Of all that a plan depends on: not of where the run's pods are, which may change between two attempts."""
    content = experiment.model_dump(mode="json", exclude={"resources", "cluster"})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def plan_key(experiment: Experiment) -> str:
    """Key of the plan of `experiment`."""
    return f"plans/{_hash(experiment)}.json"


def find_plan(store: Store, experiment: Experiment) -> Plan | None:
    """The plan of this experiment, or None if it hasn't been planned in this root."""
    key = plan_key(experiment)
    return read_model(store, key, Plan) if store.exists(key) else None


def find_refinement(store: Store, planned: Plan) -> Refinement | None:
    """What refinement was last known to ask for, or None before its first round. For show: see `helmholtz.refinement`."""
    from helmholtz.codecs import open_codec

    key = _refinement_key(planned.experiment)
    found = read_refinement(store, key, planned.dataset)
    try:
        for level in found.levels if found else ():
            open_codec(planned.experiment).check(level)
    except ValueError as error:
        raise StorageError(f"{store.uri}/{key}: rounds: {error}; delete it and run again") from error
    return found


def _refinement_key(experiment: Experiment) -> str:
    return f"plans/{_hash(experiment)}-refinement.json"


def read_plan(store: Store, plan_id: str) -> Plan:
    """The plan of that id. Raises StorageError if the data set has changed since."""
    found = read_model(store, f"plans/{plan_id.split('-')[0]}.json", Plan)
    if found.id != plan_id:
        raise StorageError(f"{store.uri}: planned anew while this run was under way, with data set {found.dataset}; run again")
    return found


def latest_plan(store: Store) -> Plan:
    """The plan that was made last in this root."""
    if not store.exists("experiment.json"):
        raise StorageError(f"{store.uri}: no run here (no experiment.json); give the --root of a `helmholtz run`")
    return read_model(store, "experiment.json", Plan)


def plan(root: str, experiment: Experiment) -> str:
    """Lists and splits the data set. Returns the plan's id."""
    from helmholtz.dataset import index_dataset

    store = open_store(root)
    store.tidy()
    index = index_dataset(store, experiment.dataset)
    made = Plan(experiment=experiment, dataset=index.fingerprint)
    for key in (made.key, "experiment.json"):
        store.write_bytes(key, made.model_dump_json(indent=2).encode())
    counts = ", ".join(f"{count} {split}" for split, count in index.records.items())
    print(f"data set {index.fingerprint}: {index.description}; {counts} records in {len(index.classes)} classes")
    return made.id


def compress(root: str, plan_id: str) -> list[dict[str, str]]:
    """Makes every level of the data set whole. Returns the cells that still lack a finished trial.

    A cell is one train task: the plan's id, an architecture and a level.
    """
    from helmholtz.codecs import open_codec
    from helmholtz.compress import compress as compress_levels
    from helmholtz.dataset import read_index

    store = open_store(root)
    planned = read_plan(store, plan_id)
    for level, manifest in compress_levels(store, planned.experiment, read_index(store, planned.dataset)).items():
        bits = manifest.payload_bits_per_sample
        print(f"level {level}: {manifest.payload_bytes} bytes, {bits:.3f} bits per {manifest.sample}")
    wanted = trials(planned.experiment, planned.dataset, open_codec(planned.experiment).identity)
    lacking = [trial for trial in wanted if finished_result(store, trial) is None]
    print(f"{len(lacking)} of {len(wanted)} trials to train, the others are kept")
    return _cells(store, plan_id, lacking)


def refine(root: str, plan_id: str) -> list[dict[str, str]]:
    """Asks for the next levels around the drop, and compresses them. Returns their cells; none where nothing is left to ask."""
    from helmholtz.analysis.refined_run import read_refined_run
    from helmholtz.codecs import open_codec
    from helmholtz.compress import compress as compress_levels
    from helmholtz.dataset import read_index

    store = open_store(root)
    planned = read_plan(store, plan_id)
    run = read_refined_run(store, planned.experiment, planned.dataset)
    lacking = [trial for trial, result in run.results if result is None]
    asked = run.refinement
    if asked is None:
        print("not refined: not all of the experiment's own trials are finished")
        return []
    rounds = planned.experiment.refine.rounds
    known = asked.model_copy(update={"last": not lacking or len(asked.rounds) == rounds})
    store.write_bytes(_refinement_key(planned.experiment), known.model_dump_json(indent=2).encode())
    if not lacking:
        print(f"nothing left to refine, after {len(asked.rounds)} of {rounds} rounds")
        return []
    names = ", ".join(open_codec(planned.experiment).label(level) for level in asked.rounds[-1])
    print(f"refining architecture {asked.architecture}: round {len(asked.rounds)} of {rounds}: {names}")
    compress_levels(store, run.extended, read_index(store, planned.dataset))
    return _cells(store, plan_id, lacking)


def _cells(store: Store, plan_id: str, lacking: Sequence[Trial]) -> list[dict[str, str]]:
    for trial in lacking:
        if store.exists(progress_key(trial.id)):  # of a run that was stopped: it tells anew when it goes on
            store.write_bytes(progress_key(trial.id), b'{"epoch": 0}')
    cells = dict.fromkeys((trial.architecture, str(trial.level)) for trial in lacking)
    return [{"plan": plan_id, "architecture": architecture, "level": level} for architecture, level in cells]


def train(
    root: str,
    plan_id: str,
    architecture: str,
    level: str,
    run_id: str = "",
    attempts: int = 1,
    pause: float | None = None,
) -> None:
    """Trains one architecture at one level, all seeds.

    A cell that fails `attempts` times in the run `run_id` is left to `analyse` to tell of; for `pause` see
    `helmholtz.attempts`. Without a run to count for, it raises what went wrong.
    """
    store = open_store(root)

    def train_seeds() -> None:
        from helmholtz.training.trial import run_cell

        planned = read_plan(store, plan_id)
        threads = int(os.environ.get("HELMHOLTZ_THREADS", 0)) or None
        for result in run_cell(store, planned.experiment, planned.dataset, architecture, parse_level(level), threads=threads):
            accuracy = "no accuracy" if result.test_accuracy is None else f"test accuracy {result.test_accuracy:.4f}"
            print(f"trial {result.trial}: {result.status}, {accuracy}")

    if run_id:
        attempt(store, run_id, (plan_id, architecture, level), attempts, train_seeds, pause=pause)
    else:
        train_seeds()


def analyse(root: str, plan_id: str, run_id: str = "") -> dict[str, float]:
    """Analyses what trials there are. Returns headline metrics for the Kubeflow UI.

    Raises TrainingError, after writing the analysis, where trials lack a result: the run isn't what was asked for.
    """
    from helmholtz.codecs import open_codec
    from helmholtz.report.publish import analyse as analyse_run

    store = open_store(root)
    planned = read_plan(store, plan_id)
    report = analyse_run(store, planned.experiment, planned.dataset)
    print(report.recommendation.sentence)
    refinement = find_refinement(store, planned)
    wanted = trials(
        refinement.extend(planned.experiment) if refinement else planned.experiment,
        planned.dataset,
        open_codec(planned.experiment).identity,
    )
    finished = set(store.list("trials"))
    unlisted = [trial for trial in wanted if result_key(trial.id) not in finished]
    lacking = [trial for trial in unlisted if not store.exists(result_key(trial.id))]  # some stores' listings lag behind
    if lacking:
        raise TrainingError(lacking_sentence(store, run_id, plan_id, lacking, len(wanted)))
    return report.metrics()


def publish(root: str, experiment: Experiment, run_id: str = "") -> tuple[str, str, str]:
    """Publishes the report and TensorBoard logs of what there is, and notes which report is that of the run `run_id`.

    Returns the HTML page, the recommendation, and the table of trials as Markdown.
    """
    from helmholtz.report.publish import publish as publish_run
    from helmholtz.report.trial_table import trial_table

    store = open_store(root)
    planned = find_plan(store, experiment)
    if planned is None:
        return (
            "<p>The plan stage did not finish: there is nothing to report.</p>",
            "Nothing to report: the plan stage did not finish.",
            "",
        )
    report = publish_run(store, experiment, planned.dataset, only_if_changed=True)
    table = trial_table(store.read_bytes("report/curves.csv").decode())
    page = store.read_bytes(PAGE)
    if run_id:
        note_published(store, run_id, page)
    return page.decode(), report.recommendation.sentence, table
