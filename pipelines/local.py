"""Runs the pipeline on this machine through kfp.local. A process of its own: ``python -m helmholtz_pipelines.local``.

kfp.local prints a great deal; the command line keeps that in a log file and shows progress instead.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import uuid
import warnings

from kfp import local

from helmholtz import lease
from helmholtz.attempts import ERROR
from helmholtz.errors import HelmholtzError
from helmholtz.experiment import Experiment
from helmholtz.storage import open_store
from helmholtz_pipelines.sweep import build


def main() -> None:
    """Runs the experiment (resolved JSON in a file) below the root."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root")
    parser.add_argument("experiment", type=argparse.FileType(encoding="utf-8"))
    parser.add_argument("--parallelism", type=int, default=1)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message="You may be attemping to run a task")  # the images aren't used here
    experiment = arguments.experiment.read()
    rounds = Experiment.model_validate_json(experiment).refine.rounds
    run_id = f"local-{uuid.uuid4()}"
    pipeline = build(parallelism=arguments.parallelism, rounds=rounds, run_id=run_id)
    store = open_store(arguments.root)
    try:
        try:
            # Held by this process, which lives as long as the run: killed with it, the root is free at once.
            with lease.held(store, run_id), tempfile.TemporaryDirectory(prefix="helmholtz-kfp-") as outputs:
                local.init(local.SubprocessRunner(use_venv=False), pipeline_root=outputs)
                pipeline(root=arguments.root, experiment=experiment)
        finally:
            lease.release(store, run_id)
    except HelmholtzError as error:
        print(f"{ERROR}{error}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
