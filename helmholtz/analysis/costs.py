"""What training and storing cost, at none and at N_approx, given the experiment's prices.

Training is paid for until it has converged, since the budget of epochs is the same at every level and would hide that less
compressed data need more of them. Its seconds are those of training alone, without starting, reading and testing.
"""

from __future__ import annotations

from collections.abc import Sequence

from helmholtz.analysis.cell_summary import CellSummary
from helmholtz.analysis.estimate import Documented, Estimate
from helmholtz.analysis.level_summary import LevelSummary
from helmholtz.analysis.recommendation import Recommendation
from helmholtz.analysis.smallest_architecture import SmallestArchitecture
from helmholtz.experiment import Prices
from helmholtz.levels import NONE, Level


class Costs(Documented):
    """Money, in `currency`. Training of one network until it has converged; storage of all splits for a month."""

    currency: str
    """As the experiment says."""
    training_at_none: Estimate | None
    """Of the architecture the answer is about; null without a price, or where trials were not seen to converge."""
    training_at_level: Estimate | None
    """Of the same architecture at the recommended level."""
    training_smallest: Estimate | None
    """Of the smallest architecture that is enough, at the recommended level; null if there is none."""
    storing_none: float | None
    """A month of the data at none; null without a price."""
    storing_level: float | None
    """A month of the data at the recommended level."""


def costs(
    prices: Prices,
    cells: Sequence[CellSummary],
    levels: Sequence[LevelSummary],
    answer: Recommendation,
    smallest: SmallestArchitecture,
) -> Costs | None:
    """Costs with and without the recommendation, or None without prices."""
    if prices.per_hour is None and prices.per_gb_month is None:
        return None

    def training(architecture: str | None, level: Level | None) -> Estimate | None:
        cell = next((cell for cell in cells if (cell.architecture, cell.level) == (architecture, level)), None)
        return None if cell is None or cell.not_converged or not cell.complete else cell.cost_to_converge

    def storing(level: Level | None) -> float | None:
        return next((summary.storage_cost for summary in levels if summary.level == level), None)

    return Costs(
        currency=prices.currency,
        training_at_none=training(answer.architecture, NONE),
        training_at_level=training(answer.architecture, answer.level),
        training_smallest=training(smallest.smallest, answer.level),
        storing_none=storing(NONE),
        storing_level=storing(answer.level),
    )
