"""Killed at any moment a run goes on to the same data, results and report: a few of the kills of `python -m tests.kills`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kills import STAGES, outcome, soak


@pytest.mark.tensorflow
def test_killed_in_every_stage_it_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    found = soak(4, seed=3, folder=tmp_path, say=lambda *_, **__: None)
    assert found.runs >= 1
    assert all(found.killed[stage] for stage in STAGES)


def test_what_differs_is_seen(tmp_path: Path) -> None:
    """The yardstick itself: a byte of data, a number of a result; a time isn't one."""
    (tmp_path / "data").mkdir()
    (tmp_path / "trials" / "A").mkdir(parents=True)
    (tmp_path / "report").mkdir()
    shard, result, report = (
        tmp_path / "data" / "x",
        tmp_path / "trials" / "A" / "result.json",
        tmp_path / "report" / "report.json",
    )
    shard.write_bytes(b"1")
    result.write_text('{"test_accuracy": 0.5, "train_seconds": 1}')
    report.write_text('{"cells": [{"mean": 0.5}]}')
    before = outcome(tmp_path)
    result.write_text('{"test_accuracy": 0.5, "train_seconds": 2}')
    assert outcome(tmp_path) == before
    for path, content in ((shard, "2"), (result, '{"test_accuracy": 0.6}'), (report, '{"cells": [{"mean": 0.6}]}')):
        was = path.read_text()
        path.write_text(content)
        assert outcome(tmp_path) != before
        path.write_text(was)
