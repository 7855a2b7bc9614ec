"""Fixtures that many tests share."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings

import helmholtz.training  # noqa: F401  # before any test imports TensorFlow

if TYPE_CHECKING:
    from tests.kfp_server import Server

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

settings.register_profile("any machine", deadline=None)  # a busy one takes ten times as long, which is no fault
settings.load_profile("any machine")

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def shallow_stacks() -> Iterator[None]:
    """kfp asks for the whole stack, with its source, whenever a task is told anything: below pytest a second a pipeline."""
    from kfp.dsl import pipeline_task

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline_task, "inspect", SimpleNamespace(stack=lambda: inspect.stack(context=0)[1:]))
        yield


@pytest.fixture(scope="session")
def cifar10(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real CIFAR-10, unpacked; skips where it isn't at hand."""
    import subprocess
    import sys

    packed = SHARED / "cifar10" / "unpack.py"
    if not packed.is_file():
        pytest.skip("the real CIFAR-10 isn't beside this checkout")
    folder = tmp_path_factory.mktemp("cifar10")
    subprocess.run([sys.executable, str(packed), str(folder)], check=True, capture_output=True)
    return folder / "cifar-10-batches-bin"


def picture(seed: int, height: int = 40, width: int = 48) -> np.ndarray:
    """A smooth random picture, uint8 [height, width, 3]: something a photograph's codec can do its work on."""
    from PIL import Image

    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A class folder: 2 classes of 12 PNG pictures."""
    from PIL import Image

    root = tmp_path / "pictures"
    for label, name in enumerate(("birds", "fish")):
        (root / name).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(picture(100 * label + number)).save(root / name / f"{number:02d}.png")
    return root


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of none, 50, 25 and 5, whose recommended level is 25. Tests leave it as it is."""
    from helmholtz.levels import NONE
    from helmholtz.storage import open_store
    from tests.finished_run import finish
    from tests.synthetic_run import experiment

    folder = tmp_path_factory.mktemp("finished") / "run"
    assert finish(open_store(str(folder)), experiment(levels=[NONE, 50, 25, 5])).recommendation.level == 25
    return folder


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A KFP server that the client finds, and no settings of this machine's."""
    for name in ("KFP_HOST", "KFP_TOKEN", "HELMHOLTZ_ALLOW_HTTP"):
        monkeypatch.delenv(name, raising=False)
    for name in ("ENDPOINT", "UI_ENDPOINT", "IAP_OAUTH2_CLIENT_ID", "APP_OAUTH2_CLIENT_ID", "APP_OAUTH2_CLIENT_SECRET"):
        monkeypatch.delenv(f"KF_PIPELINES_{name}", raising=False)
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "no-context.json"))
    from helmholtz import cloud_clients
    from tests.kfp_server import serve

    with serve() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)  # a store that has no bucket
        cloud_clients.client.cache_clear()
        yield server
        cloud_clients.client.cache_clear()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that the command finds under any address of a store."""
    from helmholtz.storage import open_store

    (tmp_path / "bucket").mkdir()
    monkeypatch.setattr("helmholtz.cli.wait.open_store", lambda _: open_store(str(tmp_path / "bucket")))
    return tmp_path / "bucket"


HEAVY = (
    "test_pipeline",
    "test_recompute",
    "test_refined_run",
    "test_report",
    "test_control",
    "test_fuzz",
    "test_kills",
    "test_wheel",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take a minute come first: left for the end, one worker would wait for the other."""
    items.sort(key=lambda item: HEAVY.index(item.path.stem) if item.path.stem in HEAVY else len(HEAVY))
