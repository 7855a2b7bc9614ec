"""Kills a run with SIGKILL at random moments and lets it go on, again and again, until so many kills are survived.

    python -m tests.kills --kills 200 --seed 0

One stage after the other (compress, train, analyse, publish) runs in a process of its own, which is killed with all that it has
started after a time drawn from its usual length. After every kill the root is checked (`helmholtz verify`), and nothing that
was finished may have been touched since. At the end of each run its data have to be, byte for byte, those of a run that nobody
disturbed, and its results and report the same number for number, but for times.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import logging
import math
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

EACH = 5  # kills of a stage in one run
STAGES = ("compress", "train", "analyse", "publish")
TIMES = {"train_seconds", "records_per_second", "seconds", "seconds_to_converge", "device", "devices"}
PRELOADED = ["tensorflow", "keras", "apache_beam", "helmholtz.beam", "helmholtz.report.publish", "helmholtz.training.trial"]

State = dict[str, tuple[int, str]]


@dataclass
class Soak:
    """How many kills were survived, by stage."""

    killed: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    seconds: float = 0.0


def pictures(folder: Path) -> None:
    """Two classes of twenty pictures of 8x8."""
    from PIL import Image

    random = np.random.default_rng(7)
    for label in range(2):
        (folder / str(label)).mkdir(parents=True)
        for number in range(20):
            shade = random.integers(0, 200, (8, 8, 3)) + 50 * label
            Image.fromarray(shade.astype(np.uint8)).save(folder / str(label) / f"{number:02}.png")


def experiment(folder: Path) -> Any:
    """Four trials of three epochs."""
    from helmholtz.experiment import Experiment

    return Experiment.model_validate(
        {
            "name": "kills",
            "dataset": {"kind": "image-folder", "path": str(folder), "shards": 3, "test": 0.3},
            "levels": ["none", 10],
            "architectures": ["A"],
            "seeds": 2,
            "training": {"epochs": 3, "batch_size": 8, "input_size": 8},
            "beam": {"workers": 1},
        }
    )


def work(stage: str, root: str, run: Any) -> None:
    """One stage, as its task in the pipeline does it; a checkpoint every epoch, so that kills find some."""
    os.setsid()
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  # to this process's end
    logging.disable(logging.WARNING)
    from helmholtz import stages
    from helmholtz.storage import open_store
    from helmholtz.training.checkpoint import Checkpoints

    Checkpoints.due = True  # type: ignore[assignment,method-assign]  # for its property
    if stage == "compress":
        stages.compress(root, stages.plan(root, run))
        return
    plan = stages.latest_plan(open_store(root)).id
    if stage == "train":
        for level in run.levels:
            stages.train(root, plan, "A", str(level))
    elif stage == "analyse":
        stages.analyse(root, plan)
    else:
        stages.publish(root, run)


def soak(kills: int, seed: int, folder: Path, say: Any = print) -> Soak:
    """Survives at least `kills` kills, evenly over the stages. Raises AssertionError at the first failure, saying when."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    pictures(folder / "pictures")
    run, found, random = experiment(folder / "pictures"), Soak(), np.random.default_rng(seed)
    start = time.monotonic()
    attempt(context, "compress", folder / "first", run)  # which waits for what all are forked from
    usual = _usual(context, folder / "undisturbed", run)
    expected = outcome(folder / "undisturbed")
    while any(found.killed[stage] < kills / len(STAGES) for stage in STAGES):
        root = folder / f"run{found.runs}"
        for stage in STAGES:
            for delay in _delays(random, usual[stage], min(EACH, math.ceil(kills / len(STAGES)) - found.killed[stage])):
                finished = state(root)
                ended = attempt(context, stage, root, run, delay)
                when = f"seed {seed}, run {found.runs}, {stage} after {delay or usual[stage]:.3f} s"
                check(root, finished, when)
                found.killed[stage] += not ended
                say(f"\r{sum(found.killed.values())} of {kills} kills survived, {found.runs} runs ended", end="")
        found.runs += 1
        left = outcome(root)
        differences = [key for key in expected.keys() | left.keys() if expected.get(key) != left.get(key)]
        assert not differences, f"seed {seed}, run {found.runs}: other than undisturbed: {sorted(differences)[:5]}"
    found.seconds = time.monotonic() - start
    say()
    return found


def _delays(random: np.random.Generator, usual: float, kills: int) -> Iterator[float | None]:
    """When to kill each attempt at a stage, in seconds; the last is left alone."""
    for _ in range(kills):
        yield float(random.uniform(0, usual))
    yield None


def _usual(context: Any, root: Path, run: Any) -> dict[str, float]:
    """Seconds that each stage takes where nobody disturbs it."""
    usual = {}
    for stage in STAGES:
        before = time.monotonic()
        assert attempt(context, stage, root, run), f"{stage} fails by itself"
        usual[stage] = time.monotonic() - before
    return usual


def attempt(context: Any, stage: str, root: Path, run: Any, delay: float | None = None) -> bool:
    """Whether the stage ended by itself, rather than being killed after `delay` seconds."""
    process = context.Process(target=work, args=(stage, str(root), run))
    process.start()
    process.join(delay)
    if process.exitcode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()
        return False
    assert process.exitcode == 0, f"{stage} ended with {process.exitcode}"
    return True


def check(root: Path, finished: State, when: str) -> None:
    """That nothing in the root is half-written or wrong, and nothing touched that was `finished`."""
    now = state(root)
    touched = [key for key, was in finished.items() if now.get(key) != was]
    assert not touched, f"{when}: finished, and touched since: {sorted(touched)[:3]}"
    from helmholtz.storage import open_store
    from helmholtz.verify import verify

    if (root / "experiment.json").exists():
        found = verify(open_store(str(root)))
        assert not found.problems, f"{when}: {found.problems[:3]}"
        assert not found.foreign, f"{when}: {found.foreign[:3]}"


def state(root: Path) -> State:
    """Of everything finished: when it was written, and what it is. Parts say that a shard is; checkpoints and progress go."""
    whole = [*root.glob("data/*/*/*/manifest.json"), *root.glob("trials/*/result.json")]
    for part in root.glob("data/*/*/*/parts/*.json"):
        whole += [part, part.parent.parent / f"{part.stem}.tfrecord"]
    return {str(path.relative_to(root)): (path.stat().st_mtime_ns, _digest(path)) for path in whole}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def outcome(root: Path) -> dict[str, Any]:
    """What a run leaves behind, but for times: data as digests, results and the analysis as they are."""
    found: dict[str, Any] = {str(path.relative_to(root)): _digest(path) for path in root.glob("data/**/*") if path.is_file()}
    for path in [*root.glob("trials/*/*"), root / "report" / "report.json"]:
        found[str(path.relative_to(root))] = _timeless(json.loads(path.read_text()))
    found |= {f"report: {path.name}": True for path in root.glob("report/**/*")}
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(each) for name, each in value.items() if name not in TIMES}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


@contextlib.contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given:
        given.mkdir(parents=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        yield Path(folder)


def main() -> None:
    """Prints a table, and the same as JSON in its last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work in this new folder, and leave it there")
    told = parser.parse_args()
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "GRPC_VERBOSITY": "ERROR"}
    with _folder(told.keep) as folder:
        found = soak(told.kills, told.seed, folder)
    print("| stage | killed | survived |\n| --- | --- | --- |")
    for stage in STAGES:
        print(f"| {stage} | {found.killed[stage]} | {found.killed[stage]} |")
    result = {"kills": dict(found.killed), "runs": found.runs, "seed": told.seed, "seconds": round(found.seconds)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
