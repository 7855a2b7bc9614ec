"""A cell that fails doesn't take the others with it, and is told of in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from helmholtz import attempts
from helmholtz.attempts import ERROR, attempt, final_failure, lacking_sentence, note_final
from helmholtz.errors import ExperimentError, StorageError, TrainingError
from helmholtz.experiment import Training
from helmholtz.storage import LocalStore, Store, open_store
from helmholtz.trials import Trial

CELL = ("plan-data", "A", "25")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def trial(architecture: str, level: int, seed: int = 0) -> Trial:
    return Trial("data", "jpeg-420", level, architecture, seed, Training())


def unlucky() -> None:
    raise RuntimeError("the GPU is gone")


def killed() -> None:
    raise KeyboardInterrupt  # not an Exception, like a signal that ends the process


def told(store: Store, run: str = "run", level: int = 25) -> str:
    return lacking_sentence(store, run, CELL[0], [trial("A", level)], 10)


def test_work_is_done_once_and_its_success_stays_silent(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    done: list[int] = []
    attempt(store, "run", CELL, 3, lambda: done.append(1))
    assert done == [1]
    assert capsys.readouterr() == ("", "")


def test_a_failure_is_raised_until_the_last_attempt_which_ends_well(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeError):
            attempt(store, "run", CELL, 3, unlucky)
    attempt(store, "run", CELL, 3, unlucky)
    assert capsys.readouterr().err.splitlines()[-1] == f"{ERROR}RuntimeError: the GPU is gone"
    sentence = lacking_sentence(store, "run", CELL[0], [trial("A", 25), trial("A", 25, 1)], 10)
    assert sentence.startswith("2 of 10 trials have no result: A at level 25 (tried 3 times: RuntimeError: the GPU is gone).")


def test_attempts_that_are_killed_count_and_the_next_start_gives_up(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            attempt(store, "run", CELL, 2, killed)
    attempt(store, "run", CELL, 2, lambda: pytest.fail("tried once too often"))
    assert "given up after 2 attempts: killed without a word" in capsys.readouterr().out


def test_an_attempt_counts_before_any_work(store: Store) -> None:
    def look() -> None:
        assert len([*store.list("attempts")]) == 1

    attempt(store, "run", CELL, 1, look)
    assert "tried once" in told(store)


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff" * 100, b'{"format": 9}', b"[" * 100_000])
def test_a_damaged_record_counts_and_is_told(store: Store, damage: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeError):
            attempt(store, "run", CELL, 3, unlucky)
    for key in store.list("attempts"):
        store.write_bytes(key, damage)
    attempt(store, "run", CELL, 3, unlucky)
    attempt(store, "run", CELL, 3, lambda: pytest.fail("tried once too often"))
    assert "given up after 3 attempts: RuntimeError" in capsys.readouterr().out
    for key in store.list("attempts"):
        store.write_bytes(key, damage)
    assert "tried 3 times: its record can't be read" in told(store)


def test_another_run_has_its_own_attempts_and_causes(store: Store) -> None:
    attempt(store, "old", CELL, 1, unlucky)
    assert "never started" in told(store, "new")
    with pytest.raises(KeyboardInterrupt):
        attempt(store, "new", CELL, 2, killed)
    assert told(store, "new").count("GPU") == 0
    assert "(tried once: RuntimeError: the GPU is gone)" in told(store, "old")


def test_the_last_attempt_is_told_and_the_newest_word_beside_it_where_it_had_none(store: Store) -> None:
    def fail(word: str) -> None:
        raise RuntimeError(word)

    for word in ("first", "second"):
        with pytest.raises(RuntimeError):
            attempt(store, "run", CELL, 9, lambda word=word: fail(word))  # type: ignore[misc]  # mypy can't type the default
    assert "(tried 2 times: RuntimeError: second)" in told(store)
    with pytest.raises(KeyboardInterrupt):
        attempt(store, "run", CELL, 9, killed)
    assert "(tried 3 times: killed without a word" in told(store)
    assert "its node was taken away; attempt 2: RuntimeError: second)" in told(store)
    assert "first" not in told(store)


def test_a_level_whose_name_begins_alike_is_another_cell(store: Store) -> None:
    attempt(store, "run", CELL, 1, unlucky)
    assert "never started" in told(store, level=2)
    attempt(store, "run", ("plan-data", "A", "2"), 1, lambda: None)


def test_two_starts_at_once_are_two(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_starts", lambda *_: [])  # neither sees the other
    for _ in range(2):
        attempt(store, "run", CELL, 3, lambda: None)
    assert len([*store.list("attempts")]) == 2


def test_what_would_fail_alike_each_time_is_tried_once(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    def mistaken() -> None:
        raise TrainingError("no such architecture")

    attempt(store, "run", CELL, 4, mistaken)
    assert capsys.readouterr().err == f"{ERROR}no such architecture\n"
    attempt(store, "run", CELL, 4, lambda: pytest.fail("tried again"))
    attempt(store, "run", CELL, 4, lambda: pytest.fail("tried again"))
    assert capsys.readouterr().out == "not tried again: no such architecture\n" * 2
    assert "no such architecture" in told(store)


def test_a_store_that_fails_may_answer_again(store: Store) -> None:
    def unreachable() -> None:
        raise StorageError("can't be reached")

    with pytest.raises(StorageError):
        attempt(store, "run", CELL, 2, unreachable)
    done: list[int] = []
    attempt(store, "run", CELL, 2, lambda: done.append(1))
    assert done


def test_a_stage_remembers_what_no_start_can_mend(store: Store) -> None:
    assert final_failure(store, "run", "plan") is None
    note_final(store, "run", "plan", "no data there")
    assert final_failure(store, "run", "plan") == "no data there"
    assert final_failure(store, "run", "compress") is None
    assert final_failure(store, "another", "plan") is None


PROGRAM = r"""
import os, sys
from pathlib import Path
from helmholtz.attempts import attempt
from helmholtz.storage import open_store

def work():
    log = Path(sys.argv[1], "log")
    with log.open("a") as file:
        file.write(f"{os.getpid()}\n")
    if len(log.read_text().splitlines()) < int(sys.argv[2]):
        raise RuntimeError("the GPU is gone")
    print("done")

attempt(open_store(sys.argv[1]), "run", ("plan", "A", "25"), 4, work, pause=0.01)
"""


@pytest.mark.parametrize(("succeeds_at", "tries"), [(1, 1), (3, 3), (9, 4)])
def test_a_failed_attempt_is_made_anew_by_the_same_pod(tmp_path: Path, succeeds_at: int, tries: int) -> None:
    """As a process of its own: what it does is to begin anew, with its arguments."""
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "program", str(tmp_path), str(succeeds_at)]  # as kfp starts a component
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    processes = (tmp_path / "log").read_text().splitlines()
    assert len(processes) == tries
    assert len(set(processes)) == 1  # so that the pod's container goes on
    assert ("done" in ran.stdout) == (succeeds_at == tries)
    if succeeds_at > tries:
        assert ran.stderr.splitlines()[-1] == f"{ERROR}RuntimeError: the GPU is gone"


def test_pauses_grow_to_a_bound(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(attempts, "_start_anew", waited.append)
    for _ in range(6):
        attempt(store, "run", CELL, 9, unlucky, pause=60)
    assert waited == [60, 120, 240, 480, 600, 600]


def test_a_killed_process_is_one_attempt(tmp_path: Path) -> None:
    program = (
        "import os, sys; from helmholtz.attempts import attempt; from helmholtz.storage import open_store;"
        "attempt(open_store(sys.argv[1]), 'run', ('plan-data', 'A', '25'), 3, lambda: os.kill(os.getpid(), 9), pause=0)"
    )
    for _ in range(3):
        ran = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
        assert ran.returncode == -signal.SIGKILL
    ran = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, env=os.environ)
    assert ran.returncode == 0
    assert "tried 3 times: killed without a word" in told(open_store(str(tmp_path)))


@pytest.mark.parametrize(
    ("error", "final"),
    [(ExperimentError("x"), True), (TrainingError("x"), True), (StorageError("x"), False), (OSError(), False)],
)
def test_only_the_users_errors_are_final(error: Exception, final: bool) -> None:
    assert attempts.is_final(error) == final


def test_a_defect_of_ours_is_told_with_its_traceback(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    attempt(store, "run", CELL, 1, lambda: [][1])
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.rstrip().splitlines()[-1] == f"{ERROR}IndexError: list index out of range"


def test_many_cells_are_counted_and_few_are_named(store: Store) -> None:
    sentence = lacking_sentence(store, "run", "plan-data", [trial("A", level) for level in range(1, 10)], 9)
    assert sentence.count("never started") == 5
    assert "; and 4 more." in sentence


@pytest.mark.tensorflow
def test_one_failing_cell_leaves_the_others_and_fails_the_analysis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from helmholtz import stages
    from helmholtz.experiment_file import load_experiment
    from helmholtz.training import trial as trainer

    experiment = load_experiment(
        "quickstart",
        [
            "dataset.limit=40",
            "dataset.classes=[astronaut,hubble]",
            "training.epochs=1",
            "seeds=1",
            "levels=[none,25]",
            "dataset.shards=1",
        ],
    )
    root = str(tmp_path / "root")
    plan = stages.plan(root, experiment)
    real = trainer.run_cell

    def picky(store: LocalStore, experiment: object, dataset: str, architecture: str, level: object, **more: object) -> object:
        if level == 25:
            raise TrainingError("no luck at 25")
        return real(store, experiment, dataset, architecture, level, **more)

    monkeypatch.setattr(trainer, "run_cell", picky)
    cells = stages.compress(root, plan)
    assert len(cells) == 2
    for cell in cells:
        stages.train(root, plan, cell["architecture"], cell["level"], "run")
    with pytest.raises(TrainingError, match=r"1 of 2 trials have no result: A at level 25 \(tried once: no luck at 25\)"):
        stages.analyse(root, plan, "run")
    with pytest.raises(TrainingError, match=r"no result: A at level 25\. The report"):
        stages.analyse(root, plan)
    with pytest.raises(TrainingError, match="no luck at 25"):
        stages.train(root, plan, "A", "25")
    page, sentence, table = stages.publish(root, experiment)
    assert "<html" in page
    assert sentence
    assert [line.split(" | ")[1:4] for line in table.splitlines()[2:]] == [["none", "0", "complete"], ["25", "0", "missing"]]
    monkeypatch.setattr(trainer, "run_cell", real)
    for cell in stages.compress(root, plan):
        assert cell["level"] == "25"
        stages.train(root, plan, cell["architecture"], cell["level"], "next")
    assert stages.analyse(root, plan)["trials_complete"] == 2
