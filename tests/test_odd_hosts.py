"""A host whose answers are no run, or another's: one sentence, and never the state of a run that wasn't asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("kfp", reason="the extra local isn't installed")

from helmholtz.errors import HelmholtzError
from helmholtz_pipelines.host import Access
from helmholtz_pipelines.runs import read_run

ACCESS = Access("http://127.0.0.1:1", namespace="team")


def read(**changes: Any) -> Any:
    """What `read_run` makes of a host's answer, in which something is odd."""
    answer = {
        "run_id": "7", "display_name": "run", "state": "RUNNING", "error": None, "created_at": None, "runtime_config": None,
        "run_details": None,
    } | changes  # fmt: skip
    return read_run(SimpleNamespace(get_run=lambda _: SimpleNamespace(**answer)), ACCESS, "7")


def detail(**changes: Any) -> SimpleNamespace:
    fields = {
        "display_name": "train", "task_id": "1", "child_tasks": None, "state": "RUNNING", "start_time": None,
        "create_time": None, "end_time": None, "error": None, "state_history": None, "pod_name": None,
    }  # fmt: skip
    return SimpleNamespace(**fields | changes)


def test_another_run_is_not_the_one_that_was_asked_for() -> None:
    with pytest.raises(HelmholtzError, match="asked for run 7, and answered with run 8"):
        read(run_id="8", state="SUCCEEDED")


def test_times_without_a_zone_are_utc() -> None:
    details = [detail(start_time=datetime(2026, 1, 1)), detail(task_id="2", start_time=datetime(2026, 1, 1, tzinfo=UTC))]
    found = read(created_at=datetime(2026, 1, 1), run_details=SimpleNamespace(task_details=details))
    assert found.created == datetime(2026, 1, 1, tzinfo=UTC)
    assert all(task.started == found.created for task in found.tasks)


@pytest.mark.parametrize(
    "odd",
    [[None, detail()], [detail(child_tasks=[None])], [detail(state_history=[None], error=None)], [detail(state=5)]],
    ids=["no task", "no child", "no state", "a number"],
)
def test_gaps_in_an_answer_are_borne(odd: list[Any]) -> None:
    assert len(read(run_details=SimpleNamespace(task_details=odd)).tasks) == 1


def test_what_is_no_answer_is_a_sentence() -> None:
    with pytest.raises(HelmholtzError, match=r"http://127\.0\.0\.1:1"):
        read(run_details=SimpleNamespace(task_details=[detail(start_time="yesterday")]))
