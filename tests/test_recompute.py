"""Every number of a report, computed again from curves.csv alone, with numpy and scipy and none of the analysis's own code.

`same` walks through a part of report.json: each number in it must have been computed here, and agree.
"""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from helmholtz.report.publish import analyse
from helmholtz.storage import open_store
from tests import synthetic_run as synthetic
from tests.finished_run import answer_elsewhere

LEVELS = ("none", "100", "75", "50", "35", "25", "20", "15", "10", "5", "1")
MARGIN, CONFIDENCE, SEEDS, EPOCHS = 0.015, 0.95, 5, 30
PRICES = {"per_hour": 1.7, "per_gb_month": 23.0, "currency": "EUR"}
ALSO = [{"architectures": list("ABCDEF"), "levels": ["none", 25]}]
TEST_RECORDS, CHANCE = 2_000, 0.25


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, str]], dict[str, Any]]:
    store = open_store(str(tmp_path_factory.mktemp("run")))
    experiment = synthetic.experiment(
        levels=LEVELS, architectures=["A", "F"], also=ALSO, prices=PRICES, analysis={"margin": MARGIN}
    )
    synthetic.write_run(store, experiment, skip=(("F", 50, 3),), not_converged=(("A", 5, 1),))
    analyse(store, experiment, synthetic.DATASET)
    table = list(csv.DictReader(io.StringIO(store.read_bytes("report/curves.csv").decode())))
    return [row for row in table if row["status"] == "complete"], json.loads(store.read_bytes("report/report.json"))


def same(found: Any, expected: Any, where: str = "") -> None:
    if isinstance(found, dict):
        for key, value in found.items():
            if not isinstance(value, str | bool | None):
                assert key in expected, f"{where}.{key} = {value} was not computed here"
                same(value, expected[key], f"{where}.{key}")
            elif key in expected:
                assert value == expected[key], f"{where}.{key}"
    elif isinstance(found, list):
        assert len(found) == len(expected), where
        for n, (one, other) in enumerate(zip(found, expected, strict=True)):
            same(one, other, f"{where}[{n}]")
    else:
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-7), where


def cell(table: list[dict[str, str]], column: str, architecture: str, level: Any) -> dict[int, float]:
    mine = [row for row in table if (row["architecture"], row["level"]) == (architecture, str(level))]
    return {int(row["seed"]): float(row[column]) for row in mine if row[column] != ""}


def right(table: list[dict[str, str]], architecture: str, level: Any, column: str = "test_right") -> dict[int, np.ndarray]:
    """0 or 1 for each test record, by seed; every record is a group of its own."""
    found = {}
    for row in table:
        if (row["architecture"], row["level"]) == (architecture, str(level)):
            assert row["test_groups"] == f"{TEST_RECORDS}*1"
            bits = np.unpackbits(np.frombuffer(base64.b64decode(row[column]), np.uint8))
            found[int(row["seed"])] = bits[:TEST_RECORDS].astype(float)
    return found


def records_part(values: np.ndarray) -> tuple[float, float]:
    """Of a table [seeds, records]: variance of its mean by the choice of records, and what few records skew it by.

    From the mean squares of a two-way analysis of variance; one record more than was seen may have differed.
    """
    seeds, records = values.shape
    rest = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    single = (rest**2).sum() / ((seeds - 1) * (records - 1))
    part = max(float(seeds * values.mean(0).var(ddof=1) - single), 0.0)
    return part / (seeds * records) + 1 / records**2, 1 / records


def less(one: dict[int, np.ndarray], other: dict[int, np.ndarray]) -> np.ndarray:
    return np.array([one[seed] - other[seed] for seed in one if seed in other])


def mean_of(values: list[float], back: Any = lambda value: value, answers: np.ndarray | None = None) -> dict[str, Any]:
    n, mean, sd = len(values), float(np.mean(values)), float(np.std(values, ddof=1))
    half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * sd / n**0.5
    if answers is not None:
        half = math.hypot(half, stats.norm.ppf((1 + CONFIDENCE) / 2) * records_part(answers)[0] ** 0.5)
    return {"n": n, "mean": back(mean), "sd": sd, "low": back(mean - half), "high": back(mean + half)}


def detected(n: int, sd: float, variance: float) -> float:
    """The loss that a one-sided t test finds with probability 0.8, and what the test set adds."""
    critical = stats.t.ppf(CONFIDENCE, n - 1)
    alone = optimize.brentq(lambda loss: stats.nct.sf(critical, n - 1, loss / sd * n**0.5) - 0.8, sd / 10, 10 * sd)
    return math.hypot(alone, (stats.norm.ppf(CONFIDENCE) + stats.norm.ppf(0.8)) * variance**0.5)


def comparison(one: dict[int, np.ndarray], reference: dict[int, np.ndarray]) -> dict[str, Any]:
    answers = less(one, reference)
    values = answers.mean(1).tolist()
    n, mean, sd = len(values), float(np.mean(values)), float(np.std(values, ddof=1))
    variance, skew = records_part(answers)
    z = stats.norm.ppf(CONFIDENCE)
    tail = z * z * skew / 2
    bound = math.hypot(stats.t.ppf(CONFIDENCE, n - 1) * sd / n**0.5, tail + math.sqrt(tail**2 + z * z * variance))
    interval = mean_of(values, answers=answers)
    verdict = "non-inferior" if mean - bound > -MARGIN else "inferior" if mean + bound < -MARGIN else "undecided"
    return {
        "pairs": n, "dropped": SEEDS - n, "difference": mean, "sd": sd, "lower_bound": mean - bound,
        "bound_confidence": CONFIDENCE, "low": interval["low"], "high": interval["high"],
        "detectable": detected(n, sd, variance), "test_set_sd": variance**0.5, "test_set_skew": skew, "verdict": verdict,
        "seeds_needed": next((k for k in range(2, 101) if detected(k, sd, variance) <= MARGIN), None),
    }  # fmt: skip


def test_cells_levels_and_costs(run: tuple[list[dict[str, str]], dict[str, Any]]) -> None:
    table, report = run
    for found in report["cells"]:
        at = found["architecture"], found["level"]
        epochs, seconds = cell(table, "epochs_to_converge", *at), cell(table, "train_seconds", *at)
        spent = [seconds[seed] * epochs[seed] / EPOCHS for seed in epochs]
        expected: dict[str, Any] = {
            name: mean_of(list(cell(table, name, *at).values()))
            for name in ("validation_accuracy", "epochs_to_converge", "train_seconds")
        }
        answers = right(table, *at)
        for seed, accuracy in cell(table, "test_accuracy", *at).items():
            assert answers[seed].mean() == pytest.approx(accuracy)
        means = [one.mean() for one in answers.values()]
        expected |= {"test_accuracy": mean_of(means, answers=np.array(list(answers.values())))}
        expected |= {name: cell(table, name, *at)[0] for name in ("parameters", "multiply_accumulates")}
        mine = [row for row in table if (row["architecture"], row["level"]) == (at[0], str(at[1]))]
        expected |= {
            "quantisation": 0 if at[1] == "none" else (100 - at[1]) / 100, "complete": len(mine), "missing": SEEDS - len(mine),
            "diverged": 0, "not_converged": sum(row["converged"] == "False" for row in mine), "level": at[1],
            "seconds_to_converge": mean_of(spent), "cost_to_converge": mean_of([s / 3600 * 1.7 for s in spent]),
            "epochs_to_converge_reference": {"n": 0},
        }  # fmt: skip
        same(found, expected, f"cell {at}")
    size = {row["level"]: float(row["payload_bytes"]) for row in table}
    for level in report["levels"]:
        assert level["ratio_to_none"] == pytest.approx(size["none"] / size[str(level["level"])])
        assert level["storage_cost"] == pytest.approx(size[str(level["level"])] / 1e9 * 23)
    costs = {(c["architecture"], c["level"]): c["cost_to_converge"] for c in report["cells"]}
    leading, level, smallest = report["recommendation"]["architecture"], report["recommendation"]["level"], report["smallest"]
    expected = {
        "training_at_none": costs[leading, "none"], "training_at_level": costs[leading, level],
        "training_smallest": costs[smallest["smallest"], level], "storing_none": size["none"] / 1e9 * 23,
        "storing_level": size[str(level)] / 1e9 * 23,
    }  # fmt: skip
    same(report["costs"], expected)


def test_walks_equivalences_and_the_recommendation(run: tuple[list[dict[str, str]], dict[str, Any]]) -> None:
    table, report = run
    for walk, equivalences in zip(report["walks"], report["equivalences"], strict=True):
        name = walk["architecture"]
        none = right(table, name, "none")
        expected = [comparison(right(table, name, level), none) | {"level": int(level)} for level in LEVELS[1:]]
        passed = [c["level"] for c in expected]
        stop = next(n for n, c in enumerate(expected) if c["verdict"] != "non-inferior")
        end = {"stopped_at": passed[stop], "n_approx": passed[stop - 1], "above_chance": True, "chance": CHANCE}
        same(walk, {"comparisons": expected} | end)
        for found, one in zip(equivalences["findings"], expected, strict=True):
            distance, error = abs(one["difference"]), one["sd"] / one["pairs"] ** 0.5
            p = found["p_value"]  # at one minus that confidence the bound just reaches the margin
            t, z = stats.t.isf(p, one["pairs"] - 1), stats.norm.isf(p)
            tail = z * z * one["test_set_skew"] / 2
            half = math.hypot(t * error, tail + math.sqrt(tail**2 + (z * one["test_set_sd"]) ** 2))
            if 1e-12 < p < 1 - 1e-12:
                assert half * np.sign(0.5 - p) == pytest.approx(MARGIN - distance, abs=1e-6)
            assert (found["finding"] == "equivalent") == (p < 0.05)
    answer = report["recommendation"]
    validation = {name: np.mean(list(cell(table, "validation_accuracy", name, "none").values())) for name in "AF"}
    assert answer["architecture"] == max(validation, key=validation.__getitem__)
    assert answer["level"] == next(w["n_approx"] for w in report["walks"] if w["architecture"] == answer["architecture"])
    epochs = [cell(table, "epochs_to_converge", answer["architecture"], level) for level in (answer["level"], "none")]
    logs = [math.log(epochs[0][seed] / epochs[1][seed]) for seed in epochs[0]]
    same(answer["epochs_ratio"], mean_of(logs, math.exp) | {"sd": None})


def test_smallest_architecture(run: tuple[list[dict[str, str]], dict[str, Any]]) -> None:
    table, report = run
    found = report["smallest"]
    level = found["level"]
    sizes = {row["architecture"]: int(row["parameters"]) for row in table if row["level"] == str(level)}
    *smaller, largest = sorted(sizes, key=sizes.__getitem__)
    answers = {name: right(table, name, level) for name in sizes}
    expected = [comparison(answers[name], answers[largest]) | {"level": level} for name in smaller[::-1]]
    stop = next(n for n, c in enumerate(expected) if c["verdict"] != "non-inferior")
    assert (found["largest"], found["stopped_at"], found["smallest"]) == (largest, smaller[::-1][stop], smaller[::-1][stop - 1])
    changed = less(answers[found["smallest"]], right(table, largest, "none"))
    whole = mean_of(changed.mean(1).tolist(), answers=changed)
    pairs = zip(smaller[::-1], expected, strict=True)
    compared = [{"architecture": name, "parameters": sizes[name], "comparison": c} for name, c in pairs]
    same(found, {"comparisons": compared, "whole_difference": whole, "level": level})


def columns(table: list[dict[str, str]], name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ln(bits), accuracy and seed of every trial of an architecture at the swept levels."""
    mine = [row for row in table if row["architecture"] == name]
    values = [(math.log(float(r["payload_bits_per_sample"])), float(r["test_accuracy"]), int(r["seed"])) for r in mine]
    x, y, seed = (np.array(column) for column in zip(*values, strict=True))
    return x, y, seed


def residual(y: np.ndarray, *design: np.ndarray) -> tuple[float, np.ndarray]:
    matrix = np.column_stack(design)
    found = np.linalg.lstsq(matrix, y, rcond=None)[0]
    return float(((y - matrix @ found) ** 2).sum()), found


def stick_at(b: float, x: np.ndarray, y: np.ndarray, offsets: np.ndarray) -> tuple[float, np.ndarray]:
    return residual(y, np.minimum(x - b, 0), *offsets)


def best_breakpoint(x: np.ndarray, y: np.ndarray, offsets: np.ndarray) -> float:
    knots = np.unique(x)
    found = []
    for low, high in itertools.pairwise(knots[1:]):
        one = optimize.minimize_scalar(
            lambda b: stick_at(b, x, y, offsets)[0], bounds=(low, high), method="bounded", options={"xatol": 1e-10}
        )
        found.append((one.fun, one.x))
    return float(min(found)[1])


def accepted(top: float, x: np.ndarray, y: np.ndarray, offsets: np.ndarray) -> tuple[float, float]:
    """Lowest and highest breakpoint whose sum of squares is below `top`; there may be others between them that aren't."""

    def excess(at: float) -> float:
        return stick_at(at, x, y, offsets)[0] - top

    grid = np.linspace(np.unique(x)[0] + 1e-9, np.unique(x)[-1], 1_500)
    (inside,) = np.nonzero([excess(at) < 0 for at in grid])
    ends = (grid[inside[0] - 1], grid[inside[0]]), (grid[inside[-1]], grid[inside[-1] + 1])
    low, high = (float(optimize.brentq(excess, *pair)) for pair in ends)
    return low, high


def covariance(table: list[dict[str, str]], name: str, x: np.ndarray) -> np.ndarray:
    """Of the trials in the order of `x`, by the choice of test records: between levels, the same for all seeds of a level."""
    by_level = [right(table, name, level) for level in LEVELS]
    means = np.array([np.mean(list(answers.values()), axis=0) for answers in by_level])
    whole, own = np.cov(means), np.zeros((len(LEVELS), len(LEVELS)))
    for i, j in itertools.product(range(len(LEVELS)), repeat=2):
        for seed in by_level[i].keys() & by_level[j].keys():
            one, other = (by_level[k][seed] - by_level[k][seed].mean() - means[k] + means[k].mean() for k in (i, j))
            n, m = len(by_level[i]), len(by_level[j])
            own[i, j] += one @ other / (TEST_RECORDS - 1) / math.sqrt(n * m * (n - 1) * (m - 1))
    bits = {row["level"]: math.log(float(row["payload_bits_per_sample"])) for row in table}
    at = [next(k for k, level in enumerate(LEVELS) if bits[level] == value) for value in x]
    values, vectors = np.linalg.eigh((whole - own) / TEST_RECORDS)
    return ((vectors * values.clip(0)) @ vectors.T)[np.ix_(at, at)]


def test_broken_sticks_and_bits(run: tuple[list[dict[str, str]], dict[str, Any]]) -> None:
    table, report = run
    for found, both in zip(report["sticks"], report["n_approx"], strict=True):
        x, y, seed = columns(table, found["architecture"])
        offsets = np.array([seed == k for k in range(SEEDS)], float)
        knots = np.unique(x)
        saturated, _ = residual(y, *offsets, *[x == knot for knot in knots[1:]])
        b = best_breakpoint(x, y, offsets)
        rss, fitted = stick_at(b, x, y, offsets)
        slope, plateau = float(fitted[0]), float(np.mean(fitted[1:]))
        # What one trial's noise, and what the luck of the test set, does to the breakpoint, by differences.
        moved = []
        for trial in range(len(y)):
            up, down = y.copy(), y.copy()
            up[trial], down[trial] = up[trial] + 1e-4, down[trial] - 1e-4
            moved.append((best_breakpoint(x, up, offsets) - best_breakpoint(x, down, offsets)) / 2e-4)
        luck = covariance(table, found["architecture"], x)
        weight = np.array(moved) / np.linalg.norm(moved)
        # What that luck adds to the distance of the levels' means from the stick: what the offsets and the stick leave of it.
        tangents = np.column_stack([*offsets, np.minimum(x - b, 0), x <= b])
        left = np.eye(len(x)) - tangents @ np.linalg.pinv(tangents)
        degrees, single = len(knots) - 3, saturated / (len(y) - len(knots) - SEEDS + 1)
        further = max((rss - saturated - np.trace(left @ luck)) / degrees - single, 0)
        allowed = stats.t.ppf(0.975, len(y) - len(knots) - SEEDS + 1) ** 2 * single
        allowed += stats.t.ppf(0.975, degrees) ** 2 * further + stats.norm.ppf(0.975) ** 2 * weight @ luck @ weight
        low, high = accepted(rss + allowed, x, y, offsets)
        names = {math.log(float(row["payload_bits_per_sample"])): row["level"] for row in table}
        above = int(names[min(knot for knot in knots if knot >= b)])
        same(
            found,
            {
                "levels": len(knots), "trials": len(y), "plateau": plateau, "slope": slope, "breakpoint": math.exp(b),
                "above": above, "below": int(names[max(knot for knot in knots if knot < b)]),
                "low": math.exp(low), "high": math.exp(high),
            },
        )  # fmt: skip
        bits = {row["level"]: float(row["payload_bits_per_sample"]) for row in table}
        content = bits[str(both["by_test"])]
        measured = {"total": bits["none"], "noise": bits["none"] - content, "content": content}
        theory = [{"total": 16, "noise": 16 - left, "content": left} for left in (1.15667, 1.39186)]
        assert (both["by_test"], both["by_stick"]) == (25, above)
        same(both["bits"], [measured, *theory])


def logistic(x: np.ndarray, top: float, middle: float, steepness: float) -> np.ndarray:
    return top / (1 + np.exp(-steepness * (x - middle)))


def test_curves_and_models(run: tuple[list[dict[str, str]], dict[str, Any]]) -> None:
    table, report = run
    for curve, models in zip(report["curves"], report["models"], strict=True):
        name = curve["architecture"]
        lossy = LEVELS[:0:-1]  # most compressed first
        y = np.array([np.mean(list(cell(table, "test_accuracy", name, level).values())) for level in lossy])
        q = np.log(np.array([float(level) for level in lossy]))
        bits = np.log([float(next(r["payload_bits_per_sample"] for r in table if r["level"] == level)) for level in lossy])
        n, total = len(y), float(((y - y.mean()) ** 2).sum())
        c = float(q @ y / (q @ q))
        assert (curve["c"], curve["r2"]) == pytest.approx((c, 1 - ((y - c * q) ** 2).sum() / total))
        one = np.ones((1, n))
        steps = optimize.isotonic_regression(y).x
        logistic = optimize.curve_fit(lambda x, p, m, s: p / (1 + np.exp(-s * (x - m))), bits, y, (0.86, -2, 2), maxfev=20_000)[
            0
        ]
        sigmoid = logistic[0] / (1 + np.exp(-logistic[2] * (bits - logistic[1])))
        expected = {
            "paper": (float(((y - c * q) ** 2).sum()), 1), "constant": (total, 1),
            "affine-log": (residual(y, *one, q)[0], 2),
            "plateau-log": (stick_at(best_breakpoint(bits, y, one), bits, y, one)[0], 3),
            "logistic": (float(((y - sigmoid) ** 2).sum()), 3),
            "isotonic": (float(((y - steps) ** 2).sum()), len(np.unique(steps))),
        }  # fmt: skip
        aicc = {}
        for fit in models["lossy"]["fits"]:
            rss, count = expected[fit["name"]]
            k = count + 1
            assert (fit["count"], fit["rss"]) == (count, pytest.approx(rss, rel=1e-4))
            assert fit["r2"] == pytest.approx(1 - rss / total, rel=1e-4)
            if n > k + 1:
                aicc[fit["name"]] = n * math.log(rss / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1)
        for fit in models["lossy"]["fits"]:
            assert (fit["aicc"] is None) == (fit["name"] not in aicc)
            if fit["aicc"] is not None:
                assert fit["aicc"] == pytest.approx(aicc[fit["name"]], abs=1e-3)
                assert fit["delta"] == pytest.approx(aicc[fit["name"]] - min(aicc.values()), abs=1e-3)
        at = models["prediction"]
        assert (at["predicted"], at["measured"]) == pytest.approx((c * math.log(at["level"]), y[lossy.index(str(at["level"]))]))


def test_claims(run: tuple[list[dict[str, str]], dict[str, Any]]) -> None:
    table, report = run
    leading, level = report["recommendation"]["architecture"], report["recommendation"]["level"]
    accuracies = {lossy: cell(table, "test_accuracy", leading, lossy) for lossy in LEVELS[1:]}
    unexplained = []
    for seed in range(SEEDS):
        if all(seed in own for own in accuracies.values()):
            y, q = np.array([own[seed] for own in accuracies.values()]), np.log([float(lossy) for lossy in accuracies])
            unexplained.append(math.log(((y - (q @ y) / (q @ q) * q) ** 2).sum() / ((y - y.mean()) ** 2).sum()))
    turned = mean_of(unexplained, lambda value: 1 - math.exp(value))
    r2 = {"effect": turned["mean"], "low": turned["high"], "high": turned["low"]}
    harm = comparison(right(table, leading, level), right(table, leading, "none"))
    small = report["smallest"]
    size = comparison(*(right(table, name, level) for name in (small["smallest"], small["largest"])))
    # Levels where all five seeds of all architectures there converged; two architectures at least.
    whole = [lv for lv in LEVELS if all(r["converged"] == "True" for r in table if r["level"] == lv) and lv != "50"]
    slopes = []
    for seed in range(SEEDS):
        mine = [r for r in table if r["level"] in whole and r["seed"] == str(seed)]
        y = np.log([float(r["epochs_to_converge"]) for r in mine])
        x = np.log([float(r["parameters"]) for r in mine])
        slopes.append(residual(y, x, *[[float(r["level"] == lv) for r in mine] for lv in whole])[1][0])
    epochs = mean_of(slopes, lambda value: 2**value)
    expected = [
        {"number": 1, "verdict": "contradicted"} | r2,
        {"number": 2, "verdict": "supported", "effect": harm["difference"], "low": harm["low"], "high": harm["high"]},
        {"number": 3, "verdict": "supported", "effect": size["difference"], "low": size["low"], "high": size["high"]},
        {"number": 4, "effect": epochs["mean"], "low": epochs["low"], "high": epochs["high"]},
        {"number": 5, "verdict": "not tested"} | r2,
    ]
    same(report["claims"], expected)
    four = report["claims"][3]
    assert four["verdict"] == ("supported" if epochs["low"] > 1 else "contradicted" if epochs["high"] < 1 else "not shown")


def test_mismatch(tmp_path: Path) -> None:
    store, levels = open_store(str(tmp_path)), ("none", "50", "25", "5")
    experiment = synthetic.experiment(levels=levels, training={"mismatch": True}, analysis={"margin": MARGIN})
    synthetic.write_run(store, experiment)
    random = np.random.default_rng(7)
    answer_elsewhere(
        store, experiment, lambda a, _, at, seed: round(synthetic.accuracy(a, at, seed) - random.uniform(0, 0.1), 4)
    )
    analyse(store, experiment, synthetic.DATASET)
    table = list(csv.DictReader(io.StringIO(store.read_bytes("report/curves.csv").decode())))
    (found,) = json.loads(store.read_bytes("report/report.json"))["mismatch"]
    expected = []
    for trained, tested in itertools.product(levels, levels):
        here, matched = (right(table, "A", level, f"right_at_{tested}") for level in (trained, tested))
        shares = {seed: answers.mean() for seed, answers in here.items()}
        assert cell(table, f"tested_at_{tested}", "A", trained) == pytest.approx(shares)
        changed = less(here, matched)
        difference = None if trained == tested else mean_of(changed.mean(1).tolist(), answers=changed)
        all_answers = np.array(list(here.values()))
        expected.append({"accuracy": mean_of(list(shares.values()), answers=all_answers), "difference": difference})
        expected[-1] |= {key: at if at == "none" else int(at) for key, at in (("trained_at", trained), ("tested_at", tested))}
    same(found["cells"], expected)
    both = (right(table, "A", level, "right_at_none") for level in ("25", "none"))
    same(found["uncompressed"], comparison(*both) | {"level": 25})
    assert found["uncompressed"]["verdict"] == "inferior"
