"""submit: the real kfp client against a server that keeps to the API's published definition."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from helmholtz.experiment import Experiment
from tests.kfp_server import Server
from tests.submitting import DONE, FAILED, IMAGES, call, submit


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
    api.token = "very-secret"  # noqa: S105  # of the test
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

    assert "very-secret" not in repr(Access("http://h", token="very-secret"))  # noqa: S106  # of the test


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
