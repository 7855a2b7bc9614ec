"""Analyses and publishes a run, with whatever trials it has so far. Both can be repeated at any time."""

from __future__ import annotations

import hashlib
import json

import yaml

from helmholtz import __version__
from helmholtz.analysis.refined_run import read_refined_run
from helmholtz.analysis.summarise import summarise
from helmholtz.analysis.summary import Report
from helmholtz.analysis.table import Row, Run, curves_csv, rows
from helmholtz.experiment import Experiment
from helmholtz.report.clips import PickedClip, read_clips
from helmholtz.report.contact_sheet import contact_sheet
from helmholtz.report.figures import figures
from helmholtz.report.html import page
from helmholtz.report.picks import Shown
from helmholtz.report.picture import Picture, Undrawn
from helmholtz.report.players import Players, players
from helmholtz.report.spectrograms import spectrograms
from helmholtz.report.tensorboard import write_tensorboard
from helmholtz.storage import Store

_ANALYSIS = ("report/curves.csv", "report/report.json")
MARK = "report/published.json"  # names every published file with its digest; written last


def analyse(store: Store, experiment: Experiment, dataset: str) -> Report:
    """Writes ``report/report.json`` and ``report/curves.csv``; `dataset` is the data set's fingerprint.

    Raises StorageError or ShardError where a result or manifest is there but isn't one.
    """
    return _analysed(store, experiment, dataset)[2]


def publish(store: Store, experiment: Experiment, dataset: str, *, only_if_changed: bool = False) -> Report:
    """Analyses, then writes ``report/report.html``, ``report/experiment.yaml``, the figures and the TensorBoard logs.

    `only_if_changed` leaves those alone where they were made, whole, from this very analysis by this version.
    """
    run, table, report = _analysed(store, experiment, dataset)
    analysis = hashlib.sha256(f"{__version__} {report.model_dump_json()} {curves_csv(table)}".encode()).hexdigest()
    if only_if_changed and _is_published(store, analysis):
        return report
    store.write_bytes(MARK, b"{}")  # a publication that is stopped half-way is none
    _write(store, run, table, report)
    files = {key: _digest(store, key) for key in store.list("report") if key not in (MARK, *_ANALYSIS)}
    store.write_bytes(MARK, json.dumps({"analysis": analysis, "files": files}).encode())
    return report


def _is_published(store: Store, analysis: str) -> bool:
    """Whether the mark says that this very analysis was published, and every file is as it was then."""
    if not store.exists(MARK):
        return False
    try:
        mark = json.loads(store.read_bytes(MARK))
        files = mark["files"] if mark["analysis"] == analysis else {}
        return (
            bool(files)
            and any(store.list("tensorboard/summary"))
            and all(store.exists(key) and _digest(store, key) == digest for key, digest in files.items())
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return False  # no mark of ours


def _digest(store: Store, key: str) -> str:
    return hashlib.sha256(store.read_bytes(key)).hexdigest()


def _write(store: Store, run: Run, table: tuple[Row, ...], report: Report) -> None:
    clips = read_clips(store, run) if run.codec.medium == "audio" else None
    pictures = (*figures(report, table), *_records(store, run, clips))
    for picture in pictures:
        if isinstance(picture, Picture):
            store.write_bytes(f"report/figures/{picture.name}.svg", picture.svg)
            store.write_bytes(f"report/figures/{picture.name}.png", picture.png)
    experiment_yaml = yaml.safe_dump(report.experiment, sort_keys=False, allow_unicode=True)
    store.write_bytes("report/experiment.yaml", experiment_yaml.encode())
    write_tensorboard(store, report, table, pictures, clips)
    store.write_bytes("report/report.html", page(report, pictures, root=store.uri, experiment=experiment_yaml).encode())


def _records(store: Store, run: Run, clips: Shown[PickedClip] | None) -> tuple[Picture | Players | Undrawn, ...]:
    if clips is None:
        return (contact_sheet(store, run),)
    return spectrograms(run, clips), players(run, clips)


def _analysed(store: Store, experiment: Experiment, dataset: str) -> tuple[Run, tuple[Row, ...], Report]:
    run = read_refined_run(store, experiment, dataset)
    table = rows(run)
    report = summarise(run, table)
    store.write_bytes("report/curves.csv", curves_csv(table).encode())
    store.write_bytes("report/report.json", (report.model_dump_json(indent=1) + "\n").encode())
    return run, table, report
