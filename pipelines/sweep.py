"""The one pipeline: plan, compress, a flat loop of train, rounds of refinement, analyse, and publish whatever happens.

Parameters are few, flat and primitive, so that a rerun from the Kubeflow UI with a changed level list or margin just works:
an empty string or 0 means "as the experiment says". What can't be a parameter (images, parallelism, resources' units,
the rounds of refinement, which are unrolled) is an argument of `build`.
"""

# No `from __future__ import annotations`: kfp reads the annotations as they are.

from pathlib import Path
from typing import Any

from kfp import compiler, dsl

from helmholtz import __version__
from helmholtz.experiment import Resources
from helmholtz_components import analyse, compress, plan, publish, refine, train

CPU_IMAGE = f"helmholtz-cpu:{__version__}"
GPU_IMAGE = f"helmholtz-gpu:{__version__}"


def build(
    cpu_image: str = CPU_IMAGE,
    gpu_image: str = GPU_IMAGE,
    parallelism: int = 8,
    resources: Resources | None = None,
    rounds: int = 0,
) -> dsl.graph_component.GraphComponent:
    """The pipeline, with its stages in the given images, at most `parallelism` train tasks at once, each with `resources`.

    It refines in at most `rounds`; an experiment that asks for more goes on with them when it is run again.
    """
    plan_stage, compress_stage, refine_stage, analyse_stage, publish_stage = (
        stage.build(cpu_image) for stage in (plan, compress, refine, analyse, publish)
    )
    train_stage = train.build(gpu_image)

    def train_cells(root: Any, asking: dsl.PipelineTask) -> dsl.PipelineTask:
        # kfp.local (2.17) loops only over the single output of a task, and hands the loop's item to any input inside the
        # loop that is another task's output: so a cell names its plan, and nothing else goes in but the root.
        with dsl.ParallelFor(asking.output, parallelism=parallelism) as cell:
            trained = train_stage(root=root, cell=cell).set_caching_options(False)
            _request(trained, resources or Resources())
        return trained

    @dsl.pipeline(name="helmholtz", description="How much of this data set is noise? Compress, train at every level, compare.")
    def helmholtz(
        root: str,
        experiment: str = "quickstart",
        dataset_path: str = "",
        dataset_limit: int = 0,
        levels: str = "",
        architectures: str = "",
        seeds: int = 0,
        epochs: int = 0,
        batch_size: int = 0,
        margin: float = 0.0,
        confidence: float = 0.0,
    ) -> None:
        request = {
            "root": root,
            "experiment": experiment,
            "dataset_path": dataset_path,
            "dataset_limit": dataset_limit,
            "levels": levels,
            "architectures": architectures,
            "seeds": seeds,
            "epochs": epochs,
            "batch_size": batch_size,
            "margin": margin,
            "confidence": confidence,
        }
        with dsl.ExitHandler(publish_stage(**request).set_caching_options(False)):
            # The run root knows what is finished, and data change under a path: kfp's cache, which knows neither, stays out.
            planned = plan_stage(**request).set_caching_options(False)
            compressed = compress_stage(root=root, plan=planned.output).set_caching_options(False)
            trained = train_cells(root, compressed)
            for _ in range(rounds):
                refined = refine_stage(root=root, plan=planned.output).after(trained).set_caching_options(False)
                trained = train_cells(root, refined)
            analyse_stage(root=root, plan=planned.output).after(trained).set_caching_options(False)

    return helmholtz


def _request(task: dsl.PipelineTask, resources: Resources) -> None:
    task.set_cpu_limit(resources.cpu).set_memory_limit(resources.memory)
    if resources.gpus:
        task.set_accelerator_type(resources.gpu_type).set_accelerator_limit(resources.gpus)


def compile_to(path: Path, pipeline: dsl.graph_component.GraphComponent) -> None:
    """Writes the pipeline's IR YAML to `path`."""
    compiler.Compiler().compile(pipeline, str(path))
