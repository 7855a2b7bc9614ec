"""Seconds and bytes in money, at the experiment's prices."""

from __future__ import annotations

from helmholtz.analysis.estimate import Estimate
from helmholtz.experiment import Prices

GB = 10**9  # bytes
HOUR = 3600.0  # seconds


def training_cost(prices: Prices, seconds: Estimate) -> Estimate | None:
    """Money for so many `seconds`, or None without a price."""
    if prices.per_hour is None:
        return None
    scale = prices.per_hour / HOUR
    scaled = {end: value * scale for end in ("mean", "sd", "low", "high") if (value := getattr(seconds, end)) is not None}
    return seconds.model_copy(update=scaled)


def storage_cost(prices: Prices, nbytes: int | None) -> float | None:
    """Money for a month of `nbytes`, or None without a price or a size."""
    return None if prices.per_gb_month is None or nbytes is None else nbytes / GB * prices.per_gb_month
