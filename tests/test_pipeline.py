"""The pipeline: what it compiles to, and the whole of it run through kfp.local."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kfp import components

from helmholtz.lease import held, release, take
from helmholtz.storage import open_store
from helmholtz_pipelines.sweep import build, compile_to

HELMHOLTZ = [sys.executable, "-m", "helmholtz"]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ir") / "helmholtz.yaml"
    compile_to(path, build("registry/cpu:1", "registry/gpu:1", parallelism=4))
    return path


def test_kfps_own_loader_accepts_it_and_its_parameters_are_few_and_primitive(compiled: Path) -> None:
    inputs = components.load_component_from_file(str(compiled)).component_spec.inputs
    assert 8 <= len(inputs) <= 15
    assert {spec.type for spec in inputs.values()} <= {"String", "Integer", "Float", "Boolean"} | {
        "STRING",
        "NUMBER_INTEGER",
        "NUMBER_DOUBLE",
    }
    assert compiled.stat().st_size < 256 * 1024


def test_one_iteration_of_the_loop_is_one_task(compiled: Path) -> None:
    spec = yaml.safe_load(compiled.read_text().split("---\n")[0])
    loops = [c for c in spec["components"].values() if "dag" in c and "train" in c["dag"]["tasks"]]
    assert len(loops) == 1
    assert list(loops[0]["dag"]["tasks"]) == ["train"]


def test_each_stage_runs_in_its_image(compiled: Path) -> None:
    spec = yaml.safe_load(compiled.read_text().split("---\n")[0])
    images = {name.removeprefix("exec-"): e["container"]["image"] for name, e in spec["deploymentSpec"]["executors"].items()}
    cpu = {name: image for name, image in images.items() if name != "train"}
    assert images["train"] == "registry/gpu:1"
    assert set(cpu.values()) == {"registry/cpu:1"}
    assert set(cpu) == {"plan", "compress", "analyse", "publish"}


def test_only_the_exit_handler_ignores_failures_upstream(compiled: Path) -> None:
    """On Argo any other would start too early: see the comment in pipelines/sweep.py."""
    spec = yaml.safe_load(compiled.read_text().split("---\n")[0])
    dags = [spec["root"]["dag"], *(c["dag"] for c in spec["components"].values() if "dag" in c)]
    careless = {
        name: task for dag in dags for name, task in dag["tasks"].items() if "strategy" in task.get("triggerPolicy", {})
    }
    assert list(careless) == ["publish"]
    assert careless["publish"]["dependentTasks"] == ["exit-handler-1"]


def test_nothing_is_installed_at_run_time(compiled: Path) -> None:
    assert "pip install" not in compiled.read_text()


def helmholtz(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*HELMHOLTZ, *arguments], capture_output=True, text=True, timeout=280, **options)


SMALL = [
    "run",
    "quickstart",
    *("--set", "dataset.limit=60", "--set", "dataset.classes=[astronaut,hubble,coffee]", "--set", "training.epochs=2"),
    *("--set", "seeds=2", "--set", "dataset.shards=2", "--json"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A small, finished run: its root, and what `helmholtz run --json` said."""
    root = tmp_path_factory.mktemp("run") / "root"
    ran = helmholtz(*SMALL, "--root", str(root), "--set", "levels=[none,25]")
    assert ran.returncode == 0, ran.stderr
    return root, json.loads(ran.stdout)


@pytest.mark.tensorflow
def test_a_run_ends_with_a_report_of_every_trial(finished: tuple[Path, dict[str, object]]) -> None:
    root, said = finished
    with (root / "report" / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["level"], row["seed"]) for row in rows} == {("none", "0"), ("none", "1"), ("25", "0"), ("25", "1")}
    assert all(0 <= float(row["test_accuracy"]) <= 1 for row in rows)
    wanted = "codec level Q architecture parameters seed test_accuracy epochs_to_converge payload_bits_per_sample payload_bytes"
    assert set(wanted.split()) | {"train_seconds"} <= set(rows[0])
    assert (root / "report" / "report.html").stat().st_size > 10_000
    assert list(root.glob("tensorboard/**/*tfevents*"))
    assert said["trials"] == 4
    assert said["trials_kept"] == 0
    assert said["recommendation"]


@pytest.mark.tensorflow
def test_a_second_run_keeps_everything_and_a_new_level_trains_only_that_level(
    finished: tuple[Path, dict[str, object]],
) -> None:
    root, _ = finished
    results = {path: path.stat().st_mtime_ns for path in root.glob("trials/*/result.json")}
    again = helmholtz(*SMALL, "--root", str(root), "--set", "levels=[none,25]")
    assert json.loads(again.stdout)["trials_kept"] == 4
    assert {path: path.stat().st_mtime_ns for path in root.glob("trials/*/result.json")} == results
    more = helmholtz(*SMALL, "--root", str(root), "--set", "levels=[none,25,1]")
    assert more.returncode == 0, more.stderr
    assert json.loads(more.stdout)["trials"] == 6
    assert json.loads(more.stdout)["trials_kept"] == 4
    after = {path: path.stat().st_mtime_ns for path in root.glob("trials/*/result.json")}
    assert {path: after[path] for path in results} == results
    assert len(after) == 6


@pytest.mark.tensorflow
def test_of_two_runs_in_one_root_the_second_is_refused(finished: tuple[Path, dict[str, object]]) -> None:
    root, _ = finished
    before = {path: path.read_bytes() for path in root.glob("trials/*/result.json")}
    store = open_store(str(root))
    with held(store, "another"):  # the finished run has given the root free
        second = helmholtz(*SMALL, "--root", str(root), "--set", "levels=[none,25,5]")
        assert second.returncode == 1
        (error,) = [line for line in second.stderr.splitlines() if line.startswith("error: ")]
        assert f"{root}: another run (another) is at work here" in error
        assert "Traceback" not in second.stderr
        take(store, "another")  # which it still has
        release(store, "another")
    assert {path: path.read_bytes() for path in root.glob("trials/*/result.json")} == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks processes up in /proc")
@pytest.mark.parametrize(("way", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_stopped_it_leaves_nothing_running(tmp_path: Path, way: signal.Signals, status: int) -> None:
    """By a signal to its one process: what it has started must not go on training unseen."""
    mine = f"helmholtz-test-{tmp_path.name}"  # in the environment of all that it starts
    process = subprocess.Popen(
        [*HELMHOLTZ, *SMALL, "--root", str(tmp_path / "root")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "HELMHOLTZ_TEST": mine},
    )  # fmt: skip
    wait_until(lambda: len(started_with(mine)) >= 3, 60)
    process.send_signal(way)
    assert process.wait(30) == status
    wait_until(lambda: not started_with(mine), 15)


def started_with(mark: str) -> list[int]:
    """Numbers of the processes that have `mark` in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (
                mark.encode() in (folder / "environ").read_bytes()
                and "Z" not in (folder / "stat").read_text().split(")")[1][:3]
            ):
                found.append(int(folder.name))
    return found


def wait_until(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _at_work(root: Path) -> bool:
    """Whether any process has the root in its command line."""
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(root).encode() in line.read_bytes():
                return True
    return False


@pytest.mark.tensorflow
def test_killed_while_training_it_goes_on_from_there(tmp_path: Path) -> None:
    arguments = [*SMALL, "--root", str(tmp_path), "--set", "levels=[none,25]", "--set", "training.epochs=1", "--parallel", "1"]
    process = subprocess.Popen([*HELMHOLTZ, *arguments], start_new_session=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob("trials/*/result.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    while _at_work(tmp_path) and time.monotonic() < deadline:  # what it has started ends by itself, a moment later
        time.sleep(0.05)
    finished = {path: path.read_bytes() for path in tmp_path.glob("trials/*/result.json")}
    assert finished
    again = helmholtz(*arguments)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["trials_kept"] == len(finished)
    assert {path: path.read_bytes() for path in finished} == finished


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["dataset.kind=image-folder", "dataset.path=/nowhere"], "/nowhere"),
        (["dataset.kind=cifar10", "dataset.path=/nowhere"], "/nowhere"),
    ],
)
def test_a_failing_stage_ends_in_one_clear_sentence(tmp_path: Path, overrides: list[str], says: str) -> None:
    options = [part for override in overrides for part in ("--set", override)]
    ran = helmholtz("run", "quickstart", "--root", str(tmp_path), *options)
    assert ran.returncode == 1
    error = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert says in error[0]
    assert "Traceback" not in ran.stderr


def test_what_lies_where_it_is_called_is_not_imported(tmp_path: Path) -> None:
    """A clone's parent has a folder of our name, and a user's folder may have any module."""
    (tmp_path / "helmholtz").mkdir()
    (tmp_path / "numpy.py").write_text("raise ImportError('of the folder')")
    (tmp_path / "root").mkdir()
    options = ["--set", "dataset.kind=image-folder", "--set", "dataset.path=/nowhere"]
    command = [Path(sys.executable).with_name("helmholtz"), "run", "quickstart", "--root", "root", *options]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    assert "error: /nowhere" in ran.stderr, ran.stderr


def test_what_ends_the_pipeline_itself_is_said(tmp_path: Path) -> None:
    (tmp_path / "kfp.py").write_text("raise ImportError('no such library')")
    ran = helmholtz("run", "quickstart", "--root", str(tmp_path / "root"), env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert ran.returncode == 1
    assert "the pipeline stopped before it was done: ImportError: no such library" in ran.stderr


def test_a_root_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    ran = helmholtz("run", "quickstart", "--root", str(blocker / "root"))
    assert ran.returncode == 1
    assert "choose another --root" in ran.stderr
    assert "Traceback" not in ran.stderr
