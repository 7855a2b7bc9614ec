"""``helmholtz submit``."""

from __future__ import annotations

import click

from helmholtz.cli.options import experiment_options, json_option, load
from helmholtz.errors import ExperimentError
from helmholtz.storage import is_remote


@click.command(name="submit")
@experiment_options
@click.option(
    "--host",
    required=True,
    envvar="KFP_HOST",
    metavar="URL",
    help="Kubeflow Pipelines API, e.g. http://localhost:8080.  [env: KFP_HOST]",
)
@click.option(
    "--root", required=True, metavar="ROOT", help="Run root that the pods can write: gs://, s3://, or a mounted path."
)
@click.option("--namespace", help="Kubernetes namespace, where the host serves several users.")
@click.option("--cpu-image", help="Image of the plan, compress, analyse and publish stages.")
@click.option("--gpu-image", help="Image of the train stage.")
@click.option("--parallelism", type=click.IntRange(min=1), default=8, show_default=True, help="Train tasks at once.")
@json_option
def command(
    experiment: str,
    overrides: tuple[str, ...],
    host: str,
    root: str,
    namespace: str | None,
    cpu_image: str | None,
    gpu_image: str | None,
    parallelism: int,
    as_json: bool,
) -> None:
    """Send an experiment to a Kubeflow Pipelines host, and print the link to its run.

    The dataset path must be one that the pods can read (gs://, s3://, or mounted in them).

    \b
    Example:
      helmholtz submit cifar10-jpeg --host http://localhost:8080 --root gs://bucket/runs/cifar10 \\
        --set dataset.path=gs://bucket/cifar-10-batches-bin
    """
    import json

    from helmholtz_pipelines.submit import submit
    from helmholtz_pipelines.sweep import CPU_IMAGE, GPU_IMAGE, build

    resolved = load(experiment, overrides)
    if not is_remote(root) and not root.startswith("/"):
        raise ExperimentError(f"--root {root}: pods can't see a relative path; use gs://, s3:// or an absolute, mounted path")
    pipeline = build(cpu_image or CPU_IMAGE, gpu_image or GPU_IMAGE, parallelism, resolved.resources, resolved.refine.rounds)
    run = submit(pipeline, resolved, host=host, root=root, namespace=namespace)
    if as_json:
        click.echo(json.dumps({"run_id": run.id, "url": run.url, "root": root}, indent=2))
    else:
        click.echo(f"submitted: {run.url}\nThe report will be at {root}/report/report.html")
