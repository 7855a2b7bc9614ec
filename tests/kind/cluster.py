"""A kind cluster with Kubeflow Pipelines and the manifests of this project: what the kind test needs of one."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import secrets
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
SWITCH = "HELMHOLTZ_KIND"  # set by `make kind-test`, so that no plain test run begins to build a cluster
NODE_IMAGE = "kindest/node:v1.36.1@sha256:3489c7674813ba5d8b1a9977baea8a6e553784dab7b84759d1014dbd78f7ebd5"  # of kind 0.32
KFP = "github.com/kubeflow/pipelines/manifests/kustomize"
KFP_VERSION = (MANIFESTS / "KFP_VERSION").read_text().strip()
NAMESPACE = "kubeflow"  # where Kubeflow Pipelines standalone runs pods

Found = TypeVar("Found")


def obstacle() -> str | None:
    """Why no cluster can be made here, or None."""
    if not os.environ.get(SWITCH):
        return f"builds a cluster, for half an hour: `make kind-test` (or {SWITCH}=1)"
    for program in ("kind", "kubectl", "docker"):
        if not shutil.which(program):
            return f"needs {program}"
    if subprocess.run(["docker", "info"], capture_output=True).returncode:
        return "needs a running Docker engine"
    return None


def until(look: Callable[[], Found | None], seconds: float, what: str, pause: float = 2) -> Found:
    """What `look` finds, within `seconds`. Raises AssertionError, which says `what` was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)


def running_task(pods: dict[str, Any], image: str) -> str | None:
    """Name of a pod whose task, in `image`, is under way; of `pods` as `kubectl get pods -o json` gives them."""
    for pod in pods["items"]:
        metadata, status = pod["metadata"], pod.get("status", {})
        mains = [c for c in pod["spec"]["containers"] if c["name"] == "main" and c["image"] == image]
        states = {c["name"]: c["state"] for c in status.get("containerStatuses", [])}
        if mains and "running" in states.get("main", {}) and "deletionTimestamp" not in metadata:
            return str(metadata["name"])
    return None


def kustomization(overlay: Path, image: str, root: str) -> str:
    """A kustomization of one's own, as docs/kubernetes.md has it."""
    repository, _, tag = image.rpartition(":")
    settings = {"name": "helmholtz-run", "namespace": "helmholtz", "behavior": "merge", "literals": [f"RUN_ROOT={root}"]}
    return yaml.safe_dump(
        {
            "resources": [str(overlay)],
            "images": [{"name": "helmholtz-cpu", "newName": repository, "newTag": tag}],
            "configMapGenerator": [settings],
        }
    )


def forwarded_port(line: str) -> int | None:
    """The local port in what `kubectl port-forward` says first."""
    found = re.match(r"Forwarding from 127\.0\.0\.1:(\d+) ->", line)
    return int(found[1]) if found else None


@dataclass(frozen=True)
class Cluster:
    """A kind cluster of this name, whose `kubeconfig` is nobody else's."""

    name: str
    kubeconfig: Path

    def create(self) -> None:
        """Makes the cluster, with Kubeflow Pipelines in it."""
        self._kind("create", "cluster", f"--image={NODE_IMAGE}", "--wait=180s")
        self.kubectl("apply", "-k", f"{KFP}/cluster-scoped-resources?ref={KFP_VERSION}")
        self.kubectl("wait", "--for=condition=established", "--timeout=60s", "crd/applications.app.k8s.io")
        self.kubectl("apply", "-k", f"{KFP}/env/platform-agnostic?ref={KFP_VERSION}")
        self.kubectl("wait", "--for=condition=Available", "deployment", "--all", "-n", NAMESPACE, "--timeout=1200s")

    def delete(self, logs: Path | None = None) -> None:
        """Removes the cluster; first, if asked, it puts everybody's logs into `logs`."""
        if logs:
            self._kind("export", "logs", str(logs), check=False)
        self._kind("delete", "cluster")

    def build_images(self) -> tuple[str, str]:
        """Builds both images, the trainer's without CUDA, and hands them to the node. Returns their references."""
        command = [sys.executable, str(ROOT / "images" / "build.py"), "build", "--without-cuda", "--engine=docker"]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        cpu, gpu = answer.stdout.split()[-2:]
        self._kind("load", "docker-image", cpu, gpu)
        return cpu, gpu

    def apply(self, folder: Path, image: str, root: str) -> None:
        """Applies overlays/kind, with a key that only reads the store where TensorBoard looks for it, and waits for that."""
        shutil.copytree(MANIFESTS, folder / "manifests")
        mine = folder / "mine"
        mine.mkdir()
        mine.joinpath("kustomization.yaml").write_text(kustomization(Path("../manifests/overlays/kind"), image, root))
        self.kubectl("apply", "-k", str(mine))
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "helmholtz-tensorboard", "namespace": "helmholtz"},
            "stringData": self.reader(),
        }
        self.kubectl("apply", "-f", "-", stdin=json.dumps(secret))
        self.kubectl("rollout", "restart", "deployment/helmholtz-tensorboard", "-n", "helmholtz")
        self.kubectl("rollout", "status", "deployment/helmholtz-tensorboard", "-n", "helmholtz", "--timeout=600s")

    def credentials(self) -> dict[str, str]:
        """The store's, as environment variables."""
        secret = json.loads(self.kubectl("get", "secret", "mlpipeline-minio-artifact", "-n", NAMESPACE, "-o", "json"))["data"]
        names = {"AWS_ACCESS_KEY_ID": "accesskey", "AWS_SECRET_ACCESS_KEY": "secretkey"}
        return {variable: base64.b64decode(secret[key]).decode() for variable, key in names.items()}

    def reader(self) -> dict[str, str]:
        """Credentials, made for this, that can only read the store."""
        key, secret = secrets.token_hex(20), secrets.token_hex(20)
        rights = "-user helmholtz-tensorboard -actions Read,List -buckets mlpipeline"
        told = f"s3.configure {rights} -access_key {key} -secret_key {secret} -apply\n"
        self.kubectl("exec", "-i", "deployment/seaweedfs", "-n", NAMESPACE, "--", "weed", "shell", stdin=told)
        return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}

    def pods(self) -> dict[str, Any]:
        """Pods of Kubeflow Pipelines, as Kubernetes has them."""
        return json.loads(self.kubectl("get", "pods", "-n", NAMESPACE, "-o", "json"))

    def kill_task(self, pod: str) -> None:
        """Kills the task's processes, as the kernel does when memory runs out; the pod stays, and fails."""
        kill = (
            "python",
            "-c",
            "import os, signal; os.kill(-1, signal.SIGKILL)",
        )  # all but process 1, which is Argo's, and this
        command = ["kubectl", "exec", pod, "-n", NAMESPACE, "-c", "main", "--", *kill]
        subprocess.run(command, env=self._environment, timeout=120)  # its status says nothing: its container ends under it

    def delete_pod(self, pod: str) -> None:
        """Has a pod vanish, as with its node."""
        self.kubectl("delete", "pod", pod, "-n", NAMESPACE, "--grace-period=0", "--force")

    @contextlib.contextmanager
    def forward(self, service: str, port: int, namespace: str = NAMESPACE) -> Iterator[int]:
        """A local port at which the service's `port` answers."""
        command = ["kubectl", "port-forward", f"svc/{service}", f":{port}", "-n", namespace]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self._environment)
        try:
            assert process.stdout
            ready, _, _ = select.select([process.stdout], [], [], 60)
            local = forwarded_port(process.stdout.readline()) if ready else None
            assert local, f"no port forwarded to {service}:{port}"
            yield local
        finally:
            process.terminate()
            process.wait()

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Standard output of kubectl. Raises AssertionError with what it says of a failure."""
        command = ["kubectl", *arguments]
        answer = subprocess.run(command, input=stdin, env=self._environment, capture_output=True, text=True, timeout=1500)
        assert answer.returncode == 0, f"{' '.join(command)}: {answer.stderr}"
        return answer.stdout

    def _kind(self, *arguments: str, check: bool = True) -> None:
        command = ["kind", *arguments, f"--name={self.name}"]
        subprocess.run(command, env=self._environment, check=check, timeout=1500)

    @property
    def _environment(self) -> dict[str, str]:
        return os.environ | {"KUBECONFIG": str(self.kubeconfig)}
