"""Two things timed in turn in one process, so that a drift of the machine's speed touches both: ratios with n and spread."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable


def compare(name: str, ours: Callable[[], float], bare: Callable[[], float], *, target: float, runs: int = 5) -> None:
    """Prints ours / bare, both rates (higher is better), as JSON. One pair of runs is not counted."""
    ratios = []
    for run in range(runs + 1):
        pair = ours() / bare()
        if run:
            ratios.append(pair)
    median = statistics.median(ratios)
    verdict = "pass" if median >= target else "short of target"
    result = {
        "what": name,
        "n": runs,
        "median": median,
        "min": min(ratios),
        "max": max(ratios),
        "target": target,
        "verdict": verdict,
    }
    print(
        json.dumps({key: round(value, 3) if isinstance(value, float) else value for key, value in result.items()}), flush=True
    )


def rate(count: int, work: Callable[[], object]) -> float:
    """Items a second of `work`, which does `count`."""
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)
