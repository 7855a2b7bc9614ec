"""submit --wait: following a run to its end, and what may come between."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.kfp_server import Server
from tests.submitting import DONE, FAILED, LOG, RUNNING, TRAINING, call, run, submit, task


def publish(root: Path, run_id: str, page: str) -> None:
    """What the publish stage leaves in the run root."""
    for folder in ("report", "runs"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "report" / "report.html").write_text(page)
    digest = hashlib.sha256(page.encode()).hexdigest()
    (root / "runs" / f"{run_id}.json").write_text(json.dumps({"format": 1, "page": digest}))


def test_waiting_follows_the_run_to_its_end_and_fetches_the_report(api: Server, tmp_path: Path, bucket: Path) -> None:
    api.progress = [RUNNING, RUNNING, TRAINING, DONE]
    publish(bucket, "r1", "<p>the report</p>")
    page = tmp_path / "out" / "report.html"
    result = submit(api, "--wait", "--poll", "0", "--report", str(page))
    assert result.exit_code == 0, result.output
    assert page.read_text() == "<p>the report</p>"
    assert "compress running" in result.output
    assert "train 1 of 3 done, 1 running, 1 waiting" in result.output
    assert result.output.count("compress running") == 1  # a line when something changes, not each look


@pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED"])
@pytest.mark.parametrize(
    ("published", "says"),
    [
        ((), "run r1 has published no report"),
        (("r0",), "run r1 has published no report"),
        (("r1", "r0"), "another run has published"),
    ],
)
def test_a_report_of_another_run_is_not_taken_for_this_ones(
    api: Server, tmp_path: Path, bucket: Path, published: tuple[str, ...], says: str, state: str
) -> None:
    api.progress = [DONE | {"state": state}]
    page = tmp_path / "report.html"
    for run_id in published:
        publish(bucket, run_id, f"<p>of {run_id}</p>")
    result = submit(api, "--wait", "--poll", "0", "--report", str(page), "--json")
    assert result.exit_code == 1
    assert not page.exists()
    said = json.loads(result.stdout)
    assert says in said["error"]
    assert (said["report"], said["state"]) == (None, state)


def test_a_report_that_cant_be_written_is_said(api: Server, tmp_path: Path, bucket: Path) -> None:
    api.progress = [DONE]
    publish(bucket, "r1", "<p>the report</p>")
    (tmp_path / "file").touch()
    result = submit(api, "--wait", "--poll", "0", "--report", str(tmp_path / "file" / "r.html"))
    assert result.exit_code == 1
    assert "can't be written" in result.output


def test_the_pipeline_hands_its_runs_id_to_publish(api: Server) -> None:
    submit(api)
    spec = api.versions[0]["pipeline_spec"]["pipeline_spec"]
    (publishing,) = [task for task in spec["root"]["dag"]["tasks"].values() if task["componentRef"]["name"] == "comp-publish"]
    given = publishing["inputs"]["parameters"]["run_id"]["runtimeValue"]["constant"]
    assert given == "{{$.pipeline_job_uuid}}"  # for which the backend puts the run's id


def test_waiting_with_json_answers_with_one_object(api: Server) -> None:
    api.progress = [DONE]
    said = json.loads(submit(api, "--wait", "--poll", "0", "--json").stdout)
    assert (said["state"], said["run_id"], said["report"], said["error"]) == ("SUCCEEDED", "r1", None, None)


def test_waiting_with_json_answers_also_when_it_fails(api: Server) -> None:
    api.progress = [RUNNING, FAILED]
    api.logs = {"helmholtz-x-1": LOG}
    result = submit(api, "--wait", "--poll", "0", "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert (said["state"], said["run_id"]) == ("FAILED", "r1")
    assert said["url"] == f"{api.url}/#/runs/details/r1"
    assert "grant this account read and write" in said["error"]
    assert "grant this account read and write" in result.stderr


def test_waiting_ends_with_the_failing_tasks_own_words(api: Server) -> None:
    api.progress = [RUNNING, FAILED]
    api.logs = {"helmholtz-x-1": LOG}
    result = submit(api, "--wait", "--poll", "0")
    assert result.exit_code == 1
    assert "compress: gs://bucket/x: no permission: grant this account read and write (403)" in result.output


def test_a_run_called_succeeded_with_a_failed_task_has_failed(api: Server) -> None:
    """As backends before 2.5 call one whose exit handler succeeded."""
    api.progress = [FAILED | {"state": "SUCCEEDED"}]
    assert submit(api, "--wait", "--poll", "0").exit_code == 1
    assert "but 1 of its tasks failed" in call("status", "r1", "--host", api.url).output


def test_waiting_survives_a_connection_that_breaks_often_and_long(api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    api.progress = [*(run("RUNNING", task("plan", "RUNNING", n)) for n in range(4)), DONE]
    from helmholtz_pipelines import runs

    real, looks = runs.read_run, iter(range(1000))

    def shaky(*arguments: Any) -> Any:
        if next(looks) % 12:
            api.refuse(503)
        try:
            return real(*arguments)
        finally:
            api.wrong.clear()

    monkeypatch.setattr(runs, "read_run", shaky)
    assert submit(api, "--wait", "--poll", "0").exit_code == 0
    assert next(looks) > 40


def test_patience_is_a_time_that_each_good_look_begins_anew(api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from helmholtz.cli import wait
    from helmholtz_pipelines import runs

    clock = Clock(monkeypatch)
    real = runs.read_run
    failing = [(100, 640), (700, 1290)]  # seconds in which the host fails: each less than ten minutes, together more

    def shaky(*arguments: Any) -> Any:
        api.progress = [DONE if clock.now > 1300 else RUNNING]
        api.wrong.clear()
        if any(first <= clock.now < last for first, last in failing):
            api.refuse(503)
        return real(*arguments)

    monkeypatch.setattr(runs, "read_run", shaky)
    result = submit(api, "--wait", "--poll", "10")
    assert result.exit_code == 0, result.output
    assert max(clock.pauses) == wait._LONGEST_PAUSE  # it looks less often as the failure lasts
    clock.now, failing = 0.0, [(100, 9999)]
    api.wrong.clear()
    result = submit(api, "--wait", "--poll", "10")
    assert 690 <= clock.now <= 720
    assert result.exit_code == 124
    assert "answered 503" in result.output
    assert "--patience" in result.output
    assert "the run goes on: helmholtz status r2 --host" in result.output


class Clock:
    """The time that waiting sees: it goes on when somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from helmholtz.cli import wait

        self.now = 0.0
        self.pauses: list[float] = []
        monkeypatch.setattr(wait, "time", self)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.pauses.append(seconds)
        self.now += max(seconds, 0.001)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (run("PAUSED", task("plan", "SUCCEEDED", 1)), "it is paused"),
        (run("PENDING", created_at="2026-01-01T00:00:00Z"), "nothing of it has begun in"),
        (RUNNING, "compress  running"),
    ],
)
def test_a_timeout_ends_the_waiting_and_not_the_run(
    api: Server, monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], says: str
) -> None:
    clock = Clock(monkeypatch)
    api.progress = [found]
    result = submit(api, "--wait", "--timeout", "95", "--poll", "10", "--json")
    assert result.exit_code == 124
    assert 95 <= clock.now < 96
    said = json.loads(result.stdout)
    assert said["state"] == found["state"]
    assert "within 95 seconds (--timeout); the run goes on: helmholtz status r1 --host" in said["error"]
    assert says in call("status", "r1", "--host", api.url).output


def test_a_state_that_is_not_known_is_told(api: Server) -> None:
    api.wrong["GET /runs/r1"] = (200, json.dumps({"run_id": "r1", "state": "HIBERNATING"}), {})
    assert "its state is HIBERNATING, which this version" in call("status", "r1", "--host", api.url).output


def test_a_timeout_ends_the_waiting_for_a_host_that_never_answers(api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from helmholtz_pipelines import rest

    monkeypatch.setattr(rest, "SILENCE", 0.1)
    monkeypatch.setattr(rest, "WHOLE", 0.3)
    api.stuck["GET /runs/r1"] = "trickling"
    began = time.monotonic()
    result = submit(api, "--wait", "--poll", "0.05", "--timeout", "1", "--json")
    assert 1 < time.monotonic() - began < 8
    assert result.exit_code == 124
    assert json.loads(result.stdout)["state"] is None


@pytest.mark.parametrize(
    ("status", "message", "says"), [(401, "", "expired"), (403, "User 'me' is not authorized", "no permission")]
)
def test_waiting_ends_at_once_where_the_host_lets_one_in_no_more(api: Server, status: int, message: str, says: str) -> None:
    api.progress = [RUNNING]
    api.refuse(status, message, at="GET /runs/r1")
    refused = submit(api, "--wait", "--poll", "0")
    assert refused.exit_code == 124
    assert says in refused.output
    assert "the run goes on: helmholtz status r1" in refused.output
    assert api.requests[-2:] == ["GET /healthz", "GET /runs/r1"]  # it didn't ask twice


def test_waiting_ends_at_once_where_the_run_was_deleted_but_not_where_the_way_is_lost(
    api: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch)
    api.deleted = {"r1"}
    deleted = submit(api, "--wait", "--poll", "10", "--json")
    assert deleted.exit_code == 1
    assert "no run r1: it was deleted" in json.loads(deleted.stdout)["error"]
    assert "goes on" not in deleted.output
    api.refuse(404, at="GET /runs/r2")  # of a gateway
    lost = submit(api, "--wait", "--poll", "10")
    assert lost.exit_code == 124
    assert api.requests.count("GET /runs/r2") > 5
