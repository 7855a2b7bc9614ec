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
@click.option("--cpu-image", help="Image of the plan, compress, analyse and publish stages.")
@click.option("--gpu-image", help="Image of the train stage.")
@click.option("--parallelism", type=click.IntRange(min=1), default=8, show_default=True, help="Train tasks at once.")
def command(experiment: str, output: Path, cpu_image: str | None, gpu_image: str | None, parallelism: int) -> None:
    """Write the pipeline as Kubeflow IR YAML, to upload by hand or keep under version control.

    The pipeline is one and the same for all experiments, which it takes as a parameter; EXPERIMENT only gives the
    resources that its train tasks ask for, and the number of rounds in which it refines.

    \b
    Example:
      helmholtz compile cifar10-jpeg -o helmholtz.yaml --cpu-image REGISTRY/cpu:TAG --gpu-image REGISTRY/gpu:TAG
    """
    from helmholtz_pipelines.sweep import CPU_IMAGE, GPU_IMAGE, build, compile_to

    output.parent.mkdir(parents=True, exist_ok=True)
    resolved = load(experiment, ())
    pipeline = build(cpu_image or CPU_IMAGE, gpu_image or GPU_IMAGE, parallelism, resolved.resources, resolved.refine.rounds)
    compile_to(output, pipeline)
    click.echo(f"{output}: {output.stat().st_size} bytes")
