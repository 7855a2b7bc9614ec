"""The pipeline's stages as plain functions of strings and numbers: what a component calls, and nothing knows kfp.

A stage gets the run root and the resolved experiment as JSON, does its part through the library, and leaves everything in
the root. Each can be run again at any time: what is whole is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from helmholtz.errors import HelmholtzError, StorageError
from helmholtz.experiment import Experiment
from helmholtz.experiment_file import parse_experiment
from helmholtz.levels import parse_level
from helmholtz.manifest import Model
from helmholtz.results import read_result
from helmholtz.storage import Store, open_store
from helmholtz.trials import trials

ERROR = "helmholtz: error: "  # starts the line that says why a stage failed; always its last

# Pipeline parameters that override a key of the experiment, where they aren't empty or 0.
PARAMETERS = {
    "dataset_path": "dataset.path",
    "dataset_limit": "dataset.limit",
    "levels": "levels",
    "architectures": "architectures",
    "seeds": "seeds",
    "epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "margin": "analysis.margin",
    "confidence": "analysis.confidence",
}


class Plan(Model):
    """``plans/<id>.json``: the data set that an experiment resolved to."""

    format: Literal[1] = 1
    experiment: dict[str, Any]
    dataset: str  # fingerprint


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Ends the process with one clear sentence, and status 1, where the library raises an error meant for the user."""
    try:
        yield
    except HelmholtzError as error:
        print(f"{ERROR}{error}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None


def resolve(experiment: str, parameters: Mapping[str, str | int | float]) -> Experiment:
    """The experiment in the text (YAML, JSON, or a bundled name), with the pipeline's parameters applied."""
    overrides = [f"{PARAMETERS[name]}={_as_list(name, value)}" for name, value in parameters.items() if value]
    if "\n" not in experiment and not experiment.lstrip().startswith("{"):
        from helmholtz.experiment_file import load_experiment

        return load_experiment(experiment, overrides)
    return parse_experiment(experiment, overrides, where="parameter experiment")


def _as_list(name: str, value: str | int | float) -> str | int | float:
    """Lists may be written as in the user interface: ``none, 75, 25`` as well as ``[none, 75, 25]``."""
    if name in ("levels", "architectures") and isinstance(value, str) and not value.strip().startswith("["):
        return f"[{value}]"
    return value


def plan_id(experiment: Experiment) -> str:
    """Name of the plan file: a hash of the resolved experiment."""
    return hashlib.sha256(experiment.to_json().encode()).hexdigest()[:16]


def read_plan(store: Store, experiment: Experiment) -> Plan | None:
    """The plan of this experiment, or None if it hasn't been planned in this root."""
    key = f"plans/{plan_id(experiment)}.json"
    if not store.exists(key):
        return None
    try:
        return Plan.model_validate_json(store.read_bytes(key))
    except ValueError as error:
        raise StorageError(f"{store.uri}/{key}: not a plan; delete it and run again") from error


def plan(root: str, experiment: Experiment) -> tuple[str, list[dict[str, str]]]:
    """Indexes the data set. Returns its fingerprint and the (architecture, level) cells that still lack a finished trial."""
    from helmholtz.codecs import open_codec
    from helmholtz.dataset import index_dataset

    store = open_store(root)
    index = index_dataset(store, experiment.dataset)
    record = Plan(experiment=experiment.model_dump(mode="json"), dataset=index.fingerprint).model_dump_json(indent=2).encode()
    store.write_bytes(f"plans/{plan_id(experiment)}.json", record)
    store.write_bytes("experiment.json", record)
    todo: dict[tuple[str, str], int] = {}
    planned = trials(experiment, index.fingerprint, open_codec(experiment).identity)
    for trial in planned:
        if read_result(store, trial.id) is None:
            cell = (trial.architecture, str(trial.level))
            todo[cell] = todo.get(cell, 0) + 1
    print(
        f"data set {index.fingerprint}: {index.description}; {sum(index.records.values())} records in "
        f"{len(index.classes)} classes; {sum(todo.values())} of {len(planned)} trials to train, the others are kept"
    )
    return index.fingerprint, [{"architecture": architecture, "level": level} for architecture, level in todo]


def compress(root: str, experiment: str, dataset: str) -> None:
    """Makes every level of the data set whole."""
    from helmholtz.compress import compress as compress_levels
    from helmholtz.dataset import read_index

    store = open_store(root)
    resolved = Experiment.model_validate_json(experiment)
    for level, manifest in compress_levels(store, resolved, read_index(store, dataset)).items():
        print(f"level {level}: {manifest.payload_bytes} bytes, {manifest.bits_per_sample:.3f} bits per {manifest.sample}")


def train(root: str, experiment: str, dataset: str, architecture: str, level: str) -> None:
    """Trains one architecture at one level, all seeds."""
    from helmholtz.training.trial import run_cell

    store = open_store(root)
    resolved = Experiment.model_validate_json(experiment)
    for result in run_cell(store, resolved, dataset, architecture, parse_level(level)):
        accuracy = "no accuracy" if result.test_accuracy is None else f"test accuracy {result.test_accuracy:.4f}"
        print(f"trial {result.trial}: {result.status}, {accuracy}")


def analyse(root: str, experiment: str, dataset: str) -> dict[str, float]:
    """Analyses what trials there are. Returns headline metrics for the Kubeflow UI."""
    from helmholtz.report.publish import analyse as analyse_run

    report = analyse_run(open_store(root), Experiment.model_validate_json(experiment), dataset)
    print(report.recommendation.sentence)
    return report.metrics()


def publish(root: str, experiment: Experiment) -> tuple[str, str]:
    """Publishes the report and TensorBoard logs of what there is. Returns the HTML page and the recommendation."""
    from helmholtz.report.publish import publish as publish_run

    store = open_store(root)
    planned = read_plan(store, experiment)
    if planned is None:
        return (
            "<p>The plan stage did not finish: there is nothing to report.</p>",
            "Nothing to report: the plan stage did not finish.",
        )
    report = publish_run(store, experiment, planned.dataset)
    return store.read_bytes("report/report.html").decode(), report.recommendation.sentence
