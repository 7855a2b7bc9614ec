"""Hundreds of trials through `helmholtz run`, with trainers killed on the way; memory and open files are watched.

    python -m tests.soak --kills 12

25 levels x 12 seeds of a tiny network, by kfp.local. Trainers are killed at random moments, and now and then the whole run;
it is started again until it ends well. Then every trial has its result, `helmholtz verify` finds nothing, and neither the
pipeline's process nor a trainer has grown. Linux only, for what a process takes is read from /proc.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.kills import pictures

LEVELS = ("none", *range(95, 0, -4))  # 25
SEEDS = 12
EVERY = 0.5  # seconds between two looks
BETWEEN = (8.0, 25.0)  # seconds between two kills
KINDS = {"helmholtz_pipelines.local": "pipeline", "executor_main": "task"}  # by what is in the command line
GROWTH = 1.1  # the end's memory over the beginning's, at most


@dataclass
class Seen:
    """What was seen of one process: bytes resident and open files, at each look."""

    kind: str
    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)


@dataclass
class Soak:
    """What became of it."""

    kills: int = 0
    runs: int = 0
    results: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    processes: list[Seen] = field(default_factory=list)


def experiment(folder: Path, levels: tuple[Any, ...] = LEVELS, seeds: int = SEEDS) -> dict[str, Any]:
    """One epoch of architecture A on 8x8 pictures."""
    return {
        "name": "soak",
        "dataset": {"kind": "image-folder", "path": str(folder), "shards": 2, "test": 0.3},
        "levels": list(levels),
        "architectures": ["A"],
        "seeds": seeds,
        "training": {"epochs": 1, "batch_size": 8, "input_size": 8},
    }


def soak(content: dict[str, Any], kills: int, seed: int, folder: Path) -> Soak:
    """Runs the experiment `content` until it ends well, killing as long as there are `kills` left."""
    file, root, chance = folder / "soak.yaml", folder / "root", random.Random(seed)  # noqa: S311  # moments, not secrets
    file.write_text(yaml.safe_dump(content))
    found, start, ended = Soak(), time.monotonic(), None
    while ended != 0:
        assert found.runs <= kills + 1, "it doesn't end, though nothing is killed any more"
        with (folder / "said.log").open("a") as said:
            run = subprocess.Popen(
                [sys.executable, "-m", "helmholtz", "run", str(file), "--root", str(root)], stdout=said, stderr=said, text=True
            )
        found.runs += 1
        ended = _watch(run, found, chance, kills)
    found.results = len(list(root.glob("trials/*/result.json")))
    told = subprocess.run([sys.executable, "-m", "helmholtz", "verify", str(root)], capture_output=True, text=True, check=False)
    found.problems = [] if told.returncode == 0 else [told.stdout + told.stderr]
    found.seconds = time.monotonic() - start
    return found


def _watch(run: subprocess.Popen[str], found: Soak, chance: random.Random, kills: int) -> int:
    seen: dict[int, Seen] = {}
    due = time.monotonic() + chance.uniform(*BETWEEN)
    while run.poll() is None:
        time.sleep(EVERY)
        now = {pid: kind for pid, kind in _below(run.pid) if kind}
        for pid, kind in now.items():
            with contextlib.suppress(OSError, ValueError):  # gone meanwhile
                memory = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
                files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
                one = seen.setdefault(pid, Seen(kind))
                one.memory.append(memory)
                one.files.append(files)
        tasks = [pid for pid, kind in now.items() if kind == "task"]
        if found.kills < kills and tasks and time.monotonic() > due:
            with contextlib.suppress(ProcessLookupError):
                os.kill(run.pid if chance.random() < 0.15 else chance.choice(tasks), signal.SIGKILL)
                found.kills += 1
            due = time.monotonic() + chance.uniform(*BETWEEN)
    found.processes += seen.values()
    return run.returncode


def _below(pid: int) -> Iterator[tuple[int, str]]:
    """(number, kind) of all processes that `pid` has started, and they; the kind is empty if it is of none."""
    children = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children[int(stat.read_text().rpartition(")")[2].split()[1])].append(int(stat.parent.name))
    pending = list(children[pid])
    while pending:
        one = pending.pop()
        pending += children[one]
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{one}/cmdline").read_bytes().decode(errors="replace")
            is_python = "python" in line.split("\0")[0]  # else a shell that waits for it
            yield one, next((kind for sign, kind in KINDS.items() if is_python and sign in line), "")


def growth(memory: list[int]) -> float:
    """Median of the last quarter over that of the second: the first is for what is loaded."""
    quarter = len(memory) // 4
    return statistics.median(memory[-quarter:]) / statistics.median(memory[quarter : 2 * quarter])


def check(found: Soak, trials: int) -> None:
    """Raises AssertionError unless all of it is there and sound, and nothing has grown."""
    assert found.results == trials, f"{found.results} of {trials} results"
    assert not found.problems, found.problems
    for one in found.processes:
        if one.kind == "pipeline" and len(one.memory) >= 40:
            assert growth(one.memory) < GROWTH, f"the pipeline's process grew {growth(one.memory):.2f} times"
            assert max(one.files[len(one.files) // 2 :]) <= max(one.files[: len(one.files) // 2]) + 2, (
                "more and more open files"
            )
    peaks = [max(one.memory) for one in found.processes if one.kind == "task" and len(one.memory) >= 10]
    peaks = [peak for peak in peaks if peak > max(peaks) / 2]  # of trainers
    third = len(peaks) // 3
    if third:
        later, earlier = statistics.median(peaks[-third:]), statistics.median(peaks[:third])
        assert later < GROWTH * earlier, f"later trainers take {later / earlier:.2f} times as much"


def table(found: Soak) -> str:
    """One row a kind of process."""
    rows = ["| process | how many | MiB at most | open files at most |", "| --- | --- | --- | --- |"]
    for kind in ("pipeline", "task"):
        several = [one for one in found.processes if one.kind == kind and one.memory]
        memory, files = (
            max(max(each) for each in column) for column in zip(*((s.memory, s.files) for s in several), strict=True)
        )
        rows.append(f"| {kind} | {len(several)} | {memory >> 20} | {files} |")
    return "\n".join(rows)


def main() -> None:
    """Prints a table, and the same as JSON in its last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        pictures(folder / "pictures")
        found = soak(experiment(folder / "pictures"), told.kills, told.seed, folder)
        print(table(found))
        check(found, len(LEVELS) * SEEDS)
    result = {"trials": found.results, "kills": found.kills, "runs": found.runs, "seed": told.seed}
    print(json.dumps(result | {"seconds": round(found.seconds)}))


if __name__ == "__main__":
    main()
