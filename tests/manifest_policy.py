"""What the cluster manifests must keep to. Each rule takes rendered documents, and yields a sentence a violation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.network_policy import Document, enters, leaves, namespace, selects

Rule = Callable[[list[Document]], Iterator[str]]

RULES: dict[str, Rule] = {}
OURS = {"app.kubernetes.io/part-of": "helmholtz"}
READER = "helmholtz-tensorboard"  # the secret with a key that can only read
USERS_SECRETS = {"helmholtz-store", READER}  # which the documentation has the user make
USERS_CLAIM = "helmholtz-runs"  # which manifests/claim makes
KFPS_NAMESPACE = "kubeflow"


def rule(function: Rule) -> Rule:
    """Adds `function` to RULES, under its name."""
    RULES[function.__name__] = function
    return function


def name(document: Document) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


def pods(documents: list[Document]) -> Iterator[tuple[Document, dict[str, Any]]]:
    """Every document that makes pods, with its pods' specification."""
    for document in documents:
        template = document.get("spec", {}).get("template")
        if isinstance(template, dict) and "spec" in template:
            yield document, template["spec"]


def containers(documents: list[Document]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Every container, with a name for messages and its pod's specification."""
    for document, pod in pods(documents):
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            yield f"{name(document)}, {container['name']}", container, pod


def effective(container: dict[str, Any], pod: dict[str, Any], key: str) -> Any:
    """A container's security setting, or its pod's where it has none."""
    return container.get("securityContext", {}).get(key, pod.get("securityContext", {}).get(key))


@rule
def confined(documents: list[Document]) -> Iterator[str]:
    """Pod Security "restricted", and a read-only root file system beside it."""
    for where, container, pod in containers(documents):
        own = container.get("securityContext", {})
        expected = {
            "runAsNonRoot": effective(container, pod, "runAsNonRoot") is True,
            "runAsUser other than 0": bool(effective(container, pod, "runAsUser")),
            "seccompProfile RuntimeDefault": (effective(container, pod, "seccompProfile") or {}).get("type")
            == "RuntimeDefault",
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
            "allowPrivilegeEscalation false": own.get("allowPrivilegeEscalation") is False,
            "capabilities drop ALL": own.get("capabilities") == {"drop": ["ALL"]},
            "not privileged": not own.get("privileged"),
        }
        yield from (f"{where}: lacks {what}" for what, holds in expected.items() if not holds)
    for document, pod in pods(documents):
        yield from (f"{name(document)}: {key}" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key))
        yield from (f"{name(document)}: hostPath" for volume in pod.get("volumes", []) if "hostPath" in volume)


@rule
def no_token(documents: list[Document]) -> Iterator[str]:
    """No pod of ours talks to the API server."""
    for document, pod in pods(documents):
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{name(document)}: mounts its account's token"
        yield from (f"{name(document)}: projects a token" for volume in pod.get("volumes", []) if "projected" in volume)


@rule
def bounded(documents: list[Document]) -> Iterator[str]:
    """Requests and limits for processor, memory and disk; a size for each volume in memory or on the node; probes."""
    for where, container, _ in containers(documents):
        for bound in ("requests", "limits"):
            lacking = {"cpu", "memory", "ephemeral-storage"} - container.get("resources", {}).get(bound, {}).keys()
            yield from (f"{where}: no {bound} of {resource}" for resource in sorted(lacking))
        if "ports" in container and not {"livenessProbe", "readinessProbe"} <= container.keys():
            yield f"{where}: serves a port, and has no probes"
    for document, pod in pods(documents):
        for volume in pod.get("volumes", []):
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{name(document)}: volume {volume['name']} has no size"


@rule
def pinned_images(documents: list[Document]) -> Iterator[str]:
    """A tag that says which, or a digest."""
    for where, container, _ in containers(documents):
        reference, _, digest = container["image"].partition("@")
        tag = reference.rpartition("/")[2].partition(":")[2]
        if not digest and tag in ("", "latest"):
            yield f"{where}: image {container['image']} is not pinned"


@rule
def no_secret_values(documents: list[Document]) -> Iterator[str]:
    """Credentials come by reference: no Secret documents, and no variable or setting that holds one."""
    words = ("SECRET", "PASSWORD", "TOKEN", "ACCESS_KEY", "CREDENTIAL", "PRIVATE KEY")
    for document in documents:
        if document["kind"] == "Secret":
            yield f"{name(document)}: a secret's place is in the cluster"
        if document["kind"] == "ConfigMap":
            yield from (f"{name(document)}: {key}" for key in document["data"] if any(word in key.upper() for word in words))
    for where, container, _ in containers(documents):
        for variable in container.get("env", []):
            if "value" in variable and any(word in variable["name"].upper() for word in words):
                yield f"{where}: {variable['name']} by value"


@rule
def least_privilege(documents: list[Document]) -> Iterator[str]:
    """Rights in one namespace; no wildcards; secrets one by one, to be read; nothing that starts code or hands out rights."""
    forbidden = {"pods/exec", "pods/attach", "pods/portforward", "serviceaccounts/token", "roles", "rolebindings"}
    for document in documents:
        if document["kind"] in ("ClusterRole", "ClusterRoleBinding"):
            yield f"{name(document)}: beyond a namespace"
        for right in document.get("rules", []):
            resources, verbs = set(right["resources"]), set(right["verbs"])
            if "*" in resources | verbs | set(right["apiGroups"]):
                yield f"{name(document)}: a wildcard"
            if resources & forbidden or verbs & {"escalate", "bind", "impersonate"}:
                yield f"{name(document)}: {sorted(resources)} {sorted(verbs)}"
            if "secrets" in resources and (verbs != {"get"} or not right.get("resourceNames")):
                yield f"{name(document)}: secrets without their names, or more than get"
            if resources & {"pods", "deployments", "jobs", "replicasets"} and not verbs <= {"get", "list", "watch"}:
                yield f"{name(document)}: makes or changes {sorted(resources)}"


@rule
def references_resolve(documents: list[Document]) -> Iterator[str]:
    """Whatever a document names is there, in its namespace."""
    there = {(d["kind"], namespace(d), d["metadata"]["name"]) for d in documents}

    def missing(document: Document, kind: str, wanted: str, where: str | None = None) -> Iterator[str]:
        if (kind, where or namespace(document), wanted) not in there:
            yield f"{name(document)}: no {kind} {wanted}"

    for document, pod in pods(documents):
        yield from missing(document, "ServiceAccount", pod.get("serviceAccountName", "default"))
        for volume in pod.get("volumes", []):
            if "configMap" in volume:
                yield from missing(document, "ConfigMap", volume["configMap"]["name"])
            if volume.get("persistentVolumeClaim", {"claimName": USERS_CLAIM})["claimName"] != USERS_CLAIM:
                yield from missing(document, "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
        for container in pod["containers"]:
            volumes = {volume["name"] for volume in pod.get("volumes", [])}
            unknown = {mount["name"] for mount in container.get("volumeMounts", [])} - volumes
            yield from (f"{name(document)}: no volume {volume}" for volume in sorted(unknown))
            for source in container.get("envFrom", []):
                if "configMapRef" in source:
                    yield from missing(document, "ConfigMap", source["configMapRef"]["name"])
                if "secretRef" in source and source["secretRef"]["name"] not in USERS_SECRETS:
                    yield from missing(document, "Secret", source["secretRef"]["name"])
    for document in documents:
        if document["kind"] == "RoleBinding":
            yield from missing(document, document["roleRef"]["kind"], document["roleRef"]["name"])
            for subject in document["subjects"]:
                yield from missing(document, subject["kind"], subject["name"], subject["namespace"])


@rule
def selectors_select(documents: list[Document]) -> Iterator[str]:
    """Services and policies find pods of ours, and a Service's port is one that its pods serve."""
    made = [(namespace(d), d["spec"]["template"]["metadata"]["labels"], pod) for d, pod in pods(documents)]
    for document, _ in pods(documents):
        if not selects(document["spec"]["selector"], document["spec"]["template"]["metadata"]["labels"]):
            yield f"{name(document)}: selects other pods than it makes"
    for document in documents:
        if document["kind"] == "Service":
            selector = {"matchLabels": document["spec"]["selector"]}
            found = [pod for where, labels, pod in made if where == namespace(document) and selects(selector, labels)]
            ports = {port["name"] for pod in found for container in pod["containers"] for port in container.get("ports", [])}
            if len(found) != 1:
                yield f"{name(document)}: selects {len(found)} workloads"
            yield from (
                f"{name(document)}: no port {p['targetPort']}"
                for p in document["spec"]["ports"]
                if p["targetPort"] not in ports
            )


@rule
def network_closed(documents: list[Document]) -> Iterator[str]:
    """Every pod of ours is under a policy for both directions; and no policy is about pods of others."""
    policies = [d for d in documents if d["kind"] == "NetworkPolicy"]
    for document, _ in pods(documents):
        labels = document["spec"]["template"]["metadata"]["labels"]
        about = [p for p in policies if namespace(p) == namespace(document) and selects(p["spec"]["podSelector"], labels)]
        for direction in ("Ingress", "Egress"):
            if not any(direction in policy["spec"]["policyTypes"] for policy in about):
                yield f"{name(document)}: {direction} is open"
    for policy in policies:
        if not policy["spec"]["podSelector"]:
            yield f"{name(policy)}: is about all pods of {namespace(policy)}"
        for peers in policy["spec"].get("ingress", []):
            if not peers.get("from"):
                yield f"{name(policy)}: lets everybody in"


@rule
def namespaces_restricted(documents: list[Document]) -> Iterator[str]:
    """A namespace that we make enforces Pod Security; one of others we don't touch, or deleting ours would delete it."""
    for document in documents:
        if document["kind"] == "Namespace":
            if document["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
                yield f"{name(document)}: not restricted"
            if document["metadata"]["name"] == KFPS_NAMESPACE:
                yield f"{name(document)}: is Kubeflow's"
        elif "namespace" not in document["metadata"]:
            yield f"{name(document)}: in no namespace"


@rule
def data_stay(documents: list[Document]) -> Iterator[str]:
    """`kubectl delete -k` deletes all of an overlay, and a claim takes its data with it."""
    for document in documents:
        if document["kind"] in ("PersistentVolumeClaim", "PersistentVolume"):
            yield f"{name(document)}: would be deleted with the rest"


@rule
def only_reads(documents: list[Document]) -> Iterator[str]:
    """TensorBoard, which everybody looks at, has no key and no account that writes, and mounts claims to be read."""
    accounts = {d["metadata"]["name"]: d["metadata"].get("annotations") for d in documents if d["kind"] == "ServiceAccount"}
    for document, pod in pods(documents):
        if document["metadata"]["name"] != "helmholtz-tensorboard":
            continue
        for container in pod["containers"]:
            for source in container.get("envFrom", []):
                if source.get("secretRef", {"name": READER})["name"] != READER:
                    yield f"{name(document)}: takes a secret that is not {READER}"
        for volume in pod["volumes"]:
            if volume.get("persistentVolumeClaim", {"readOnly": True}).get("readOnly") is not True:
                yield f"{name(document)}: can write to {volume['name']}"
        mine = accounts.get(pod["serviceAccountName"])
        if mine and any(mine == others for account, others in accounts.items() if account != pod["serviceAccountName"]):
            yield f"{name(document)}: has the account of another"


@rule
def names_resolve(documents: list[Document]) -> Iterator[str]:
    """Who is under an egress policy reaches DNS: by both protocols, in kube-system and where nodes have their own."""
    made = [(namespace(d), d["spec"]["template"]["metadata"]["labels"]) for d, _ in pods(documents)]
    runners = [
        (namespace(d), PIPELINE) for d in documents if d["metadata"]["name"] == "helmholtz-runner" and d["kind"] == "Role"
    ]
    for where, labels in (*made, *runners):
        for target in (("kube-system", {"k8s-app": "kube-dns"}), "169.254.20.10"):
            for protocol in ("UDP", "TCP"):
                if not leaves(documents, (where, labels), target, 53, protocol):
                    yield f"{labels} in {where}: no DNS by {protocol} at {target}"


@rule
def pipeline_closed(documents: list[Document]) -> Iterator[str]:
    """The pipeline's own pods serve nobody, and reach no database, no other pod and no metadata server of their node."""
    for document in documents:
        if document["kind"] != "Role" or document["metadata"]["name"] != "helmholtz-runner":
            continue
        pod, gke = (namespace(document), PIPELINE), any("gcp-service-account" in str(d["metadata"]) for d in documents)
        if enters(documents, (namespace(document), {"app": "ml-pipeline"}), pod, 8080):
            yield "a pod of the pipeline can be reached"
        for target, port in (
            ((KFPS_NAMESPACE, {"app": "mysql"}), 3306),
            (("helmholtz", {"app": "x"}), 22),
            ("169.254.169.254", 80),
        ):
            if leaves(documents, pod, target, port) and not (gke and port == 80):
                yield f"a pod of the pipeline reaches {target} at port {port}"
        for target, port in (
            ((KFPS_NAMESPACE, {}), 8080),
            ((KFPS_NAMESPACE, {}), 8887),
            ("10.96.0.1", 443),
            ("172.18.0.2", 6443),
        ):
            if not leaves(documents, pod, target, port):
                yield f"a pod of the pipeline doesn't reach {target} at port {port}"


PIPELINE = {"app.kubernetes.io/name": "helmholtz-pipeline", "app.kubernetes.io/component": "train"}
