"""Curves fitted anew by search instead of algebra, for `tests.recompute`: the broken stick with its interval, the models."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import optimize, stats

Found = dict[str, Any]


def residual(y: np.ndarray, *design: np.ndarray) -> tuple[float, np.ndarray]:
    """Sum of squares that a linear fit leaves, and its coefficients."""
    matrix = np.column_stack(design)
    found = np.linalg.lstsq(matrix, y, rcond=None)[0]
    return float(((y - matrix @ found) ** 2).sum()), found


def reach(parts: Sequence[tuple[float, float]], probability: float) -> float:
    """How far an end lies from a mean whose error has `parts`, each of a variance known to so many degrees of freedom."""
    parts = [(variance, degrees) for variance, degrees in parts if variance > 0]
    normal, total = float(stats.norm.ppf(probability)), sum(variance for variance, _ in parts)
    mixed, ends = normal, [0.0]
    for variance, degrees in parts:
        own = float(stats.t.ppf(probability, degrees)) if math.isfinite(degrees) else normal
        mixed += (own - normal) * math.exp((1 + math.log(degrees, 16)) * math.log(variance / total)) if own > normal else 0.0
        ends.append(own * variance**0.5)
    return max(mixed * total**0.5, *ends)


class Stick:
    """A plateau and a line below it through trials `y` at `x`, those of a seed having an offset of their own."""

    def __init__(self, x: np.ndarray, y: np.ndarray, seed: np.ndarray) -> None:
        self.x, self.y, self.knots = x, y, np.unique(x)
        self.offsets = [(seed == each).astype(float) for each in np.unique(seed)]
        self.constant = residual(y, *self.offsets)[0]

    def at(self, b: float) -> tuple[float, np.ndarray]:
        """Sum of squares with the breakpoint at `b`, then slope and offsets; a slope below 0 is none."""
        rss, found = residual(self.y, np.minimum(self.x - b, 0), *self.offsets)
        return (rss, found) if found[0] > 0 else (self.constant, np.array([0.0, *residual(self.y, *self.offsets)[1]]))

    def best(self) -> float:
        """The breakpoint of the least sum of squares; one in the lowest segment, where all fit equally, is its middle."""
        found = [(self.at(self.knots[1])[0], float(self.knots[:2].mean()))]
        for low, high in itertools.pairwise(self.knots[1:]):
            one = optimize.minimize_scalar(
                lambda b: self.at(b)[0], bounds=(low, high), method="bounded", options={"xatol": 1e-10}
            )
            found += [(float(one.fun), float(one.x)), (self.at(high)[0], float(high))]
        least = min(rss for rss, _ in found)
        return next(b for rss, b in found if rss <= least * (1 + 1e-9) + 1e-18)

    def accepted(self, top: float) -> tuple[float | None, float | None]:
        """Lowest and highest breakpoint with a sum of squares up to `top`; None where a constant, or a line, has one."""
        if self.constant <= top:
            return None, None

        def excess(at: float) -> float:
            return self.at(at)[0] - top

        low, high = self.knots[0], self.knots[-1]
        grid = np.unique(np.concatenate([np.linspace(low, high, 1_001)[1:], self.knots[1:], [self.best()]]))
        (inside,) = np.nonzero([excess(at) <= 0 for at in grid])
        first, last = inside[0], inside[-1]
        lowest = low if grid[first] <= self.knots[1] else optimize.brentq(excess, *grid[first - 1 : first + 1], xtol=1e-12)
        highest = None if last == len(grid) - 1 else optimize.brentq(excess, *grid[last : last + 2], xtol=1e-12)
        return float(lowest), None if highest is None else float(highest)

    def tangents(self, b: float, *, upwards: bool = True) -> np.ndarray:
        """How the trials move with the offsets, with the slope and, in the last column, with the breakpoint."""
        b = min(max(b, self.knots[1]), self.knots[-2])
        below = self.x <= b if upwards else self.x < b
        return np.column_stack([*self.offsets, np.minimum(self.x - b, 0), below])

    def moved(self, luck: np.ndarray, low: float, high: float) -> float:
        """The largest variance that `luck`, a covariance of the trials, gives a breakpoint in `low` to `high`.

        In units of what independent trials of variance 1 give it.
        """
        inner = [knot for knot in self.knots[2:-1] if low < knot <= high]
        variances = []
        for b, upwards in [(low, True), (high, True), *itertools.product(inner, (True, False))]:
            *others, below = self.tangents(b, upwards=upwards).T
            weight = below - np.column_stack(others) @ residual(below, *others)[1]
            variances.append(weight @ luck @ weight / (weight @ weight))
        return max(variances)


def stick(x: np.ndarray, y: np.ndarray, seed: np.ndarray, luck: np.ndarray, confidence: float) -> Found:
    """The broken stick with its interval, in bits; `luck` is the covariance of the trials by the choice of test records.

    In `sides` the places, among the levels by size, that lie above and below the breakpoint.
    """
    problem, nothing = Stick(x, y, seed), dict.fromkeys(("plateau", "slope", "breakpoint", "low", "high"))
    knots, b = problem.knots, problem.best()
    rss, (slope, *offsets) = problem.at(b)
    plateau = float(np.mean(offsets))
    saturated = residual(y, *problem.offsets, *[x == knot for knot in knots[1:]])[0]
    if problem.constant - rss <= 1e-12 * (problem.constant - saturated):
        return nothing | {"plateau": plateau, "slope": 0.0, "sides": {"above": None, "below": None}}
    above = None if b >= knots[-1] else int(np.argmax(knots >= b))
    sides = {"above": above, "below": len(knots) - 1 if above is None else above - 1}
    found = nothing | {"plateau": plateau if above is not None else None, "slope": slope, "sides": sides}
    if above is not None:
        found |= {"breakpoint": math.exp(b)} if above > 1 else {"slope": None}  # in the lowest segment it can't be told
    degrees, left = len(knots) - 3, len(y) - len(knots) - len(problem.offsets) + 1
    single = saturated / left if left else 0.0
    tangents = problem.tangents(b)
    rest = np.eye(len(x)) - tangents @ np.linalg.pinv(tangents)
    values, vectors = np.linalg.eigh(luck)
    luck = (vectors * values.clip(0)) @ vectors.T
    further = max((rss - saturated - np.trace(rest @ luck)) / degrees - single, 0)
    at = (1 + confidence) / 2
    low = high = b if above is not None else math.inf
    most = -1.0
    for _ in range(4):  # the luck with the test set, where it moves the breakpoint most of all that the interval holds
        variance = problem.moved(luck, low, high)
        if variance <= most:
            break
        most = variance
        ends = problem.accepted(rss + reach([(further, degrees), (single, left), (variance, math.inf)], at) ** 2)
        low, high = (-math.inf if ends[0] is None else ends[0]), (math.inf if ends[1] is None else ends[1])
    low_bits, high_bits = (None if end is None else math.exp(end) for end in ends)
    return found | {"low": low_bits, "high": high_bits}


# Models: accuracy by percent left (100 - Q), ln(bits) or rank

Formula = Callable[[dict[str, float], np.ndarray, np.ndarray], np.ndarray]
FORMULAS: dict[str, Formula] = {
    "paper": lambda p, q, x: p["c"] * q,
    "constant": lambda p, q, x: np.full(len(q), p["a"]),
    "affine-log": lambda p, q, x: p["a"] + p["c"] * q,
    "plateau-log": lambda p, q, x: np.minimum(p.get("p", math.inf), p["a"] + p["c"] * x),
    "logistic": lambda p, q, x: p["p"] / (1 + np.exp(-p["steepness"] * (x - p["middle"]))),
    "isotonic": lambda p, q, x: np.array(list(p.values())),
}


def model(name: str, q: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[float, int, Callable[[int, float, float], float]]:
    """Least sum of squares of a model, its parameters' number, and what it predicts at a place between given ln(100 - Q), x.

    Levels come most compressed first.
    """
    one = np.ones(len(y))
    if name == "isotonic":
        steps = pooled(y)
        return (
            float(((y - steps) ** 2).sum()),
            len(set(steps.tolist())),
            lambda place, *_: float(steps[max(place - 1, 0)] + steps[min(place, len(y) - 1)]) / 2,
        )
    if name == "paper":
        rss, (c,) = residual(y, q)
        return rss, 1, lambda _, here, __: float(c * here)
    if name == "constant":
        rss, (a,) = residual(y, one)
        return rss, 1, lambda *_: float(a)
    if name == "affine-log":
        rss, (a, c) = residual(y, one, q)
        return rss, 2, lambda _, here, __: float(a + c * here)
    if name == "plateau-log":
        problem = Stick(x, y, np.zeros(len(y)))
        b = problem.best()
        rss, (slope, top) = problem.at(b)
        if b >= problem.knots[-1]:  # a straight line has no plateau among these levels
            return rss, 3, lambda _, __, bits: float(top + slope * (bits - b))
        return rss, 3, lambda _, __, bits: float(top + slope * min(bits - b, 0))
    return logistic(x, y)


def pooled(y: np.ndarray) -> np.ndarray:
    """Isotonic regression: neighbours that fall are pooled until none do."""
    blocks: list[list[float]] = []
    for value in y:
        blocks.append([float(value)])
        while len(blocks) > 1 and np.mean(blocks[-2]) >= np.mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    return np.concatenate([np.full(len(block), np.mean(block)) for block in blocks])


def logistic(x: np.ndarray, y: np.ndarray) -> tuple[float, int, Callable[[int, float, float], float]]:
    """Least squares from many starts, within the bounds that docs/method.md gives the middle and the steepness."""
    low, high = float(x.min()), float(x.max())
    span = high - low
    bounds = ([0.0, low - span, 0.05], [np.inf, high + span, 50.0])

    def curve(at: np.ndarray, where: np.ndarray) -> np.ndarray:
        return np.asarray(at[0] / (1 + np.exp(-np.clip(at[2] * (where - at[1]), -700, 700))))

    fits = [
        optimize.least_squares(lambda at: curve(at, x) - y, (y.max(), middle, steepness), bounds=bounds, x_scale=(1, span, 1))
        for middle, steepness in itertools.product(np.linspace(low - span / 2, high, 9), (0.3, 1.0, 3.0, 10.0))
    ]
    best = min(fits, key=lambda fit: fit.cost)
    return 2 * float(best.cost), 3, lambda _, __, bits: float(curve(best.x, np.array([bits]))[0])


def left_out(name: str, q: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """Root mean square error of predicting each inner level from the others."""
    errors = []
    for at in range(1, len(y) - 1):
        kept = np.arange(len(y)) != at
        errors.append(y[at] - model(name, q[kept], x[kept], y[kept])[2](at, q[at], x[at]))
    return math.sqrt(float(np.mean(np.square(errors))))


def aicc(n: int, count: int, rss: float) -> float | None:
    k = count + 1
    return n * math.log(rss / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1) if n > k + 1 else None


def predictions(fit: Found, q: Sequence[float], x: Sequence[float]) -> np.ndarray:
    """Of a fit's own parameters, by its formula."""
    return FORMULAS[fit["name"]](fit["parameters"], np.array(q), np.array(x))
