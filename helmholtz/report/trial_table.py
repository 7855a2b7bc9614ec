"""The table of trials as Markdown, for the Kubeflow UI: what curves.csv says, at a glance."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

_COLUMNS = ("architecture", "level", "seed", "status", "test accuracy", "epochs to converge", "seconds")
_HEAD = f"| {' | '.join(_COLUMNS)} |\n|{' --- |' * len(_COLUMNS)}\n"


def trial_table(curves_csv: str) -> str:
    """One row a trial, in the order of `curves_csv` (the text of ``report/curves.csv``); empty where there is no value yet."""
    return _HEAD + "".join(map(_row, csv.DictReader(io.StringIO(curves_csv, newline=""))))


def _row(row: Mapping[str, str]) -> str:
    accuracy = f"{float(row['test_accuracy']):.2%}" if row["test_accuracy"] else ""
    seconds = f"{float(row['train_seconds']):.0f}" if row["train_seconds"] else ""
    epochs = row["epochs_to_converge"] and ("" if row["converged"] == "True" else "over ") + row["epochs_to_converge"]
    cells = (row["architecture"], row["level"], row["seed"], row["status"], accuracy, epochs, seconds)
    return f"| {' | '.join(cells)} |\n"
