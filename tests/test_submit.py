"""submit, status and logs: the real kfp client against a server that keeps to the API's published definition."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from helmholtz.cli import cli
from helmholtz.experiment import Experiment
from helmholtz.storage import open_store
from tests.kfp_server import Server, serve

IMAGES = ("--cpu-image", "registry/cpu:1", "--gpu-image", "registry/gpu:1")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    for name in ("KFP_HOST", "KFP_TOKEN", "HELMHOLTZ_ALLOW_HTTP"):
        monkeypatch.delenv(name, raising=False)
    for name in ("ENDPOINT", "UI_ENDPOINT", "IAP_OAUTH2_CLIENT_ID", "APP_OAUTH2_CLIENT_ID", "APP_OAUTH2_CLIENT_SECRET"):
        monkeypatch.delenv(f"KF_PIPELINES_{name}", raising=False)
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "no-context.json"))
    from helmholtz import cloud

    with serve() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)  # a store that has no bucket
        cloud._client.cache_clear()
        yield server
        cloud._client.cache_clear()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that the command finds under any address of a store."""
    (tmp_path / "bucket").mkdir()
    monkeypatch.setattr("helmholtz.cli.wait.open_store", lambda _: open_store(str(tmp_path / "bucket")))
    return tmp_path / "bucket"


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


@pytest.mark.parametrize(
    ("first", "things"),
    [("GET /pipelines", "pipelines"), ("GET /pipelines/p1/versions", "versions"), ("GET /experiments", "experiments")],
)
def test_what_another_made_in_the_meantime_is_used(api: Server, first: str, things: str) -> None:
    """Two submit at once: when this one looks it finds nothing, and when it makes its own, the name is taken."""
    assert submit(api).exit_code == 0
    looks = api.requests.count(first)
    api.blind[first] = 1
    result = submit(api, "--json")
    assert result.exit_code == 0, result.output
    assert len(getattr(api, things)) == 1
    assert api.requests.count(first) == looks + 2  # it looked again
    assert api.runs[1]["pipeline_version_reference"] == api.runs[0]["pipeline_version_reference"]
    assert api.runs[1]["experiment_id"] == "e1"


def test_a_version_of_the_same_name_with_other_content_is_not_run(api: Server) -> None:
    assert submit(api).exit_code == 0
    spec = api.versions[0]["pipeline_spec"]
    spec["pipeline_spec"] = json.loads(json.dumps(spec["pipeline_spec"]), parse_int=float)  # as a Struct of protobuf has it
    assert submit(api).exit_code == 0
    kept = json.dumps(spec)
    for old, new in (("registry/gpu:1", "registry/miner:1"), ('"runAsNonRoot": true', '"runAsUser": 7'), (kept, "7")):
        assert old in kept
        api.versions[0]["pipeline_spec"] = json.loads(kept.replace(old, new))
        result = submit(api)
        assert (result.exit_code, len(api.runs)) == (1, 2), old
        assert "isn't what this helmholtz makes" in result.output
        assert api.versions[0]["display_name"] in result.output
    del api.versions[0]["pipeline_spec"]
    assert submit(api).exit_code == 1


@pytest.mark.parametrize("how", ["silent", "trickling"])
@pytest.mark.parametrize("at", ["GET /healthz", "GET /pipelines/p1/versions", "POST /pipelines/upload_version", "POST /runs"])
def test_a_host_that_takes_a_request_and_never_answers_it(
    api: Server, monkeypatch: pytest.MonkeyPatch, how: str, at: str
) -> None:
    from helmholtz_pipelines import rest

    monkeypatch.setattr(rest, "SILENCE", 0.2 if how == "silent" else 30)
    monkeypatch.setattr(rest, "WHOLE", 0.6 if how == "trickling" else 30)
    api.stuck[at] = how
    began = time.monotonic()
    result = submit(api)
    assert time.monotonic() - began < 5
    assert result.exit_code == 1
    assert "doesn't answer in time" in result.output
    assert len(result.output.splitlines()) == 1
    assert ("Whether the run was made isn't known" in result.output) == (at == "POST /runs")
    assert api.requests.count(at) <= 2  # what makes something isn't asked for twice
    assert at.startswith("GET") or api.requests.count(at) == 1


def test_many_users_need_a_namespace(api: Server) -> None:
    api.multi_user = True
    without = submit(api)
    assert without.exit_code == 1
    assert "--namespace" in without.output
    assert submit(api, "--namespace", "team-a").exit_code == 0
    assert api.experiments[0]["namespace"] == api.pipelines[0]["namespace"] == "team-a"
    other = submit(api, "--namespace", "team-b")
    assert other.exit_code == 1
    assert "in namespace team-b, or there is none" in other.output


def test_kfps_context_file_gives_a_namespace_and_the_option_wins(api: Server, tmp_path: Path) -> None:
    api.multi_user = True
    api.namespaces = {"team-a", "team-b", "kubeflow"}
    (tmp_path / "no-context.json").write_text('{"namespace": "team-a", "client_authentication_cookie": "a=very-secret"}')
    assert submit(api).exit_code == 0
    for namespace in ("team-b", "kubeflow"):
        assert submit(api, "--namespace", namespace).exit_code == 0
    assert [made["namespace"] for made in api.pipelines] == ["team-a", "team-b", "kubeflow"]
    assert [made["namespace"] for made in api.experiments] == ["team-a", "team-b", "kubeflow"]
    api.progress = [FAILED]
    assert "kubectl logs -n team-a" in call("logs", "r1", "--host", api.url).output
    refused = call("status", "r1", "--host", "http://kubeflow.example")
    assert "--allow-http" in refused.output
    assert "very-secret" not in refused.output


@pytest.mark.parametrize(
    ("host", "goes"),
    [
        ("http://kubeflow.example:8080", False),
        ("http://10.0.0.7", False),
        ("http://localhost.example", False),
        ("http://127.0.0.1:9", True),
        ("http://[::1]:9", True),
        ("http://localhost:9", True),
        ("https://127.0.0.1:9", True),
    ],
)
def test_a_token_goes_over_plain_http_only_on_this_machine(
    api: Server, monkeypatch: pytest.MonkeyPatch, host: str, goes: bool
) -> None:
    from helmholtz_pipelines import rest

    asked: list[str] = []
    monkeypatch.setattr(rest.BoundedRest, "request", lambda _, __, url, **_more: asked.append(url) or 1 / 0)
    monkeypatch.setenv("KFP_TOKEN", "very-secret")
    result = call("status", "r1", "--host", host)
    assert result.exit_code == 1
    assert ("--allow-http" not in result.output) == goes == bool(asked)
    assert "very-secret" not in result.output
    call("status", "r1", "--host", host, "--allow-http")
    assert asked
    monkeypatch.setenv("KFP_TOKEN", "")
    assert "--allow-http" not in call("status", "r1", "--host", host).output


def test_a_host_holds_no_password(api: Server) -> None:
    result = call("status", "r1", "--host", api.url.replace("//", "//me:very-secret@"))
    assert result.exit_code == 1
    assert "--token-env" in result.output
    assert "very-secret" not in result.output
    assert not api.requests


def test_of_kfps_variables_the_option_comes_first(api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    api.progress = [DONE]
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "http://127.0.0.1:9")
    assert call("status", "r1").exit_code == 1
    monkeypatch.setenv("KFP_HOST", api.url)
    assert call("status", "r1").exit_code == 0
    monkeypatch.setenv("KFP_HOST", "http://127.0.0.1:9")
    assert call("status", "r1", "--host", api.url).exit_code == 0


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
    ("", 403, "", "not by Kubeflow but by what stands before it"),
    ("", 409, "", "try again"),
    ("", 404, "", "no Kubeflow Pipelines API"),
    ("", 500, "", "answered 500"),
    ("POST /pipelines/upload_version", 400, "pipeline spec is invalid: unknown template format", "unknown template format"),
    ("POST /runs", 400, "Invalid input error: Unknown parameter", "refuses this (400): Invalid input error"),
    ("POST /experiments", 403, "User 'me' is not authorized", "refused (403): User 'me' is not authorized; the account has no"),
    ("POST /experiments", 409, "Already exist error: The name", "refuses this (409): Already exist error: The name; something"),
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
        (["--set", "cluster.env={AWS_SECRET_ACCESS_KEY: abc}"], "gs://b/r", "env.AWS_SECRET_ACCESS_KEY: credentials are never"),
        (["--set", "cluster.env={AWS_ENDPOINT_URL: 'http://me:abc@store'}"], "gs://b/r", "env.AWS_ENDPOINT_URL: credentials"),
        (["--set", "cluster.env={HF_TOKEN_FILE: abc}"], "gs://b/r", "never given by value"),
        (["--set", "cluster.env={AWS_WEB_IDENTITY_TOKEN_FILE: /var/token, TOKENIZERS_PARALLELISM: '0'}"], "gs://b/r", ""),
        (["--set", "cluster.env={GOOGLE_APPLICATION_CREDENTIALS: /var/key.json}"], "gs://b/r", ""),
        ([], "s3://key:abc/d+e@bucket/runs", "--root: credentials"),
        (
            ["--set", "dataset.kind=cifar10", "--set", "dataset.path=s3://key:abc@bucket"],
            "gs://b/r",
            "dataset.path: credentials",
        ),
        (
            ["--set", "beam.options=['--s3_secret_access_key=abc']"],
            "gs://b/r",
            "beam.options --s3_secret_access_key: credentials",
        ),
        (["--set", "beam.options=[--aws-secret-access-key, abc]"], "gs://b/r", "beam.options --aws-secret-access-key"),
        (["--set", "beam.options=['--endpoint=http://me:abc@store']"], "gs://b/r", "beam.options[0], beam.options --endpoint"),
        (["--set", "beam.options=['--job_endpoint=jobs.helmholtz:8099', --streaming]"], "gs://b/r", ""),
        (["--wait", "--report", "r.html", "--set", "cluster.volumes=[{claim: c, path: /mnt/no}]"], "/mnt/no/r", "not here"),
    ],
)
def test_what_could_only_fail_in_the_pods_is_said_before(api: Server, more: list[str], root: str, says: str) -> None:
    result = submit(api, *more, root=root)
    assert "abc" not in result.output
    if says:
        assert result.exit_code == 2
        assert says in result.output
        assert not api.requests
    else:
        assert result.exit_code == 0, result.output  # also: the option wins over the key


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


def publish(root: Path, run_id: str, page: str) -> None:
    """What the publish stage leaves in the run root."""
    for folder in ("report", "runs"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "report" / "report.html").write_text(page)
    digest = hashlib.sha256(page.encode()).hexdigest()
    (root / "runs" / f"{run_id}.json").write_text(json.dumps({"format": 1, "page": digest}))


LOG = "I0101 launcher\nhelmholtz: error: gs://bucket/x: no permission: grant this account read and write (403)\nexit status 1\n"


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
