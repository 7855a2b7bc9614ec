"""Fuzzes everything that reads what others have written.

    python -m tests.fuzz --cases 100000 --seed 0
    python -m tests.fuzz --target images --cases 5000
    python -m tests.fuzz --replay build/fuzz/images-1f3c9a2b

Each target runs in a process of its own, so that one that dies or hangs is told with the case that did it, and the rest goes
on. Cases that failed are saved, with what was said. Ends with status 1 if there are any.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.fuzz.engine import Tally, empty_folder, save
from tests.fuzz.target import judge
from tests.fuzz.targets import NAMES, find
from tests.fuzz.worker import run


def shares(names: list[str], cases: int) -> dict[str, int]:
    """How many of the cases go to each target: more to those that are quick."""
    speeds = {name: find(name).speed for name in names}
    return {name: 1 + round(cases * speed / sum(speeds.values())) for name, speed in speeds.items()}


def main() -> None:
    """Prints a table, and writes the same as JSON beside the cases that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000, help="of all targets together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", action="append", choices=NAMES, help="this one alone; may be given again")
    parser.add_argument("--minutes", type=float, default=60.0, help="that all may take at most")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), help="where cases that failed are saved, and fuzz.json")
    parser.add_argument("--replay", type=Path, metavar="CASE", help="try one saved case again, and say what becomes of it")
    told = parser.parse_args()
    if told.replay:
        sys.exit(replay(told.replay))
    found = fuzz_all(told.target or list(NAMES), told.cases, told.seed, 60 * told.minutes, told.out)
    print(table(found))
    told.out.mkdir(parents=True, exist_ok=True)
    content = {"seed": told.seed, "targets": {name: tally.as_json() for name, tally in found.items()}}
    (told.out / "fuzz.json").write_text(json.dumps(content, indent=1))
    sys.exit(1 if any(tally.failures for tally in found.values()) else 0)


def fuzz_all(names: list[str], cases: int, seed: int, seconds: float, out: Path) -> dict[str, Tally]:
    """One target after the other, with a bar; what failed is saved below `out` as soon as its target is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    found: dict[str, Tally] = {}
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    start, wanted = time.monotonic(), shares(names, cases)
    with empty_folder() as folder, Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=sum(wanted.values()))
        for name in names:
            for tally in run(name, wanted[name], seed, seconds - (time.monotonic() - start), folder):
                found[name] = tally
                bar.update(task, description=name, completed=sum(tally.cases for tally in found.values()))
            for path in save(out, name, found.get(name, Tally())):
                console.print(f"{path}: {json.loads(path.with_suffix('.json').read_text())['said'][:300]}", markup=False)
    return found


def replay(path: Path) -> int:
    """Tries the saved case at `path`. Returns 1 if it still fails."""
    name = json.loads(path.with_suffix(".json").read_text())["target"]
    with empty_folder() as folder, contextlib.redirect_stdout(sys.stderr):
        outcome = judge(find(name), path.read_bytes(), folder)
    print(f"{outcome.kind}: {outcome.said}".encode(errors="backslashreplace").decode())
    return int(outcome.kind == "failed")


def table(found: dict[str, Tally]) -> str:
    """One row a target, and their sum."""
    fields = ("cases", "outcomes", "accepted", "refused", "failed", "lines", "seconds")
    rows: list[dict[str, Any]] = [{"target": name, **tally.as_json()} for name, tally in found.items()]
    rows.append({"target": "all", **{field: round(sum(row[field] for row in rows), 1) for field in fields if field != "lines"}})
    head = "| " + " | ".join(("target", *fields)) + " |\n|" + " --- |" * (1 + len(fields))
    cells = (" | ".join(str(row.get(field, "")) for field in ("target", *fields)) for row in rows)
    return "\n".join([head, *(f"| {row} |" for row in cells)])


if __name__ == "__main__":
    main()
