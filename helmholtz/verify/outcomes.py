"""Trials and the report: every result is of its trial and its data, and the report says what follows from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from helmholtz import __version__
from helmholtz.analysis.refined_run import read_refined_run
from helmholtz.analysis.summarise import summarise
from helmholtz.analysis.table import curves_csv, rows
from helmholtz.errors import HelmholtzError
from helmholtz.experiment import Experiment
from helmholtz.levels import parse_level
from helmholtz.manifest import LevelManifest
from helmholtz.report.stored_report import KEY, read_report
from helmholtz.results import TrialResult, read_result, result_key
from helmholtz.storage import Store
from helmholtz.trials import Trial
from helmholtz.verify.findings import Findings

TABLE = "report/curves.csv"
TOLERANCE = 1e-6  # relative: the same numbers by other versions of numpy or scipy
RETRAIN = "delete it and run again to train it anew"


def check_result(
    store: Store, trial_id: str, expected: Mapping[str, Trial], manifests: Iterable[LevelManifest], found: Findings
) -> None:
    """Checks the result of a trial, if it has one. `expected` are the trials of all plans in the root, by id."""
    where = result_key(trial_id)
    result: TrialResult | None = None
    with found.catching():
        result = read_result(store, trial_id)
    if result is None:
        return
    found.checked["results"] += 1
    for what in _wrong(result, trial_id, expected.get(trial_id), list(manifests)):
        found.add(where, what, RETRAIN)


def _wrong(result: TrialResult, trial_id: str, trial: Trial | None, manifests: list[LevelManifest]) -> Iterable[str]:
    named = f"{result.architecture}-{result.level}-{result.seed}-{result.fingerprint[:8]}"
    if result.trial != trial_id or named != trial_id:
        yield f"it is the result of {named}"
        return
    if trial is not None and trial.fingerprint != result.fingerprint:
        yield "it was trained under other conditions than the experiment's (fingerprint)"
    tested = {result.level} | {parse_level(level) for level in result.right_at}
    by_level = {m.level: m for m in manifests if (m.dataset, m.codec) == (result.dataset, result.codec)}
    for level in sorted(tested - by_level.keys(), key=str):
        yield f"of level {level}, which data set {result.dataset} doesn't have"
    for level in sorted(tested & by_level.keys(), key=str):
        manifest = by_level[level]
        there = manifest.splits["test"].records if "test" in manifest.splits else 0
        if (result.test_records, result.classes) != (there, len(manifest.classes)):
            yield (
                f"tested on {result.test_records} records of {result.classes} classes, where level {level} has {there} of "
                f"{len(manifest.classes)}"
            )
    lengths = {name: len(getattr(result.curves, name)) for name in type(result.curves).model_fields}
    if set(lengths.values()) != {result.epochs}:
        yield f"{result.epochs} epochs, but curves of {sorted(set(lengths.values()))}"
    elif result.best_epoch is not None:
        accuracies = result.curves.validation_accuracy
        if not 1 <= result.best_epoch <= result.epochs or accuracies[result.best_epoch - 1] != result.validation_accuracy:
            yield f"epoch {result.best_epoch} isn't of validation accuracy {result.validation_accuracy}"
        elif max(accuracies) > accuracies[result.best_epoch - 1]:
            yield f"epoch {result.best_epoch} isn't the best: validation accuracy reached {max(accuracies)}"


def check_report(store: Store, found: Findings) -> None:
    """Works the report out anew and compares, if there is one."""
    if not store.exists(KEY):
        return
    fix = f"rebuild it: helmholtz report {store.uri}"
    try:
        report = read_report(store)
        run = read_refined_run(store, Experiment.model_validate(report.experiment), report.dataset)
        table = rows(run)
    except HelmholtzError as error:
        found.add(KEY, f"can't be worked out anew ({error})", fix)
        return
    found.checked["reports"] += 1
    anew = json.loads(summarise(run, table).model_dump_json())
    stored = json.loads(report.model_dump_json())
    by = stored["versions"].get("analyse", {}).get("helmholtz", [])
    of = f" (it was made by version {', '.join(by)}, this is {__version__})" if by and by != [__version__] else ""
    anew.pop("versions")
    stored.pop("versions")
    if difference := _difference(stored, anew):
        found.add(KEY, f"{difference}{of}", fix)
    with found.catching():
        if store.read_bytes(TABLE).decode(errors="replace") != curves_csv(table):
            found.add(TABLE, f"it isn't the table of these results{of}", fix)


def _difference(stored: Any, anew: Any, path: str = "") -> str | None:
    """The first place where two JSON values differ, in words."""
    if isinstance(stored, dict) and isinstance(anew, dict):
        for name in [*stored, *(name for name in anew if name not in stored)]:
            if said := _difference(stored.get(name), anew.get(name), f"{path}.{name}".lstrip(".")):
                return said
        return None
    if isinstance(stored, list) and isinstance(anew, list) and len(stored) == len(anew):
        pairs = enumerate(zip(stored, anew, strict=True))
        return next((said for number, (a, b) in pairs if (said := _difference(a, b, f"{path}.{number}"))), None)
    numbers = isinstance(stored, float | int) and isinstance(anew, float | int)
    same = abs(stored - anew) <= TOLERANCE * abs(anew) + 1e-12 if numbers else stored == anew
    return None if same else f"{path} is {_short(stored)}, where the results give {_short(anew)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 80 else f"{text[:76]} ..."
