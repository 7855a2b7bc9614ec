"""A Kubeflow Pipelines API server over HTTP, for tests with the real client.

The published definition of the API is the models of the package `kfp_server_api`: every request and every answer is checked
against them, key by key and type by type, so this server can't drift from what a real one would be sent or would say. Names are
taken once, ids must be known, lists come in pages, and with several users a namespace is needed, as in the sources of the real
server (backend/src/apiserver/server). What this one can't vouch for is what else a real server does behind that definition.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
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
        assert kind != "int" or not isinstance(value, bool), (kind, value)
    else:
        model = getattr(kfp_server_api, kind)
        assert hasattr(model, "allowable_values") or isinstance(value, dict), (kind, value)
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
        self.namespaces = {"team-a"}  # that this user may use, where there are several
        self.deleted: set[str] = set()  # ids of runs
        self.page_size = 20  # of lists, where none is asked for
        self.token = ""
        self.wrong: dict[str, tuple[int, str, dict[str, str]]] = {}  # "POST /runs" -> status, body, headers
        self.stuck: dict[str, str] = {}  # "POST /runs" -> "silent", or "trickling": a byte at a time
        self.blind: dict[str, int] = {}  # "GET /pipelines" -> how often that list is still empty: another isn't done yet
        self.closing = threading.Event()
        self.requests: list[str] = []
        self.complaints: list[str] = []  # what was sent or said against the definition

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def refuse(self, status: int, message: str = "", at: str = "") -> None:
        """Answers `at` (everything by default) with an error as the API's gateway words them."""
        self.wrong[at] = (status, error(message) if message else "no", {"Content-Type": "application/json"})


class Handler(BaseHTTPRequestHandler):
    """Routes a request, and has it and its answer checked."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are sent one by one: each answer would take 40 ms

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
        try:
            if stuck := self.server.stuck.get(call) or self.server.stuck.get(""):
                self.stick(stuck)
            elif wrong := self.server.wrong.get(call) or self.server.wrong.get(""):
                self.send(*wrong)
            elif self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
                self.send(401, "{}", {})
            elif "/log" in call:
                self.log(url.path)
            else:
                self.route(self.command, url.path.removeprefix(API).strip("/").split("/"), query, body)
        except Refusal as refusal:
            self.send(refusal.status, error(refusal.message, refusal.code), {})
        except (AssertionError, ValueError) as problem:
            self.server.complaints.append(f"{call}: {problem!r}")
            self.send(500, "{}", {})

    def stick(self, how: str) -> None:
        """Keeps the connection, and never comes to an end."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            if how == "trickling":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
            while not self.server.closing.wait(0.02):
                if how == "trickling":
                    self.wfile.write(b" ")

    do_GET = do_POST = handle_request  # noqa: N815 - http.server asks for these names

    def log(self, path: str) -> None:
        node = path.split("/nodes/")[-1].removesuffix("/log")
        if path.startswith(f"/apis/{self.server.logs_at}/runs/") and node in self.server.logs:
            self.send(200, self.server.logs[node], {"Content-Type": "text/plain"})
        else:
            self.send(404, "{}", {})

    def route(self, command: str, path: list[str], query: dict[str, str], body: bytes) -> None:
        server = self.server
        match command, *path:
            case "GET", "healthz":
                self.answer({"multi_user": server.multi_user}, "V2beta1GetHealthzResponse")
            case "GET", "pipelines":
                self.page(server.pipelines, query, "pipelines", "V2beta1ListPipelinesResponse", self.namespace(query))
            case "POST", "pipelines":
                wanted = conforms(json.loads(body), "V2beta1Pipeline")
                self.make(server.pipelines, wanted, "pipeline", "V2beta1Pipeline", self.namespace(wanted))
            case "POST", "pipelines", "upload_version":
                only(query, "name", "display_name", "description", "pipelineid", "tags", "namespace")
                self.find(server.pipelines, "pipeline_id", query.get("pipelineid", ""))
                spec = uploaded(self.headers["Content-Type"], body)
                wanted = {"pipeline_id": query["pipelineid"], "display_name": query["name"], "pipeline_spec": spec}
                self.make(server.versions, wanted, "pipeline_version", "V2beta1PipelineVersion", query["pipelineid"])
            case "GET", "pipelines", pipeline_id, "versions":
                self.find(server.pipelines, "pipeline_id", pipeline_id)
                kind = "V2beta1ListPipelineVersionsResponse"
                self.page(server.versions, query, "pipeline_versions", kind, pipeline_id)
            case "GET", "experiments":
                owner = self.namespace(query, needed=True)
                self.page(server.experiments, query, "experiments", "V2beta1ListExperimentsResponse", owner)
            case "POST", "experiments":
                wanted = conforms(json.loads(body), "V2beta1Experiment")
                self.make(server.experiments, wanted, "experiment", "V2beta1Experiment", self.namespace(wanted, needed=True))
            case "POST", "runs":
                run = self.created(conforms(json.loads(body), "V2beta1Run"))
                server.runs.append(run)
                self.answer(run, "V2beta1Run")
            case "GET", "runs", run_id:
                told = {run["run_id"] for run in server.progress[:1] if not server.runs}
                if run_id in server.deleted or run_id not in {run["run_id"] for run in server.runs} | told:
                    raise Refusal(404, f"Run {run_id} not found")
                state = server.progress.pop(0) if len(server.progress) > 1 else (server.progress or [{}])[0]
                (made,) = [run for run in server.runs if run["run_id"] == run_id] or [{}]
                self.answer({**made, **state, "run_id": run_id}, "V2beta1Run")
            case _:
                raise Refusal(404, f"{command} {'/'.join(path)} not found")

    def namespace(self, given: dict[str, Any], *, needed: bool = False) -> str:
        """Whose things: those of all where there is one user, who may name any namespace to no effect."""
        named = str(given.get("namespace") or "")
        if not self.server.multi_user:
            return ""
        if not named and needed:
            raise Refusal(400, "Invalid input error: An experiment cannot have an empty namespace in multi-user mode")
        if named and named not in self.server.namespaces:
            raise Refusal(403, f"User 'me' is not authorized in the namespace {named}")
        return named

    def find(self, things: list[dict[str, Any]], key: str, wanted: str) -> dict[str, Any]:
        for thing in things:
            if thing[key] == wanted:
                return thing
        raise Refusal(404, f"ResourceNotFoundError: {key} {wanted} not found")

    def make(self, things: list[dict[str, Any]], wanted: dict[str, Any], what: str, kind: str, owner: str) -> None:
        title = wanted.get("display_name") or wanted.get("name")
        if not title:
            raise Refusal(400, "Invalid input error: name is required")
        if any((thing["display_name"], thing["owner"]) == (title, owner) for thing in things):
            raise Refusal(409, f"Already exist error: The name {title} already exists. Please specify a new name")
        number = len(things) + 1
        made = {**wanted, f"{what}_id": f"{what[0] if what != 'pipeline_version' else 'v'}{number}", "created_at": now()}
        things.append({**made, "owner": owner})
        self.answer(made, kind)

    def page(self, things: list[dict[str, Any]], query: dict[str, str], what: str, kind: str, owner: str) -> None:
        only(query, "page_token", "page_size", "sort_by", "filter", *(["namespace"] if what != "pipeline_versions" else []))
        found = [thing for thing in matching(things, query) if thing["owner"] == owner]
        call = f"GET {urlsplit(self.path).path.removeprefix(API)}"
        if self.server.blind.get(call):
            self.server.blind[call] -= 1
            found = []
        token = query.get("page_token") or "page-0"
        if not token.startswith("page-"):
            raise Refusal(400, "Invalid input error: Invalid package token")
        first, size = int(token.removeprefix("page-")), int(query.get("page_size") or 0) or self.server.page_size
        shown = [{key: value for key, value in thing.items() if key != "owner"} for thing in found[first : first + size]]
        more = {"next_page_token": f"page-{first + size}"} if first + size < len(found) else {}
        self.answer({what: shown, "total_size": len(found), **more} if shown else {}, kind)

    def created(self, run: dict[str, Any]) -> dict[str, Any]:
        if not run.get("display_name"):
            raise Refusal(400, "Invalid input error: The run name is empty")
        reference = run["pipeline_version_reference"]
        version = self.find(self.server.versions, "pipeline_version_id", reference["pipeline_version_id"])
        assert version["pipeline_id"] == reference["pipeline_id"]
        self.find(self.server.experiments, "experiment_id", run["experiment_id"])
        inputs = version["pipeline_spec"]["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
        given = run["runtime_config"]["parameters"]
        if not {name for name, spec in inputs.items() if not spec.get("isOptional")} <= set(given) <= set(inputs):
            raise Refusal(400, "Invalid input error: parameters are missing, or the pipeline hasn't them")
        kinds = {"STRING": str, "NUMBER_INTEGER": int, "NUMBER_DOUBLE": (int, float), "BOOLEAN": bool}
        for name, value in given.items():
            assert isinstance(value, kinds[inputs[name]["parameterType"]]), (name, value)
        return run | {"run_id": f"r{len(self.server.runs) + 1}", "state": "PENDING", "created_at": now()}


class Refusal(Exception):  # noqa: N818  # an answer of the server's, with this HTTP status
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.code = {400: 3, 403: 7, 404: 5, 409: 6}[status]  # of gRPC


def error(message: str, code: int = 3) -> str:
    """An error as the API's gateway words them."""
    return json.dumps({"error": message, "code": code, "message": message, "details": []})


def now() -> str:
    return datetime.now(UTC).isoformat()


def only(query: dict[str, str], *known: str) -> None:
    assert set(query) <= set(known), set(query) - set(known)


def matching(items: list[dict[str, Any]], query: dict[str, str]) -> list[dict[str, Any]]:
    """The items that the request's filter asks for."""
    # The JSON of protobuf, which the filter is in, takes either spelling of a field, and numbers for enumerations.
    asked = json.loads(query.get("filter", "{}").replace('"stringValue"', '"string_value"'))
    for predicate in asked.get("predicates", []):
        if isinstance(predicate["operation"], int):
            predicate["operation"] = kfp_server_api.V2beta1PredicateOperation.allowable_values[predicate["operation"]]
    predicates = conforms(asked, "V2beta1Filter").get("predicates", [])
    assert all(predicate["operation"] == "EQUALS" for predicate in predicates)
    return [item for item in items if all(item[p["key"]] == p["string_value"] for p in predicates)]


def uploaded(content_type: str, body: bytes) -> dict[str, Any]:
    """The IR YAML in a multipart upload, as the server keeps it."""
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    (part,) = message.get_payload()
    assert part.get_param("name", header="Content-Disposition") == "uploadfile"
    pipeline, *platform = yaml.safe_load_all(part.get_payload(decode=True))
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
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
    assert not server.complaints, server.complaints
