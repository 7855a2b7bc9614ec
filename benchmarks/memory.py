"""Peak memory of the compress stage: 60,000 pictures against 10,000, and a million. Takes 6 GB of disk.

Run: python benchmarks/memory.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from compress import pictures
from timing import tell

PROGRAM = """
import resource, sys
from helmholtz.compress import compress
from helmholtz.dataset import index_dataset
from helmholtz.experiment import Experiment
from helmholtz.storage import open_store
experiment = Experiment.model_validate({"dataset": {"kind": "cifar10", "path": sys.argv[1]}, "levels": ["none", 10]})
store = open_store(sys.argv[1] + "-root")
compress(store, experiment, index_dataset(store, experiment.dataset))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def peak(folder: Path, records: int) -> float:
    """MiB that a process takes at most, which lists and compresses so many pictures of 32x32 to two levels."""
    pictures(folder / str(records), records)
    command = [sys.executable, "-c", PROGRAM, str(folder / str(records))]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def main() -> None:
    """Prints a line of JSON each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1_000_000, help="tried beside the two (0: none)")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ratios = [peak(folder, 60_000) / peak(folder, 10_000) for _ in range(2)]
        tell("peak memory of compress, 60,000 / 10,000 pictures", ratios, at_most=1.1)
        if told.pictures:
            started = time.monotonic()
            found = peak(folder, told.pictures)
            tell(f"peak memory of compress, {told.pictures:,} pictures, MiB", [found], at_most=1024)
            print(json.dumps({"seconds": round(time.monotonic() - started)}))


if __name__ == "__main__":
    main()
