"""What every task of the pipeline does around its stage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helmholtz import lease
from helmholtz.attempts import ERROR
from helmholtz.errors import ExperimentError, HelmholtzError, SourceError, StorageError
from helmholtz.storage import open_store
from helmholtz.task import VOLUMES, check_root, running


def run(root: Path, error: Exception | None = None, *, run_id: str = "run", stage: str = "plan", last: bool = False) -> None:
    with running(str(root), run_id, stage, last=last):
        if error:
            raise error


def test_a_users_error_ends_with_one_sentence_and_further_starts_end_at_once_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, SourceError("nothing at gs://b/data"))
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"{ERROR}nothing at gs://b/data\n"
    for _ in range(2):
        with pytest.raises(SystemExit):
            run(tmp_path, AssertionError("started again"))
        said = capsys.readouterr().err
        assert said.startswith(f"{ERROR}nothing at gs://b/data (so it was told before in this run")
        assert len(said.splitlines()) == 1
    run(tmp_path, stage="publish", last=True)  # another stage, of the same run
    run(tmp_path, run_id="next")  # another run, once it is mended


def test_a_stores_error_may_pass(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        run(tmp_path, StorageError("can't be reached"))
    run(tmp_path)


def test_a_defect_of_ours_keeps_its_traceback_and_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, ZeroDivisionError())
    run(tmp_path)


@pytest.mark.parametrize("error", [None, HelmholtzError("no report"), ZeroDivisionError()])
def test_the_last_stage_gives_the_root_free_however_it_ends(tmp_path: Path, error: Exception | None) -> None:
    run(tmp_path)
    with pytest.raises(lease.HeldError):
        lease.take(open_store(str(tmp_path)), "other")
    try:
        run(tmp_path, error, stage="publish", last=True)
    except (SystemExit, ZeroDivisionError):
        assert error is not None
    lease.take(open_store(str(tmp_path)), "other")


def test_a_second_run_is_refused_and_leaves_the_first_its_lease(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, run_id="first")
    for stage, last in (("plan", False), ("publish", True)):
        with pytest.raises(SystemExit):
            run(tmp_path, AssertionError("ran"), run_id="second", stage=stage, last=last)
        assert f"{ERROR}{tmp_path}: another run (first) is at work here" in capsys.readouterr().err
    run(tmp_path, run_id="first", stage="compress")


@pytest.mark.parametrize(
    ("root", "volumes", "seen"),
    [
        ("gs://bucket/runs", [], True),
        ("s3://bucket/runs", [], True),
        ("/mnt/runs/a", ["/mnt/data", "/mnt/runs"], True),
        ("file:///mnt/runs/a", ["/mnt/runs"], True),
        ("/mnt/runs", ["/mnt/runs"], True),
        ("/mnt/runs/../../home/x", ["/mnt/runs"], False),
        ("/mnt/runs2", ["/mnt/runs"], False),
        ("/home/x/runs", ["/mnt/runs"], False),
        ("/home/x/runs", [], False),
        ("./runs", ["/mnt/runs"], False),
        ("runs", [], False),
        ("~/runs", ["/mnt/runs"], False),
        ("file:///home/x", ["/mnt/runs"], False),
        ("", [], False),
        ("hdfs://host/x", ["/mnt/runs"], False),
    ],
)
def test_a_pod_refuses_a_root_that_the_others_cannot_see(
    root: str, volumes: list[str], seen: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VOLUMES, json.dumps(volumes))
    if seen:
        check_root(root)
        return
    with pytest.raises(ExperimentError, match=r"parameter root: .*give gs:// or s3://, or"):
        check_root(root)
    with pytest.raises(SystemExit), running(root, "run", "plan"):
        pytest.fail("ran")
    assert capsys.readouterr().err.startswith(f"{ERROR}parameter root: ")


def test_on_this_machine_any_folder_is_a_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VOLUMES, raising=False)
    run(tmp_path)
    monkeypatch.chdir(tmp_path)
    check_root("./runs")
