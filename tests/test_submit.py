"""submit, status and logs: the real kfp client against a server that keeps to the API's published definition."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from helmholtz.cli import cli
from helmholtz.experiment import Experiment
from tests.kfp_server import Server, conforms, serve

IMAGES = ("--cpu-image", "registry/cpu:1", "--gpu-image", "registry/gpu:1")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    for name in ("KFP_HOST", "KFP_TOKEN", "KF_PIPELINES_ENDPOINT", "KF_PIPELINES_UI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "no-context.json"))
    from helmholtz import cloud

    with serve() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)  # a store that has no bucket
        cloud._client.cache_clear()
        yield server
        cloud._client.cache_clear()


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, list(arguments))
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def submit(api: Server, *more: str, root: str = "gs://bucket/runs/one") -> Result:
    return call("submit", "quickstart", "--host", api.url, "--root", root, *IMAGES, *more)


def task(name: str, state: str, number: int = 0, **more: Any) -> dict[str, Any]:
    """A task's detail, as the host gives it."""
    times = {"start_time": f"2026-01-01T00:00:{number:02}Z"}
    times["end_time"] = "2026-01-01T00:01:00Z" if state in ("SUCCEEDED", "FAILED") else "1970-01-01T00:00:00Z"
    return {"run_id": "r1", "task_id": f"t{number}", "display_name": name, "state": state, **times, **more}


def run(state: str, *tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What the host says of a run."""
    return {
        "run_id": "r1",
        "display_name": "helmholtz quickstart",
        "state": state,
        "run_details": {"task_details": [*tasks]},
        **more,
    }


def test_a_run_is_made_from_an_uploaded_version_with_experiment_and_parameters(api: Server) -> None:
    result = submit(api, "--set", "seeds=7", "--service-account", "trainer", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["run_id"] == "r1"
    assert said["url"] == f"{api.url}/#/runs/details/r1"
    (made,), (version,) = api.runs, api.versions
    parameters = made["runtime_config"]["parameters"]
    assert parameters["root"] == "gs://bucket/runs/one"
    assert Experiment.model_validate_json(parameters["experiment"]).seeds == 7
    assert made["pipeline_version_reference"] == {"pipeline_id": "p1", "pipeline_version_id": "v1"}
    assert "pipeline_spec" not in made
    assert made["service_account"] == "trainer"
    assert made["experiment_id"] == "e1"
    assert version["display_name"] == said["pipeline_version"]
    assert "registry/gpu:1" in json.dumps(version["pipeline_spec"]["pipeline_spec"])
    assert version["pipeline_spec"]["platform_spec"]["platforms"]["kubernetes"]
    assert api.pipelines[0]["display_name"] == "helmholtz"
    assert api.experiments[0]["display_name"] == "quickstart"


def test_the_same_pipeline_is_uploaded_once_and_another_is_another_version(api: Server) -> None:
    first = json.loads(submit(api, "--json").stdout)
    second = json.loads(submit(api, "--set", "seeds=9", "--set", "levels=[none,10]", "--json").stdout)
    assert first["pipeline_version"] == second["pipeline_version"]
    assert (len(api.pipelines), len(api.versions), len(api.experiments), len(api.runs)) == (1, 1, 1, 2)
    third = json.loads(submit(api, "--set", "resources.memory=9G", "--json").stdout)
    assert third["pipeline_version"] != first["pipeline_version"]
    assert (len(api.pipelines), len(api.versions)) == (1, 2)
    assert api.runs[-1]["pipeline_version_reference"]["pipeline_version_id"] == "v2"


def test_a_pipeline_made_by_another_in_the_meantime_is_used(api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(api)
    from helmholtz_pipelines import submit as module

    found = module._find_pipeline
    looks = iter([None])
    monkeypatch.setattr(module, "_find_pipeline", lambda *a: next(looks, found(*a)))
    api.wrong["POST /pipelines"] = (409, '{"error": "Already exist"}', {})
    assert submit(api).exit_code == 0
    assert len(api.pipelines) == 1


def test_many_users_need_a_namespace(api: Server) -> None:
    api.multi_user = True
    without = submit(api)
    assert without.exit_code == 1
    assert "--namespace" in without.output
    assert submit(api, "--namespace", "team-a").exit_code == 0
    assert api.experiments[0]["namespace"] == api.pipelines[0]["namespace"] == "team-a"


def test_the_token_comes_from_the_environment_and_is_never_shown(api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    api.token = "very-secret"  # noqa: S105
    refused = submit(api)
    assert refused.exit_code == 1
    assert "401" in refused.output
    assert "--token-env" in refused.output
    monkeypatch.setenv("KFP_TOKEN", "very-secret")
    assert submit(api).exit_code == 0
    monkeypatch.delenv("KFP_TOKEN")
    monkeypatch.setenv("MINE", "very-secret")
    accepted = submit(api, "--token-env", "MINE", "--json")
    assert accepted.exit_code == 0
    monkeypatch.setenv("MINE", "not-so-secret")
    wrong = submit(api, "--token-env", "MINE")
    assert "secret" not in accepted.output + wrong.output + refused.output
    assert submit(api, "--token-env", "NO_SUCH").exit_code == 2
    from helmholtz_pipelines.host import Access

    assert "very-secret" not in repr(Access("http://h", token="very-secret"))  # noqa: S106


def test_host_and_link_come_from_kfps_variables(api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", api.url)
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "https://ui.example/pipeline/")
    result = call("submit", "quickstart", "--root", "gs://bucket/r", *IMAGES, "--json")
    assert json.loads(result.stdout)["url"] == "https://ui.example/pipeline/#/runs/details/r1"


REFUSALS = [
    ("", 401, "", "expired"),
    ("", 403, "", "no permission"),
    ("", 404, "", "no Kubeflow Pipelines API"),
    ("", 500, "", "answered 500"),
    ("POST /pipelines/upload_version", 400, "pipeline spec is invalid: unknown template format", "unknown template format"),
    ("POST /runs", 400, "Invalid input error: Unknown parameter", "refuses this (400): Invalid input error"),
    ("POST /experiments", 403, "User 'me' is not authorized", "User 'me' is not authorized"),
    ("POST /experiments", 404, 'namespaces "nowhere" not found', 'namespaces "nowhere" not found'),
]


@pytest.mark.parametrize(("at", "status", "message", "says"), REFUSALS)
def test_a_refusal_is_one_sentence(api: Server, at: str, status: int, message: str, says: str) -> None:
    api.refuse(status, message, at)
    result = submit(api)
    assert result.exit_code == 1
    assert says in result.output
    assert result.output.startswith(f"error: {api.url}: ")
    assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        (200, "<!doctype html><title>Log in</title>", {"Content-Type": "text/html"}),
        (302, "", {"Location": "/login"}),
        (200, "not json", {}),
    ],
)
def test_a_login_page_is_recognised(api: Server, wrong: tuple[int, str, dict[str, str]]) -> None:
    api.wrong["GET /healthz"] = wrong
    api.wrong["GET /login"] = api.wrong["POST /login"] = (200, "<html>Log in</html>", {"Content-Type": "text/html"})
    result = submit(api)
    assert result.exit_code == 1
    assert "a login page most likely" in result.output
    api.wrong["POST /experiments"] = api.wrong.pop("GET /healthz")
    assert "a login page most likely" in submit(api).output


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("http://127.0.0.1:9", "can't be reached"),
        ("localhost:8080", "starts with http:// or https://"),
        ("https://127.0.0.1:9", "reached"),
    ],
)
def test_a_wrong_host_is_one_sentence(api: Server, host: str, says: str) -> None:
    result = call("submit", "quickstart", "--host", host, "--root", "gs://b/r", *IMAGES)
    assert result.exit_code == 1
    assert says in result.output
    assert len(result.output.splitlines()) == 1


def test_an_https_host_without_a_trusted_certificate(api: Server, tmp_path: Path) -> None:
    assert "no such file" in call("status", "r1", "--host", "https://h", "--ca-cert", str(tmp_path / "no.pem")).output
    from helmholtz_pipelines.host import Access, explained

    with pytest.raises(Exception, match="--ca-cert"), explained(Access("https://h")):
        raise OSError("Max retries exceeded (Caused by SSLError(CERTIFICATE_VERIFY_FAILED))")


@pytest.mark.parametrize(
    ("more", "root", "says"),
    [
        ([], "/mnt/runs/one", "none of the pods' volumes"),
        (["--set", "dataset.kind=cifar10", "--set", "dataset.path=/data"], "gs://b/r", "dataset.path /data: on none"),
        ([], "relative", "relative path"),
        (["--report", "r.html"], "gs://b/r", "only with --wait"),
        (["--set", "cluster.cpu_image=registry/cpu:latest"], "gs://b/r", ""),
        (["--cpu-image", "registry/cpu"], "gs://b/r", "a tag of its own"),
        (["--set", "cluster.env={AWS_SECRET_ACCESS_KEY: abc}"], "gs://b/r", "never given by value"),
    ],
)
def test_what_could_only_fail_in_the_pods_is_said_before(api: Server, more: list[str], root: str, says: str) -> None:
    result = submit(api, *more, root=root)
    if says:
        assert result.exit_code == 2
        assert says in result.output
        assert not api.requests
    else:
        assert result.exit_code == 0  # the option wins over the key


def test_a_submit_without_images_says_how_to_get_them(api: Server) -> None:
    result = call("submit", "quickstart", "--host", api.url, "--root", "gs://b/r")
    assert result.exit_code == 2
    assert "images/README.md" in result.output


def test_a_registry_stands_for_the_checkouts_images_unless_one_is_named(api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (Path(__file__).parents[1] / "images" / "build.py").is_file():
        pytest.skip("no images/build.py in this checkout")
    arguments = ["submit", "quickstart", "--host", api.url, "--root", "gs://b/r", "--registry", "registry/team/"]
    assert call(*arguments, "--gpu-image", "registry/mine:1").exit_code == 0
    images = {
        e["container"]["image"]
        for e in api.versions[0]["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"].values()
    }
    (cpu,) = images - {"registry/mine:1"}
    name, _, tag = cpu.rpartition(":")
    assert name == "registry/team/helmholtz-cpu"
    assert len(tag) >= 12
    monkeypatch.setattr("helmholtz.__file__", "/site-packages/helmholtz/__init__.py")
    without = call(*arguments)
    assert without.exit_code == 2
    assert "only in a checkout" in without.output


def test_a_path_on_a_volume_is_a_run_root(api: Server) -> None:
    assert submit(api, "--set", "cluster.volumes=[{claim: runs, path: /mnt/runs}]", root="/mnt/runs/one").exit_code == 0


RUNNING = run("RUNNING", task("plan", "SUCCEEDED", 1), task("compress", "RUNNING", 2))
TRAINING = run(
    "RUNNING",
    task("root-driver", "SUCCEEDED"),
    task("plan", "SUCCEEDED", 1),
    task("compress", "SUCCEEDED", 2),
    task("for-loop-2", "RUNNING", 3),
    task("train", "SUCCEEDED", 4),
    task("train", "RUNNING", 5),
    task("train", "PENDING", 6),
)
DONE = run(
    "SUCCEEDED", *(task(name, "SUCCEEDED", n) for n, name in enumerate(["plan", "compress", "train", "analyse", "publish"]))
)
FAILED = run(
    "FAILED",
    task("plan", "SUCCEEDED", 1),
    task("compress", "FAILED", 2, child_tasks=[{"pod_name": "helmholtz-x-1"}]),
    task("publish", "SUCCEEDED", 3),
    task("exit-handler-1", "FAILED", 0),
    runtime_config={"parameters": {"root": "gs://bucket/runs/one"}},
)
LOG = "I0101 launcher\nhelmholtz: error: gs://bucket/x: no permission: grant this account read and write (403)\nexit status 1\n"


def test_waiting_follows_the_run_to_its_end_and_fetches_the_report(api: Server, tmp_path: Path) -> None:
    api.progress = [RUNNING, RUNNING, TRAINING, DONE]
    root = tmp_path / "mnt"
    (root / "report").mkdir(parents=True)
    (root / "report" / "report.html").write_text("<p>the report</p>")
    volume = f"cluster.volumes=[{{claim: runs, path: {tmp_path}}}]"
    page = tmp_path / "out" / "report.html"
    result = submit(api, "--wait", "--poll", "0", "--report", str(page), "--set", volume, root=str(root))
    assert result.exit_code == 0, result.output
    assert page.read_text() == "<p>the report</p>"
    assert "compress running" in result.output
    assert "train 1 of 3 done, 1 running, 1 waiting" in result.output
    assert result.output.count("compress running") == 1  # a line when something changes, not each look


def test_waiting_with_json_answers_with_one_object(api: Server) -> None:
    api.progress = [DONE]
    said = json.loads(submit(api, "--wait", "--poll", "0", "--json").stdout)
    assert (said["state"], said["run_id"], said["report"]) == ("SUCCEEDED", "r1", None)


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


def test_waiting_survives_a_broken_connection_but_not_an_expired_token(api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    api.progress = [*(run("RUNNING", task("plan", "RUNNING", n)) for n in range(4)), DONE]
    from helmholtz_pipelines import runs

    real, looks = runs.read_run, iter(range(100))

    def shaky(*arguments: Any) -> Any:
        if next(looks) % 3:
            api.refuse(503)
        try:
            return real(*arguments)
        finally:
            api.wrong.clear()

    monkeypatch.setattr(runs, "read_run", shaky)
    assert submit(api, "--wait", "--poll", "0").exit_code == 0
    monkeypatch.setattr(runs, "read_run", real)
    api.progress = [RUNNING]
    api.refuse(401, at="GET /runs/r1")
    expired = submit(api, "--wait", "--poll", "0")
    assert expired.exit_code == 1
    assert "expired" in expired.output
    assert "The run goes on: helmholtz status r1" in expired.output
    assert api.requests[-2:] == ["GET /healthz", "GET /runs/r1"]  # it didn't ask twice


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


def test_the_server_keeps_to_the_definition() -> None:
    for wrong in ({"run_idd": "r"}, {"state": "DONE"}, {"created_at": "today"}, {"run_details": {"task_details": [{"x": 1}]}}):
        with pytest.raises((AssertionError, ValueError)):
            conforms(wrong, "V2beta1Run")
