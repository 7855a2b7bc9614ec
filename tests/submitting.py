"""A KFP server, a bucket, and the command line, for the tests of submit, status and logs."""

from __future__ import annotations

from typing import Any

from click.testing import CliRunner, Result

from helmholtz.cli import cli
from tests.kfp_server import Server

IMAGES = ("--cpu-image", "registry/cpu:1", "--gpu-image", "registry/gpu:1")


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
