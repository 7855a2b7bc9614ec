"""What the compiled pipeline asks of a cluster, and what of it may change without training anything again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from helmholtz.cluster import Cluster, Resources, check_image
from helmholtz.experiment import Experiment
from helmholtz.experiment_file import load_experiment
from helmholtz.stages import plan_key
from helmholtz.trials import trials
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
        {"volumeName": "shared-memory", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": "4Gi"}  # noqa: S108
    ]
    assert train["nodeSelector"]["labels"] == {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    assert train["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert train["activeDeadlineSeconds"] == "7200"
    retry = train_task(spec)["retryPolicy"]
    assert retry == {"maxRetryCount": 5, "backoffDuration": "30s", "backoffFactor": 2.0, "backoffMaxDuration": "3600s"}
    assert train_task(spec)["inputs"]["parameters"]["attempts"] == {"runtimeValue": {"constant": 5}}


def test_every_pod_gets_user_volumes_secrets_and_settings(everything: tuple[dict[str, Any], dict[str, Any]]) -> None:
    spec, pods = everything
    assert set(pods) == set(spec["deploymentSpec"]["executors"])
    for name, pod in pods.items():
        assert pod["securityContext"] == {"runAsNonRoot": True, "runAsUser": "10001"}, name
        assert [(mount["constant"], mount["mountPath"]) for mount in pod["pvcMount"]] == [("runs", "/mnt/runs")], name
        (secret,) = pod["secretAsEnv"]
        assert secret["secretName"] == "store", name
        assert {e["envVar"]: e["secretKey"] for e in secret["keyToEnv"]}["AWS_SECRET_ACCESS_KEY"] == "secretkey", name  # noqa: S105
        assert pod["imagePullSecret"][0]["secretName"] == "registry", name
        container = spec["deploymentSpec"]["executors"][name]["container"]
        assert container["env"] == [{"name": "AWS_ENDPOINT_URL", "value": "http://seaweedfs.kubeflow:9000"}], name
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
        (Resources, {"tolerations": [{"operator": "Exists", "key": "a", "value": "b"}]}),
        (Resources, {"tolerations": [{"value": "b"}]}),
        (Resources, {"colour": "red"}),
        (Cluster, {"volumes": [{"claim": "a", "path": "relative"}]}),
        (Cluster, {"volumes": [{"claim": "a", "path": "/"}]}),
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
    assert Resources(cpu=2, memory=1_000_000_000).cpu == "2"  # type: ignore[arg-type]


def test_a_placed_experiment_comes_back_from_json() -> None:
    placed = load_experiment("quickstart", EVERYTHING)
    assert Experiment.model_validate_json(placed.to_json()) == placed


@pytest.mark.parametrize(
    ("path", "seen"), [("/mnt/runs", True), ("/mnt/runs/a/b", True), ("/mnt/runs2", False), ("/mnt", False)]
)
def test_a_volume_holds_what_is_below_it(path: str, seen: bool) -> None:
    assert Cluster(volumes=[{"claim": "c", "path": "/mnt/runs/"}]).holds(path) == seen  # type: ignore[list-item]
