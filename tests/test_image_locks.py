"""The lock files: what the images hold is what is tested, hashed, and fetched from wherever the machine that builds wants."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

FOLDER = Path(__file__).parents[1] / "requirements"
IMAGES = ("build", "cpu", "gpu", "gpu-without-cuda")


def pins(lock: str) -> dict[str, set[str]]:
    """The versions of each package in a lock file; several where Python versions differ in them."""
    found: dict[str, set[str]] = {}
    for line in (FOLDER / f"{lock}.txt").read_text().splitlines():
        if not line.startswith(" "):
            requirement = Requirement(line.removesuffix("\\"))
            found.setdefault(requirement.name, set()).add(str(requirement.specifier))
    return found


@pytest.mark.parametrize("lock", IMAGES)
def test_an_image_holds_the_versions_that_are_tested(lock: str) -> None:
    tested = pins("dev")
    tested["tensorflow-cpu"] = tested["tensorflow"]
    only_gpus = {name for name in pins(lock) if name.startswith("nvidia-")}
    assert {name: versions for name, versions in pins(lock).items() if name not in only_gpus} == {
        name: tested.get(name) for name in pins(lock) if name not in only_gpus
    }
    assert bool(only_gpus) == (lock == "gpu")


@pytest.mark.parametrize("lock", ["dev", *IMAGES])
def test_all_is_pinned_and_hashed_and_no_index_is_named(lock: str) -> None:
    text = (FOLDER / f"{lock}.txt").read_text()
    assert all(version.startswith("==") for versions in pins(lock).values() for version in versions)
    for block in re.split(r"\n(?! )", text.strip()):
        assert "--hash=sha256:" in block
    assert "://" not in text
    assert "--index" not in text


@pytest.mark.parametrize(
    ("lock", "tensorflow"), [("cpu", "tensorflow-cpu"), ("gpu", "tensorflow"), ("gpu-without-cuda", "tensorflow-cpu")]
)
def test_there_is_one_tensorflow(lock: str, tensorflow: str) -> None:
    assert {"tensorflow", "tensorflow-cpu"} & pins(lock).keys() == {tensorflow}
    assert {"kfp", "boto3", "google-cloud-storage", "setuptools"} <= pins(lock).keys()
