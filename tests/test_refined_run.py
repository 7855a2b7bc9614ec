"""Refinement through a run root: what is asked for, reports, the stage, and the pipeline."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import tests.synthetic_run as synthetic
from helmholtz import stages
from helmholtz.analysis.refined_run import read_refined_run
from helmholtz.analysis.summarise import summarise
from helmholtz.analysis.summary import Report
from helmholtz.analysis.table import Run, curves_csv, rows
from helmholtz.cli.display import Display
from helmholtz.dataset import read_index
from helmholtz.experiment import Experiment
from helmholtz.levels import NONE, Level
from helmholtz.progress import count_reused, finished_pieces, read_progress
from helmholtz.report.figures import figures
from helmholtz.report.html import page
from helmholtz.results import result_key
from helmholtz.storage import Store, open_store
from helmholtz.trials import trials
from helmholtz_pipelines.sweep import build, compile_to

SWEEP: tuple[Level, ...] = (NONE, 100, 75, 50, 25, 10, 1)


def asked_experiment(**changes: object) -> Experiment:
    return synthetic.experiment(**{"levels": SWEEP, "refine": {"rounds": 3, "levels": 1}, **changes})


def finish(store: Store, found: Run) -> None:
    """Makes the levels, and trains the trials, that the run lacks."""
    for level in found.extended.all_levels:
        if level not in found.manifests:
            synthetic.write_level(store, found.experiment, level)
    for trial, result in found.results:
        if result is None:
            reached = synthetic.accuracy(trial.architecture, trial.level, trial.seed, knee=33)
            made = synthetic.trial_result(trial, reached, medium="image", classes=4)
            store.write_bytes(result_key(trial.id), made.model_dump_json().encode())


def refined(store: Store, experiment: Experiment) -> list[tuple[tuple[int, ...], ...]]:
    """Reads and finishes until nothing is missing. Returns what was asked for each time."""
    seen = []
    for _ in range(9):
        found = read_refined_run(store, experiment, synthetic.DATASET)
        seen.append(found.refinement.rounds if found.refinement else ())
        if all(result for _, result in found.results):
            return seen
        finish(store, found)
    raise AssertionError("it doesn't end")


def report_of(store: Store, experiment: Experiment) -> Report:
    found = read_refined_run(store, experiment, synthetic.DATASET)
    return summarise(found, rows(found))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def test_rounds_follow_from_the_finished_trials_alone(store: Store) -> None:
    experiment = asked_experiment()
    seen = refined(store, experiment)
    assert seen[0] == ()  # nothing before the sweep is finished
    assert seen[1] == ((38,),)
    assert seen[-1] == ((38,), (32,), (29,))
    assert seen == [seen[-1][: len(some)] for some in seen]
    report = report_of(store, experiment)
    assert [c.level for c in report.walks[0].comparisons] == [100, 75, 50, 38, 32, 29, 25, 10, 1]
    assert report.recommendation.level == 32
    assert {level.level: level.refinement_round for level in report.levels if level.refinement_round} == {38: 1, 32: 2, 29: 3}
    assert report.experiment == experiment.model_dump(mode="json")  # as the user wrote it
    assert report.trials.expected == report.trials.complete == 10 * experiment.seeds


def test_a_stopped_round_is_gone_on_with(store: Store) -> None:
    experiment = asked_experiment()
    refined(store, experiment)
    lost = next(t for t, _ in read_refined_run(store, experiment, synthetic.DATASET).results if (t.level, t.seed) == (32, 3))
    Path(store.uri, result_key(lost.id)).unlink()
    again = read_refined_run(store, experiment, synthetic.DATASET)
    assert again.refinement is not None
    assert again.refinement.rounds == ((38,), (32,))
    assert [trial for trial, result in again.results if result is None] == [lost]
    assert any("1 of 45 trials are still missing" in caveat for caveat in report_of(store, experiment).recommendation.caveats)


@pytest.mark.parametrize("changes", [{"rounds": 1}, {"rounds": 0}, {"rounds": 2, "levels": 4}])
def test_other_rounds_in_the_same_root_reuse_what_they_share(store: Store, changes: dict[str, int]) -> None:
    refined(store, asked_experiment())
    other = asked_experiment(refine={"rounds": 3, "levels": 1} | changes)
    before = set(store.list("trials"))
    seen = refined(store, other)
    assert before <= set(store.list("trials"))
    assert len(seen[-1]) <= other.refine.rounds
    report = report_of(store, other)
    assert not report.trials.missing
    assert all(level.refinement_round is None for level in report.levels) == (other.refine.rounds == 0)


def test_another_margin_follows_its_own_path_and_says_what_is_missing(store: Store) -> None:
    experiment = asked_experiment()
    refined(store, experiment)
    wider = experiment.model_copy(update={"analysis": experiment.analysis.model_copy(update={"margin": 0.05})})
    report = report_of(store, wider)
    assert {level.level for level in report.levels if level.refinement_round} == {18}  # between 25 and 10
    assert len(report.trials.missing) == 5
    assert report.walks[0].stopped_at == 18  # what isn't trained doesn't pass


def test_only_the_leading_architecture_is_refined_and_more_seeds_start_with_the_sweep(store: Store) -> None:
    experiment = asked_experiment(architectures=["A", "B"], seeds=3)
    refined(store, experiment)
    table = rows(read_refined_run(store, experiment, synthetic.DATASET))
    assert {row.architecture for row in table if row.level not in SWEEP} == {"B"}
    first, second = report_of(store, experiment).walks
    assert len(first.comparisons) == len(SWEEP) - 1 < len(second.comparisons)
    more = asked_experiment(architectures=["A", "B"], seeds=4)
    found = read_refined_run(store, more, synthetic.DATASET)
    assert found.refinement is None
    assert {trial.seed for trial, result in found.results if result is None} == {3}


def test_where_a_level_diverged_the_bracket_ends_and_refinement_goes_on(store: Store) -> None:
    experiment = asked_experiment(refine={"rounds": 1})
    synthetic.write_run(store, experiment, diverged=tuple(("A", 50, seed) for seed in range(5)))
    found = read_refined_run(store, experiment, synthetic.DATASET)
    assert found.refinement is not None
    assert found.refinement.rounds == ((70, 65, 60, 55),)


def test_without_refinement_nothing_changes(store: Store) -> None:
    experiment = asked_experiment(refine={})
    synthetic.write_run(store, experiment)
    assert read_refined_run(store, experiment, synthetic.DATASET).refinement is None
    report = report_of(store, experiment)
    assert {c.bound_confidence for c in report.walks[0].comparisons} == {0.95}
    says = "Levels between quality 25 and quality 10 were not tested; refine.rounds looks there."
    assert says in report.recommendation.details


@pytest.mark.parametrize(
    ("refine", "says"),
    [
        ({"rounds": 1, "levels": 1}, "Levels between quality 38 and quality 25 were not tested."),
        ({"rounds": 2, "levels": 4}, "No finer answer is possible with this codec: quality 30 passes, and quality 29,"),
    ],
)
def test_the_answer_says_how_fine_it_is(store: Store, refine: dict[str, int], says: str) -> None:
    experiment = asked_experiment(refine=refine, seeds=10)
    refined(store, experiment)
    details = report_of(store, experiment).recommendation.details
    assert [detail for detail in details if says in detail], details


def test_tables_figures_and_method_of_the_report_mark_what_refinement_asked_for(store: Store) -> None:
    experiment = asked_experiment()
    refined(store, experiment)
    table = rows(read_refined_run(store, experiment, synthetic.DATASET))
    report = report_of(store, experiment)
    html = page(report, figures(report, table), root="root", experiment="")
    assert html.count("quality 38 (refinement)") >= 3  # each table of levels
    assert "at 97.5%" in html
    assert html.count("Rings: levels that refinement asked for.") == 2
    assert "<strong>Refinement.</strong>" in html
    assert "one-sided 99.17% bound" in html
    assert {row["level"] for row in csv.DictReader(io.StringIO(curves_csv(table)))} >= {"38", "32", "29"}


def spec(path: Path, rounds: int) -> dict:
    compile_to(path, build("registry/cpu:1", "registry/gpu:1", rounds=rounds))
    return yaml.safe_load(path.read_text().split("---\n")[0])


@pytest.mark.parametrize("rounds", [1, 7])
def test_each_round_is_a_refine_task_and_a_loop_of_train_tasks(tmp_path: Path, rounds: int) -> None:
    path = tmp_path / "pipeline.yaml"
    found = spec(path, rounds)
    loops = [list(c["dag"]["tasks"]) for name, c in found["components"].items() if name.startswith("comp-for-loop")]
    assert len(loops) == rounds + 1
    assert all(len(tasks) == 1 and tasks[0].startswith("train") for tasks in loops)
    tasks = next(c["dag"]["tasks"] for c in found["components"].values() if "refine" in c.get("dag", {}).get("tasks", {}))
    chain, task = [], "analyse"
    while task != "plan":  # each waits for the one before it
        task = next(before for before in tasks[task]["dependentTasks"] if before != "plan" or task == "compress")
        chain.append(task.rstrip("0123456789-"))
    assert chain == [*["for-loop", "refine"] * rounds, "for-loop", "compress", "plan"]
    images = {name: e["container"]["image"] for name, e in found["deploymentSpec"]["executors"].items()}
    assert sum(name.startswith("exec-refine") for name in images) == rounds
    assert {image for name, image in images.items() if "refine" in name} == {"registry/cpu:1"}
    assert len(found["root"]["inputDefinitions"]["parameters"]) <= 15
    assert path.stat().st_size < 256 * 1024


TINY = {
    "name": "tiny",
    "dataset": {"kind": "photographs", "limit": 40, "classes": ["astronaut", "coffee"], "shards": 1},
    "levels": [NONE, 30, 26],
    "seeds": 2,
    "training": {"epochs": 1, "batch_size": 16, "input_size": 8},
    "analysis": {"margin": 0.3},
    "refine": {"rounds": 2, "levels": 1},
}


def fabricate(root: str, plan_id: str, cells: list[dict[str, str]], lowest: int) -> None:
    """Finishes cells: no loss down to `lowest`, and nothing learned below."""
    store = open_store(root)
    planned = stages.read_plan(store, plan_id)
    wanted = {(cell["architecture"], cell["level"]) for cell in cells}
    records = read_index(store, planned.dataset).records["test"]
    refinement = stages.find_refinement(store, planned)
    experiment = refinement.extend(planned.experiment) if refinement else planned.experiment
    for trial in trials(experiment, planned.dataset, "jpeg-420"):
        if (trial.architecture, str(trial.level)) in wanted:
            good = trial.level == NONE or trial.level >= lowest
            right = round((0.9 if good else 0.5) * records) + (trial.seed if trial.level != NONE else 0)
            made = synthetic.trial_result(trial, right / records, medium="image", classes=2, records=records)
            store.write_bytes(result_key(trial.id), made.model_dump_json().encode())


Swept = tuple[str, str, Experiment]


@pytest.fixture
def swept(tmp_path: Path) -> Swept:
    """A tiny run whose sweep is finished: root, plan and experiment."""
    root, experiment = str(tmp_path / "root"), Experiment.model_validate(TINY)
    plan_id = stages.plan(root, experiment)
    fabricate(root, plan_id, stages.compress(root, plan_id), 30)
    return root, plan_id, experiment


def test_the_refine_stage_asks_compresses_and_ends(swept: Swept, capsys: pytest.CaptureFixture[str]) -> None:
    root, plan_id, experiment = swept
    store = open_store(root)
    earlier = finished_pieces(store)
    before = read_progress(store, experiment)
    assert before is not None
    assert (before.refining, before.more) == ("", True)
    cells = stages.refine(root, plan_id)
    assert cells == stages.refine(root, plan_id) == [{"plan": plan_id, "architecture": "A", "level": "28"}]
    assert list(Path(root).glob("data/*/jpeg-420/28/manifest.json"))
    during = read_progress(store, experiment)
    assert during is not None
    assert (during.refining, during.trials, during.trials_total, during.more) == ("round 1 of 2, quality 28", 6, 8, True)
    Display(experiment, root, Path("log"), quiet=False).update(during)
    assert "refining: round 1 of 2, quality 28" in capsys.readouterr().err
    fabricate(root, plan_id, cells, 30)
    cells = stages.refine(root, plan_id)
    assert [cell["level"] for cell in cells] == ["29"]
    fabricate(root, plan_id, cells, 30)
    assert stages.refine(root, plan_id) == []
    after = read_progress(store, experiment)
    assert after is not None
    assert (after.trials, after.trials_total, after.more) == (10, 10, False)
    assert after.shards == after.shards_total
    assert count_reused(store, experiment, earlier) == (9, 6)
    assert stages.analyse(root, plan_id)["trials_complete"] == 10


def test_an_unfinished_sweep_is_not_refined(tmp_path: Path) -> None:
    experiment = Experiment.model_validate(TINY)
    plan_id = stages.plan(str(tmp_path), experiment)
    cells = stages.compress(str(tmp_path), plan_id)
    fabricate(str(tmp_path), plan_id, cells[:-1], 30)
    assert stages.refine(str(tmp_path), plan_id) == []


@pytest.mark.tensorflow
def test_the_pipeline_trains_what_refinement_asks_for(
    swept: Swept,
) -> None:
    root, plan_id, experiment = swept
    fabricate(root, plan_id, stages.refine(root, plan_id), 28)  # only quality 27 is left to train, in the second round
    request = Path(root).parent / "experiment.yaml"
    request.write_text(yaml.safe_dump(experiment.model_dump(mode="json")))
    command = [sys.executable, "-m", "helmholtz", "run", str(request), "--root", root, "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert (said["trials"], said["trials_kept"]) == (10, 8)
    with Path(root, "report", "curves.csv").open(newline="") as file:
        assert {row["level"] for row in csv.DictReader(file)} == {"none", "30", "28", "27", "26"}
