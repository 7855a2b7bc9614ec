"""What the images of this checkout are called in a registry: as ``images/build.py`` says, which tags them by their content."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import helmholtz
from helmholtz.errors import ExperimentError


def checkout_images(registry: str) -> dict[str, str]:
    """`cpu_image` and `gpu_image` in `registry`, of the checkout as it is now.

    Raises ExperimentError where helmholtz isn't run from a checkout: a wheel has no images to name.
    """
    script = Path(helmholtz.__file__).parents[1] / "images" / "build.py"
    if not script.is_file():
        raise ExperimentError("--registry: only in a checkout of helmholtz; here name --cpu-image and --gpu-image")
    said = subprocess.run(  # noqa: S603  # our own script
        [sys.executable, str(script), "tag", "--registry", registry.rstrip("/")], capture_output=True, text=True, check=False
    )
    references = said.stdout.split()
    if said.returncode != 0 or len(references) != 2:
        reason = next(iter(said.stderr.strip().splitlines()[-1:]), "it names no two images")
        raise ExperimentError(f"--registry {registry}: images/build.py tag failed: {reason}")
    return {"cpu_image": references[0], "gpu_image": references[1]}
