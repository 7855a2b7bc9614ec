"""Mixed bfloat16 against float32: accuracy in a paired test on real pictures (CIFAR-10). For speed see train.py.

The same seeds, data and levels in both precisions; what counts is the difference of their test accuracies. Whatever is
trained is kept in the folder `--to`, so a stopped run goes on. Run, for some half an hour on two cores:

    python benchmarks/precision.py --cifar10 cifar-10-batches-bin --to build/precision
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from scipy import stats

from helmholtz.compress import compress
from helmholtz.dataset import index_dataset
from helmholtz.experiment import Experiment
from helmholtz.levels import NONE, Level
from helmholtz.storage import open_store
from helmholtz.training.architectures import build
from helmholtz.training.data import load_level
from helmholtz.training.fit import Fit
from helmholtz.training.inputs import open_inputs
from helmholtz.training.loop import Trainer

LEVELS: tuple[Level, ...] = (NONE, 25, 5)
PRECISIONS = "float32", "mixed_bfloat16"
MARGIN = 0.01


def main() -> None:
    """Prints a line of JSON for each level and for all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", required=True, help="folder of CIFAR-10's binary form, or its archive")
    parser.add_argument("--to", type=Path, default=Path("build/precision"))
    parser.add_argument("--records", type=int, default=5_000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=6)
    told = parser.parse_args()
    experiment = Experiment.model_validate(
        {
            "dataset": {"kind": "cifar10", "path": told.cifar10, "limit": told.records},
            "levels": LEVELS,
            "training": {"epochs": told.epochs, "batch_size": told.batch},
        }
    )
    done = trained(experiment, told.to, told.seeds)
    everywhere = []
    for level in LEVELS:
        of_level = [done[level, seed, "mixed_bfloat16"] - done[level, seed, "float32"] for seed in range(told.seeds)]
        everywhere.append(of_level)
        means = {
            precision: statistics.fmean(done[level, seed, precision] for seed in range(told.seeds)) for precision in PRECISIONS
        }
        print(json.dumps({"level": level, **means, **bound(of_level)}), flush=True)
    # A seed's levels share its weights and batches: the seed is the unit, and its mean over the levels the value.
    print(json.dumps({"level": "all", **bound([statistics.fmean(of_seed) for of_seed in zip(*everywhere, strict=True)])}))


def bound(differences: list[float]) -> dict[str, Any]:
    """Mean of the differences, their spread, the one-sided 95% lower bound of their mean, and whether it is above -MARGIN."""
    mean, sd, n = statistics.fmean(differences), statistics.stdev(differences), len(differences)
    lower = mean - float(stats.t.ppf(0.95, n - 1)) * sd / math.sqrt(n)
    rounded = {"difference": round(mean, 4), "sd": round(sd, 4), "lower_bound": round(lower, 4)}
    return {"n": n, **rounded, "verdict": "not worse" if lower > -MARGIN else "undecided" if mean > -MARGIN else "worse"}


def trained(experiment: Experiment, folder: Path, seeds: int) -> dict[tuple[Level, int, str], float]:
    """Test accuracy by level, seed and precision; those in the folder's list are taken from there."""
    store = open_store(str(folder / "root"))
    index = index_dataset(store, experiment.dataset)
    manifests = compress(store, experiment, index)
    inputs, found = open_inputs(experiment), {}
    kept = folder / f"{index.fingerprint[:16]}-{experiment.training.epochs}-{experiment.training.batch_size}.jsonl"
    for line in kept.read_text().splitlines() if kept.exists() else []:
        *cell, accuracy = json.loads(line)
        found[tuple(cell)] = accuracy
    for seed in range(seeds):
        for level in LEVELS:
            missing = [precision for precision in PRECISIONS if (level, seed, precision) not in found]
            data = load_level(store, manifests[level], inputs) if missing else None
            for precision in missing:
                model = build("image", "A", inputs.shape, 10, seed=seed, precision=precision)
                (fitted,) = Trainer([model], data, inputs, experiment.training).fit([Fit(seed)])
                found[level, seed, precision] = fitted.test_accuracy or 0.0
                with kept.open("a") as file:
                    file.write(json.dumps([level, seed, precision, fitted.test_accuracy or 0.0]) + "\n")
    return found


if __name__ == "__main__":
    main()
