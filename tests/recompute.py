"""What a report's numbers have to be, from curves.csv alone: with numpy and scipy and none of the analysis's own code.

`recompute` gives them in the shape of report.json. The experiment is needed to know what was asked for (margin, confidence,
seeds, prices); nothing that was measured comes from anywhere but the table. Left out are counts of what the data are, not of
what was measured (records set aside, at what level the source was compressed), and the paper's theory of bits.
"""

from __future__ import annotations

import base64
import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import optimize, stats

from tests import refit

Seeds = dict[int, np.ndarray]  # seed -> right answers of each group of test records
Found = dict[str, Any]
TAILS = ("test_set_below", "test_set_above")


class Sweep:
    """The table, `rows` of curves.csv, and what was asked for, `experiment`."""

    def __init__(self, rows: Sequence[Mapping[str, str]], experiment: Mapping[str, Any]) -> None:
        self.all, self.rows = rows, [row for row in rows if row["status"] == "complete"]
        self.margin, self.confidence = experiment["analysis"]["margin"], experiment["analysis"]["confidence"]
        self.seeds, self.epochs = experiment["seeds"], experiment["training"]["epochs"]
        self.prices, self.swept = experiment["prices"], [str(level) for level in experiment["levels"]]
        self.architectures = experiment["architectures"]
        runs = [[int(number) for number in part.split("*")] for part in self.rows[0]["test_groups"].split()]
        self.sizes = np.array([size for count, size in runs for _ in range(count)])  # of the groups of test records
        self.unit = float((self.sizes**2).sum() / self.sizes.sum() ** 2)
        self.z = stats.norm.ppf(self.confidence)

    def cell(self, column: str, architecture: str, level: str) -> dict[int, float]:
        mine = [row for row in self.rows if (row["architecture"], row["level"]) == (architecture, level)]
        return {int(row["seed"]): float(row[column]) for row in mine if row[column] != ""}

    def at(self, column: str, level: str) -> float | None:
        """What is the same for all trials at a level."""
        (value,) = {row[column] for row in self.all if row["level"] == level}
        return float(value) if value != "" else None

    @functools.cache  # noqa: B019 - as long as the sweep
    def right(self, architecture: str, level: str, column: str = "test_right") -> Seeds:
        found = {}
        for row in self.rows:
            if (row["architecture"], row["level"]) == (architecture, level):
                bits = np.unpackbits(np.frombuffer(base64.b64decode(row[column]), np.uint8))[: self.sizes.sum()]
                groups = np.split(bits, np.cumsum(self.sizes)[:-1])
                found[int(row["seed"])] = np.array([group.sum() for group in groups], float)
        return found

    def share(self, right: np.ndarray) -> np.ndarray:
        """Of right answers, groups in the last place, among all test records."""
        return np.asarray(right.sum(-1) / self.sizes.sum())

    def beside(self, right: np.ndarray) -> np.ndarray:
        """By how many right answers each group differs from what the share of right answers makes of its size."""
        return np.asarray(right - np.multiply.outer(self.share(right), self.sizes))

    def shared(self, cells: Sequence[Seeds]) -> np.ndarray:
        """Covariance of the cells' accuracies, means over seeds, by the choice of groups: between them, less the seeds' part.

        Two-way analysis of variance; summed product by product.
        """
        common = [self.beside(np.array(list(one.values()))).mean(0) for one in cells]
        found = np.array([[one @ other for other in common] for one in common])
        for i, j in itertools.product(range(len(cells)), repeat=2):
            n, m = len(cells[i]), len(cells[j])
            for seed in cells[i].keys() & cells[j].keys():
                one, other = self.beside(cells[i][seed]) - common[i], self.beside(cells[j][seed]) - common[j]
                found[i, j] -= one @ other / math.sqrt(n * m * (n - 1) * (m - 1))
        count = len(self.sizes)
        return np.asarray(found * count / (count - 1) / self.sizes.sum() ** 2)

    def luck(self, answers: Seeds) -> tuple[float, float, float]:
        """Of their mean, by the choice of groups: standard deviation, and third moment over variance below and above.

        One group more than was seen may have differed.
        """
        each = self.beside(np.array(list(answers.values()))).mean(0) / self.sizes.sum()  # of a group, in the mean
        variance = each.var(ddof=1) * len(each) + self.unit**2
        third = float((each**3).sum())
        below, above = (max(self.unit**3 + sign * third, 0.0) / variance for sign in (-1, 1))
        return (max(float(self.shared([answers])[0, 0]), 0.0) + self.unit**2) ** 0.5, below, above

    def mean(self, values: Sequence[float], back: Callable[[float], Any] = float, answers: Seeds | None = None) -> Found:
        """Two-sided t interval, which with `answers` holds the luck of the test set."""
        n = len(values)
        known = n > 1 and (float(np.std(values, ddof=1)) > 1e-9 or n >= 5)
        found: Found = {"n": n, "mean": back(float(np.mean(values))) if n else None, "sd": None, "low": None, "high": None}
        if n > 1:
            found["sd"] = float(np.std(values, ddof=1)) if np.std(values, ddof=1) > 1e-9 else 0.0
        if known:
            below, above = self.reaches(
                (1 + self.confidence) / 2, n, found["sd"], None if answers is None else self.luck(answers)
            )
            found |= {"low": back(float(np.mean(values)) - below), "high": back(float(np.mean(values)) + above)}
        return found

    def accuracy(self, answers: Seeds) -> Found:
        """Of right answers, or of differences of such."""
        return self.mean([float(self.share(right)) for right in answers.values()], answers=answers)

    def compare(self, one: Seeds, reference: Seeds) -> Found:
        """Paired non-inferiority of one to the reference."""
        answers = less(one, reference)
        alone = self.accuracy(answers)
        n, mean, sd = alone["n"], alone["mean"], alone["sd"]
        nothing = dict.fromkeys(("lower_bound", "low", "high", "test_set_sd", *TAILS, "detectable", "seeds_needed"))
        found = {"pairs": n, "dropped": self.seeds - n, "difference": mean, "sd": sd, "bound_confidence": self.confidence}
        if alone["low"] is None:
            return found | nothing | {"verdict": "untestable"}
        luck = self.luck(answers)
        below, above = self.reaches(self.confidence, n, sd, luck)
        verdict = "non-inferior" if mean - below > -self.margin else "inferior" if mean + above < -self.margin else "undecided"
        finds = self.detected(n, sd, luck)
        needed = next((k for k in range(2, 101) if self.detected(k, sd, luck) <= self.margin), None)
        return found | {
            "lower_bound": max(mean - below, -1), "low": max(alone["low"], -1), "high": min(alone["high"], 1),
            "test_set_sd": luck[0],
            "detectable": finds if finds <= 1 else None, "seeds_needed": needed, "verdict": verdict,
        } | dict(zip(TAILS, luck[1:], strict=True))  # fmt: skip

    def reaches(self, confidence: float, n: int, sd: float, luck: tuple[float, float, float] | None) -> list[float]:
        """How far below and above the mean the ends lie: seeds by t, groups by a score interval, and what is between."""
        z = float(stats.norm.ppf(confidence))
        groups = [self.of_groups(confidence, luck, side) / z if luck else 0.0 for side in (1, 2)]
        return [refit.reach([(sd**2 / n, n - 1), (group**2, math.inf)], confidence) for group in groups]

    def of_groups(self, confidence: float, luck: tuple[float, float, float], side: int) -> float:
        z = float(stats.norm.ppf(confidence))
        tail = z * z * luck[side] / 2
        return tail + math.hypot(tail, z * luck[0])

    def detected(self, n: int, sd: float, luck: tuple[float, float, float]) -> float:
        """The loss that a one-sided test finds with probability 0.8."""
        of_groups = self.of_groups(self.confidence, luck, 2) + float(stats.norm.ppf(0.8)) * luck[0]
        return math.hypot(shift_to_find(n, self.confidence) * sd / n**0.5, of_groups)

    def equivalence(self, one: Found) -> Found:
        """Both one-sided tests of a comparison."""
        if one["verdict"] == "untestable":
            return {"p_value": None, "finding": "untestable"}
        n, sd, mean = one["pairs"], one["sd"], one["difference"]
        luck = (one["test_set_sd"], *(one[tail] for tail in TAILS))
        below, above = self.reaches(self.confidence, n, sd, luck)
        p_values = []
        for side, room in enumerate((self.margin + mean, self.margin - mean)):

            def excess(log: float, side: int = side, room: float = room) -> float:
                return self.reaches(1 - math.exp(log), n, sd, luck)[side] - abs(room)

            least = math.log(1e-13)  # the logarithm of the tail, at which the bound just reaches the margin
            tail = math.exp(optimize.brentq(excess, least, -0.6932, xtol=1e-12)) if excess(least) > 0 else 0.0
            p_values.append(tail if room > 0 else 1 - tail)
        finding = "none found" if (one["detectable"] or 1) <= self.margin else "blind"
        if mean + above < 0:
            finding = "loss"
        if mean - below > -self.margin:
            finding = "no loss"
        if mean + above < -self.margin or mean - below > self.margin:
            finding = "different"
        if max(below - mean, mean + above) < self.margin:
            finding = "equivalent"
        return {"p_value": max(p_values), "finding": finding}

    def above_chance(self, architecture: str) -> bool:
        shares = [float(self.share(right)) for right in self.right(architecture, "none").values()]
        chance, groups = self.at("chance", "none") or 0.0, int(1 / self.unit + 1e-9)
        error = math.sqrt(chance * (1 - chance) / groups + np.var(shares, ddof=1) / len(shares))
        return bool(np.mean(shares) - 0.5 / groups - self.z * error > chance)

    def walk(self, architecture: str) -> Found:
        """Down the levels to the first that doesn't pass."""
        lossy, none = self.swept[1:], self.right(architecture, "none")
        comparisons = [self.compare(self.right(architecture, level), none) | {"level": int(level)} for level in lossy]
        passed = [c["level"] for c in itertools.takewhile(lambda c: c["verdict"] == "non-inferior", comparisons)]
        above = self.above_chance(architecture)
        return {
            "architecture": architecture, "comparisons": comparisons, "chance": self.at("chance", "none"),
            "above_chance": above, "stopped_at": int(lossy[len(passed)]) if len(passed) < len(lossy) else None,
            "n_approx": passed[-1] if passed and above else None,
        }  # fmt: skip

    def cell_summary(self, architecture: str, level: str) -> Found:
        mine = [row for row in self.all if (row["architecture"], row["level"]) == (architecture, level)]
        here = functools.partial(self.cell, architecture=architecture, level=level)
        epochs, seconds = here("epochs_to_converge"), here("train_seconds")
        spent = [seconds[seed] * epochs[seed] / self.epochs for seed in epochs]
        names = ("validation_accuracy", "epochs_to_converge", "epochs_to_converge_reference", "train_seconds")
        hour = self.prices["per_hour"]
        answers = self.right(architecture, level)
        for seed, accuracy in here("test_accuracy").items():
            assert math.isclose(self.share(answers[seed]), accuracy, abs_tol=1e-9)
        costs = [s / 3600 * hour for s in spent] if hour else []
        return {name: possible(self.mean(list(here(name).values())), name) for name in names} | {
            "architecture": architecture, "level": number(level), "quantisation": self.at("Q", level),
            "parameters": next(iter(here("parameters").values())),
            "multiply_accumulates": next(iter(here("multiply_accumulates").values())),
            "complete": sum(row["status"] == "complete" for row in mine),
            "missing": sum(row["status"] == "missing" for row in mine),
            "diverged": sum(row["status"] == "diverged" for row in mine),
            "not_converged": sum(row["converged"] == "False" for row in mine if row["status"] == "complete"),
            "test_accuracy": possible(self.accuracy(answers), "accuracy"),
            "seconds_to_converge": possible(self.mean(spent)),
            "cost_to_converge": possible(self.mean(costs)) if costs else None,
        }  # fmt: skip

    def level_summary(self, level: str) -> Found:
        nbytes, source = (self.at(name, level) for name in ("payload_bytes", "source_bytes"))
        bitrate = self.at("bitrate", level)  # audio: clips are cropped, and the source's bytes hold more than they
        per_month = self.prices["per_gb_month"]
        return {
            "level": number(level), "quantisation": self.at("Q", level), "payload_bytes": nbytes, "source_bytes": source,
            "records": {name: self.at(f"{name}_records", level) for name in ("train", "validation", "test")},
            "coded_bytes": self.at("coded_bytes", level), "ratio_to_none": self.at("payload_bytes", "none") / nbytes,
            "ratio_to_source": None if bitrate else source / nbytes,
            "bits_per_sample": self.at("payload_bits_per_sample", level),
            "bitrate": bitrate, "storage_cost": nbytes / 1e9 * per_month if per_month else None,
            "refinement_round": None,
        }  # fmt: skip

    def bits(self, level: str) -> float:
        return float(self.at("payload_bits_per_sample", level) or math.nan)

    def stick(self, architecture: str) -> Found:
        """Of the levels with a complete trial."""
        cells = {level: self.right(architecture, level) for level in self.swept if self.right(architecture, level)}
        levels = sorted(cells, key=self.bits)
        trials = [
            (math.log(self.bits(level)), float(self.share(right)), seed, place)
            for place, level in enumerate(levels)
            for seed, right in cells[level].items()
        ]
        x, y, seed, place = (np.array(column) for column in zip(*trials, strict=True))
        luck = self.shared([cells[level] for level in levels]) + np.eye(len(levels)) * self.unit**2
        found = refit.stick(x, y, seed, luck[np.ix_(place, place)], self.confidence)
        sides = {key: number(levels[at]) if at is not None else None for key, at in found.pop("sides").items()}
        return {"architecture": architecture, "levels": len(levels), "trials": len(y)} | found | sides

    def n_approx(self, walk: Found, stick: Found) -> Found:
        shown = stick["low"] is not None and stick["high"] is not None and walk["above_chance"]
        by_test, by_stick = walk["n_approx"], stick["above"] if shown else None
        bits = []
        if by_test is not None:
            total, content = self.bits("none"), self.bits(str(by_test))
            bits = [{"accounting": "measured", "total": total, "noise": total - content, "content": content}]
        agree = None if by_test is None or by_stick is None else by_test == by_stick
        return {"architecture": walk["architecture"], "by_test": by_test, "by_stick": by_stick, "agree": agree, "bits": bits}

    def means(self, architecture: str, levels: Sequence[str]) -> list[float]:
        return [float(np.mean(list(self.cell("test_accuracy", architecture, level).values()))) for level in levels]

    def epochs_ratio(self, architecture: str, level: int | None) -> Found | None:
        if level is None:
            return None
        both = [
            {int(row["seed"]): row for row in self.rows if (row["architecture"], row["level"]) == (architecture, str(at))}
            for at in (level, "none")
        ]
        pairs = [(both[0][seed], both[1][seed]) for seed in both[0] if seed in both[1]]
        if any(row["converged"] == "False" for pair in pairs for row in pair):
            return None
        logs = [math.log(float(one["epochs_to_converge"]) / float(other["epochs_to_converge"])) for one, other in pairs]
        return self.mean(logs, math.exp) | {"sd": None}


def less(one: Seeds, other: Seeds) -> Seeds:
    return {seed: one[seed] - other[seed] for seed in one if seed in other}


def number(level: str) -> int | str:
    return level if level == "none" else int(level)


def possible(found: Found, what: str = "") -> Found:
    """The interval of something that can't be below 0, nor, if an accuracy, above 1."""
    most = 1.0 if "accuracy" in what else math.inf
    return found | {end: min(max(found[end], 0.0), most) for end in ("low", "high") if found[end] is not None}


@functools.cache
def shift_to_find(n: int, confidence: float) -> float:
    """Standard errors that the mean must be off for a one-sided t test to see it with probability 0.8."""
    critical = stats.t.ppf(confidence, n - 1)
    at, weights = np.polynomial.legendre.leggauss(400)
    s = (at + 1) / 2 * (1 + 8 * (n - 1) ** -0.5)  # the estimated deviation, and how likely it is
    likely = weights * stats.chi.pdf(s, n - 1, scale=(n - 1) ** -0.5)
    likely /= likely.sum()

    def power(shift: float) -> float:
        return float(likely @ stats.norm.sf(critical * s - shift))

    return float(optimize.brentq(lambda shift: power(shift) - 0.8, 0, 4 * critical + 4, xtol=1e-6))
