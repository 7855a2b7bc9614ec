"""status and logs of a run on a cluster."""

from __future__ import annotations

import json

import pytest

from tests.kfp_server import Server
from tests.submitting import DONE, FAILED, LOG, call, run, submit, task


def test_status_lists_the_tasks_and_not_their_groups(api: Server) -> None:
    api.progress = [FAILED]
    result = call("status", "r1", "--host", api.url)
    assert result.exit_code == 0
    assert [line.split()[:2] for line in result.output.splitlines()[3:6]] == [
        ["plan", "succeeded"],
        ["compress", "failed"],
        ["publish", "succeeded"],
    ]
    assert "exit-handler" not in result.output
    assert "0:00:58" in result.output
    facts = json.loads(call("status", "r1", "--host", api.url, "--json").stdout)
    assert (facts["state"], facts["succeeded"], facts["root"]) == ("FAILED", False, "gs://bucket/runs/one")
    assert [t["seconds"] for t in facts["tasks"]] == [59, 58, 57]


def test_status_of_a_run_that_hasnt_begun_and_of_none(api: Server) -> None:
    api.progress = [{"run_id": "r1"}]
    assert "no task has begun yet" in call("status", "r1", "--host", api.url).output
    missing = call("status", "r9", "--host", api.url)
    assert missing.exit_code == 1
    assert "no run r9" in missing.output


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ('Back-off pulling image "registry/gpu:1": ImagePullBackOff', "can't be pulled"),
        ("Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", "no node has a free GPU"),
        ("Unschedulable: 0/3 nodes are available: 3 Insufficient memory.", "no node fits"),
        ("OOMKilled (exit code 137)", "raise resources.memory"),
        ("Pod was active on the node longer than the specified deadline: DeadlineExceeded", "out of time"),
        ('secret "s3" not found', "cluster.secrets"),
        ("container has runAsNonRoot and image will run as root", "cluster.run_as_user"),
        ("", "kubectl describe pod -n kubeflow -l pipeline/runid=r1"),
    ],
)
def test_a_pod_that_doesnt_start_is_explained(api: Server, error: str, says: str) -> None:
    history = [{"state": "PENDING", "error": {"code": 9, "message": error}}] if error else []
    api.progress = [run("RUNNING", task("train", "PENDING", 1, state_history=history))]
    assert says in call("status", "r1", "--host", api.url).output
    api.progress += [DONE]
    assert says in submit(api, "--wait", "--poll", "0").output


def test_logs_say_why_a_task_failed(api: Server) -> None:
    api.progress = [FAILED]
    api.logs = {"helmholtz-x-1": LOG}
    assert call("logs", "r1", "--host", api.url).output == (
        "compress: gs://bucket/x: no permission: grant this account read and write (403)\n"
    )
    assert call("logs", "r1", "compress", "--full", "--host", api.url).output.rstrip() == LOG.rstrip()
    unknown = call("logs", "r1", "trian", "--host", api.url)
    assert unknown.exit_code == 1
    assert "trian: no such task in this run; name one to see its log: plan, compress, publish" in unknown.output
    api.progress = [DONE]
    assert "no task of this run has failed" in call("logs", "r1", "--host", api.url).output


@pytest.mark.parametrize("place", ["v1beta1", "v1alpha1"])
def test_logs_are_found_where_the_servers_versions_have_them(api: Server, place: str) -> None:
    api.progress, api.logs, api.logs_at = [FAILED], {"helmholtz-x-1": "a\nb\n\n"}, place
    assert call("logs", "r1", "--host", api.url).output == "compress: b\n"


def test_where_no_log_is_served_the_command_is_said(api: Server) -> None:
    api.progress = [FAILED]
    result = call("logs", "r1", "--host", api.url, "--namespace", "team-a")
    assert result.exit_code == 1
    assert "kubectl logs -n team-a -l pipeline/runid=r1" in result.output
