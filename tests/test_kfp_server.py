"""The server that stands in for Kubeflow Pipelines in tests refuses what a real one refuses."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kfp_server import Server, conforms, serve


@pytest.fixture
def api() -> Iterator[Server]:
    with serve() as server:
        yield server


def test_the_server_keeps_to_the_definition() -> None:
    for wrong in (
        {"run_idd": "r"},
        {"state": "DONE"},
        {"created_at": "today"},
        {"run_details": {"task_details": [{"x": 1}]}},
        {"run_details": []},
        {"display_name": 7},
    ):
        with pytest.raises((AssertionError, ValueError)):
            conforms(wrong, "V2beta1Run")
    with pytest.raises(AssertionError):
        conforms({"total_size": True}, "V2beta1ListRunsResponse")


def ask(api: Server, method: str, path: str, content: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", api.server_port, timeout=10)
    connection.request(method, f"/apis/v2beta1{path}", json.dumps(content) if content is not None else None)
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    return answer.status, said


def test_the_server_refuses_as_a_real_one(api: Server) -> None:
    named = {"display_name": "one"}
    for path in ("/pipelines", "/experiments"):
        assert ask(api, "POST", path, named)[0] == 200
        assert ask(api, "POST", path, named) == (409, {**ask(api, "POST", path, named)[1], "code": 6})
        assert ask(api, "POST", path, {"description": "nameless"})[0] == 400
    for path in ("/runs/r1", "/pipelines/p9/versions", "/nothing"):
        assert ask(api, "GET", path)[0] == 404
    assert (
        ask(api, "POST", "/runs", {"pipeline_version_reference": {"pipeline_version_id": "v9"}, "display_name": "x"})[0] == 404
    )
    api.multi_user = True
    assert ask(api, "POST", "/experiments", named)[0] == 400
    assert ask(api, "GET", "/experiments")[0] == 400
    assert ask(api, "POST", "/experiments", {**named, "namespace": "team-b"})[0] == 403
    assert ask(api, "POST", "/experiments", {**named, "namespace": "team-a"})[0] == 200


def test_the_server_gives_lists_in_pages(api: Server) -> None:
    for number in range(5):
        ask(api, "POST", "/experiments", {"display_name": f"e{number}"})
    seen, token = [], ""
    while True:
        said = ask(api, "GET", f"/experiments?page_size=2&page_token={token}")[1]
        seen += [made["display_name"] for made in said["experiments"]]
        token = said.get("next_page_token", "")
        if not token:
            break
    assert seen == [f"e{number}" for number in range(5)]
    assert ask(api, "GET", "/experiments?page_token=mine")[0] == 400


@pytest.mark.parametrize("wrong", ["/experiments?page=2", "/pipelines?name=x"])
def test_the_server_complains_of_what_the_definition_has_not(wrong: str) -> None:
    with pytest.raises(AssertionError, match="GET /"), serve() as server:
        assert ask(server, "GET", wrong)[0] == 500
