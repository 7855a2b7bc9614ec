"""Runs the pipeline in the real images, through kfp.local's DockerRunner: ``python run_pipeline.py REQUEST``.

A process of its own, since kfp.local's settings are global. REQUEST is a JSON file: root, experiment, cpu_image, gpu_image,
label, and the environment of the containers. These are as locked down as a strict cluster's: any user, no rights, and
nothing to write to but /tmp.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from kfp import local

from helmholtz_pipelines.sweep import build


def main() -> None:
    """Runs it. kfp.local's word on how it ended is not to be trusted: look at what the run left in its root."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder, "outputs")
        outputs.mkdir()
        outputs.chmod(0o777)  # for the containers' user; nobody else gets into the folder above
        runner = local.DockerRunner(
            user="12345:0",
            read_only=True,
            tmpfs={"/tmp": ""},  # inside the container
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            network_mode="host",  # where the object store listens
            environment=request["environment"],
            labels={"helmholtz-test": request["label"]},
        )
        local.init(runner, pipeline_root=str(outputs))
        pipeline = build(request["cpu_image"], request["gpu_image"], parallelism=1)
        pipeline(root=request["root"], experiment=request["experiment"])


if __name__ == "__main__":
    main()
