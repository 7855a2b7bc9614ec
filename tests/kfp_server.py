"""A Kubeflow Pipelines API server over HTTP, for tests with the real client.

The published definition of the API is the models of the package `kfp_server_api`: every request and every answer is checked
against them, key by key and type by type, so this server can't drift from what a real one would be sent or would say. What it
can't vouch for is a real server's behaviour behind that definition.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from datetime import datetime
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
import yaml

API = "/apis/v2beta1"


def conforms(value: Any, kind: str) -> Any:
    """`value`, if it is what the API's definition calls `kind`. Raises AssertionError that says where it isn't."""
    if kind.startswith("list["):
        assert isinstance(value, list), (kind, value)
        return [conforms(item, kind[5:-1]) for item in value] and value
    if kind.startswith("dict("):
        assert isinstance(value, dict), (kind, value)
        return [conforms(item, kind[5:-1].split(", ", 1)[1]) for item in value.values()] and value
    if kind == "datetime":
        assert datetime.fromisoformat(value).tzinfo, value
    elif kind in ("str", "int", "bool", "object"):
        assert isinstance(value, {"str": str, "int": int, "bool": bool, "object": object}[kind]), (kind, value)
    else:
        model = getattr(kfp_server_api, kind)
        if hasattr(model, "allowable_values"):
            assert value in model.allowable_values, (kind, value)
        else:
            types = {key: model.openapi_types[name] for name, key in model.attribute_map.items()}
            for key, item in value.items():
                assert key in types, f"{kind} has no {key}"
                conforms(item, types[key])
    return value


class Server(ThreadingHTTPServer):
    """The API: what it holds, and what it is told to do wrong."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pipelines: list[dict[str, Any]] = []
        self.versions: list[dict[str, Any]] = []
        self.experiments: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []  # as created
        self.progress: list[dict[str, Any]] = []  # what a run becomes, look by look; the last stays
        self.logs: dict[str, str] = {}  # node -> log, below /apis/`logs_at`
        self.logs_at = "v1beta1"
        self.multi_user = False
        self.token = ""
        self.wrong: dict[str, tuple[int, str, dict[str, str]]] = {}  # "POST /runs" -> status, body, headers
        self.requests: list[str] = []
        self.complaints: list[str] = []  # what was sent or said against the definition

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def refuse(self, status: int, message: str = "", at: str = "") -> None:
        """Answers `at` (everything by default) with an error as the API's gateway words them."""
        body = json.dumps({"error": message, "code": 3, "message": message, "details": []}) if message else "no"
        self.wrong[at] = (status, body, {"Content-Type": "application/json"})


class Handler(BaseHTTPRequestHandler):
    """Routes a request, and has it and its answer checked."""

    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def send(self, status: int, body: str, headers: dict[str, str]) -> None:
        data = body.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def answer(self, content: dict[str, Any], kind: str) -> None:
        self.send(200, json.dumps(conforms(content, kind)), {})

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        call = f"{self.command} {url.path.removeprefix(API)}"
        self.server.requests.append(call)
        wrong = self.server.wrong.get(call) or self.server.wrong.get("")
        try:
            if wrong:
                self.send(*wrong)
            elif self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
                self.send(401, "{}", {})
            elif "/log" in call:
                self.log(url.path)
            else:
                self.route(call, query, body)
        except AssertionError as error:
            self.server.complaints.append(f"{call}: {error!r}")
            self.send(500, "{}", {})

    do_GET = do_POST = handle_request  # noqa: N815 - http.server asks for these names

    def log(self, path: str) -> None:
        node = path.split("/nodes/")[-1].removesuffix("/log")
        if path.startswith(f"/apis/{self.server.logs_at}/runs/") and node in self.server.logs:
            self.send(200, self.server.logs[node], {"Content-Type": "text/plain"})
        else:
            self.send(404, "{}", {})

    def route(self, call: str, query: dict[str, str], body: bytes) -> None:
        server = self.server
        if call == "GET /healthz":
            self.answer({"multi_user": server.multi_user}, "V2beta1GetHealthzResponse")
        elif call == "GET /pipelines":
            found = matching(server.pipelines, query)
            self.answer({"pipelines": found} if found else {}, "V2beta1ListPipelinesResponse")
        elif call == "POST /pipelines":
            server.pipelines.append(conforms(json.loads(body), "V2beta1Pipeline") | {"pipeline_id": "p1"})
            self.answer(server.pipelines[-1], "V2beta1Pipeline")
        elif call == "POST /pipelines/upload_version":
            made = {
                "pipeline_id": query["pipelineid"],
                "pipeline_version_id": f"v{len(server.versions) + 1}",
                "display_name": query["name"],
                "pipeline_spec": uploaded(self.headers["Content-Type"], body),
            }
            server.versions.append(made)
            self.answer(made, "V2beta1PipelineVersion")
        elif call == "GET /pipelines/p1/versions":
            found = matching(server.versions, query)
            self.answer({"pipeline_versions": found} if found else {}, "V2beta1ListPipelineVersionsResponse")
        elif call == "GET /experiments":
            found = matching(server.experiments, query)
            self.answer({"experiments": found} if found else {}, "V2beta1ListExperimentsResponse")
        elif call == "POST /experiments":
            server.experiments.append(conforms(json.loads(body), "V2beta1Experiment") | {"experiment_id": "e1"})
            self.answer(server.experiments[-1], "V2beta1Experiment")
        elif call == "POST /runs":
            server.runs.append(self.created(conforms(json.loads(body), "V2beta1Run")))
            self.answer(server.runs[-1], "V2beta1Run")
        elif call == "GET /runs/r1" and (server.runs or server.progress):
            state = server.progress.pop(0) if len(server.progress) > 1 else (server.progress or [{}])[0]
            self.answer({**(server.runs[-1] if server.runs else {"run_id": "r1"}), **state}, "V2beta1Run")
        else:
            self.send(404, json.dumps({"error": f"{call} not found", "message": f"{call} not found", "code": 5}), {})

    def created(self, run: dict[str, Any]) -> dict[str, Any]:
        reference = run["pipeline_version_reference"]
        (version,) = [v for v in self.server.versions if v["pipeline_version_id"] == reference["pipeline_version_id"]]
        assert version["pipeline_id"] == reference["pipeline_id"]
        inputs = version["pipeline_spec"]["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
        given = run["runtime_config"]["parameters"]
        assert set(given) <= set(inputs), "a parameter that the pipeline hasn't"
        assert {name for name, spec in inputs.items() if not spec.get("isOptional")} <= set(given)
        return run | {"run_id": "r1", "state": "PENDING"}


def matching(items: list[dict[str, Any]], query: dict[str, str]) -> list[dict[str, Any]]:
    """The items that the request's filter asks for."""
    # The JSON of protobuf, which the filter is in, takes either spelling of a field, and numbers for enumerations.
    asked = json.loads(query.get("filter", "{}").replace('"stringValue"', '"string_value"'))
    for predicate in asked.get("predicates", []):
        if isinstance(predicate["operation"], int):
            predicate["operation"] = kfp_server_api.V2beta1PredicateOperation.allowable_values[predicate["operation"]]
    predicates = conforms(asked, "V2beta1Filter").get("predicates", [])
    assert all(predicate["operation"] == "EQUALS" for predicate in predicates)
    return [
        item
        for item in items
        if all(item[p["key"]] == p["string_value"] for p in predicates)
        and ("namespace" not in query or item.get("namespace") in (None, query["namespace"]))
    ]


def uploaded(content_type: str, body: bytes) -> dict[str, Any]:
    """The IR YAML in a multipart upload, as the server keeps it."""
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    (part,) = message.get_payload()  # type: ignore[misc]
    assert part.get_param("name", header="Content-Disposition") == "uploadfile"  # type: ignore[union-attr]
    pipeline, *platform = yaml.safe_load_all(part.get_payload(decode=True))  # type: ignore[union-attr]
    return {"pipeline_spec": pipeline, **({"platform_spec": platform[0]} if platform else {})}


@contextlib.contextmanager
def serve() -> Iterator[Server]:
    """A running server; its `complaints` must be empty in the end, which this checks."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert not server.complaints, server.complaints
