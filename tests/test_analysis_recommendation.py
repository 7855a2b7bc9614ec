"""The sentence, for every way a run can turn out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helmholtz.analysis.summarise import summarise
from helmholtz.analysis.summary import Report
from helmholtz.analysis.table import read_run, rows
from helmholtz.analysis.wording import points, signed, times_smaller
from helmholtz.experiment import Experiment
from helmholtz.levels import NONE
from helmholtz.report.publish import analyse
from helmholtz.results import read_result, result_key
from helmholtz.storage import open_store
from helmholtz.trials import trials
from tests import synthetic_run as synthetic

LEVELS = [NONE, 75, 25, 1]


def reported(tmp_path: Path, run: Experiment, **written: Any) -> Report:
    store = open_store(str(tmp_path))
    synthetic.write_run(store, run, **written)
    found = read_run(store, run, synthetic.DATASET)
    report = summarise(found, rows(found))
    assert "nan" not in report.model_dump_json().lower()
    return report


def cells(run: Experiment, **by_level: list[float]) -> dict:
    names = {"none": NONE} | {f"q{level}": level for level in run.all_levels}
    return {("A", names[name], seed): value for name, values in by_level.items() for seed, value in enumerate(values)}


def test_finds_the_knee_and_says_what_it_saves(tmp_path: Path) -> None:
    report = reported(tmp_path, synthetic.experiment())
    answer = report.recommendation
    assert (answer.outcome, answer.level, answer.architecture) == ("level", 25, "A")
    level = next(level for level in report.levels if level.level == 25)
    assert answer.sentence.startswith("JPEG quality 25 loses less than 1 point of accuracy (difference ")
    assert f"{level.ratio_to_none:.1f} times smaller than lossless" in answer.sentence
    assert f"{level.ratio_to_source:.1f} times smaller than the source's own bytes" in answer.sentence
    assert "% fewer epochs to converge" in answer.sentence
    assert "5 seeds" in answer.sentence
    assert any("stopped at JPEG quality 10" in detail for detail in answer.details)
    assert not answer.caveats
    assert report.metrics()["times_smaller"] == level.ratio_to_none


ACCURACIES = {
    "none-passes": {"none": [0.80, 0.801, 0.799], "q75": [0.7, 0.702, 0.699], "q25": [0.7, 0.7, 0.6], "q1": [0.3, 0.3, 0.31]},
    "all-pass": {"none": [0.80, 0.801, 0.799], "q75": [0.8, 0.802, 0.799], "q25": [0.8, 0.8, 0.799], "q1": [0.8, 0.802, 0.8]},
    "undecided": {"none": [0.80, 0.80, 0.80], "q75": [0.79, 0.83, 0.77], "q25": [0.8, 0.8, 0.799], "q1": [0.8, 0.802, 0.8]},
    "chance": {"none": [0.26, 0.24, 0.26], "q75": [0.26, 0.241, 0.26], "q25": [0.26, 0.24, 0.27], "q1": [0.25, 0.25, 0.26]},
    "too-few-seeds": {"none": [0.80] * 3, "q75": [0.80] * 3, "q25": [0.7] * 3, "q1": [0.3] * 3},
}
SAYS = {
    "none-passes": "Keep the data lossless: even JPEG quality 75",
    "all-pass": "even this most compressed level tested passes, so test lower ones",
    "undecided": "neither shown to lose less than 1 point nor to lose more",
    "chance": "not shown to be above chance (25.0%, the most frequent class)",
    "too-few-seeds": "all 3 differences are equal",
}


@pytest.mark.parametrize("outcome", ACCURACIES)
def test_each_outcome_has_its_sentence(tmp_path: Path, outcome: str) -> None:
    run = synthetic.experiment(levels=LEVELS, seeds=3)
    answer = reported(tmp_path, run, accuracies=cells(run, **ACCURACIES[outcome])).recommendation
    assert answer.outcome == outcome
    assert SAYS[outcome] in answer.sentence
    assert (answer.level is not None) == (outcome == "all-pass")


def test_one_seed_concludes_nothing(tmp_path: Path) -> None:
    answer = reported(tmp_path, synthetic.experiment(seeds=1)).recommendation
    assert (answer.outcome, answer.level) == ("too-few-seeds", None)
    assert "at least 2 seeds are needed" in answer.sentence
    assert "unconfirmed, JPEG quality 25" in answer.sentence
    assert any("Fewer than 3 seeds" in caveat for caveat in answer.caveats)


def test_no_results_and_no_levels(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "empty"))
    found = read_run(store, synthetic.experiment(), synthetic.DATASET)
    empty = summarise(found, rows(found))
    assert empty.recommendation.outcome == "no-results"
    assert len(empty.trials.missing) == empty.trials.expected == 40
    assert reported(tmp_path, synthetic.experiment(levels=[NONE])).recommendation.outcome == "no-levels"


def test_missing_and_diverged_trials_are_counted_and_said(tmp_path: Path) -> None:
    skip, diverged = (("A", 75, 0), ("A", 75, 1)), (("A", 50, 2),)
    report = reported(tmp_path, synthetic.experiment(), skip=skip, diverged=diverged)
    assert (report.trials.expected, report.trials.complete) == (40, 37)
    assert (len(report.trials.missing), len(report.trials.diverged)) == (2, 1)
    assert [(c.level, c.dropped) for c in report.walks[0].comparisons if c.dropped] == [(75, 2), (50, 1)]
    assert any("2 of 40 trials are still missing" in caveat for caveat in report.recommendation.caveats)
    assert any("1 of 40 trials diverged" in caveat for caveat in report.recommendation.caveats)


def test_a_level_with_diverged_trials_does_not_pass(tmp_path: Path) -> None:
    run = synthetic.experiment(levels=[NONE, 50, 25], seeds=10)
    answer = reported(tmp_path, run, diverged=tuple(("A", 25, seed) for seed in range(4))).recommendation
    assert answer.level == 50
    assert any("4 of its 10 trials diverged" in detail for detail in answer.details)


def test_a_source_of_both_kinds_is_called_both(tmp_path: Path) -> None:
    report = reported(tmp_path, synthetic.experiment(), source_levels={"92": 11_000, "none": 1_000})
    assert "than lossless or original" in report.recommendation.sentence


def test_the_test_set_does_not_choose_the_architecture(tmp_path: Path) -> None:
    run = synthetic.experiment(architectures=["A", "F"], levels=[NONE, 25])
    store = open_store(str(tmp_path))
    synthetic.write_run(store, run)
    for trial in trials(run, synthetic.DATASET, "jpeg-420"):  # validation says A, though its test accuracy is lower
        result = read_result(store, trial.id)
        assert result is not None
        changed = result.model_copy(update={"validation_accuracy": 0.9 if trial.architecture == "A" else 0.0})
        store.write_bytes(result_key(trial.id), changed.model_dump_json().encode())
    assert analyse(store, run, synthetic.DATASET).recommendation.architecture == "A"


def test_a_compressed_source_is_no_lossless_original(tmp_path: Path) -> None:
    source = {"source_levels": {"92": 11_000, "80": 1_000}, "double_compressed": 1_000}
    report = reported(tmp_path, synthetic.experiment(), **source)
    assert "lossless" not in report.recommendation.sentence
    assert "than original files" in report.recommendation.sentence
    assert any(
        "12,000 records were already compressed" in c and "quality 80 to quality 92" in c for c in report.recommendation.caveats
    )
    assert any("Double compression" in caveat for caveat in report.recommendation.caveats)


def test_a_trial_still_rising_makes_epochs_incomparable(tmp_path: Path) -> None:
    report = reported(tmp_path, synthetic.experiment(), not_converged=(("A", 25, 0),))
    assert report.recommendation.epochs_ratio is None
    assert "epochs" not in report.recommendation.sentence
    assert next(cell for cell in report.cells if cell.level == 25).not_converged == 1


def test_epochs_ratio_is_the_geometric_mean_of_pairs(tmp_path: Path) -> None:
    report = reported(tmp_path, synthetic.experiment(levels=[NONE, 25], seeds=3))
    store = open_store(str(tmp_path))
    table = rows(read_run(store, synthetic.experiment(levels=[NONE, 25], seeds=3), synthetic.DATASET))
    epochs = {(row.level, row.seed): row.epochs_to_converge for row in table}
    product = 1.0
    for seed in range(3):
        product *= epochs[25, seed] / epochs[NONE, seed]
    assert report.recommendation.epochs_ratio.mean == pytest.approx(product ** (1 / 3))


def test_validation_accuracy_chooses_the_architecture_and_the_others_are_told(tmp_path: Path) -> None:
    run = synthetic.experiment(architectures=["A", "F"])
    answer = reported(tmp_path, run).recommendation
    assert answer.architecture == "F"
    assert any(detail.startswith("Architecture A, by a walk of its own") for detail in answer.details)


def test_unbalanced_classes_raise_the_bar_of_chance(tmp_path: Path) -> None:
    run = synthetic.experiment(levels=LEVELS)
    store = open_store(str(tmp_path))
    synthetic.write_run(store, run)
    for key in [key for key in store.list("data") if key.endswith("manifest.json")]:
        content = json.loads(store.read_bytes(key))
        content["splits"]["test"]["per_class"] = [1_900, 50, 25, 25]
        store.write_bytes(key, json.dumps(content).encode())
    found = read_run(store, run, synthetic.DATASET)
    report = summarise(found, rows(found))
    assert report.walks[0].chance == 0.95
    assert report.recommendation.outcome == "chance"


def test_a_margin_of_a_few_test_records_is_said(tmp_path: Path) -> None:
    run = synthetic.experiment(analysis={"margin": 0.003})
    assert any("6.0 of the 2000 test records" in c for c in reported(tmp_path, run).recommendation.caveats)


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.01, "1 point"), (0.005, "0.5 points"), (0.02, "2 points"), (0.1, "10 points")]
)
def test_points(fraction: float, text: str) -> None:
    assert points(fraction) == text


@pytest.mark.parametrize(("fraction", "text"), [(-0.002, "-0.2"), (0.012, "+1.2"), (0.0, "0.0"), (-0.0001, "0.0")])
def test_signed(fraction: float, text: str) -> None:
    assert signed(fraction) == text


def test_a_level_may_be_larger() -> None:
    assert times_smaller(0.5) == "2.0 times larger"


def test_what_weakens_the_answer_names_the_cure(tmp_path: Path) -> None:
    store, run = open_store(str(tmp_path)), synthetic.experiment(levels=(NONE, 50), seeds=3)
    rising = tuple(("A", level, seed) for level in run.levels for seed in (0, 1))
    synthetic.write_run(store, run, not_converged=rising)
    said = " ".join(analyse(store, run, synthetic.DATASET).recommendation.caveats)
    assert "not seen to converge" in said
    assert "Raise training.epochs" in said
    assert "learning_rate" not in said
    synthetic.write_run(store, run, diverged=(("A", NONE, 2),), not_converged=rising[:1])
    said = " ".join(analyse(store, run, synthetic.DATASET).recommendation.caveats)
    assert "lower training.learning_rate" in said
    assert "not seen to converge" not in said
