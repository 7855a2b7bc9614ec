"""The command line from outside: help, data as JSON, errors as one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from helmholtz.cli import COMMANDS, cli


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"helmholtz {command}" in result.output


def test_help_imports_no_heavy_library() -> None:
    program = (
        "import sys; from helmholtz.cli import cli\n"
        "try: cli(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = ('tensorflow', 'apache_beam', 'kfp', 'pydantic', 'numpy', 'google.cloud.storage')\n"
        "print([module for module in heavy if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_bits_says_what_the_standard_and_the_paper_say() -> None:
    assert "14.843 bits lost, 1.157 left by the standard's tables" in call("bits", "--codec", "jpeg", "--level", "25").output
    assert "1.392 left as the paper printed it" in call("bits", "--codec", "jpeg", "--level", "25").output
    (row,) = json.loads(call("bits", "--level", "25", "--json").output)["levels"]
    assert row["Q"] == 0.75
    assert round(row["bits"]["standard"]["left"], 3) == 1.157


def test_bits_of_mp3_are_those_that_the_bitrate_allows() -> None:
    assert (
        "mp3 32 kbit/s: Q = 0.75; coded at 22.05 kHz; 0.726 bits a frame allowed"
        in call("bits", "--codec", "mp3", "--level", "32").output
    )
    content = json.loads(call("bits", "--codec", "mp3", "--json").output)
    assert content["codec"] == "mp3"
    assert [row["level"] for row in content["levels"]] == [128, 96, 64, 32, 16, 8]
    assert [row["coded_rate"] for row in content["levels"]] == [44_100, 44_100, 44_100, 22_050, 16_000, 8_000]
    assert all(row["bits_per_frame"] == pytest.approx(row["level"] / 44.1) for row in content["levels"])
    assert all(row["bits"] == {} for row in content["levels"])
    (lossless,) = json.loads(call("bits", "--codec", "mp3", "--level", "none", "--json").output)["levels"]
    assert (lossless["Q"], lossless["bits_per_frame"]) == (0, None)
    assert "no theory" in call("bits", "--codec", "mp3").output


@pytest.mark.parametrize("level", ["0", "33", "144", "high"])
def test_bits_refuses_what_is_no_bitrate(level: str) -> None:
    result = call("bits", "--codec", "mp3", "--level", level)
    assert result.exit_code == 2
    assert f"--level {level}" in result.output


@pytest.mark.parametrize("level", ["0", "101", "high", "2.5"])
def test_bits_refuses_a_level_that_is_none(level: str) -> None:
    result = call("bits", "--level", level)
    assert result.exit_code == 2
    assert level in result.output


def test_plan_counts_without_writing_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    facts = json.loads(call("plan", "quickstart", "--set", "seeds=2", "--set", "levels=[none,25,1]", "--json").output)
    assert facts["trials"] == 6
    assert facts["index"]["records"]["train"] == 1800
    sizes = {level["level"]: level["nbytes"] for level in facts["levels"]}
    assert sizes["none"] > sizes[25] > sizes[1]
    assert facts["seconds"] > 0
    assert not list(tmp_path.iterdir())


def test_plan_predicts_the_bytes_of_the_run(tmp_path: Path) -> None:
    from helmholtz.compress import compress
    from helmholtz.dataset import index_dataset
    from helmholtz.experiment_file import load_experiment
    from helmholtz.storage import open_store

    experiment, store = load_experiment("quickstart"), open_store(str(tmp_path))
    real = compress(store, experiment, index_dataset(store, experiment.dataset))
    for level in json.loads(call("plan", "quickstart", "--json").output)["levels"]:
        assert level["nbytes"] == pytest.approx(real[level["level"]].payload_bytes, rel=0.1)


def test_compile_writes_a_pipeline(tmp_path: Path) -> None:
    result = call("compile", "-o", str(tmp_path / "deep" / "pipeline.yaml"), "--cpu-image", "me/cpu:1")
    assert result.exit_code == 0
    assert "me/cpu:1" in (tmp_path / "deep" / "pipeline.yaml").read_text()


def test_a_shown_experiment_is_a_valid_experiment(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(call("experiments", "cifar10-jpeg").output)
    from helmholtz.experiment_file import load_experiment

    assert load_experiment(str(path)) == load_experiment("cifar10-jpeg")


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["run", "no-such"], 2, "no bundled experiment"),
        (["plan", "quickstart", "--set", "colour=red"], 2, "unknown key"),
        (["report", "/nowhere"], 1, "no run here"),
        (["report", "ftp://host/root"], 1, "can't store to ftp://"),
        (["submit", "quickstart", "--host", "http://localhost:1", "--root", "relative"], 2, "pods can't see a relative path"),
        (
            ["submit", "quickstart", "--host", "http://localhost:1", "--root", "gs://b/r"],
            2,
            "--cpu-image and --gpu-image: missing",
        ),
    ],
)
def test_errors_are_one_sentence_and_a_status(arguments: list[str], status: int, says: str) -> None:
    result = call(*arguments)
    assert result.exit_code == status, result.output
    assert says in result.output
    assert "Traceback" not in result.output
