"""A cell that fails doesn't take the others with it, and is told of in the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from helmholtz.attempts import ERROR, attempt, forget_attempts, lacking_sentence
from helmholtz.errors import TrainingError
from helmholtz.experiment import Training
from helmholtz.storage import LocalStore, Store, open_store
from helmholtz.trials import Trial

CELL = ("plan-data", "A", "25")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def trial(architecture: str, level: int, seed: int = 0) -> Trial:
    return Trial("data", "jpeg-420", level, architecture, seed, Training())


def fail() -> None:
    raise TrainingError("the loss is gone")


def test_work_is_done_once_and_its_success_stays_silent(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    done: list[int] = []
    attempt(store, CELL, 3, lambda: done.append(1))
    assert done == [1]
    assert capsys.readouterr() == ("", "")


def test_a_failure_is_raised_until_the_last_attempt_which_ends_well(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        with pytest.raises(TrainingError):
            attempt(store, CELL, 3, fail)
    attempt(store, CELL, 3, fail)
    assert capsys.readouterr().err == f"{ERROR}the loss is gone\n"
    sentence = lacking_sentence(store, CELL[0], [trial("A", 25), trial("A", 25, 1)], 10)
    assert sentence.startswith("2 of 10 trials have no result: A at level 25 (tried 3 times: the loss is gone).")


def test_attempts_that_are_killed_count_and_the_next_start_gives_up(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    def killed() -> None:
        raise KeyboardInterrupt  # not an Exception, like a signal that ends the process

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            attempt(store, CELL, 2, killed)
    attempt(store, CELL, 2, lambda: pytest.fail("tried once too often"))
    assert "given up after 2 attempts: killed without a word" in capsys.readouterr().out


def test_another_run_begins_anew(store: Store) -> None:
    attempt(store, CELL, 1, fail)
    forget_attempts(store, *CELL)
    done: list[int] = []
    attempt(store, CELL, 1, lambda: done.append(1))
    assert done
    forget_attempts(store, "plan-data", "F", "none")  # never tried: nothing to forget


def test_a_defect_of_ours_is_told_with_its_traceback(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    attempt(store, CELL, 1, lambda: [][1])
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.rstrip().splitlines()[-1] == f"{ERROR}IndexError: list index out of range"


def test_many_cells_are_counted_and_few_are_named(store: Store) -> None:
    sentence = lacking_sentence(store, "plan-data", [trial("A", level) for level in range(1, 10)], 9)
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
        return real(store, experiment, dataset, architecture, level, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer, "run_cell", picky)
    cells = stages.compress(root, plan)
    assert len(cells) == 2
    for cell in cells:
        stages.train(root, plan, cell["architecture"], cell["level"])
    with pytest.raises(TrainingError, match=r"1 of 2 trials have no result: A at level 25 \(tried once: no luck at 25\)"):
        stages.analyse(root, plan)
    page, sentence, table = stages.publish(root, experiment)
    assert "<html" in page
    assert sentence
    assert [line.split(" | ")[1:4] for line in table.splitlines()[2:]] == [["none", "0", "complete"], ["25", "0", "missing"]]
    monkeypatch.setattr(trainer, "run_cell", real)
    for cell in stages.compress(root, plan):
        assert cell["level"] == "25"
        stages.train(root, plan, cell["architecture"], cell["level"])
    assert stages.analyse(root, plan)["trials_complete"] == 2
