"""The cluster manifests: every way to put them together, rendered, against Kubernetes' schemas and our own rules."""

from __future__ import annotations

import copy
import functools
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from helmholtz.experiment_file import load_experiment
from tests.manifest_policy import RULES, name, pods
from tests.network_policy import Document, enters, leaves, namespace

ROOT = Path(__file__).parents[1]
MANIFESTS = ROOT / "manifests"
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"  # where neither kubectl nor kustomize is at hand
KUBERNETES = "1.36"  # of the kind cluster
IMAGE = "registry.example/helmholtz-cpu:0123456789abcdef"

# Overlay and components, as a user's own kustomization names them.
VARIANTS = {
    "kind": ("overlays/kind",),
    "kind-flink": ("overlays/kind", "components/flink"),
    "gke": ("overlays/gke",),
    "gke-flink": ("overlays/gke", "components/flink"),
    "gke-kubeflow-tensorboard": ("overlays/gke", "components/kubeflow-tensorboard"),
    "s3": ("overlays/generic/s3",),
    "s3-flink": ("overlays/generic/s3", "components/flink"),
    "claim": ("overlays/generic/claim",),
    "claim-flink": ("overlays/generic/claim", "components/flink-claim"),
    "claim-profile": ("overlays/generic/claim",),
    "claim-flink-profile": ("overlays/generic/claim", "components/flink-claim"),
}
PROFILE = "team"  # namespace of those in a profile


@functools.cache
def kustomize() -> tuple[str, ...]:
    """The command that renders a folder. Skips where there is none, and none can be had."""
    for command in (("kubectl", "kustomize"), ("kustomize", "build")):
        if shutil.which(command[0]):
            return command
    if not shutil.which("go"):
        pytest.skip("rendering needs kubectl, kustomize or go")
    binaries = Path(tempfile.gettempdir(), f"helmholtz-{KUSTOMIZE.rpartition('@')[2]}-{os.getuid()}")
    if not (binaries / "kustomize").exists():
        environment = os.environ | {"GOBIN": str(binaries)}
        try:
            subprocess.run(["go", "install", KUSTOMIZE], env=environment, check=True, capture_output=True, timeout=240)
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"neither kubectl nor kustomize, and `go install {KUSTOMIZE}` fails: {error}")
    return (str(binaries / "kustomize"), "build")


@functools.cache
def _rendered(variant: str) -> list[Document]:
    overlay, *components = VARIANTS[variant]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(MANIFESTS, Path(folder, "manifests"))
        mine: dict[str, Any] = {
            "resources": [f"../manifests/{overlay}"],
            "components": [f"../manifests/{component}" for component in components],
            "images": [{"name": "helmholtz-cpu", "newName": IMAGE.split(":")[0], "newTag": IMAGE.split(":")[1]}],
            "configMapGenerator": [
                {
                    "name": "helmholtz-run",
                    "namespace": "kubeflow" if variant.startswith("claim") else "helmholtz",
                    "behavior": "merge",
                    "literals": ["RUN_ROOT=s3://bucket/run"],
                }
            ],
        }
        if variant.endswith("-profile"):
            mine["namespace"] = PROFILE
        Path(folder, "mine").mkdir()
        Path(folder, "mine", "kustomization.yaml").write_text(yaml.safe_dump(mine))
        answer = subprocess.run([*kustomize(), Path(folder, "mine")], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
    return list(yaml.safe_load_all(answer.stdout))


def render(variant: str) -> list[Document]:
    """The documents of a variant, the caller's own."""
    return copy.deepcopy(_rendered(variant))


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_document_is_what_the_api_server_takes(variant: str) -> None:
    documents = render(variant)
    assert len(documents) >= 8
    identities = [(d["kind"], namespace(d), d["metadata"]["name"]) for d in documents]
    assert len(set(identities)) == len(identities)
    for document in documents:
        if document["apiVersion"].split("/")[0].endswith("kubeflow.org"):
            schema = json.loads((Path(__file__).parent / "kubeflow_tensorboard.schema.json").read_text())
            jsonschema.validate(document, schema)
        else:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_a_misspelt_field_is_refused() -> None:
    (document,) = [d for d in render("kind") if d["kind"] == "Deployment"]
    document["spec"]["template"]["spec"]["serviceAcountName"] = "x"
    with pytest.raises(kubernetes_validate.ValidationError, match="serviceAcountName"):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_policy(variant: str, rule: str) -> None:
    assert list(RULES[rule](render(variant))) == []


GONE = object()
POD = "spec.template.spec"
CONTAINER = f"{POD}.containers.0"
BREAKAGES = [
    ("confined", "Deployment", f"{POD}.securityContext.runAsNonRoot", False),
    ("confined", "Deployment", f"{POD}.securityContext.runAsUser", GONE),
    ("confined", "Deployment", f"{POD}.securityContext.seccompProfile", GONE),
    ("confined", "Deployment", f"{CONTAINER}.securityContext.readOnlyRootFilesystem", GONE),
    ("confined", "Deployment", f"{CONTAINER}.securityContext.allowPrivilegeEscalation", True),
    ("confined", "Deployment", f"{CONTAINER}.securityContext.capabilities", {"drop": ["NET_RAW"]}),
    ("confined", "Deployment", f"{CONTAINER}.securityContext.privileged", True),
    ("confined", "Deployment", f"{POD}.hostNetwork", True),
    ("confined", "Deployment", f"{POD}.volumes.0", {"name": "host", "hostPath": {"path": "/"}}),
    ("no_token", "Deployment", f"{POD}.automountServiceAccountToken", GONE),
    ("no_token", "Deployment", f"{POD}.volumes.0", {"name": "token", "projected": {"sources": []}}),
    ("bounded", "Deployment", f"{CONTAINER}.resources.limits.memory", GONE),
    ("bounded", "Deployment", f"{CONTAINER}.livenessProbe", GONE),
    ("bounded", "Deployment", f"{POD}.volumes.1.emptyDir", {}),
    ("pinned_images", "Deployment", f"{CONTAINER}.image", "registry:5000/helmholtz-cpu"),
    ("pinned_images", "Deployment", f"{CONTAINER}.image", "registry:5000/helmholtz-cpu:latest"),
    ("no_secret_values", "ConfigMap", "data.AWS_SECRET_ACCESS_KEY", "minio123"),
    ("no_secret_values", "ConfigMap", "kind", "Secret"),
    ("no_secret_values", "Deployment", f"{CONTAINER}.env", [{"name": "KFP_TOKEN", "value": "x"}]),
    ("least_privilege", "Role", "kind", "ClusterRole"),
    ("least_privilege", "Role", "rules.0.verbs", ["*"]),
    ("least_privilege", "Role", "rules.0.resources", ["pods/exec"]),
    ("least_privilege", "Role", "rules.0", {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}),
    ("least_privilege", "Role", "rules.0", {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}),
    ("references_resolve", "Deployment", f"{POD}.serviceAccountName", "nobody"),
    ("references_resolve", "Deployment", f"{POD}.volumes.0", {"name": "script", "configMap": {"name": "nothing"}}),
    ("references_resolve", "Deployment", f"{POD}.volumes.0", {"name": "x", "persistentVolumeClaim": {"claimName": "nothing"}}),
    ("data_stay", "Service", "kind", "PersistentVolumeClaim"),
    ("only_reads", "Deployment", f"{POD}.containers.1.envFrom.1.secretRef.name", "helmholtz-store"),
    (
        "only_reads",
        "Deployment",
        f"{POD}.volumes.0",
        {"name": "runs", "persistentVolumeClaim": {"claimName": "helmholtz-runs"}},
    ),
    ("names_resolve", "NetworkPolicy helmholtz", "spec.egress.0.ports.1", GONE),
    ("names_resolve", "NetworkPolicy helmholtz-pipeline", "spec.egress.0.ports.0.protocol", "TCP"),
    ("names_resolve", "NetworkPolicy helmholtz-pipeline", "spec.egress.0.to.1", GONE),
    ("names_resolve", "NetworkPolicy helmholtz", "spec.egress.0.to.0", GONE),
    ("pipeline_closed", "NetworkPolicy helmholtz-pipeline", "spec.policyTypes", ["Egress"]),
    ("pipeline_closed", "NetworkPolicy helmholtz-pipeline", "spec.policyTypes", ["Ingress"]),
    ("pipeline_closed", "NetworkPolicy helmholtz-pipeline", "spec.egress.2.ports", GONE),
    ("pipeline_closed", "NetworkPolicy helmholtz-pipeline", "spec.egress.2", GONE),
    ("pipeline_closed", "NetworkPolicy helmholtz-pipeline", "metadata.namespace", "helmholtz"),
    ("pipeline_closed", "NetworkPolicy helmholtz-pipeline", "spec.podSelector.matchLabels", {"app.kubernetes.io/name": "x"}),
    ("references_resolve", "Deployment", f"{CONTAINER}.volumeMounts.0.name", "nothing"),
    ("references_resolve", "Deployment", f"{CONTAINER}.envFrom", [{"secretRef": {"name": "nothing"}}]),
    ("references_resolve", "RoleBinding", "roleRef.name", "nothing"),
    ("references_resolve", "RoleBinding", "subjects.0.namespace", "elsewhere"),
    ("selectors_select", "Service", "spec.selector", {"app.kubernetes.io/name": "tensorbord"}),
    ("selectors_select", "Service", "spec.ports.0.targetPort", "https"),
    ("selectors_select", "Deployment", f"{POD[:-5]}.metadata.labels", {}),
    ("network_closed", "NetworkPolicy", "spec.podSelector", {}),
    ("network_closed", "NetworkPolicy", "metadata.namespace", "elsewhere"),
    ("network_closed", "NetworkPolicy", "spec.ingress", [{"ports": [{"port": 6006}]}]),
    ("namespaces_restricted", "Namespace", "metadata.labels", {}),
    ("namespaces_restricted", "Namespace", "metadata.name", "kubeflow"),
    ("namespaces_restricted", "Service", "metadata.namespace", GONE),
]


@pytest.mark.parametrize(("rule", "kind", "path", "value"), BREAKAGES, ids=[f"{b[0]}-{b[2]}" for b in BREAKAGES])
def test_a_policy_sees_what_it_forbids(rule: str, kind: str, path: str, value: Any) -> None:
    documents = render("s3")
    document = next(d for d in documents if kind in (d["kind"], name(d)))
    *parents, last = (int(step) if step.isdecimal() else step for step in path.split("."))
    place: Any = document
    for step in parents:
        place = place[step]
    if value is GONE:
        del place[last]
    else:
        place[last] = copy.deepcopy(value)
    assert list(RULES[rule](documents))


def test_every_rule_is_broken_once() -> None:
    assert {breakage[0] for breakage in BREAKAGES} == set(RULES)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_kustomization_of_ones_own_sets_image_and_run_root(variant: str) -> None:
    documents = render(variant)
    (settings,) = [d for d in documents if d["metadata"]["name"].startswith("helmholtz-run-")]
    assert settings["data"]["RUN_ROOT"] == "s3://bucket/run"
    ours = [c["image"] for _, pod in pods(documents) for c in pod["containers"] if "helmholtz" in c["image"]]
    assert set(ours) <= {IMAGE}
    assert ours or variant == "gke-kubeflow-tensorboard"


def test_flink_and_beam_are_of_the_versions_of_our_images() -> None:
    import apache_beam
    from apache_beam.options.pipeline_options import FlinkRunnerOptions

    images = {c["name"]: c["image"] for _, pod in pods(render("kind-flink")) for c in pod["containers"]}
    flink = ".".join(images["jobmanager"].split(":")[1].split(".")[:2])
    assert images["taskmanager"] == images["jobmanager"]
    assert flink in FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
    assert images["job-server"] == f"apache/beam_flink{flink}_job_server:{apache_beam.__version__}"


@pytest.mark.parametrize("overlay", ["kind", "gke"])
def test_the_overlays_experiment_is_valid_and_fits_its_cluster(overlay: str) -> None:
    experiment = load_experiment(str(MANIFESTS / "overlays" / overlay / "experiment.yaml"))
    documents = render(overlay)
    accounts = {(d["metadata"]["name"], namespace(d)) for d in documents if d["kind"] == "ServiceAccount"}
    assert (experiment.cluster.service_account, "kubeflow") in accounts
    (settings,) = [d["data"] for d in documents if d["metadata"]["name"].startswith("helmholtz-run-")]
    assert experiment.cluster.env == {key: value for key, value in settings.items() if key.startswith("AWS_")}
    assert {secret.name for secret in experiment.cluster.secrets} <= {"mlpipeline-minio-artifact"}  # which KFP makes


@functools.cache
def stage_labels() -> dict[str, dict[str, str]]:
    """Stage -> the labels that the pipeline gives its pods."""
    from helmholtz_pipelines.sweep import build_for_cluster, compile_to

    experiment = load_experiment(str(MANIFESTS / "overlays" / "kind" / "experiment.yaml"), ["refine.rounds=1"])
    with tempfile.TemporaryDirectory() as folder:
        compile_to(Path(folder, "pipeline.yaml"), build_for_cluster(experiment))
        _, platform = yaml.safe_load_all(Path(folder, "pipeline.yaml").read_text())
    found = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return {stage.removeprefix("exec-"): executor["podMetadata"]["labels"] for stage, executor in found.items()}


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if "flink" in variant])
def test_only_stages_that_compress_reach_flink(variant: str) -> None:
    documents = render(variant)
    (server,) = [d for d in documents if name(d) == "Deployment beam-job-server"]
    target = (namespace(server), server["spec"]["template"]["metadata"]["labels"])
    (account,) = [d for d in documents if name(d) == "ServiceAccount helmholtz-runner"]
    where = namespace(account)
    assert len(stage_labels()) >= 6
    for stage, labels in stage_labels().items():
        for number, port in {8099: "jobs", 8098: "artifacts"}.items():
            may = leaves(documents, (where, labels), target, number), enters(documents, (where, labels), target, port)
            assert all(may) == (stage in ("compress", "refine")), stage
    (tensorboard,) = [d for d in documents if name(d) == "Deployment helmholtz-tensorboard"]
    other = (namespace(tensorboard), tensorboard["spec"]["template"]["metadata"]["labels"])
    compressing = stage_labels()["compress"]
    for source in [(where, {}), (where, {"app": "ml-pipeline"}), ("default", compressing), other]:
        assert not enters(documents, source, target, "jobs"), source
    for workload in ("flink-jobmanager", "flink-taskmanager"):
        (manager,) = [d for d in documents if name(d) == f"Deployment {workload}"]
        labels = manager["spec"]["template"]["metadata"]["labels"]
        assert not enters(documents, (where, compressing), (target[0], labels), 8081)
        assert enters(documents, target, (target[0], labels), 8081)


@pytest.mark.parametrize(
    ("variant", "target", "port"),
    [
        ("kind", ("kubeflow", {"app": "seaweedfs"}), 8333),
        ("gke", "169.254.169.254", 80),
        ("gke", "169.254.169.252", 988),
        ("s3", "52.218.0.1", 443),
    ],
)
def test_the_pipelines_pods_reach_their_store(variant: str, target: Any, port: int) -> None:
    pod = ("kubeflow", stage_labels()["train"])
    assert leaves(render(variant), pod, target, port)
    others = {"kind", "gke", "s3"} - {variant} if port != 443 else set()
    assert not any(leaves(render(other), pod, target, port) for other in others)


@pytest.mark.parametrize("variant", ["claim-flink", "claim-flink-profile"])
def test_flink_beside_a_claim_has_what_it_needs_to_start(variant: str) -> None:
    """All in the claim's namespace, the settings by their real name, and the workers with the claim, to be written."""
    documents = render(variant)
    (workers,) = [
        c for d, p in pods(documents) if name(d).endswith("taskmanager") for c in p["containers"] if c["name"] == "sdk-workers"
    ]
    assert {"name": "runs", "mountPath": "/mnt/runs"} in workers["volumeMounts"]
    (settings,) = [d["metadata"]["name"] for d in documents if d["metadata"]["name"].startswith("helmholtz-run-")]
    assert {"configMapRef": {"name": settings}} in workers["envFrom"]
    assert {namespace(d) for d in documents} == {PROFILE if variant.endswith("-profile") else "kubeflow"}


def test_the_claim_stands_alone() -> None:
    answer = subprocess.run([*kustomize(), MANIFESTS / "claim"], capture_output=True, text=True, timeout=60, check=True)
    (claim,) = yaml.safe_load_all(answer.stdout)
    kubernetes_validate.validate(claim, KUBERNETES, strict=True)
    assert (name(claim), namespace(claim)) == ("PersistentVolumeClaim helmholtz-runs", "kubeflow")
    mounted = {
        volume["persistentVolumeClaim"]["claimName"]
        for _, pod in pods(render("claim-flink"))
        for volume in pod["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert mounted == {claim["metadata"]["name"]}


@pytest.mark.parametrize(("variant", "where"), [("claim", "kubeflow"), ("claim-profile", PROFILE)])
def test_what_stands_in_a_namespace_of_others_does_not_make_it(variant: str, where: str) -> None:
    documents = render(variant)
    assert "Namespace" not in {d["kind"] for d in documents}
    assert {namespace(d) for d in documents} == {where}
