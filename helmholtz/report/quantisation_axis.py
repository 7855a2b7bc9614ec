"""The x axis of the figures: relative quantisation Q, and where the levels stand that share Q = 0."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from helmholtz.analysis.summary import Report
from helmholtz.levels import NONE, Level, sort_key
from helmholtz.report.marks import apart, labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEP = 0.035  # from Q = 0 to none
WIDE_STEP = 0.075  # between levels with labels of three digits
TICKS = (0, 0.2, 0.4, 0.6, 0.8, 1.0)
LABEL = "relative quantisation Q  (0: least, 1: most compressed)"


def places(report: Report) -> dict[Level, float]:
    """Where each level stands: at its Q; of those with Q = 0 only the most compressed.

    The others (none, and bitrates above the reference) stand left of it, in their order, where they hide nothing.
    """
    ordered = sorted(report.levels, key=lambda level: sort_key(level.level))
    first = [level.level for level in ordered if level.quantisation == 0]
    lossy = [level for level in first if level != NONE]
    found = {level.level: level.quantisation for level in ordered}
    step = WIDE_STEP if len(lossy) > 1 else STEP
    for turn, level in enumerate(reversed(lossy)):
        found[level] = -step * turn
    found[NONE] = -step * max(1, len(lossy))
    return found


def beside_zero(report: Report, shown: Collection[Level]) -> str:
    """A sentence for the caption about the levels among `shown` left of Q = 0; empty where there is only none."""
    at = places(report)
    names = [labels(report)[level] for level in sorted(shown, key=sort_key) if level != NONE and at[level] < 0]
    return f" Left of 0, since their Q is 0 too: {', '.join(names)}." if names else ""


def draw_quantisation_axis(axes: Axes, report: Report, shown: Collection[Level]) -> None:
    """Q below, the levels `shown` above; those too close to the one before stay without a label."""
    at = places(report)
    left, right = at[NONE] - STEP, 1.02
    axes.set_xlim(left, right)
    axes.set_xticks(TICKS)
    axes.set_xlabel(LABEL)
    top = axes.secondary_xaxis("top")
    names = {at[level]: str(level) for level in shown if level != NONE}
    wide = sum(len(name) > 2 for name in names.values()) > 1
    kept = apart(list(names), lambda one, other: 0.0088 * (right - left) * (len(names[one]) + len(names[other])))
    top.set_xticks([at[NONE], *kept], ["none", *(names[place] for place in kept)], fontsize=7 if wide else 8)
    top.get_xticklabels()[0].set_horizontalalignment("right")
    top.set_xlabel(f"{report.codec.name.upper()} {report.codec.scale}", fontsize=8.5)
