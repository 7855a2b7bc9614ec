"""What the compiled pipeline asks of a cluster, and what of it may change without training anything again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from helmholtz.cluster import Cluster, Resources, check_image
from helmholtz.experiment import Experiment
from helmholtz.experiment_file import load_experiment
from helmholtz.stages import plan_key
from helmholtz.task import VOLUMES
from helmholtz.trials import trials
from helmholtz_pipelines import pods
from helmholtz_pipelines.sweep import build_for_cluster, compile_to

GOLDEN = Path(__file__).parent / "golden" / "pipeline.yaml"
UPDATE = "HELMHOLTZ_UPDATE_GOLDEN=1 pytest tests/test_cluster.py -k golden"
IMAGES = ["cluster.cpu_image=registry/cpu:1", "cluster.gpu_image=registry/gpu:1"]
EVERYTHING = [
    *IMAGES,
    "resources.cpu=7",
    "resources.memory=30G",
    "resources.gpus=2",
    "resources.shared_memory=4Gi",
    "resources.node_selector={cloud.google.com/gke-accelerator: nvidia-l4}",
    "resources.tolerations=[{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]",
    "resources.timeout=7200",
    "resources.retries=4",
    "resources.backoff=30",
    "cluster.cpu=3",
    "cluster.memory=12Gi",
    "cluster.parallelism=5",
    "cluster.service_account=trainer",
    "cluster.secrets=[{name: store, env: {AWS_ACCESS_KEY_ID: accesskey, AWS_SECRET_ACCESS_KEY: secretkey}}]",
    "cluster.env={AWS_ENDPOINT_URL: 'http://seaweedfs.kubeflow:9000'}",
    "cluster.volumes=[{claim: runs, path: /mnt/runs}]",
    "cluster.image_pull_secret=registry",
    "cluster.run_as_user=10001",
    "refine.rounds=1",
]


def compiled(folder: Path, overrides: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pipeline's spec, and what its executors ask of Kubernetes."""
    path = folder / "pipeline.yaml"
    compile_to(path, build_for_cluster(load_experiment("quickstart", overrides)))
    spec, platform = yaml.safe_load_all(path.read_text())
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    return compiled(tmp_path_factory.mktemp("ir"), EVERYTHING)


def train_task(spec: dict[str, Any]) -> dict[str, Any]:
    loops = [c["dag"]["tasks"] for c in spec["components"].values() if "dag" in c and "train" in c["dag"]["tasks"]]
    task: dict[str, Any] = loops[0]["train"]
    return task


def test_the_compiled_pipeline_is_the_golden_one(tmp_path: Path) -> None:
    """Update it with: HELMHOLTZ_UPDATE_GOLDEN=1 pytest tests/test_cluster.py -k golden; then read the diff."""
    path = tmp_path / "pipeline.yaml"
    compile_to(path, build_for_cluster(load_experiment("quickstart", EVERYTHING)))
    if os.environ.get("HELMHOLTZ_UPDATE_GOLDEN"):
        GOLDEN.write_text(path.read_text())
    got, wanted = (list(yaml.safe_load_all(p.read_text())) for p in (path, GOLDEN))
    for document in (got[0], wanted[0]):
        document.pop("sdkVersion")  # of kfp: not ours to review
    assert got == wanted, f"if this is meant: {UPDATE}"


def test_train_tasks_ask_for_the_experiments_resources(everything: tuple[dict[str, Any], dict[str, Any]]) -> None:
    spec, pods = everything
    asked = spec["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"]
    assert (asked["resourceCpuLimit"], asked["resourceMemoryLimit"]) == ("7", "30G")
    assert (asked["accelerator"]["resourceType"], asked["accelerator"]["resourceCount"]) == ("nvidia.com/gpu", "2")
    train = pods["exec-train"]
    assert train["emptyDirMounts"] == [
        {"volumeName": "shared-memory", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": "4Gi"}
    ]
    assert train["nodeSelector"]["labels"] == {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    assert train["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert train["activeDeadlineSeconds"] == "7200"
    retry = train_task(spec)["retryPolicy"]
    window = 9 * (7200 + 86_400) + 30 * (2**8 - 1)  # nine starts, each after a day of waiting, and the back-offs
    assert retry == {"maxRetryCount": 8, "backoffDuration": "30s", "backoffFactor": 2.0, "backoffMaxDuration": f"{window}s"}
    parameters = train_task(spec)["inputs"]["parameters"]
    assert parameters["attempts"] == {"runtimeValue": {"constant": 5}}
    assert parameters["pause"] == {"runtimeValue": {"constant": 30}}


class Task:
    """Stands in for kfp's task: notes what is asked of it."""

    asked: dict[str, Any]

    def set_retry(self, num_retries: int, **more: Any) -> None:
        self.asked = {"retries": num_retries, **more}


MOST = 20 + 1 + pods._SPARE_STARTS


@given(
    retries=st.integers(0, MOST),
    backoff=st.integers(0, 3600),
    timeout=st.integers(60, 31_536_000),
    waiting=st.integers(0, 86_400),
)
def test_the_window_of_retries_admits_every_start_at_full_length(
    retries: int, backoff: int, timeout: int, waiting: int
) -> None:
    """As Argo's processNodeRetries counts: from the first start on, against the end of each back-off, and each pod's end."""
    task = Task()
    pods.retry(task, retries, backoff, timeout)
    seconds = {key: int(task.asked[key].removesuffix("s")) for key in ("backoff_duration", "backoff_max_duration")}
    deadline, factor, now = seconds["backoff_max_duration"], int(task.asked["backoff_factor"]), 0
    assert factor == task.asked["backoff_factor"]  # Argo takes whole ones alone
    waited = 0
    for start in range(task.asked["retries"] + 1):
        now += waiting + timeout
        assert now <= deadline, f"start {start} is killed"
        pause = seconds["backoff_duration"] * factor**start
        if start < retries:
            now, waited = now + pause, waited + pause
            assert now <= deadline, f"no start after {start}"
    assert waited <= 86_400 + 3600 * pods._SPARE_STARTS
    assert deadline * 10**9 < 2**63  # nanoseconds, as Go counts


def test_a_stage_is_retried_within_its_own_time(tmp_path: Path) -> None:
    spec, _ = compiled(tmp_path, [*IMAGES, "cluster.timeout=100000", "cluster.retries=1", "resources.backoff=7"])
    policies = [t.get("retryPolicy") for c in spec["components"].values() for t in c.get("dag", {}).get("tasks", {}).values()]
    window = f"{2 * (100_000 + 86_400) + 7}s"
    asked = {"maxRetryCount": 1, "backoffDuration": "7s", "backoffFactor": 2.0, "backoffMaxDuration": window}
    assert policies.count(asked) == 3  # plan, compress, analyse


def test_every_task_knows_its_run(everything: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """By kfp's placeholder and nothing around it: backends fill it in only where it is the whole value."""
    spec, _ = everything
    dags = [spec["root"]["dag"], *(c["dag"] for c in spec["components"].values() if "dag" in c)]
    tasks = {
        name: task for dag in dags for name, task in dag["tasks"].items() if "dag" not in spec["components"][component(task)]
    }
    assert {component(task).removeprefix("comp-").split("-")[0] for task in tasks.values()} == {
        *("plan", "compress", "train", "refine", "analyse", "publish")
    }
    for name, task in tasks.items():
        run = task["inputs"]["parameters"]["run_id"]
        assert run == {"runtimeValue": {"constant": "{{$.pipeline_job_uuid}}"}}, name


def component(task: dict[str, Any]) -> str:
    return str(task["componentRef"]["name"])


def test_a_key_of_a_secret_may_serve_two_variables(tmp_path: Path) -> None:
    # pragma: allowlist nextline secret
    secrets = "cluster.secrets=[{name: store, env: {AWS_SECRET_ACCESS_KEY: key, OTHER_TOKEN: key}}]"
    _, asked = compiled(tmp_path, [*IMAGES, secrets])
    for name, pod in asked.items():
        variables = {e["envVar"]: e["secretKey"] for secret in pod["secretAsEnv"] for e in secret["keyToEnv"]}
        # pragma: allowlist nextline secret
        assert variables == {"AWS_SECRET_ACCESS_KEY": "key", "OTHER_TOKEN": "key"}, name


def test_every_pod_gets_user_volumes_secrets_and_settings(everything: tuple[dict[str, Any], dict[str, Any]]) -> None:
    spec, pods = everything
    assert set(pods) == set(spec["deploymentSpec"]["executors"])
    for name, pod in pods.items():
        assert pod["securityContext"] == {"runAsNonRoot": True, "runAsUser": "10001"}, name
        assert [(mount["constant"], mount["mountPath"]) for mount in pod["pvcMount"]] == [("runs", "/mnt/runs")], name
        assert {secret["secretName"] for secret in pod["secretAsEnv"]} == {"store"}, name
        variables = {e["envVar"]: e["secretKey"] for secret in pod["secretAsEnv"] for e in secret["keyToEnv"]}
        assert variables == {"AWS_ACCESS_KEY_ID": "accesskey", "AWS_SECRET_ACCESS_KEY": "secretkey"}, name
        # pragma: allowlist nextline secret
        assert pod["imagePullSecret"][0]["secretName"] == "registry", name
        container = spec["deploymentSpec"]["executors"][name]["container"]
        assert {e["name"]: e["value"] for e in container["env"]} == {
            "AWS_ENDPOINT_URL": "http://seaweedfs.kubeflow:9000",
            VOLUMES: '["/mnt/runs"]',
        }, name
        assert container["resources"]["resourceMemoryLimit"] == ("30G" if "train" in name else "12Gi"), name


def test_the_defaults_ask_for_little_and_no_root(tmp_path: Path) -> None:
    spec, pods = compiled(tmp_path, IMAGES)
    assert all(pod["securityContext"] == {"runAsNonRoot": True} for pod in pods.values())
    assert "accelerator" not in spec["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"]
    assert not {"nodeSelector", "tolerations", "pvcMount", "secretAsEnv", "imagePullSecret"} & {
        k for p in pods.values() for k in p
    }


def test_a_pipeline_for_this_machine_asks_nothing_of_pods(tmp_path: Path) -> None:
    from helmholtz_pipelines.sweep import build

    path = tmp_path / "local.yaml"
    compile_to(path, build())
    (spec,) = yaml.safe_load_all(path.read_text())
    assert train_task(spec)["inputs"]["parameters"]["attempts"] == {"runtimeValue": {"constant": 1}}
    assert "retryPolicy" not in path.read_text()
    assert not any(VOLUMES in str(e["container"].get("env")) for e in spec["deploymentSpec"]["executors"].values())


def test_where_it_runs_neither_trains_nor_plans_anew() -> None:
    plain, placed = (load_experiment("quickstart", overrides) for overrides in ([], EVERYTHING[:-1]))
    other = load_experiment("quickstart", ["training.epochs=9"])
    ids = [[t.id for t in trials(e, "data", "codec")] for e in (plain, placed, other)]
    assert ids[0] == ids[1] != ids[2]
    assert plan_key(plain) == plan_key(placed) != plan_key(other)


@pytest.mark.parametrize(
    ("image", "fine"),
    [
        ("registry:5000/team/cpu:3f2a", True),
        ("registry/cpu@sha256:" + "0" * 64, True),
        ("registry/cpu:latest@sha256:" + "0" * 64, True),
        ("registry/cpu:latest", False),
        ("registry:5000/cpu", False),
        ("", False),
        ("a b:1", False),
        ("localhost:5000/cpu:1", True),
        ("[::1]:5000/cpu:1", True),
        ("REGISTRY.example.com/team/cpu_a.b--c:V1.0", True),
        ("cpu:1", True),
        ("Team/CPU:1", False),
        ("registry//cpu:1", False),
        ("/cpu:1", False),
        ("cpu:1/", False),
        ("https://registry/cpu:1", False),
        ("cpu:-1", False),
        ("cpu:" + "a" * 129, False),
        ("registry:port/cpu:1", False),
        ("cpu:1\n", False),
        ("cpu@sha256:" + "0" * 63, False),
        ("cpu@sha256:" + "g" * 64, False),
        ("cpu@", False),
        ("a" * 600 + ":1", False),
        ("-" * 500, False),
    ],
)
def test_images_are_named_so_that_they_stay_the_same(image: str, fine: bool) -> None:
    if fine:
        assert check_image(image) == image
    else:
        with pytest.raises(ValueError, match=r"image|tag"):
            check_image(image)


@pytest.mark.parametrize(
    ("section", "keys"),
    [
        (Resources, {"cpu": "two"}),
        (Resources, {"memory": "8 GB"}),
        (Resources, {"shared_memory": "1e9"}),
        (Resources, {"gpus": -1}),
        (Resources, {"timeout": 0}),
        (Resources, {"timeout": 10**9}),
        (Resources, {"cpu": "0"}),
        (Resources, {"cpu": "0.0"}),
        (Resources, {"cpu": "0m"}),
        (Resources, {"cpu": -1}),
        (Resources, {"memory": 0}),
        (Resources, {"memory": "0Gi"}),
        (Resources, {"memory": "-1Gi"}),
        (Resources, {"shared_memory": "0"}),
        (Resources, {"backoff": 3601}),
        (Cluster, {"timeout": 10**9}),
        (Cluster, {"cpu": "0"}),
        (Cluster, {"memory": "00M"}),
        (Resources, {"tolerations": [{"operator": "Exists", "key": "a", "value": "b"}]}),
        (Resources, {"tolerations": [{"value": "b"}]}),
        (Resources, {"colour": "red"}),
        (Cluster, {"volumes": [{"claim": "a", "path": "relative"}]}),
        (Cluster, {"volumes": [{"claim": "a", "path": "/"}]}),
        (Cluster, {"volumes": [{"claim": "a", "path": "//"}]}),
        (Cluster, {"volumes": [{"claim": "a", "path": "//mnt"}]}),
        (Cluster, {"volumes": [{"claim": "a", "path": "/mnt/../tmp"}]}),
        (Cluster, {"volumes": [{"claim": "a", "path": "/mnt/./runs"}]}),
        (Cluster, {"volumes": [{"claim": "a", "path": "/mnt:ro"}]}),
        (Cluster, {"volumes": [{"claim": "a", "path": "/tmp"}]}),
        (Cluster, {"volumes": [{"claim": "a", "path": "/tmp/runs"}]}),
        (Cluster, {"volumes": [{"claim": "a", "path": "/dev/shm"}]}),
        (Cluster, {"volumes": [{"claim": "a", "path": "/dev"}]}),
        (Cluster, {"volumes": [{"claim": "a", "path": "/opt"}]}),
        (Cluster, {"volumes": [{"claim": "a", "path": "/var"}]}),
        (Cluster, {"volumes": [{"claim": "a", "path": "/mnt"}, {"claim": "b", "path": "/mnt/"}]}),
        (Cluster, {"volumes": [{"claim": "a", "path": "/mnt/1"}, {"claim": "a", "path": "/mnt/2"}]}),
        (Cluster, {"volumes": [{"claim": "A_B", "path": "/mnt"}]}),
        (Cluster, {"secrets": [{"name": "s", "env": {}}]}),
        (Cluster, {"env": {"MY_PASSWORD": "x"}}),
        (Cluster, {"env": {"AWS_ACCESS_KEY_ID": "x"}}),
        (Cluster, {"run_as_user": 0}),
        (Cluster, {"parallelism": 0}),
    ],
)
def test_what_no_cluster_could_do_is_refused(section: type, keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        section(**keys)


def test_a_number_will_do_where_kubernetes_wants_text() -> None:
    assert Resources(cpu=2, memory=1_000_000_000).cpu == "2"


def test_a_placed_experiment_comes_back_from_json() -> None:
    placed = load_experiment("quickstart", EVERYTHING)
    assert Experiment.model_validate_json(placed.to_json()) == placed


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/mnt/runs", True),
        ("/mnt/runs/a/b", True),
        ("/mnt/runs/a/../b", True),
        ("/mnt/runs/..", False),
        ("/mnt/runs/../../etc", False),
        ("/mnt/runs2", False),
        ("/mnt", False),
        ("mnt/runs", False),
        ("", False),
    ],
)
def test_a_volume_holds_what_is_below_it(path: str, seen: bool) -> None:
    assert Cluster(volumes=[{"claim": "c", "path": "/mnt/runs/"}]).holds(path) == seen
