"""TensorFlow is imported without what it doesn't need, only where it is needed, and on a terminal without a word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def said(program: str, *arguments: str) -> tuple[str, str]:
    """What a process of its own writes to its standard output and error."""
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


@pytest.mark.tensorflow
def test_what_keras_looks_for_is_hidden_from_it_alone() -> None:
    program = """
import sys
from helmholtz.training.importing import import_tensorflow
import_tensorflow(quietly=True)
print(*{"keras", "sklearn", "matplotlib"} & sys.modules.keys())
import matplotlib.pyplot, sklearn
print(matplotlib.__name__, sklearn.__name__)
print("still heard", file=sys.stderr)
"""
    assert said(program) == ("keras\nmatplotlib sklearn\n", "still heard\n")


def test_without_a_standard_error_there_is_nothing_to_close() -> None:
    program = """
import os, sys
os.close(2)
sys.stderr = None
sys.modules["tensorflow"] = None
from helmholtz.training.importing import import_tensorflow
import_tensorflow(quietly=True)
print("went on")
"""
    assert said(program) == ("went on\n", "")


def test_what_was_imported_before_stays() -> None:
    program = """
import sys
import matplotlib.pyplot as before
sys.modules["tensorflow"] = None  # none is installed: that is left for who needs it
from helmholtz.training.importing import import_tensorflow
import_tensorflow()
import matplotlib.pyplot
print(matplotlib.pyplot is before)
"""
    assert said(program) == ("True\n", "")


def test_a_plan_finds_a_wrong_path_without_it(tmp_path: Path) -> None:
    program = """
import sys
from click.testing import CliRunner
from helmholtz.cli import cli
arguments = ["plan", "quickstart", "--set", "dataset.kind=image-folder", "--set", f"dataset.path={sys.argv[1]}"]
print(CliRunner().invoke(cli, arguments).output.strip())
print("tensorflow" in sys.modules)
"""
    out, _ = said(program, str(tmp_path / "nothing"))
    assert out.startswith("error: ")
    assert out.endswith("False\n")
