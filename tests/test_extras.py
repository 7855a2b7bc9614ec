"""Each stage works with its own extra alone: what belongs to other extras can't be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "compress": {"apache_beam", "imagecodecs", "PIL", "skimage"},
    "train": {"imagecodecs", "PIL", "tensorflow", "keras", "scipy", "tensorboard"},
    "report": {"imagecodecs", "PIL", "jinja2", "matplotlib", "scipy", "tensorboard", "tensorflow", "keras"},
}
BLOCK = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ImportError(name + " belongs to another extra")
sys.meta_path.insert(0, Blocker())
"""


def without(extra: str | None, program: str, folder: Path) -> str:
    """What `program` prints where only `extra` (None: no extra at all) is installed."""
    allowed = HEAVY[extra] if extra else set()
    # What the allowed libraries import in turn is theirs.
    allowed = allowed | ({"PIL"} if "matplotlib" in allowed or "skimage" in allowed else set())
    blocked = set.union(*HEAVY.values()) - allowed
    done = subprocess.run(
        [sys.executable, "-c", BLOCK.format(blocked=blocked) + program, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


COMMON = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from helmholtz import stages
from helmholtz.parameters import resolve
from helmholtz.storage import open_store
root = sys.argv[1]
experiment = resolve("quickstart", dataset_limit=30, levels="none,10", seeds=1, epochs=1)
"""


@pytest.mark.tensorflow
def test_each_stage_needs_only_its_extra(tmp_path: Path) -> None:
    made = without("compress", COMMON + "print(len(stages.compress(root, stages.plan(root, experiment))))", tmp_path)
    assert made.splitlines()[-1] == "2"
    train = "for level in ('none', '10'): stages.train(root, stages.latest_plan(open_store(root)).id, 'A', level)"
    assert without("train", COMMON + train, tmp_path).count("complete") == 2
    analyse = "print(stages.analyse(root, stages.latest_plan(open_store(root)).id)); stages.publish(root, experiment)"
    assert "trials_complete" in without("report", COMMON + analyse, tmp_path)
    assert (tmp_path / "report" / "report.html").is_file()


def test_a_client_that_only_submits_needs_no_extra(tmp_path: Path) -> None:
    program = (
        "from helmholtz.cli import cli\n"
        "for command in (['bits'], ['experiments', 'quickstart'], ['compile', '-o', sys.argv[1] + '/p.yaml']):\n"
        "    cli(command, standalone_mode=False)\n"
    )
    assert "jpeg quality 25" in without(None, program, tmp_path)
    assert (tmp_path / "p.yaml").is_file()
