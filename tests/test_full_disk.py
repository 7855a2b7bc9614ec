"""A disk that is full, or read-only, ends each stage in a sentence, and loses nothing; mended it goes on to the same end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helmholtz import stages
from helmholtz.errors import HelmholtzError
from helmholtz.storage import open_store
from helmholtz.verify import verify
from tests.kills import experiment, outcome, pictures


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, how: str) -> None:
    """Makes the file system read-only (``ro``) or writable again (``rw``)."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def fill(folder: Path, free: int) -> Path:
    """Leaves `free` bytes."""
    filler = folder / "filler"
    room = os.statvfs(folder)
    with filler.open("wb") as file:
        file.write(bytes(max(0, room.f_bavail * room.f_frsize - free)))
    return filler


@pytest.mark.tensorflow
def test_full_in_every_stage(small: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "pictures")
    run = experiment(tmp_path / "pictures").model_copy(update={"seeds": 1})
    root = str(small / "root")

    def plan_id() -> str:
        return stages.latest_plan(open_store(root)).id

    def train() -> None:
        for level in run.levels:
            stages.train(root, plan_id(), "A", str(level))

    work: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
        "compress": (lambda: stages.compress(root, stages.plan(root, run)), (0, 16_384, 40_960)),
        "train": (train, (0, 8_192)),
        "analyse": (lambda: stages.analyse(root, plan_id()), (0, 8_192)),
        "publish": (lambda: stages.publish(root, run), (0, 40_960)),
    }
    for stage, (does, rooms) in work.items():
        for free in rooms:
            filler = fill(small, free)
            with pytest.raises(HelmholtzError, match=r"No space left on device: make room there"):
                does()
            filler.unlink()
            if (small / "root" / "experiment.json").exists():
                assert verify(open_store(root)).problems == (), f"{stage} with {free} bytes free"
        remount(small, "ro")
        with pytest.raises(HelmholtzError, match=r"Read-only file system"):
            does()
        remount(small, "rw")
        does()
    calm = str(tmp_path / "calm")
    plan = stages.plan(calm, run)
    for cell in stages.compress(calm, plan):
        stages.train(calm, plan, cell["architecture"], cell["level"])
    stages.analyse(calm, plan)
    stages.publish(calm, run)
    assert outcome(small / "root") == outcome(Path(calm))
