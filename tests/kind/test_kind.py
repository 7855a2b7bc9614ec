"""The whole on a kind cluster: Kubeflow Pipelines, the images, the manifests, a run, a rerun, a killed pod.

Needs kind, kubectl and a Docker engine, 4 processors, 16 GB of memory, 40 GB of disk and the internet; about 40 minutes.
`make kind-test` and .github/workflows/kind.yml run it. The machine on which it was written could do none of it: what of it
needs no cluster is tested in test_cluster.py, the rest has not been run there.

HELMHOLTZ_KIND_KEEP=1 leaves the cluster, to look at; a failure leaves its logs in kind-logs/.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from helmholtz.storage import Store, open_store
from tests.kind.cluster import MANIFESTS, ROOT, Cluster, obstacle, running_task, until

EXPERIMENT = str(MANIFESTS / "overlays" / "kind" / "experiment.yaml")
RUNS = "s3://mlpipeline/helmholtz"
OBSTACLE = obstacle()

pytestmark = [pytest.mark.skipif(OBSTACLE is not None, reason=str(OBSTACLE)), pytest.mark.timeout(5400)]


@dataclass(frozen=True)
class Site:
    """A cluster in which all is ready, and its addresses from here."""

    cluster: Cluster
    host: str
    cpu_image: str
    gpu_image: str

    def submission(self, root: str, *more: str) -> list[str]:
        """The command that submits the experiment and waits."""
        images = ["--cpu-image", self.cpu_image, "--gpu-image", self.gpu_image]
        command = [sys.executable, "-m", "helmholtz", "submit", EXPERIMENT, "--host", self.host, "--root", root, *images]
        return [*command, "--wait", "--json", *more]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("kind")
    cluster = Cluster("helmholtz-test", folder / "kubeconfig")
    failed = request.session.testsfailed
    ready = False
    try:
        cluster.create()
        cpu_image, gpu_image = cluster.build_images()
        cluster.apply(folder, cpu_image, f"{RUNS}/one")
        with (
            cluster.forward("ml-pipeline-ui", 80) as ui,
            cluster.forward("seaweedfs", 8333) as store,
            pytest.MonkeyPatch.context() as patch,
        ):
            settings = cluster.credentials() | {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{store}",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
                "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
            }
            for variable, value in settings.items():
                patch.setenv(variable, value)
            ready = True
            yield Site(cluster, f"http://127.0.0.1:{ui}", cpu_image, gpu_image)
    finally:
        if not os.environ.get("HELMHOLTZ_KIND_KEEP"):
            well = ready and request.session.testsfailed == failed
            cluster.delete(logs=None if well else ROOT / "kind-logs")


def results(store: Store) -> set[str]:
    """Keys of all finished trials."""
    return {key for key in store.list("trials") if key.endswith("/result.json")}


def levels(store: Store) -> set[str]:
    """Of the trials that the report counts."""
    return {row["level"] for row in csv.DictReader(store.read_bytes("report/curves.csv").decode().splitlines())}


def test_a_run_leaves_its_report_in_the_store_and_its_curves_in_tensorboard(site: Site, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    answer = subprocess.run(site.submission(f"{RUNS}/one", "--report", str(page)), stdout=subprocess.PIPE, timeout=2400)
    assert answer.returncode == 0
    store = open_store(f"{RUNS}/one")
    assert page.read_bytes() == store.read_bytes("report/report.html")
    assert json.loads(store.read_bytes("report/report.json"))
    assert len(results(store)) == 4  # one architecture, two levels, two seeds
    trials = {key.split("/")[1] for key in results(store)}

    with site.cluster.forward("helmholtz-tensorboard", 80, "helmholtz") as port:

        def shown() -> bool | None:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/runs", timeout=30) as runs:
                return {f"trials/{trial}" for trial in trials} | {"summary"} <= set(json.load(runs)) or None

        until(shown, 300, "TensorBoard shows every trial")


def test_a_rerun_as_from_the_ui_with_another_level_keeps_what_is_finished(site: Site) -> None:
    import kfp

    store = open_store(f"{RUNS}/one")
    before = {key: store.read_bytes(key) for key in results(store)}
    client = kfp.Client(host=site.host)
    run = max(client.list_runs(page_size=50).runs, key=lambda found: found.created_at)
    again = client.run_pipeline(
        run.experiment_id,
        "with another level",
        params=run.runtime_config.parameters | {"levels": "none, 50, 10"},
        pipeline_id=run.pipeline_version_reference.pipeline_id,
        version_id=run.pipeline_version_reference.pipeline_version_id,
        service_account="helmholtz-runner",
    )
    assert client.wait_for_run_completion(again.run_id, timeout=1800).state == "SUCCEEDED"
    assert len(results(store)) == 6
    assert {key: store.read_bytes(key) for key in before} == before
    assert len(levels(store)) == 3


def test_training_goes_on_after_a_killed_process_and_after_a_deleted_pod(site: Site) -> None:
    """A killed process is tried again within the run. A pod that vanishes is not, with Kubeflow Pipelines 2.17 (its retries
    are for failures, not for losses): then the same command once more goes on where it stopped.
    """
    root = f"{RUNS}/killed"
    long = ["--set", "training.epochs=60"]

    def running() -> str:
        return until(lambda: running_task(site.cluster.pods(), site.gpu_image), 900, "a train task is under way")

    submission = subprocess.Popen(site.submission(root, *long), stdout=subprocess.DEVNULL)
    site.cluster.kill_task(running())
    assert submission.wait(2400) == 0
    store = open_store(root)
    assert len(results(store)) == 4

    submission = subprocess.Popen(site.submission(root, *long, "--set", "levels=[none, 50, 10]"), stdout=subprocess.DEVNULL)
    site.cluster.delete_pod(running())
    if submission.wait(2400) != 0:
        once_more = site.submission(root, *long, "--set", "levels=[none, 50, 10]")
        assert subprocess.run(once_more, stdout=subprocess.DEVNULL, timeout=2400).returncode == 0
    assert len(results(store)) == 6
    assert len(levels(store)) == 3
