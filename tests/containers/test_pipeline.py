"""The pipeline in the real images, against object stores over HTTP: what a run leaves in its root, whatever kfp.local says."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.containers.conftest import Podman
from tests.test_cloud import BUCKET, free_port

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

EXPERIMENT = {
    "name": "small",
    "dataset": {"kind": "photographs", "limit": 90, "classes": ["astronaut", "hubble", "coffee"], "shards": 2},
    "codec": "jpeg",
    "levels": ["none", 25],
    "architectures": ["A"],
    "seeds": 2,
    "training": {"epochs": 6, "batch_size": 16, "input_size": 16},
}
TIMED = {"train_seconds", "records_per_second"}  # what no two runs share


@dataclass(frozen=True)
class Bucket:
    """An object store: its URI, how containers reach it, and all that is in it."""

    root: str
    environment: dict[str, str]
    objects: Callable[[], dict[str, Any]]  # key below the root -> something that changes when it is written again
    read: Callable[[str], bytes]


@pytest.fixture(scope="module")
def amazon() -> Iterator[Bucket]:
    import boto3
    from moto.server import ThreadedMotoServer

    port = free_port()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", **keys)
    client.create_bucket(Bucket=BUCKET)

    def objects() -> dict[str, Any]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="run/")
        return {each["Key"][4:]: (each["ETag"], each["LastModified"]) for page in pages for each in page.get("Contents", [])}

    environment = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    environment |= {key.upper(): value for key, value in keys.items()}
    read = lambda key: client.get_object(Bucket=BUCKET, Key=f"run/{key}")["Body"].read()  # noqa: E731  # each store has its own
    yield Bucket(f"s3://{BUCKET}/run", environment, objects, read)
    server.stop()


@pytest.fixture(scope="module")
def google() -> Iterator[Bucket]:
    from gcp_storage_emulator.server import create_server
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    port = free_port()
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET)
    server.start()
    address = f"http://127.0.0.1:{port}"
    client = storage.Client("local", AnonymousCredentials(), client_options={"api_endpoint": address})

    def objects() -> dict[str, Any]:
        return {blob.name[4:]: (blob.generation, blob.updated) for blob in client.list_blobs(BUCKET, prefix="run/")}

    read = lambda key: client.bucket(BUCKET).blob(f"run/{key}").download_as_bytes()  # noqa: E731  # each store has its own
    yield Bucket(f"gs://{BUCKET}/run", {"STORAGE_EMULATOR_HOST": address}, objects, read)
    server.stop()


@pytest.fixture
def start(podman: Podman, docker_host: str, tmp_path: Path) -> Iterator[Callable[[Bucket], subprocess.Popen[bytes]]]:
    """Starts the pipeline of EXPERIMENT; its output goes to `tmp_path`/log. Nothing is left running."""
    label = f"{os.getpid()}-{tmp_path.name}"
    started = []

    def start_one(bucket: Bucket) -> subprocess.Popen[bytes]:
        request = {"root": bucket.root, "experiment": json.dumps(EXPERIMENT), "label": label}
        request |= {"cpu_image": podman.cpu, "gpu_image": podman.gpu}
        path = tmp_path / "request.json"
        # Accuracies are the same, bit for bit, only with as many threads.
        path.write_text(json.dumps(request | {"environment": bucket.environment | {"HELMHOLTZ_THREADS": "2"}}))
        with (tmp_path / "log").open("ab") as log:
            command = [sys.executable, str(Path(__file__).with_name("run_pipeline.py")), str(path)]
            started.append(subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "DOCKER_HOST": docker_host}))
        return started[-1]

    yield start_one
    for process in started:
        process.kill()
        process.wait()
    left = podman("ps", "--quiet", f"--filter=label=helmholtz-test={label}").split()
    if left:
        podman("rm", "--force", *left)


def results(bucket: Bucket) -> dict[tuple[str, int], dict[str, Any]]:
    """Every trial's result, by level and seed, but for its times."""
    found = [json.loads(bucket.read(key)) for key in bucket.objects() if key.endswith("/result.json")]
    return {(str(r["level"]), r["seed"]): {k: v for k, v in r.items() if k not in TIMED} for r in found}


def curves(bucket: Bucket) -> list[dict[str, str]]:
    """The rows of the report's table, but for their times."""
    rows = csv.DictReader(io.StringIO(bucket.read("report/curves.csv").decode()))
    return [{key: value for key, value in row.items() if key not in TIMED} for row in rows]


def assert_whole(bucket: Bucket, log: str) -> None:
    """The run has left all that it should."""
    cells = {("none", 0), ("none", 1), ("25", 0), ("25", 1)}
    assert results(bucket).keys() == cells, log
    assert all(result["status"] == "complete" for result in results(bucket).values())
    assert {(row["level"], int(row["seed"])) for row in curves(bucket)} == cells
    page = bucket.read("report/report.html").decode()
    report = json.loads(bucket.read("report/report.json"))
    assert report["recommendation"]["sentence"] in page
    images = {stage: [tag.partition(":")[0] for tag in found["image"]] for stage, found in report["versions"].items()}
    assert images == {"compress": ["helmholtz-cpu"], "train": ["helmholtz-gpu"], "analyse": ["helmholtz-cpu"]}
    assert any("tfevents" in key for key in bucket.objects())


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    """What the first test's run ended with, for the second to compare with."""
    return {}


def test_the_pipeline_runs_in_the_real_images_to_its_report(
    start: Callable[[Bucket], subprocess.Popen[bytes]], amazon: Bucket, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    start(amazon).wait(timeout=400)
    assert_whole(amazon, (tmp_path / "log").read_text())
    undisturbed.update(results=results(amazon), curves=curves(amazon))


def test_a_run_whose_trial_was_killed_goes_on_to_the_same_report(
    start: Callable[[Bucket], subprocess.Popen[bytes]],
    podman: Podman,
    google: Bucket,
    undisturbed: dict[str, Any],
    tmp_path: Path,
) -> None:
    first = start(google)
    kill_second_train_task(podman, google, first)
    first.wait(timeout=400)
    assert ("25", 1) not in results(google), "killed too late to show anything"
    finished = {
        key: written
        for key, written in google.objects().items()
        if key.startswith("data/") or (key.startswith("trials/A-none-") and key.endswith("result.json"))
    }
    assert len(finished) > 10

    start(google).wait(timeout=400)
    assert_whole(google, (tmp_path / "log").read_text())
    assert {key: written for key, written in google.objects().items() if key in finished} == finished
    if not undisturbed:
        pytest.skip("the first test, to compare with, has not run")
    assert results(google) == undisturbed["results"]
    assert curves(google) == undisturbed["curves"]


def kill_second_train_task(podman: Podman, bucket: Bucket, run: subprocess.Popen[bytes]) -> None:
    """Kills the containers of the second cell, level 25, while they train."""
    while not any(key.startswith("trials/A-25-") for key in bucket.objects()):
        assert run.poll() is None, "the run ended before its second train task began"
        time.sleep(0.05)
    training = podman("ps", "--quiet", f"--filter=ancestor={podman.gpu}").split()
    assert training, "the second train task ended before it could be killed"
    podman("kill", *training)
