"""The images as such: whom they run as, what is inside, and what isn't."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

import helmholtz
from tests.containers.conftest import PRIVATE, Podman, build_images

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

EVERYWHERE = "kfp.dsl.executor_main, helmholtz_components, boto3, google.cloud.storage, lameenc, pydub, scipy, soundfile, soxr"
BOTH = pytest.mark.parametrize("name", ["cpu", "gpu"])


def test_an_unchanged_checkout_is_not_built_again(podman: Podman) -> None:
    started = time.monotonic()
    assert build_images("build", "--without-cuda") == [podman.cpu, podman.gpu]
    assert time.monotonic() - started < 20


@BOTH
def test_it_runs_as_any_user_with_no_rights_on_a_read_only_file_system(podman: Podman, name: str) -> None:
    assert "Usage: helmholtz" in podman.run(getattr(podman, name))
    assert podman.run(getattr(podman, name), "id", "-u").strip() == "12345"


@BOTH
def test_it_runs_as_a_user_other_than_root_by_itself(podman: Podman, name: str) -> None:
    assert podman.run(getattr(podman, name), "id", "-u", options=()).strip() == "10001"


@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("cpu", "apache_beam, google_crc32c, imagecodecs, PIL, skimage, jinja2, matplotlib, tensorboard, tensorflow"),
        ("gpu", "tensorflow, tensorflow_io, tensorboard"),
    ],
)
def test_it_imports_what_its_stages_need(podman: Podman, name: str, modules: str) -> None:
    program = f"import {EVERYWHERE}, {modules}, helmholtz.stages; print(helmholtz.stages.__file__)"
    assert podman.run(getattr(podman, name), "python3", "-c", program).startswith("/opt/venv/lib/")


def test_the_trainer_makes_spectrograms(podman: Podman) -> None:
    program = "import numpy, helmholtz.training.features as f; print(f.log_mel(numpy.zeros((1, 8820), 'float32')).shape)"
    assert podman.run(podman.gpu, "python3", "-c", program).strip() == "(1, 96, 18)"


@BOTH
def test_no_compiler_no_pip_and_no_cache_is_inside(podman: Podman, name: str) -> None:
    programs = "command -v gcc cc g++ make pip"
    files = "find /root/.cache /installer /wheel /source /var/lib/apt/lists -mindepth 1; find /opt -name '__editable__*'"
    look = f"({programs}; {files}) 2>/dev/null; true"
    assert podman.run(getattr(podman, name), "sh", "-c", look, options=("--user=0:0", "--cap-drop=ALL")) == ""


@BOTH
def test_labels_say_what_it_is(podman: Podman, name: str) -> None:
    (described,) = json.loads(podman("image", "inspect", getattr(podman, name)))
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in described["Labels"].items()}
    assert labels["title"] == f"helmholtz-{name}"
    assert labels["version"] == helmholtz.__version__
    assert labels["licenses"] == "Apache-2.0"
    assert labels["revision"]


@pytest.mark.parametrize(("name", "gigabytes"), [("cpu", 2.8), ("gpu", 2.3)])
def test_it_is_no_larger_than_known(podman: Podman, name: str, gigabytes: float) -> None:
    (described,) = json.loads(podman("image", "inspect", getattr(podman, name)))
    assert described["Size"] < gigabytes * 1e9


def test_nothing_of_the_build_machines_pip_configuration_is_inside(podman: Podman) -> None:
    saved = subprocess.Popen(["podman", "save", podman.gpu], stdout=subprocess.PIPE)  # all layers, and the configuration
    looked = ["grep", "--text", "--only-matching", "--extended-regexp", f"{PRIVATE}|helmholtz_pipelines/__init__"]
    found = subprocess.run(looked, stdin=saved.stdout, capture_output=True, text=True, check=False).stdout
    assert saved.wait() == 0
    assert set(found.split()) == {"helmholtz_pipelines/__init__"}  # the second word shows that the search finds what is there
