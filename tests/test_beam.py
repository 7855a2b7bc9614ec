"""Around Beam: how many worker processes, and what is said where its own check finds fault."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import DirectOptions

from helmholtz.beam import _options
from helmholtz.errors import HelmholtzError
from helmholtz.experiment import Experiment
from tests.test_compress import experiment, run


def processes(beam: dict[str, Any], tasks: int, tmp_path: Path) -> int:
    options = _options(experiment(tmp_path, beam={"runner": "multi-processing", **beam}), tasks)
    found: int = options.view_as(DirectOptions).direct_num_workers
    return found


def test_no_more_processes_than_shards(tmp_path: Path) -> None:
    assert processes({"workers": 500}, 12, tmp_path) == 12
    assert processes({"workers": 3}, 12, tmp_path) == 3


def test_by_default_one_a_processor_that_may_be_used(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert processes({}, 12, tmp_path) == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_what_dataflow_lacks_is_said(tmp_path: Path, pictures: Path) -> None:
    wanted: Experiment = experiment(pictures, beam={"runner": "dataflow"})
    with pytest.raises(HelmholtzError, match=r"beam\.options: .*project") as caught:
        run(tmp_path, wanted)
    assert "\n" not in str(caught.value)
