"""What of the kind test needs no cluster."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kind import cluster
from tests.kind.cluster import Cluster, forwarded_port, kustomization, obstacle, running_task, until


def test_until_gives_what_is_found_even_if_it_is_empty() -> None:
    answers = iter([None, None, ""])
    assert until(lambda: next(answers), 5, "a word", pause=0) == ""


def test_until_says_what_did_not_happen_in_time() -> None:
    started = time.monotonic()
    with pytest.raises(AssertionError, match="the moon: not within 0 s"):
        until(lambda: None, 0.05, "the moon", pause=0.01)
    assert time.monotonic() - started < 2


def pod(name: str, image: str = "gpu:1", state: str = "running", main: str = "main", **metadata: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, **metadata},
        "spec": {"containers": [{"name": "wait", "image": "argoexec"}, {"name": main, "image": image}]},
        "status": {"containerStatuses": [{"name": "wait", "state": {"running": {}}}, {"name": main, "state": {state: {}}}]},
    }


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([], None),
        ([pod("waits", state="waiting"), pod("done", state="terminated")], None),
        ([pod("compress", image="cpu:1"), pod("driver", main="other")], None),
        ([pod("going", deletionTimestamp="2026-11-23T00:00:00Z")], None),
        ([{"metadata": {"name": "new"}, "spec": pod("x")["spec"]}], None),
        ([pod("done", state="terminated"), pod("train"), pod("another")], "train"),
    ],
)
def test_the_pod_to_kill_is_one_whose_training_is_under_way(pods: list[dict[str, Any]], expected: str | None) -> None:
    assert running_task({"items": pods}, "gpu:1") == expected


@pytest.mark.parametrize(
    ("line", "port"),
    [("Forwarding from 127.0.0.1:40123 -> 3000\n", 40123), ("Forwarding from [::1]:40123 -> 3000\n", None), ("", None)],
)
def test_the_forwarded_port(line: str, port: int | None) -> None:
    assert forwarded_port(line) == port


def test_ones_own_kustomization_names_image_and_root() -> None:
    made = yaml.safe_load(kustomization(Path("../manifests/overlays/kind"), "localhost:5000/helmholtz-cpu:01ab", "s3://b/r"))
    assert made["images"] == [{"name": "helmholtz-cpu", "newName": "localhost:5000/helmholtz-cpu", "newTag": "01ab"}]
    assert made["configMapGenerator"][0]["literals"] == ["RUN_ROOT=s3://b/r"]


def test_nothing_is_built_unasked_or_without_the_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(cluster.SWITCH, raising=False)
    assert "make kind-test" in str(obstacle())
    monkeypatch.setenv(cluster.SWITCH, "1")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert obstacle() == "needs kind"
    for program in ("kind", "kubectl"):
        _program(tmp_path / program, "exit 0")
    assert obstacle() == "needs docker"
    _program(tmp_path / "docker", "exit 1")
    assert obstacle() == "needs a running Docker engine"
    _program(tmp_path / "docker", "exit 0")
    assert obstacle() is None


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster whose programs only note how they were called; PATH finds tmp_path first."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for program in ("kind", "kubectl"):
        _program(tmp_path / program, f'echo "{program} $KUBECONFIG $*" >> {tmp_path}/calls')
    return Cluster("one", tmp_path / "kubeconfig")


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().replace(f"{folder}/kubeconfig ", "").splitlines()


def test_a_cluster_is_made_of_pinned_versions_and_kubeconfig_is_its_own(kind: Cluster, tmp_path: Path) -> None:
    kind.create()
    assert all(f"{tmp_path}/kubeconfig" in line for line in (tmp_path / "calls").read_text().splitlines())
    made = calls(tmp_path)
    assert made[0].startswith("kind create cluster --image=kindest/node:v")
    assert "@sha256:" in made[0]
    installed = [line for line in made if "github.com" in line]
    assert len(installed) == 2
    assert all(line.endswith(f"?ref={cluster.KFP_VERSION}") for line in installed)
    assert cluster.KFP_VERSION.count(".") == 2


def test_the_cluster_goes_even_if_its_logs_cannot_be_had(kind: Cluster, tmp_path: Path) -> None:
    _program(tmp_path / "kind", f'echo "kind $*" >> {tmp_path}/calls; [ "$1" = delete ]')
    kind.delete(logs=tmp_path / "logs")
    assert calls(tmp_path)[-1] == "kind delete cluster --name=one"
    _program(tmp_path / "kind", "exit 1")
    with pytest.raises(subprocess.CalledProcessError):
        kind.delete()


def test_what_kubectl_says_of_a_failure_is_kept(kind: Cluster, tmp_path: Path) -> None:
    _program(tmp_path / "kubectl", "echo 'no such namespace' >&2; exit 1")
    with pytest.raises(AssertionError, match="kubectl get pods -n kubeflow -o json: no such namespace"):
        kind.pods()


def test_credentials_go_by_standard_input_and_never_by_the_command_line(kind: Cluster, tmp_path: Path) -> None:
    secret = json.dumps({"data": {"accesskey": "bWU=", "secretkey": "c2VjcmV0LXdvcmQ="}})
    _program(
        tmp_path / "kubectl",
        f'echo "kubectl $*" >> {tmp_path}/calls\n'
        f"case \"$*\" in *'get secret'*) echo '{secret}';; *'-f -'*) cat > {tmp_path}/applied;; "
        f"*'weed shell'*) cat > {tmp_path}/told;; esac",
    )
    assert kind.credentials() == {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret-word"}
    folder = tmp_path / "work"
    folder.mkdir()
    kind.apply(folder, "localhost/helmholtz-cpu:01", "s3://mlpipeline/x")
    made = json.loads((tmp_path / "applied").read_text())
    told = (tmp_path / "told").read_text()
    assert made["metadata"] == {"name": "helmholtz-tensorboard", "namespace": "helmholtz"}
    assert "-actions Read,List " in told
    for value in made["stringData"].values():
        assert value in told
        assert value not in kind.credentials().values()
        assert value not in (tmp_path / "calls").read_text()
    assert "secret-word" not in (tmp_path / "calls").read_text()
    assert (folder / "manifests" / "overlays" / "kind" / "kustomization.yaml").exists()


def test_a_forwarded_port_closes_with_its_block(kind: Cluster, tmp_path: Path) -> None:
    _program(tmp_path / "kubectl", f"echo $$ > {tmp_path}/pid; echo 'Forwarding from 127.0.0.1:40123 -> 80'; exec sleep 60")
    with kind.forward("ml-pipeline-ui", 80) as port:
        assert port == 40123
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()
    _program(tmp_path / "kubectl", "exit 1")
    with pytest.raises(AssertionError, match="no port forwarded to ml-pipeline-ui:80"), kind.forward("ml-pipeline-ui", 80):
        pass
