"""Networks tested at other levels: the matrix, the question about inputs, figure and page, on runs whose truth is known."""

from __future__ import annotations

import csv
import functools
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from helmholtz.analysis.mismatch import mismatches
from helmholtz.analysis.summarise import summarise
from helmholtz.analysis.summary import Report, report_schema
from helmholtz.analysis.table import curves_csv, read_run, rows
from helmholtz.experiment import Experiment
from helmholtz.levels import NONE, Level
from helmholtz.report.answer import answer
from helmholtz.report.figures import figures
from helmholtz.report.html import page
from helmholtz.report.mismatch_map import mismatch_map
from helmholtz.report.picture import Picture, Undrawn
from helmholtz.storage import open_store
from tests import synthetic_run as synthetic
from tests.finished_run import answer_elsewhere

LEVELS: tuple[Level, ...] = (NONE, 50, 25, 5)


def experiment(**changes: Any) -> Experiment:
    return synthetic.experiment(**{"levels": LEVELS, "training": {"mismatch": True}} | changes)


def loses(points: float, noise: float = 0.001) -> Any:
    """Networks tested elsewhere lose so much against those trained there."""

    def accuracy(architecture: str, trained_at: Level, tested_at: Level, seed: int) -> float:
        luck = np.random.default_rng([seed, len(str(trained_at)), LEVELS.index(tested_at)]).normal(0, noise)
        return round(synthetic.accuracy(architecture, tested_at, seed) - points + luck, 4)

    return accuracy


def reported(root: Path, run: Experiment, elsewhere: Any = None, **written: Any) -> Report:
    store = open_store(str(root))
    synthetic.write_run(store, run, **written)
    if elsewhere is not None:
        answer_elsewhere(store, run, elsewhere)
    found = read_run(store, run, synthetic.DATASET)
    return summarise(found, rows(found))


def shown(report: Report) -> str:
    return page(report, mismatch_map(report), root="root", experiment="")


@pytest.mark.parametrize(
    ("points", "noise", "verdict", "begins"),
    [
        (0.0, 0.001, "non-inferior", "Inputs need no compression: "),
        (0.03, 0.001, "inferior", "Inputs need the same compression: "),
        (0.009, 0.01, "undecided", "Compress inputs as well, to be safe: "),
    ],
)
def test_whether_inputs_may_stay_uncompressed(tmp_path: Path, points: float, noise: float, verdict: str, begins: str) -> None:
    report = reported(tmp_path, experiment(), loses(points, noise))
    (found,) = report.mismatch
    assert found.uncompressed is not None
    assert (found.uncompressed.level, found.uncompressed.verdict) == (25, verdict)
    assert found.sentence.startswith(begins)
    assert "trained on JPEG quality 25 and tested on lossless files" in found.sentence
    assert dict(answer(report))["In use"] == found.sentence
    assert found.sentence in shown(report)


def test_the_matrix_is_paired_with_the_network_that_matches_the_inputs(tmp_path: Path) -> None:
    report = reported(tmp_path, experiment(architectures=["A", "F"]), loses(0.02, 0.0))
    assert [found.architecture for found in report.mismatch] == ["A", "F"]
    for found in report.mismatch:
        assert [(cell.trained_at, cell.tested_at) for cell in found.cells] == [(a, b) for a in LEVELS for b in LEVELS]
        for cell in found.cells:
            if cell.trained_at == cell.tested_at:
                assert cell.difference is None
                own = next(c for c in report.cells if (c.architecture, c.level) == (found.architecture, cell.tested_at))
                assert cell.accuracy.mean == pytest.approx(own.test_accuracy.mean)
            else:
                assert cell.difference is not None
                assert (cell.difference.n, cell.difference.mean) == (5, pytest.approx(-0.02))
    asked = [found.uncompressed is not None for found in report.mismatch]
    assert asked == [found.architecture == report.recommendation.architecture for found in report.mismatch]


def test_without_the_option_there_is_nothing_of_it(tmp_path: Path) -> None:
    report = reported(tmp_path, synthetic.experiment(levels=LEVELS))
    assert (report.mismatch, mismatch_map(report)) == ((), ())
    assert "Trained at one level" not in shown(report)
    assert "In use" not in dict(answer(report))
    store = open_store(str(tmp_path))
    text = curves_csv(rows(read_run(store, synthetic.experiment(levels=LEVELS), synthetic.DATASET)))
    assert "tested_at" not in text


def test_curves_csv_has_a_column_for_each_level_tested_at(tmp_path: Path) -> None:
    reported(tmp_path, experiment(), loses(0.02, 0.0), skip=(("A", 50, 1),), diverged=(("A", 50, 2),))
    table = rows(read_run(open_store(str(tmp_path)), experiment(), synthetic.DATASET))
    read = list(csv.DictReader(io.StringIO(curves_csv(table))))
    names = [name for name in read[0] if name.startswith("tested_at")]
    assert names == ["tested_at_none", "tested_at_50", "tested_at_25", "tested_at_5"]
    for row in read:
        if row["status"] == "complete":
            assert row[f"tested_at_{row['level']}"] == row["test_accuracy"]
            assert all(float(row[name]) > 0 for name in names)
        else:
            assert {row[name] for name in names} == {""}


@pytest.mark.parametrize(
    ("changes", "written", "elsewhere", "says"),
    [
        ({"seeds": 1}, {}, loses(0.0), None),  # no level is recommended
        ({}, {}, lambda *_: None, None),  # not one was tested elsewhere
        ({}, {}, lambda a, at, to, s: None if to == NONE else 0.7, "0 complete pairs"),
        ({}, {}, lambda a, at, to, s: 0.7 if s == 2 else None, "1 complete pair"),
        ({}, {"diverged": (("A", NONE, 0),)}, loses(0.0), "1 of its 5 trials at none diverged"),
        ({}, {"skip": tuple(("A", q, s) for q in LEVELS for s in range(5))}, loses(0.0), None),
    ],
)
def test_what_is_lacking_is_said(tmp_path: Path, changes: Any, written: Any, elsewhere: Any, says: str | None) -> None:
    report = reported(tmp_path, experiment(**changes), elsewhere, **written)
    (found,) = report.mismatch
    if says is None:
        assert found.sentence == "" or report.recommendation.level == 25
    else:
        assert found.uncompressed is not None
        assert found.uncompressed.verdict == "untestable"
        assert says in found.sentence
    text = report.model_dump_json()
    assert "NaN" not in text
    jsonschema.validate(json.loads(text), report_schema())
    html = shown(report)
    assert " nan" not in html
    assert "In use" not in dict(answer(report)) or found.sentence


def test_the_memory_is_that_of_a_pair_of_levels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpacked all at once, 8 x 8 pairs of 3 seeds would take 8 bytes a test record and seed: 31 MB."""
    records = 20_000
    monkeypatch.setattr(synthetic, "RECORDS", synthetic.RECORDS | {"test": records})
    made = functools.partial(synthetic.trial_result, records=records)
    monkeypatch.setattr(synthetic, "trial_result", made)
    run = experiment(levels=synthetic.LEVELS, seeds=3)
    reported(tmp_path, run, lambda *_: 0.7)
    found = read_run(open_store(str(tmp_path)), run, synthetic.DATASET)
    table = rows(found)
    tracemalloc.start()
    try:
        (matrix,) = mismatches(found, table, "A", 25)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(matrix.cells) == 64
    assert peak < 10_000_000


def test_the_figure_shows_every_number(tmp_path: Path) -> None:
    report = reported(tmp_path, experiment(), loses(0.02, 0.0), skip=(("A", 50, 0),))
    (found,) = mismatch_map(report)
    assert isinstance(found, Picture)
    assert figures(report, ())[-1].name == "mismatch"
    for cell in report.mismatch[0].cells:
        assert f"{100 * (cell.accuracy.mean or 0):.3g}" in found.alt
    assert "n = 4 to 5 seeds" in found.caption
    assert "Empty" not in found.caption
    assert not found.wide


def test_the_figure_of_many_levels_scrolls_and_leaves_holes(tmp_path: Path) -> None:
    run = experiment(levels=synthetic.LEVELS)
    report = reported(tmp_path, run, lambda a, at, to, s: None if to in (1, 5) else 0.7)
    (found,) = mismatch_map(report)
    assert isinstance(found, Picture)
    assert found.wide
    assert found.caption.endswith("Empty: not tested.")


def test_equal_numbers_everywhere_are_drawn(tmp_path: Path) -> None:
    run = experiment(seeds=2)
    cells = {(a, q, s): 0.5 for a, q in run.combinations for s in range(2)}
    (found,) = mismatch_map(reported(tmp_path, run, lambda *_: 0.5, accuracies=cells))
    assert isinstance(found, Picture)


def test_without_a_trial_the_figure_says_why(tmp_path: Path) -> None:
    run = experiment(seeds=1)
    report = reported(tmp_path, run, skip=tuple(("A", level, 0) for level in LEVELS))
    (found,) = mismatch_map(report)
    assert isinstance(found, Undrawn)
    assert found.reason in shown(report)
