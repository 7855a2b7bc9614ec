"""The same experiment twice is the same report, number for number, whoever does the work and in whatever order it ends."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from helmholtz import stages
from helmholtz.cli.run import _start
from helmholtz.storage import LocalStore, open_store
from tests.kills import experiment, outcome, pictures


def left(root: Path, run: Any, *, backwards: bool) -> dict[str, Any]:
    """What all stages leave behind, with the cells trained in their order or in the other."""
    plan_id = stages.plan(str(root), run)
    cells = stages.compress(str(root), plan_id)
    for cell in reversed(cells) if backwards else cells:
        stages.train(str(root), plan_id, cell["architecture"], cell["level"])
    stages.analyse(str(root), plan_id)
    found = outcome(root)
    for document in found.values():
        if isinstance(document, dict):
            document.pop("experiment", None)  # which says how many workers there were
    return found


@pytest.mark.tensorflow
def test_neither_workers_nor_order_nor_listings_change_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path / "pictures")
    run = experiment(tmp_path / "pictures")
    two = run.model_copy(update={"beam": run.beam.model_copy(update={"workers": 2})})
    one = left(tmp_path / "one", run, backwards=False)
    monkeypatch.setattr(LocalStore, "list", lambda *_: iter(()))  # a store whose listings lag behind, all the time
    other = left(tmp_path / "two", two, backwards=True)
    assert sum(name.startswith("trials/") for name in one) == 8  # result and progress of each
    assert {name: one[name] for name in one if one[name] != other.get(name)} == {}
    assert one.keys() == other.keys()


@pytest.mark.parametrize("cores", [1, 2, 7, 64])
def test_a_task_has_as_many_threads_whether_it_is_alone_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    threads = set()

    def started(*_: object, env: dict[str, str], **__: object) -> None:
        threads.add(env["HELMHOLTZ_THREADS"])

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores))
    monkeypatch.setattr(subprocess, "Popen", started)
    for parallel in (None, 1, 2):
        _start(open_store(str(tmp_path)), tmp_path / "request", tmp_path / "log", parallel)
    assert threads == {str(max(1, cores // 2))}
