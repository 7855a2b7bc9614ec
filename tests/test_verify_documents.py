"""`helmholtz verify` and what isn't data: the published report, plans, leases, links, pipes."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helmholtz import stages
from helmholtz.storage import open_store
from helmholtz.verify import verify
from tests.kills import experiment, pictures


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two tiny trials, published."""
    folder = tmp_path_factory.mktemp("documents")
    pictures(folder / "pictures")
    run = experiment(folder / "pictures")
    run = run.model_copy(update={"seeds": 1, "training": run.training.model_copy(update={"epochs": 1})})
    root = str(folder / "root")
    plan_id = stages.plan(root, run)
    for cell in stages.compress(root, plan_id):
        stages.train(root, plan_id, cell["architecture"], cell["level"])
    stages.analyse(root, plan_id)
    stages.publish(root, run)
    return Path(root)


@pytest.fixture
def published(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "root"))


def test_a_published_root_is_clean(published: Path) -> None:
    found = verify(open_store(str(published)))
    assert found.problems == ()
    assert found.foreign == ()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda root: (root / "report" / "report.html").write_text("99% accuracy"), r"report\.html: isn't what was published"),
        (lambda root: (root / "report" / "report.json").unlink(), r"report\.json: gone, though its page was published"),
        (lambda root: (root / "report" / "figures" / "accuracy.png").unlink(), r"accuracy\.png: gone, though it was published"),
        (lambda root: next(root.glob("plans/*.json")).unlink(), "the plan of experiment.json is gone"),
        (lambda root: (root / "lease").mkdir() or (root / "lease" / "000001.json").write_text("x"), r"lease/000001\.json"),
    ],
)
def test_what_people_read_is_checked_too(published: Path, damage: Callable[[Path], Any], said: str) -> None:
    damage(published)
    assert any(re.search(said, problem) for problem in verify(open_store(str(published))).problems)


def test_a_folder_on_another_disk_is_part_of_the_root(published: Path, tmp_path: Path) -> None:
    (published / "data").rename(tmp_path / "elsewhere")
    (published / "data").symlink_to(tmp_path / "elsewhere")
    (published / "logs" / "loop").parent.mkdir(exist_ok=True)
    (published / "logs" / "loop").symlink_to(published)
    found = verify(open_store(str(published)))
    assert found.problems == ()
    assert found.checked["shards"]


def test_a_pipe_in_a_root_holds_nobody_up(published: Path) -> None:
    lists = next(published.glob("data/*/rejected.jsonl"))
    lists.unlink()
    os.mkfifo(lists)
    assert any("is no file" in problem for problem in verify(open_store(str(published))).problems)
