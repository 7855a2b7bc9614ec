"""Least squares of a plateau with a line below it: y = plateau - slope * max(breakpoint - x, 0), slope >= 0.

Exact, without a search: with the levels below the breakpoint given, the residual sum of squares is a ratio of two
quadratics in the breakpoint, so that its minimum, and the set where it stays under a bound, have closed forms (as in
Fieller's theorem for a ratio of normal means). Trials of one seed may share an offset, which is taken out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helmholtz.analysis.estimate import NO_SPREAD

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]

ROUNDING = 1e-12  # relative: what is closer than this is equal


@dataclass(frozen=True, slots=True)
class Stick:
    """The least-squares fit. A breakpoint of +inf is a straight line without a plateau, one of -inf a constant."""

    plateau: float  # mean over groups; of a straight line, its value at the largest x
    slope: float
    breakpoint: float
    flat: bool  # only the lowest x lies below: any breakpoint from there to the next x fits equally well; the middle is given
    lack_of_fit: float  # sum of squares of the levels' means about the stick
    degrees: int  # of lack_of_fit: levels - 3


class StickProblem:
    """Trials `y` at `x`, both of shape (n,), of which those of equal `group` (0, 1, ...; shape (n,)) share an offset.

    `x` has to hold at least two different values.
    """

    def __init__(self, x: Floats, y: Floats, group: Integers) -> None:
        self._x, self._y, self._group = x, y, group
        knots, level = np.unique(x, return_inverse=True)
        self._knots = knots
        levels = self._centred(np.eye(len(knots))[:, level])
        centred = self._centred(y)
        effects, _, rank, _ = np.linalg.lstsq(levels.T, centred, rcond=None)
        explained = float(centred @ (levels.T @ effects))
        self._total = explained  # between levels: what is left over within them is no matter of the curve's shape
        self.degrees = int(rank) - 2
        self.trial_degrees = len(y) - int(rank) - len(np.unique(group))
        within = float(((centred - levels.T @ effects) ** 2).sum())
        self.trial_variance = within / self.trial_degrees if self.trial_degrees > 0 else 0.0  # of one trial, within its level
        below = x < knots[1:, None]  # row m: the levels below the breakpoint where it lies between knots m and m + 1
        v, u = self._centred(below.astype(float)), self._centred(below * x)
        self._yu, self._yv = u @ centred, v @ centred
        self._uu, self._uv, self._vv = (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)

    def fit(self) -> Stick:
        """The stick with the least sum of squares."""
        best, at, flat = self._best()
        total = self._total
        if best <= max(ROUNDING * total, len(self._y) * NO_SPREAD**2):
            return Stick(self._offset(0.0, self._knots[0]), 0.0, -np.inf, False, total, self.degrees)
        slope = self._slope(at)
        breakpoint_ = np.inf if at >= self._knots[-1] else at
        return Stick(self._offset(slope, at), slope, breakpoint_, flat, max(total - best, 0.0), self.degrees)

    def accepted(self, bound: float) -> tuple[float, float]:
        """Lowest and highest breakpoint whose lack of fit is at most `bound`; -inf where a constant's is, +inf a line's."""
        needed = self._total - bound  # of the sum of squares, explained by the stick
        if needed <= 0:
            return -np.inf, np.inf
        inside: list[float] = []
        for m, (low, high) in enumerate(zip(self._knots, self._knots[1:], strict=False)):
            # explained(b) >= needed  <=>  (yu - b yv)^2 >= needed * (uu - 2 b uv + b^2 vv)
            square = self._yv[m] ** 2 - needed * self._vv[m]
            linear = 2 * (needed * self._uv[m] - self._yu[m] * self._yv[m])
            constant = self._yu[m] ** 2 - needed * self._uu[m]
            crossings = [float(root.real) for root in np.roots([square, linear, constant]) if not root.imag] if m else []
            inside += [b for b in crossings if low < b < high and self._yu[m] > b * self._yv[m]]
            inside += [b for b in (low, high) if self._explained(m, b) >= needed * (1 - ROUNDING)]
        if not inside:  # the bound is the best fit's own, up to rounding
            at = self._best()[1]
            return at, at
        highest = max(inside)
        return float(min(inside)), np.inf if highest >= self._knots[-1] else float(highest)

    def lack_of_fit(self, stick: Stick, shifts: Floats) -> float:
        """What shifts of the trials, shape (..., n), add to the stick's lack of fit: sum of squares, summed over all."""
        hinge, below = self._tangents(stick.breakpoint)
        design = np.linalg.qr(np.column_stack([hinge, below]))[0]
        centred = self._centred(shifts)
        return float(((centred - centred @ design @ design.T) ** 2).sum())

    def sensitivities(self, low: float, high: float) -> Floats:
        """By how much a shift of each trial shifts a breakpoint from `low` to `high`; shape (places, n).

        In units of what a trial's own noise does: a shift of deviation 1 of each trial by itself shifts the breakpoint by 1.
        The slope is fitted anew. The places are both ends and, on either side, the levels between, where it changes at once:
        which levels lie below is another. Taken at the nearest inner level where an end lies beyond it.
        """
        inner = self._knots[2:-1]  # on the lower side of the lowest inner level the breakpoint is arbitrary
        passed = inner[(low < inner) & (inner <= high)]
        upwards = [self._tangents(b) for b in (low, high, *passed)]
        downwards = [self._tangents(b, upwards=False) for b in passed]
        found = []
        for hinge, below in upwards + downwards:
            direction = below - (below @ hinge) / (hinge @ hinge) * hinge
            found.append(direction / (np.linalg.norm(direction) or 1.0))
        return np.array(found)

    def _tangents(self, b: float, *, upwards: bool = True) -> tuple[Floats, Floats]:
        """How the trials move with the slope and with a breakpoint `b`; that at the nearest inner level, if it lies beyond."""
        b = float(np.clip(b, self._knots[1], self._knots[-2]))
        below = self._x <= b if upwards else self._x < b
        return self._centred(np.minimum(self._x - b, 0.0)), self._centred(below.astype(float))

    def _best(self) -> tuple[float, float, bool]:
        """The largest sum of squares that a stick explains, its breakpoint, and whether that is arbitrary in its segment."""
        knots = self._knots
        best, at, flat = self._explained(0, knots[1]), float(knots[0] + knots[1]) / 2, True
        for m in range(1, len(knots) - 1):
            candidates = [float(knots[m + 1])]
            if denominator := self._yu[m] * self._vv[m] - self._yv[m] * self._uv[m]:
                candidates.append(float((self._yu[m] * self._uv[m] - self._yv[m] * self._uu[m]) / denominator))
            for b in candidates:
                if knots[m] < b <= knots[m + 1] and self._explained(m, b) > best * (1 + ROUNDING):
                    best, at, flat = self._explained(m, b), b, False
        return best, at, flat

    def _explained(self, m: int, b: float) -> float:
        """Sum of squares that a stick with its breakpoint at `b`, between knots m and m + 1, explains."""
        along = self._yu[m] - b * self._yv[m]
        norm = self._uu[m] - 2 * b * self._uv[m] + b * b * self._vv[m]
        if m == 0:  # the same for every b, and 0 / 0 at the lowest knot
            along, norm = -self._yv[0], self._vv[0]
        return float(along**2 / norm) if along > 0 and norm > 0 else 0.0

    def _slope(self, b: float) -> float:
        hinge = self._centred(np.minimum(self._x - b, 0.0))
        return max(float(hinge @ self._y / (hinge @ hinge)), 0.0)

    def _offset(self, slope: float, b: float) -> float:
        """Mean over groups of what is left without the slope."""
        rest = self._y - slope * np.minimum(self._x - b, 0.0)
        return float((np.bincount(self._group, rest) / np.bincount(self._group)).mean())

    def _centred(self, values: Floats) -> Floats:
        """`values`, of shape (..., n), less their mean within the group."""
        members = np.eye(int(self._group.max()) + 1)[self._group]
        return np.asarray(values - (values @ members / members.sum(0)) @ members.T)
