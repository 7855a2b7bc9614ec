"""The wheel alone, away from the checkout: it compiles the pipeline and runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.tensorflow
def test_the_wheel_alone_compiles_and_runs_the_pipeline(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    left_out = shutil.ignore_patterns(".*", "build", "*.egg-info", "helmholtz-runs")  # a build in place would leave files there
    source = shutil.copytree(ROOT, tmp_path / "source", ignore=left_out)
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path / "dist"), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def call(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=200
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = call(
        "-c", "import helmholtz, helmholtz_pipelines, helmholtz_components as c; print(helmholtz.__file__, c.__file__)"
    )
    assert where.count(str(site)) == 2
    call("-m", "helmholtz", "compile", "-o", "pipeline.yaml")
    assert (tmp_path / "pipeline.yaml").stat().st_size > 10_000
    small = ["dataset.limit=30", "dataset.classes=[astronaut,coffee]", "levels=[none,10]", "seeds=1", "training.epochs=1"]
    call("-m", "helmholtz", "run", "quickstart", *(part for each in small for part in ("--set", each)))
    assert (tmp_path / "helmholtz-runs" / "quickstart" / "report" / "report.html").is_file()
