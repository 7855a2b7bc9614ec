"""Makes cases of a target's corpus, and counts what becomes of them. What reaches a new line, or a new outcome, is kept."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.lines import Lines
from tests.fuzz.mutations import MAX_BYTES
from tests.fuzz.target import Outcome, Target, bounded_memory, judge

KEPT = 400  # cases
KEPT_BYTES = 1 << 16  # of one case; larger ones are tried, not kept


@dataclass
class Tally:
    """What became of a target's cases."""

    cases: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    lines: int = 0  # of the library that were reached
    kept: int = 0  # cases in the corpus at the end
    failures: dict[str, bytes] = field(default_factory=dict)  # shape -> the shortest case with it
    said: dict[str, str] = field(default_factory=dict)  # shape of a failure -> what was said

    def add(self, outcome: Outcome, data: bytes) -> bool:
        """Counts one case. Returns whether its outcome is new."""
        self.cases += 1
        self.kinds[outcome.kind] += 1
        self.shapes[outcome.shape] += 1
        if outcome.kind == "failed" and len(data) < len(self.failures.get(outcome.shape, data + b"1")):
            self.failures[outcome.shape], self.said[outcome.shape] = data, outcome.said
        return self.shapes[outcome.shape] == 1

    def merge(self, other: Tally) -> None:
        """Adds what another process has counted."""
        self.cases, self.seconds = self.cases + other.cases, self.seconds + other.seconds
        self.kinds, self.shapes = self.kinds + other.kinds, self.shapes + other.shapes
        self.lines, self.kept = max(self.lines, other.lines), max(self.kept, other.kept)
        self.failures, self.said = other.failures | self.failures, other.said | self.said

    def as_json(self) -> dict[str, Any]:
        """Without the cases themselves."""
        return {
            "cases": self.cases, "outcomes": len(self.shapes), "accepted": self.kinds["accepted"],
            "refused": self.kinds["refused"], "failed": self.kinds["failed"], "lines": self.lines, "kept": self.kept,
            "seconds": round(self.seconds, 1), "failures": self.said, "shapes": dict(self.shapes.most_common()),
        }  # fmt: skip


def fuzz(
    target: Target,
    name: str,
    cases: int,
    seed: int,
    *,
    seconds: float = float("inf"),
    on_case: Callable[[bytes], None] = lambda data: None,
    on_judged: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Tries the corpus and so many further `cases`, for at most so many `seconds`."""
    with bounded_memory():
        random = Random(f"{name} {seed}")  # noqa: S311  # cases, not secrets
        return _fuzz(target, random, cases, seconds, on_case, on_judged)


def _fuzz(
    target: Target,
    random: Random,
    cases: int,
    seconds: float,
    on_case: Callable[[bytes], None],
    on_judged: Callable[[Tally], None],
) -> Tally:
    tally, lines = Tally(), Lines()
    corpus = target.corpus()
    given, start = len(corpus), time.monotonic()

    def attempt(data: bytes) -> Outcome:
        on_case(data)
        with empty_folder() as folder, warnings.catch_warnings(), lines.watched():
            warnings.simplefilter("ignore")
            return judge(target, data, folder)

    good = list(corpus)  # of what is refused, most children are refused for the same reason
    for data in corpus[:given]:
        outcome = attempt(data)
        if outcome.kind == "refused":  # else mutations of it would test nothing
            outcome = Outcome("failed", f"of the corpus, and refused: {outcome.said}")
        tally.add(outcome, data)
    while tally.cases < given + cases and time.monotonic() - start < seconds:
        parent = random.choice(good if random.random() < 0.6 else corpus)
        data = target.mutate(random, parent, corpus)[:MAX_BYTES]
        known, outcome = lines.seen, attempt(data)
        if (tally.add(outcome, data) or lines.seen > known) and len(data) <= KEPT_BYTES:
            for kept in (corpus, good) if outcome.kind == "accepted" else (corpus,):
                kept.append(data)
                if len(kept) > KEPT:
                    del kept[random.randrange(given, KEPT)]
        on_judged(tally)
    tally.lines, tally.kept, tally.seconds = lines.seen, len(corpus), time.monotonic() - start
    return tally


@contextmanager
def empty_folder() -> Iterator[Path]:
    """A folder for the block."""
    path = Path(tempfile.mkdtemp(prefix="fuzz-", dir=_MEMORY))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a file system without a disk, if there is one


def save(folder: Path, name: str, tally: Tally) -> list[Path]:
    """Writes the cases that failed, and what was said, below `folder`."""
    paths = []
    for shape, data in tally.failures.items():
        path = folder / f"{name}-{hashlib.sha256(data).hexdigest()[:8]}"
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.with_suffix(".json").write_text(json.dumps({"target": name, "shape": shape, "said": tally.said[shape]}, indent=1))
        paths.append(path)
    return paths
