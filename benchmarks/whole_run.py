"""A whole local run against its bare train steps; `--help`; a run with nothing left to do.

Run: python benchmarks/whole_run.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from compress import pictures
from timing import seconds, tell

CORES = len(os.sched_getaffinity(0))
RECORDS = 6_000
SEEDS, BATCH = 2, 128
SECONDS = 240  # about, of bare steps: beside a shorter run, what a process costs to start would weigh more than in real ones
LEVELS = ["none", 50]

STEPS = f"""
import sys
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
sys.path.insert(0, {str(Path(__file__).parent)!r})
from train import bare_step, records
bare = bare_step(records())
bare()
print(max(bare() for _ in range(3)))
"""


def steps_a_second() -> float:
    """Images a second of the bare train step on all cores: as many processes of one thread at once."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", STEPS]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(CORES)]
    return sum(float(one.communicate()[0].split()[-1]) for one in running)


def helmholtz(*arguments: str) -> None:
    """Runs the command line."""
    subprocess.run([sys.executable, "-m", "helmholtz", *arguments], check=True, capture_output=True)


def main() -> None:
    """Prints a line of JSON each."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pictures(folder / "cifar", RECORDS)
        before = steps_a_second()
        an_epoch = RECORDS * 5 / 6 * 0.9 * SEEDS * len(LEVELS)
        epochs = max(1, round(SECONDS * before / an_epoch))
        content = {
            "dataset": {"kind": "cifar10", "path": str(folder / "cifar")},
            "levels": LEVELS,
            "architectures": ["A"],
            "seeds": SEEDS,
            "training": {"epochs": epochs, "batch_size": BATCH},
        }
        (folder / "run.yaml").write_text(yaml.safe_dump(content))
        command = ("run", str(folder / "run.yaml"), "--root", str(folder / "root"))
        took = seconds(lambda: helmholtz(*command))
        needed = epochs * an_epoch * 2 / (before + steps_a_second())
        tell(f"a whole run of {took:.0f} s / its bare train steps on {CORES} cores", [took / needed], at_most=1.2)
        again = [seconds(lambda: helmholtz(*command)) for _ in range(3)]
        tell("a second run with nothing to do, s", again, at_most=5)
    tell("helmholtz --help, s", [seconds(lambda: helmholtz("--help")) for _ in range(5)], at_most=0.3)


if __name__ == "__main__":
    main()
