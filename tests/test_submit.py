"""Submitting: the real kfp client against a local server that answers as the Kubeflow Pipelines API v2beta1 does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from click.testing import CliRunner, Result

from helmholtz.cli import cli
from helmholtz.experiment import Experiment

API = "/apis/v2beta1"


class Handler(BaseHTTPRequestHandler):
    """Knows one experiment once it is created, and creates runs. `server.refuse` is a status to answer everything with."""

    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if self.server.refuse:
            self.answer(self.server.refuse, {"error": "refused"})
        elif path == f"{API}/healthz":
            self.answer(200, {"multi_user": False})
        elif path == f"{API}/experiments":
            self.answer(200, {"experiments": self.server.experiments})
        else:
            self.answer(404, {"error": path})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.refuse:
            self.answer(self.server.refuse, {"error": "refused"})
        elif self.path == f"{API}/experiments":
            self.server.experiments.append(body | {"experiment_id": "e1"})
            self.answer(200, self.server.experiments[-1])
        elif self.path == f"{API}/runs":
            self.server.runs.append(body)
            self.answer(200, body | {"run_id": "r1", "experiment_id": "e1"})
        else:
            self.answer(404, {"error": self.path})


class Server(ThreadingHTTPServer):
    """The API."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.experiments: list[dict[str, object]] = []
        self.runs: list[dict[str, object]] = []
        self.refuse = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def api() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def submit(api: Server, *more: str) -> Result:
    return CliRunner().invoke(cli, ["submit", "quickstart", "--host", api.url, "--root", "gs://bucket/runs/one", *more])


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_run_is_created_with_pipeline_experiment_and_parameters(api: Server) -> None:
    result = submit(api, "--set", "seeds=7", "--cpu-image", "me/cpu:1", "--gpu-image", "me/gpu:1", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["run_id"] == "r1"
    assert said["url"] == f"{api.url}/#/runs/details/r1"
    (run,) = api.runs
    parameters = run["runtime_config"]["parameters"]  # type: ignore[index]
    assert parameters["root"] == "gs://bucket/runs/one"
    assert Experiment.model_validate_json(parameters["experiment"]).seeds == 7
    spec = run["pipeline_spec"]
    assert "me/gpu:1" in yaml.safe_dump(spec)
    assert api.experiments[0]["display_name"] == "quickstart"


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("status", "says"), [(401, "log in"), (403, "permission"), (404, "no Kubeflow Pipelines API"), (500, "500")]
)
def test_a_refusal_is_one_sentence(api: Server, status: int, says: str) -> None:
    api.refuse = status
    result = submit(api)
    assert result.exit_code == 1
    assert says in result.output
    assert "Traceback" not in result.output
