"""Runs the pipeline on this machine through kfp.local. A process of its own: ``python -m helmholtz_pipelines.local``.

kfp.local prints a great deal; the command line keeps that in a log file and shows progress instead.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings

from kfp import local

from helmholtz.experiment import Experiment
from helmholtz_pipelines.sweep import build


def main() -> None:
    """Runs the experiment (resolved JSON in a file) below the root."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root")
    parser.add_argument("experiment", type=argparse.FileType(encoding="utf-8"))
    parser.add_argument("--parallelism", type=int, default=1)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message="You may be attemping to run a task")  # the images aren't used here
    with tempfile.TemporaryDirectory(prefix="helmholtz-kfp-") as outputs:
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=outputs)
        experiment = arguments.experiment.read()
        rounds = Experiment.model_validate_json(experiment).refine.rounds
        build(parallelism=arguments.parallelism, rounds=rounds)(root=arguments.root, experiment=experiment)


if __name__ == "__main__":
    main()
