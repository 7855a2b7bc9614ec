"""The paper's claims and both estimates of N_approx, on runs whose truth is known; and reports of sweeps that tell little."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from helmholtz.analysis.claim import Claim
from helmholtz.analysis.claims import NO_SUPPORT
from helmholtz.analysis.models import compare_models
from helmholtz.analysis.response import LevelMean
from helmholtz.analysis.summarise import summarise
from helmholtz.analysis.summary import Report, report_schema
from helmholtz.analysis.table import read_run, rows
from helmholtz.experiment import Experiment
from helmholtz.levels import NONE, Level
from helmholtz.report.answer import answer
from helmholtz.report.figures import figures
from helmholtz.report.formats import effect, money
from helmholtz.report.html import page
from helmholtz.report.publish import analyse
from helmholtz.results import read_result, result_key
from helmholtz.storage import open_store
from helmholtz.trials import trials
from tests import synthetic_run as synthetic

LEVELS: tuple[Level, ...] = (NONE, 100, 75, 50, 35, 25, 20, 15, 10, 5, 1)
ALL = [{"architectures": list("ABCDEF"), "levels": [NONE, 25]}]
Accuracies = dict[tuple[str, Level, int], float]


def reported(root: Path, run: Experiment, **written: Any) -> Report:
    store = open_store(str(root))
    synthetic.write_run(store, run, **written)
    found = read_run(store, run, synthetic.DATASET)
    return summarise(found, rows(found))


def accuracies(run: Experiment, truth: Any, noise: float = 0.002) -> Accuracies:
    """`truth(architecture, level)` with normal luck of each trial."""
    random = np.random.default_rng(3)
    return {
        (name, level, seed): round(truth(name, level) + random.normal(0, noise), 4)
        for name, level in run.combinations
        for seed in range(run.seeds)
    }


def claim(report: Report, number: int) -> Claim:
    return next(found for found in report.claims if found.number == number)


# Claim 1: the curve


def test_accuracies_that_follow_the_curve_support_it(tmp_path: Path) -> None:
    run = synthetic.experiment(levels=LEVELS[:-1])
    found = claim(reported(tmp_path, run, accuracies=accuracies(run, lambda _, q: 0.19 * math.log(100 if q == NONE else q))), 1)
    assert found.verdict == "supported"
    assert found.effect is not None
    assert 0.99 < (found.low or 0) < found.effect < (found.high or 0) < 1


def test_a_plateau_contradicts_it(tmp_path: Path) -> None:
    found = claim(reported(tmp_path, synthetic.experiment(levels=LEVELS)), 1)
    assert found.verdict == "contradicted"
    assert "At JPEG quality 25 the curve predicts" in found.sentence


@pytest.mark.parametrize(("offset", "verdict"), [(0.004, "not shown"), (0.01, "not shown"), (0.2, "contradicted")])
def test_a_curve_that_misses_by_less_than_the_margin_is_not_contradicted(tmp_path: Path, offset: float, verdict: str) -> None:
    run = synthetic.experiment(levels=LEVELS[:-1])
    drawn = accuracies(run, lambda _, q: offset + 0.16 * math.log(100 if q == NONE else q))
    report = reported(tmp_path, run, accuracies=drawn)
    assert claim(report, 1).verdict == verdict
    assert (report.models[0].prediction.delta or 0) > 2
    assert "(root mean square)" in claim(report, 1).sentence


@pytest.mark.parametrize(("levels", "seeds"), [((NONE, 75, 25), 5), (LEVELS, 1)])
def test_few_levels_or_one_seed_do_not_judge_it(tmp_path: Path, levels: tuple[Level, ...], seeds: int) -> None:
    found = claim(reported(tmp_path, synthetic.experiment(levels=levels, seeds=seeds)), 1)
    assert (found.verdict, found.effect) == ("not tested", None)
    assert "six compressed levels" in found.to_test


def test_the_true_curve_is_seldom_called_contradicted() -> None:
    """By the rule of AICc alone, at noise of half a point: no more often than one time in twenty."""
    random = np.random.default_rng(1)
    lossy = [level for level in LEVELS if level != NONE and level != 1]
    wrong = 0
    for _ in range(60):
        means = [LevelMean(q, 1 - q / 100, q**0.7, 0.19 * math.log(q) + random.normal(0, 0.005)) for q in lossy]
        wrong += (compare_models("A", means, None).prediction.delta or 0) >= NO_SUPPORT
    assert wrong <= 3


# Claims 2 to 5


def test_a_level_that_passes_supports_the_second(tmp_path: Path) -> None:
    found = claim(reported(tmp_path, synthetic.experiment()), 2)
    assert (found.verdict, found.unit) == ("supported", "accuracy")
    assert "down to JPEG quality 25" in found.sentence


@pytest.mark.parametrize(("first", "verdict"), [(100, "contradicted"), (75, "not shown")])
def test_the_weakest_compression_there_is_decides_whether_it_is_contradicted(tmp_path: Path, first: int, verdict: str) -> None:
    run = synthetic.experiment(levels=(NONE, first, 5))
    found = claim(reported(tmp_path, run, accuracies=accuracies(run, lambda _, q: 0.8 if q == NONE else 0.7)), 2)
    assert found.verdict == verdict
    assert bool(found.to_test) == (verdict == "not shown")


@pytest.mark.parametrize(
    ("gap", "noise", "verdict"), [(0.0, 0.001, "supported"), (0.05, 0.001, "contradicted"), (0.01, 0.02, "not shown")]
)
def test_smaller_networks(tmp_path: Path, gap: float, noise: float, verdict: str) -> None:
    run = synthetic.experiment(levels=(NONE, 50, 25, 5), architectures=["F"], also=ALL)

    def truth(name: str, level: Level) -> float:
        return 0.8 - (0 if name == "F" else gap) - (0.3 if level == 5 else 0)

    drawn = accuracies(run, truth, noise)
    drawn |= {cell: 0.8 + cell[2] / 100 for cell in drawn if cell[0] == "F" and cell[1] in (NONE, 50)}
    drawn |= {cell: 0.8 + cell[2] / 100 + 0.0001 * (cell[2] % 2) for cell in drawn if cell[:2] == ("F", 25)}
    drawn |= {cell: value + cell[2] / 100 for cell, value in drawn.items() if cell[0] != "F"}
    report = reported(tmp_path, run, accuracies=drawn)
    found = claim(report, 3)
    assert (report.recommendation.level, found.verdict) == (25, verdict)
    assert (report.smallest.smallest == "A") == (verdict == "supported")
    if verdict == "supported":
        assert report.recommendation.sentence.endswith("; architecture A is enough.")
        assert "Without compression A differs from F" in found.sentence
    else:
        assert "is enough" not in report.recommendation.sentence


def test_one_architecture_is_told_what_to_run(tmp_path: Path) -> None:
    report = reported(tmp_path, synthetic.experiment())
    assert (claim(report, 3).verdict, claim(report, 4).verdict) == ("not tested", "not tested")
    assert "architectures: [A, B, C, D, E, F], levels: [none, 25]" in claim(report, 3).to_test
    assert report.smallest.comparisons == ()


@pytest.mark.parametrize(("factor", "verdict"), [(1.5, "supported"), (0.6, "contradicted")])
def test_epochs_of_larger_networks(tmp_path: Path, factor: float, verdict: str) -> None:
    run = synthetic.experiment(levels=(NONE, 50, 25), architectures=["A", "F"], training={"epochs": 200})
    store = open_store(str(tmp_path))
    synthetic.write_run(store, run)
    random = np.random.default_rng(5)
    for trial in trials(run, synthetic.DATASET, "jpeg-420"):
        result = read_result(store, trial.id)
        assert result is not None
        epochs = round(60 * (factor if trial.architecture == "F" else 1) + random.normal(0, 2))
        changed = result.model_copy(update={"epochs_to_converge": epochs})
        store.write_bytes(result_key(trial.id), changed.model_dump_json().encode())
    table = read_run(store, run, synthetic.DATASET)
    found = claim(summarise(table, rows(table)), 4)
    assert found.verdict == verdict
    doublings = math.log2(synthetic.PARAMETERS["F"] / synthetic.PARAMETERS["A"])
    assert found.effect == pytest.approx(factor ** (1 / doublings), rel=0.03)


def test_a_level_with_a_slow_trial_left_rising_is_left_out_as_a_whole(tmp_path: Path) -> None:
    run = synthetic.experiment(levels=(NONE, 50), architectures=["A", "F"])
    report = reported(tmp_path, run, not_converged=(("F", NONE, 0), ("F", 50, 1)))
    assert claim(report, 4).verdict == "not tested"
    assert "training.epochs" in claim(report, 4).to_test


@pytest.mark.parametrize(("run", "other"), [(synthetic.experiment(), "audio"), (synthetic.audio_experiment(seeds=3), "images")])
def test_a_run_of_one_medium_cannot_test_the_fifth(tmp_path: Path, run: Experiment, other: str) -> None:
    found = claim(reported(tmp_path, run), 5)
    assert found.verdict == "not tested"
    assert f"Run {other} too" in found.to_test
    assert found.effect is not None


def test_every_verdict_but_a_settled_one_says_what_to_run(tmp_path: Path) -> None:
    for found in reported(tmp_path, synthetic.experiment()).claims:
        assert bool(found.to_test) == (found.verdict in ("not shown", "not tested"))
        assert found.sentence.endswith(".")


# N_approx, twice


def test_both_estimators_agree_or_say_why_not(tmp_path: Path) -> None:
    (found,) = reported(tmp_path / "noisy", synthetic.experiment(levels=LEVELS)).n_approx
    assert (found.by_test, found.by_stick, found.agree) == (25, 20, False)
    assert "the test goes only to quality 25, since it asks for proof" in found.sentence
    run = synthetic.experiment(levels=LEVELS, analysis={"margin": 0.06})
    (found,) = reported(tmp_path / "tolerant", run).n_approx
    assert (found.by_test, found.agree) == (10, False)
    assert "the test goes down to quality 10, since it tolerates 6 points" in found.sentence
    assert [part.accounting for part in found.bits] == ["measured", "standard", "paper"]
    assert all(part.total == pytest.approx(part.noise + part.content) for part in found.bits)


@pytest.mark.parametrize("slope", [0.0, 0.02])
def test_without_a_drop_or_a_plateau_the_stick_names_no_level(tmp_path: Path, slope: float) -> None:
    run = synthetic.experiment(levels=LEVELS, analysis={"margin": 0.2})
    bits = {level.level: level.bits_per_sample or 1 for level in reported(tmp_path / "bits", run).levels}
    drawn = accuracies(run, lambda _, level: 0.8 + slope * math.log(bits[level]))
    (found,) = reported(tmp_path / "run", run, accuracies=drawn).n_approx
    assert (found.by_stick, found.agree) == (None, None)
    assert found.sentence.startswith("The broken stick gives no second estimate: no ")


def test_audio_has_measured_bits_alone(tmp_path: Path) -> None:
    (found,) = reported(tmp_path, synthetic.audio_experiment(seeds=3)).n_approx
    assert [part.accounting for part in found.bits] == ["measured"]


# Prices


def test_prices_turn_seconds_and_bytes_into_money(tmp_path: Path) -> None:
    plain = reported(tmp_path / "a", synthetic.experiment())
    assert plain.costs is None
    assert {cell.cost_to_converge for cell in plain.cells} == {None}
    run = synthetic.experiment(prices={"per_gb_month": 1e3, "currency": "CHF"})
    stored = reported(tmp_path / "b", run)
    assert stored.costs is not None
    assert (stored.costs.currency, stored.costs.training_at_none) == ("CHF", None)
    none = next(level for level in stored.levels if level.level == NONE)
    assert stored.costs.storing_none == pytest.approx((none.payload_bytes or 0) / 1e6)
    assert "Keeping the data for a month costs" in dict(answer(stored))["What it saves"]


def test_costs_of_trials_still_rising_are_not_compared(tmp_path: Path) -> None:
    run = synthetic.experiment(prices={"per_hour": 2})
    report = reported(tmp_path, run, not_converged=(("A", NONE, 0),))
    assert report.costs is not None
    assert (report.costs.training_at_none, report.costs.storing_none) == (None, None)
    assert report.costs.training_at_level is not None
    assert "Training a network" not in dict(answer(report))["What it saves"]


@pytest.mark.parametrize(
    ("amount", "words"), [(0.01234, "0.0123 USD"), (12.345, "12.3 USD"), (123456.7, "123,457 USD"), (0, "0 USD")]
)
def test_money_is_put_in_words(amount: float, words: str) -> None:
    assert money(amount, "USD") == words


# Sweeps that tell little

DEGENERATE: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "one seed": ({"seeds": 1}, {}, "at least 2 seeds are needed"),
    "two levels": ({"levels": (NONE, 50)}, {}, "even this most compressed level tested passes"),
    "all levels equal": ({"seeds": 3}, {"value": 0.7}, "all 3 differences are equal"),
    "chance everywhere": ({"seeds": 3}, {"noise": 0.25}, "not shown to be above chance"),
    "missing trial": ({}, {"skip": (("A", NONE, 0), ("A", 100, 1))}, "trials are still missing"),
    "diverged trial": ({}, {"diverged": (("A", 100, 0),)}, "1 of its 5 trials diverged"),
    "everything diverged": (
        {"seeds": 2},
        {"diverged": tuple(("A", q, s) for q in synthetic.LEVELS for s in (0, 1))},
        "Nothing",
    ),
    "perfect accuracy": ({}, {"value": 1.0}, "the task is too easy"),
    "nothing right": ({"seeds": 3}, {"value": 0.0}, "not shown to be above chance"),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_a_sweep_that_tells_little_gives_a_report_that_says_so(tmp_path: Path, name: str) -> None:
    changes, written, says = DEGENERATE[name]
    run = synthetic.experiment(prices={"per_hour": 1, "per_gb_month": 1}, **changes)
    random = np.random.default_rng(2)
    if "value" in written:
        written = {"accuracies": {(a, q, s): written["value"] for a, q in run.combinations for s in range(run.seeds)}}
    elif "noise" in written:
        drawn = [round(written["noise"] + random.normal(0, 0.004), 4) for _ in run.combinations for _ in range(run.seeds)]
        cells = [(a, q, s) for a, q in run.combinations for s in range(run.seeds)]
        written = {"accuracies": dict(zip(cells, drawn, strict=True))}
    store = open_store(str(tmp_path))
    synthetic.write_run(store, run, **written)
    report, table = analyse(store, run, synthetic.DATASET), rows(read_run(store, run, synthetic.DATASET))
    text = store.read_bytes("report/report.json").decode()
    shown = page(report, figures(report, table), root="root", experiment="")
    assert says in f"{report.recommendation.sentence} {report.recommendation.details} {report.recommendation.caveats}"
    assert says in shown
    assert "NaN" not in text
    assert "Infinity" not in text
    assert " nan" not in shown
    jsonschema.validate(json.loads(text), report_schema())
    for found in report.claims:
        if found.verdict not in ("supported", "contradicted"):
            assert found.to_test
    if name not in ("two levels", "missing trial", "perfect accuracy"):
        assert report.recommendation.level is None
        assert all(found.verdict.startswith("not") for found in report.claims if found.number > 1 or name != "diverged trial")
        assert not any(found.bits for found in report.n_approx)
        assert answer(report) == ()
        assert report.smallest.smallest is None
    if name in ("all levels equal", "perfect accuracy", "nothing right"):
        assert all(found.by_stick is None for found in report.n_approx)
        assert claim(report, 1).verdict == "not tested"


def test_an_effect_is_printed_in_its_unit() -> None:
    plain = Claim(number=1, claim="", figure="")
    assert effect(plain) == ""
    assert effect(plain.measured("m", "accuracy", -0.012, None, None)) == "-1.2 points"
    assert effect(plain.measured("m", "accuracy", -0.012, -0.02, 0.001)) == "-1.2 points (-2.0 to +0.1)"
    assert effect(plain.measured("m", "ratio", 1.5, 1.25, 1.75)) == "1.500 (1.250 to 1.750)"
    assert effect(plain.measured("m", "R2", 0.91, 0.9, 0.92)) == "0.91 (0.90 to 0.92)"
