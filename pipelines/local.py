"""Runs the pipeline on this machine through kfp.local. A process of its own: ``python -m helmholtz_pipelines.local``.

kfp.local prints a great deal; the command line keeps that in a log file and shows progress instead.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
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
    parser.add_argument("--parent", type=int, help="process without which this one, and all of its session, ends")
    arguments = parser.parse_args()
    if arguments.parent:
        threading.Thread(target=_end_with, args=(arguments.parent,), daemon=True).start()
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


def _end_with(parent: int) -> None:
    """Ends this process and those it has started once its `parent` is gone: killed, that can't do it itself."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
