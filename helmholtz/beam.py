"""Apache Beam around the compress stage: one element is one shard, so there is nothing to shuffle.

Runners: ``local`` is Beam's own FnApiRunner in this process, ``multi-processing`` the same with one SDK process a
processor; ``flink`` and ``dataflow`` take their addresses from `beam.options`.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from helmholtz.dataset import DatasetIndex
from helmholtz.errors import ExperimentError, HelmholtzError
from helmholtz.experiment import Experiment
from helmholtz.shard_compressor import ShardCompressor, ShardTask
from helmholtz.storage import Store

# Pinned: the default local runner first tries to download a Go binary.
_LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
_RUNNERS = {"local": _LOCAL_RUNNER, "multi-processing": _LOCAL_RUNNER, "flink": "FlinkRunner", "dataflow": "DataflowRunner"}


class CompressShard(beam.DoFn):
    """Does one `ShardTask` and yields its shard's name."""

    def __init__(self, store: Store, experiment: Experiment, index: DatasetIndex) -> None:
        self._arguments = (store, experiment, index)
        self._compressor: ShardCompressor | None = None

    def setup(self) -> None:
        """Opens source and codec, once a worker."""
        self._compressor = ShardCompressor(*self._arguments)

    def process(self, task: ShardTask) -> Iterator[str]:
        """Compresses one shard to all levels it lacks."""
        self._opened()(task)
        yield task.name

    def finish_bundle(self) -> None:
        """Waits for the last shard: a bundle counts as done only after this."""
        self._opened().finish()

    def teardown(self) -> None:
        """Leaves nothing behind of a bundle that failed."""
        if self._compressor is not None:
            self._compressor.abandon()

    def _opened(self) -> ShardCompressor:
        assert self._compressor is not None  # noqa: S101  # Beam calls setup first
        return self._compressor


def run_tasks(store: Store, experiment: Experiment, index: DatasetIndex, tasks: Sequence[ShardTask]) -> None:
    """Runs all tasks on the experiment's runner and waits for them. Raises what a task raised, without Beam's wrapping."""
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    try:
        _run(store, experiment, index, tasks)
    except Exception as error:
        # A worker's error comes back as text, and even a local one gets Beam's note of the step it happened in.
        said = re.search(r"(?:helmholtz\.errors\.\w+: |^)(.*) \[while running 'Compress", str(error), re.MULTILINE)
        if said and (isinstance(error, HelmholtzError) or "helmholtz.errors." in str(error)):
            raise HelmholtzError(said[1]) from error
        raise


def _run(store: Store, experiment: Experiment, index: DatasetIndex, tasks: Sequence[ShardTask]) -> None:
    try:
        pipeline = beam.Pipeline(runner=_RUNNERS[experiment.beam.runner], options=_options(experiment, len(tasks)))
    except ValueError as error:  # Beam's own check, before anything runs
        raise ExperimentError(f"beam.options: {' '.join(str(error).split())}") from error
    with pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(list(tasks), reshuffle=True)
            | "Compress" >> beam.ParDo(CompressShard(store, experiment, index))
        )


def _options(experiment: Experiment, tasks: int) -> PipelineOptions:
    settings = experiment.beam
    arguments = list(settings.options)
    if settings.runner == "multi-processing":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        workers = min(settings.workers or cores, tasks)  # one without a shard would only take time to start
        arguments += ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
    return PipelineOptions(arguments)
