"""Two things timed in turn in one process, so that a drift of the machine's speed touches both: ratios with n and spread."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any


def compare(name: str, ours: Callable[[], float], bare: Callable[[], float], *, target: float, runs: int = 5) -> None:
    """Prints ours / bare, both rates (higher is better), as JSON. One pair of runs is not counted."""
    ratios = []
    for run in range(runs + 1):
        pair = ours() / bare()
        if run:
            ratios.append(pair)
    tell(name, ratios, at_least=target)


def tell(name: str, values: Sequence[float], *, at_least: float | None = None, at_most: float | None = None) -> None:
    """Prints the median and spread of `values` as a line of JSON, with pass or short of target, if there is one."""
    median = statistics.median(values)
    good = (at_least is None or median >= at_least) and (at_most is None or median <= at_most)
    result: dict[str, Any] = {
        "what": name,
        "n": len(values),
        "median": round(median, 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }
    if at_least is not None or at_most is not None:
        result["target"] = f"at least {at_least:g}" if at_least is not None else f"at most {at_most:g}"
        result["verdict"] = "pass" if good else "short of target"
    print(json.dumps(result), flush=True)


def rate(count: int, work: Callable[[], object]) -> float:
    """Items a second of `work`, which does `count`."""
    return count / seconds(work)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of `work`."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
