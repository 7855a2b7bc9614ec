"""Every number of a report, computed again from curves.csv alone: of synthetic runs, and of real ones on real data.

`same` walks through a part of report.json: each number in it must have been computed by `tests.recompute`, and agree.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helmholtz.report.publish import analyse
from helmholtz.storage import open_store
from tests import refit
from tests import synthetic_run as synthetic
from tests.finished_run import answer_elsewhere
from tests.recompute import Sweep, less, number
from tests.small_runs import PRICES, cifar10, photographs, strings, synthetic_root

OF_THE_DATA = {"theoretical_bits", "double_compressed", "source_levels", "coded_rates"}  # no measurements: not computed here

Run = tuple[Sweep, dict[str, Any]]


@pytest.fixture(scope="module", params=["synthetic", "photographs", "strings", "cifar10"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    made = {"synthetic": synthetic_root, "photographs": photographs, "strings": strings}
    if request.param == "cifar10":
        return read(cifar10(folder, request.getfixturevalue("cifar10")))
    return read(made[request.param](folder))


def read(root: Path) -> Run:
    csv.field_size_limit(2**24)
    report = json.loads((root / "report" / "report.json").read_bytes())
    table = list(csv.DictReader(io.StringIO((root / "report" / "curves.csv").read_text("utf-8"))))
    return Sweep(table, report["experiment"]), report


def same(found: Any, expected: Any, where: str = "") -> None:
    """Whether all numbers of a part of the report, and all gaps among those expected, are as expected."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key in OF_THE_DATA:
                continue
            if key not in expected and not numbers(value):
                continue
            assert key in expected, f"{where}.{key} = {value} was not computed here"
            same(value, expected[key], f"{where}.{key}")
    elif isinstance(found, list):
        assert len(found) == len(expected), where
        for n, (one, other) in enumerate(zip(found, expected, strict=True)):
            same(one, other, f"{where}[{n}]")
    elif isinstance(found, float) and expected is not None:
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-7), where
    else:
        assert found == expected, where


def numbers(part: Any) -> bool:
    """Whether there is a number anywhere in it."""
    if isinstance(part, dict | list):
        return any(numbers(inner) for inner in (part.values() if isinstance(part, dict) else part))
    return isinstance(part, int | float) and not isinstance(part, bool)


def test_levels_cells_and_counts(run: Run) -> None:
    sweep, report = run
    same(report["levels"], [sweep.level_summary(level) for level in sweep.swept])
    cells = list(dict.fromkeys((row["architecture"], row["level"]) for row in sweep.all))
    found = {(cell["architecture"], str(cell["level"])): cell for cell in report["cells"]}
    assert found.keys() == set(cells)
    for at in cells:
        same(found[at], sweep.cell_summary(*at), f"cell {at}")
    counts = {"expected": len(sweep.all), "complete": len(sweep.rows)}
    same(report["trials"], counts | {key: report["trials"][key] for key in ("diverged", "missing")})
    assert (report["test_records"], report["test_groups"]) == (sweep.sizes.sum(), len(sweep.sizes))


def test_walks_and_equivalences(run: Run) -> None:
    sweep, report = run
    for walk, equivalences in zip(report["walks"], report["equivalences"], strict=True):
        expected = sweep.walk(walk["architecture"])
        same(walk, expected)
        findings = [sweep.equivalence(one) | {"level": one["level"]} for one in expected["comparisons"]]
        same(equivalences["findings"], findings)


def test_the_recommendation_and_what_it_saves(run: Run) -> None:
    sweep, report = run
    answer, walks = report["recommendation"], {walk["architecture"]: walk for walk in report["walks"]}
    validation = {name: np.mean(list(sweep.cell("validation_accuracy", name, "none").values())) for name in walks}
    leading = max(validation, key=validation.__getitem__)
    level = sweep.walk(leading)["n_approx"]
    ratio = sweep.epochs_ratio(leading, level)
    same(answer, {"architecture": leading, "level": level, "epochs_ratio": ratio})

    def training(architecture: str | None, at: Any) -> Any:
        if architecture is None or at is None:
            return None
        cell = sweep.cell_summary(architecture, str(at))
        return None if cell["not_converged"] or not cell["complete"] else cell["cost_to_converge"]

    size = {at: (sweep.at("payload_bytes", at) or 0.0) / 1e9 * PRICES["per_gb_month"] for at in sweep.swept}
    expected = {
        "training_at_none": training(leading, "none"), "training_at_level": training(leading, level),
        "training_smallest": training(report["smallest"]["smallest"], level), "storing_none": size["none"],
        "storing_level": size[str(level)] if level is not None else None,
    }  # fmt: skip
    same(report["costs"], expected)


def test_smallest_architecture(run: Run) -> None:
    sweep, report = run
    found, level = report["smallest"], report["recommendation"]["level"]
    assert found["level"] == level
    sizes = {row["architecture"]: int(row["parameters"]) for row in sweep.rows if row["level"] == str(level)}
    largest, *smaller = sorted(sizes, key=lambda name: -sizes[name]) or [None]
    if not smaller:
        assert (found["comparisons"], found["smallest"], found["whole_difference"]) == ([], None, None)
        return
    answers = {name: sweep.right(name, str(level)) for name in sizes}
    compared = [sweep.compare(answers[name], answers[largest]) | {"level": level} for name in smaller]
    passed = [
        n for n, _ in itertools.takewhile(lambda at: at[1]["verdict"] == "non-inferior", zip(smaller, compared, strict=True))
    ]
    stopped = smaller[len(passed)] if len(passed) < len(smaller) else None
    whole = sweep.accuracy(less(answers[passed[-1]], sweep.right(largest, "none"))) if passed else None
    rows = [{"architecture": n, "parameters": sizes[n], "comparison": c} for n, c in zip(smaller, compared, strict=True)]
    same(
        found,
        {
            "level": level, "largest": largest, "comparisons": rows, "stopped_at": stopped,
            "smallest": passed[-1] if passed else None, "whole_difference": whole,
        },
    )  # fmt: skip


def test_broken_sticks_and_bits(run: Run) -> None:
    sweep, report = run
    for found, both, walk in zip(report["sticks"], report["n_approx"], report["walks"], strict=True):
        stick = sweep.stick(found["architecture"])
        same(found, stick)
        measured = sweep.n_approx(sweep.walk(walk["architecture"]), stick)
        theory = [] if both["by_test"] is None else theoretical(report, both["by_test"])
        same(both, measured | {"bits": measured["bits"] + theory})


def theoretical(report: dict[str, Any], level: int) -> list[dict[str, Any]]:
    """The paper's, of 16 bits; none for audio."""
    (bits,) = (one["theoretical_bits"] for one in report["levels"] if one["level"] == level)
    return [{"total": 16, "noise": 16 - at["left"], "content": at["left"]} for at in bits.values()]


def test_curves_and_models(run: Run) -> None:
    sweep, report = run
    for curve, models in zip(report["curves"], report["models"], strict=True):
        name = curve["architecture"]
        lossy = sweep.swept[:0:-1]  # most compressed first
        y, q = np.array(sweep.means(name, lossy)), np.log([100 * (1 - (sweep.at("Q", level) or 0.0)) for level in lossy])
        x = np.log([sweep.bits(level) for level in lossy])
        c = float(q @ y / (q @ q))
        r2 = 1 - ((y - c * q) ** 2).sum() / ((y - y.mean()) ** 2).sum()
        same(curve, {"levels": len(lossy), "c": c, "r2": r2})
        fitted(models["lossy"], q, x, y)
        everywhere = [*lossy, "none"]
        bits = np.log([sweep.bits(level) for level in everywhere])
        fitted(models["with_none"], np.zeros(len(everywhere)), bits, np.array(sweep.means(name, everywhere)))
        at, level = models["prediction"], sweep.walk(name)["n_approx"]
        paper = next(fit for fit in models["lossy"]["fits"] if fit["name"] == "paper")
        place = None if level is None else lossy.index(str(level))
        said = {"predicted": None if place is None else c * q[place], "measured": None if place is None else y[place]}
        same(at, {"r2": r2, "delta": paper["delta"], "level": level} | said)


def fitted(ranking: dict[str, Any], q: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    """Parameters give the residuals that are told, and no search finds smaller ones."""
    n, total = len(y), float(((y - y.mean()) ** 2).sum())
    scores = {}
    for fit in ranking["fits"]:
        least, count, _ = refit.model(fit["name"], q, x, y)
        rss = float(((y - refit.predictions(fit, q, x)) ** 2).sum())
        same({key: fit[key] for key in ("levels", "count", "rss")}, {"levels": n, "count": count, "rss": rss})
        assert least * (1 - 1e-6) - 1e-9 <= rss <= least * (1 + 1e-3) + 1e-9, fit["name"]
        scores[fit["name"]] = refit.aicc(n, count, rss)
        same({key: fit[key] for key in ("r2", "aicc")}, {"r2": 1 - rss / total, "aicc": scores[fit["name"]]})
        if fit["name"] == "logistic" and n <= count + 2:  # without one level many curves fit as well, and differ there
            assert fit["left_out_error"] is None or 0 <= fit["left_out_error"] < 1
            continue
        error = refit.left_out(fit["name"], q, x, y) if fit["left_out_error"] is not None else None
        assert fit["left_out_error"] == (None if error is None else pytest.approx(error, rel=2e-2, abs=1e-6)), fit["name"]
    known = [score for score in scores.values() if score is not None]
    for fit in ranking["fits"]:
        score = scores[fit["name"]]
        assert fit["delta"] == (None if score is None else pytest.approx(score - min(known), abs=1e-3))


def test_claims(run: Run) -> None:
    sweep, report = run
    one, two, three, four, five = report["claims"]
    leading, level = report["recommendation"]["architecture"], report["recommendation"]["level"]
    lossy = sweep.swept[1:]
    accuracies = [sweep.cell("test_accuracy", leading, at) for at in lossy]
    q = np.log([100 * (1 - (sweep.at("Q", at) or 0.0)) for at in lossy])
    unexplained = []
    for seed in range(sweep.seeds):
        if all(seed in own for own in accuracies):
            y = np.array([own[seed] for own in accuracies])
            if np.ptp(y) == 0:
                continue
            unexplained.append(math.log(((y - (q @ y) / (q @ q) * q) ** 2).sum() / ((y - y.mean()) ** 2).sum()))
    turned = sweep.mean(unexplained, lambda value: 1 - math.exp(value))
    r2 = {"effect": turned["mean"], "low": turned["high"], "high": turned["low"]}
    hopeless = report["recommendation"]["outcome"] in ("no-results", "no-levels", "chance")
    models = {each["architecture"]: each for each in report["models"]}
    unknown = hopeless or models[leading]["prediction"]["verdict"] == "unknown"
    same(one, {"number": 1} | (dict.fromkeys(r2) if unknown or r2["low"] is None else r2))
    same(five, {"number": 5} | (dict.fromkeys(r2) if unknown else r2))
    shown = sweep.compare(sweep.right(leading, str(level or lossy[0])), sweep.right(leading, "none"))
    effect = {"effect": shown["difference"], "low": shown["low"], "high": shown["high"]}
    same(two, {"number": 2} | (dict.fromkeys(effect) if hopeless else effect))
    small = report["smallest"]
    named = small["smallest"] or small["stopped_at"]
    size = {"effect": None, "low": None, "high": None}
    if named and not hopeless:
        there = sweep.compare(*(sweep.right(name, str(level)) for name in (named, small["largest"])))
        size = {"effect": there["difference"], "low": there["low"], "high": there["high"]}
    same(three, {"number": 3} | size)
    same(four, {"number": 4} | epochs_for_twice_the_parameters(sweep))


def epochs_for_twice_the_parameters(sweep: Sweep) -> dict[str, Any]:
    """From levels at which all trials of two architectures or more converged: a slope for each seed, by least squares."""
    whole = []
    for level in dict.fromkeys(row["level"] for row in sweep.all):
        mine = [row for row in sweep.all if row["level"] == level]
        several = len({row["architecture"] for row in mine}) > 1
        whole += [level] if several and all(row["converged"] == "True" for row in mine) else []
    slopes = []
    for seed in range(sweep.seeds) if whole else ():
        mine = [row for row in sweep.rows if row["level"] in whole and row["seed"] == str(seed)]
        y = np.log([float(row["epochs_to_converge"]) for row in mine])
        x = np.log([float(row["parameters"]) for row in mine])
        slopes.append(refit.residual(y, x, *[[float(row["level"] == level) for row in mine] for level in whole])[1][0])
    found = sweep.mean(slopes, lambda value: 2**value)
    return {"effect": found["mean"], "low": found["low"], "high": found["high"]}


def test_the_synthetic_run_is_as_it_was_made(tmp_path: Path) -> None:
    """What `recompute` finds is not only the report's, but true: knee at 25, architecture F a little better than A."""
    sweep, report = read(synthetic_root(tmp_path))
    assert [sweep.walk(name)["n_approx"] for name in "AF"] == [25, 25]
    assert sweep.stick("F")["low"] <= sweep.bits("25") <= sweep.stick("F")["high"]
    assert [claim["verdict"] for claim in report["claims"][:3]] == ["contradicted", "supported", "supported"]


def test_mismatch(tmp_path: Path) -> None:
    store, levels = open_store(str(tmp_path)), ("none", "50", "25", "5")
    experiment = synthetic.experiment(levels=levels, training={"mismatch": True}, analysis={"margin": 0.015})
    synthetic.write_run(store, experiment)
    random = np.random.default_rng(7)
    answer_elsewhere(
        store, experiment, lambda a, _, at, seed: round(synthetic.accuracy(a, at, seed) - random.uniform(0, 0.1), 4)
    )
    analyse(store, experiment, synthetic.DATASET)
    sweep, report = read(tmp_path)
    (found,) = report["mismatch"]
    expected = []
    for trained, tested in itertools.product(levels, levels):
        here, matched = (sweep.right("A", level, f"right_at_{tested}") for level in (trained, tested))
        shares = {seed: float(sweep.share(answers)) for seed, answers in here.items()}
        assert sweep.cell(f"tested_at_{tested}", "A", trained) == pytest.approx(shares)
        difference = None if trained == tested else sweep.accuracy(less(here, matched))
        expected.append({"accuracy": sweep.accuracy(here), "difference": difference})
        expected[-1] |= {"trained_at": number(trained), "tested_at": number(tested)}
    same(found["cells"], expected)
    both = (sweep.right("A", level, "right_at_none") for level in ("25", "none"))
    same(found["uncompressed"], sweep.compare(*both) | {"level": 25})
    assert found["uncompressed"]["verdict"] == "inferior"
