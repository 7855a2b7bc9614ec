"""docs/kubernetes.md: its commands, run by bash with stand-ins for the programs that need a cluster, and its settings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from helmholtz.cli.submit import command as submit
from helmholtz.dataset import index_dataset
from helmholtz.experiment import Beam, Dataset
from helmholtz.experiment_file import load_experiment
from helmholtz.storage import open_store
from tests.kind.cluster import NODE_IMAGE
from tests.test_cloud import amazon  # noqa: F401  # a fixture
from tests.test_manifests import kustomize

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "kubernetes.md").read_text()

# Each notes its arguments in $CALLS, one a line. kubectl also answers with a secret, and takes what it is given.
STAND_IN = """#!/bin/bash
{ echo "$(basename "$0")"; printf '%s\\n' "$@"; echo; } >> "$CALLS"
case "$(basename "$0") $*" in
  *"get secret"*) printf c2VjcmV0 ;;
  *"create secret"* | *"exec -i"*) cat >> "$CALLS-given" ;;
  *"get-value project") echo my-project ;;
  "python "*" tag"*) exec "$PYTHON" "$@" ;;
esac
"""


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def walk_through(title: str, folder: Path) -> list[list[str]]:
    """Runs a section's commands, in a checkout's likeness in `folder`. Returns every call of a stand-in."""
    programs = folder / "programs"
    programs.mkdir()
    for program in ("curl", "gcloud", "helmholtz", "kind", "kubectl", "python", "tar"):
        (programs / program).write_text(STAND_IN)
        (programs / program).chmod(0o755)
    for name in ("docs", "images", "manifests"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("requirements", "helmholtz", "components", "pipelines", "LICENSE", "README.md", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    settings = {"PATH": f"{programs}:{os.environ['PATH']}", "CALLS": str(folder / "calls"), "PYTHON": sys.executable}
    script = "\n".join(["set -eu", *blocks(section(title), "sh"), "wait"])
    answer = subprocess.run(["bash"], input=script, cwd=folder, env=os.environ | settings, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    return [call.splitlines() for call in (folder / "calls").read_text().split("\n\n") if call]


@pytest.mark.parametrize(
    ("title", "root"),
    [("kind", "s3://mlpipeline/helmholtz/kind"), ("Google Kubernetes Engine", "gs://my-project-helmholtz/runs/cifar10")],
)
def test_the_way_to_a_report_can_be_copied(title: str, root: str, tmp_path: Path) -> None:
    calls = walk_through(title, tmp_path)
    submissions = [call[2:] for call in calls if call[0] == "helmholtz"]
    parsed, *further = (submit.make_context("submit", list(submission)).params for submission in submissions)
    assert parsed["root"] == root
    for other in further:  # with data of one's own
        wanted = load_experiment(str(ROOT / other["experiment"]), other["overrides"])
        assert (wanted.dataset.kind, wanted.dataset.path) == ("image-folder", "s3://mlpipeline/pictures")
        assert (other["cpu_image"], other["root"] != root) == (parsed["cpu_image"], True)
    assert re.fullmatch(r".+/helmholtz-cpu:[0-9a-f]{16}", parsed["cpu_image"])
    assert re.fullmatch(r".+/helmholtz-gpu:[0-9a-f]{16}", parsed["gpu_image"])
    load_experiment(str(ROOT / parsed["experiment"]), parsed["overrides"])
    assert not any("secret" in argument for call in calls for argument in call if "=" in argument and "data" not in argument)

    answer = subprocess.run([*kustomize(), tmp_path / "mine"], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    documents: list[dict[str, Any]] = list(yaml.safe_load_all(answer.stdout))
    (settings,) = [d["data"] for d in documents if d["metadata"]["name"].startswith("helmholtz-run-")]
    assert settings["RUN_ROOT"] == root
    (deployment,) = [d for d in documents if d["kind"] == "Deployment"]
    assert {c["image"] for c in deployment["spec"]["template"]["spec"]["containers"]} == {parsed["cpu_image"]}
    if root.startswith("gs://"):
        accounts = {d["metadata"]["name"]: d["metadata"]["annotations"] for d in documents if d["kind"] == "ServiceAccount"}
        assert accounts == {
            f"helmholtz-{of}": {"iam.gke.io/gcp-service-account": f"{account}@my-project.iam.gserviceaccount.com"}
            for of, account in {"runner": "helmholtz", "tensorboard": "helmholtz-tensorboard"}.items()
        }
        assert "PROJECT" not in answer.stdout
        grants = [" ".join(call) for call in calls if call[:4] == ["gcloud", "storage", "buckets", "add-iam-policy-binding"]]
        roles = [re.search(r"roles/storage\.(\w+)", grant)[1] for grant in grants if "helmholtz-tensorboard@" in grant]
        assert (len(grants), roles) == (4, ["objectViewer", "legacyBucketReader"])
    else:
        (made,) = [call for call in calls if call[:4] == ["kubectl", "create", "secret", "generic"]]
        assert made[4:7] == ["helmholtz-tensorboard", "-n", "helmholtz"]
        given = (tmp_path / "calls-given").read_text()
        told = re.search(r"-actions Read,List -buckets mlpipeline -access_key (\w{40}) -secret_key (\w{40}) -apply", given)
        assert told
        assert f"AWS_ACCESS_KEY_ID={told[1]}\nAWS_SECRET_ACCESS_KEY={told[2]}\n" in given
        assert not any(told[2] in argument for call in calls for argument in call)


def test_pictures_come_into_a_store(tmp_path: Path, pictures: Path, amazon: str) -> None:  # noqa: F811  # the fixture
    """With the server and the settings of the tests' store, as `export` sets them on the page."""
    (command,) = re.findall(r"^python -c 'import sys; from cloudpathlib.*?\n.*?\n", section("kind"), re.MULTILINE)
    place = amazon.removeprefix("s3://")
    command = command.replace("PICTURES", str(pictures)).replace("mlpipeline", place).replace("python", sys.executable, 1)
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    dataset = Dataset.model_validate({"kind": "image-folder", "path": f"{amazon}/pictures"})
    assert sum(index_dataset(open_store(str(tmp_path / "root")), dataset).records.values()) == 24


def test_versions_are_those_of_the_tests_and_of_the_images() -> None:
    import apache_beam

    assert re.findall(r"kindest/node:\S+", PAGE) == [NODE_IMAGE]
    assert set(re.findall(r"apache/beam_\S+:(\S+)", PAGE)) == {apache_beam.__version__}
    assert set(re.findall(r"apache-beam\[gcp\]==([^']+)'", PAGE)) == {apache_beam.__version__}


def test_settings_are_valid(tmp_path: Path) -> None:
    sections = [yaml.safe_load(block) for block in blocks(PAGE, "yaml")]
    runners = [Beam.model_validate(found["beam"]).runner for found in sections if "beam" in found]
    assert runners == ["flink", "dataflow"]
    clusters = [found for found in sections if "cluster" in found]
    assert clusters
    for found in clusters:
        path = tmp_path / "mine.yaml"
        path.write_text(
            yaml.safe_dump({**yaml.safe_load((ROOT / "helmholtz/experiments/quickstart.yaml").read_text()), **found})
        )
        load_experiment(str(path))


def test_beam_knows_the_options_of_other_runners() -> None:
    """Beam ignores an option it doesn't know, with a warning in a log."""
    from apache_beam.options.pipeline_options import PipelineOptions

    sections = [yaml.safe_load(block) for block in blocks(PAGE, "yaml")]
    given = [Beam.model_validate(found["beam"]).options for found in sections if "beam" in found]
    assert all(given)
    for options in given:
        understood = PipelineOptions(list(options)).get_all_options()
        for option in options:
            name, _, value = option.removeprefix("--").partition("=")
            assert str(understood[name]) == value, option


def test_sentences_that_are_ours_are_ours() -> None:
    code = "\n".join(path.read_text() for package in ("helmholtz", "pipelines") for path in (ROOT / package).rglob("*.py"))
    others = {"kubectl get pods", "pod deleted", "is forbidden", "not found", "violates PodSecurity", "log files"}
    for row in section("When something is wrong").splitlines():
        quoted = re.match(r"\| [^`|]*`(.+?)`", row)
        if quoted and not any(words in quoted[1] for words in others):
            assert quoted[1].replace("unset://", "") in code, quoted[1]
