"""``helmholtz compile``."""

from __future__ import annotations

from pathlib import Path

import click

from helmholtz.cli.options import load


@click.command(name="compile")
@click.argument("experiment", metavar="[EXPERIMENT]", default="quickstart")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=Path("helmholtz.yaml"), show_default=True
)
@click.option("--cpu-image", metavar="IMAGE", help="Image of all stages but train: cluster.cpu_image.")
@click.option("--gpu-image", metavar="IMAGE", help="Image of the train stage: cluster.gpu_image.")
@click.option("--parallelism", type=click.IntRange(1, 1000), metavar="N", help="Train tasks at once: cluster.parallelism.")
def command(experiment: str, output: Path, cpu_image: str | None, gpu_image: str | None, parallelism: int | None) -> None:
    """Write the pipeline as Kubeflow IR YAML, to upload by hand or keep under version control.

    The pipeline is one and the same for all experiments, which it takes as a parameter; EXPERIMENT only gives what its
    pods ask for (sections resources and cluster), and the number of rounds in which it refines.

    \b
    Example:
      helmholtz compile cifar10-jpeg -o helmholtz.yaml --cpu-image REGISTRY/cpu:TAG --gpu-image REGISTRY/gpu:TAG
    """
    import json

    from helmholtz_pipelines.sweep import build_for_cluster, compile_to

    given = {"cpu_image": cpu_image, "gpu_image": gpu_image, "parallelism": parallelism}
    overrides = tuple(f"cluster.{key}={json.dumps(value)}" for key, value in given.items() if value is not None)
    output.parent.mkdir(parents=True, exist_ok=True)
    resolved = load(experiment, overrides)
    compile_to(output, build_for_cluster(resolved))
    click.echo(f"{output}: {output.stat().st_size} bytes")
    if resolved.cluster.cpu_image is None or resolved.cluster.gpu_image is None:
        click.echo("note: without --cpu-image and --gpu-image it names images that no cluster can pull", err=True)
