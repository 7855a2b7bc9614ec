"""The one pipeline: plan, compress, a flat loop of train, rounds of refinement, analyse, and publish whatever happens.

Parameters are few, flat and primitive, so that a rerun from the Kubeflow UI with a changed level list or margin just works:
an empty string or 0 means "as the experiment says". What can't be a parameter (images, parallelism, what pods ask for, the
rounds of refinement, which are unrolled) is an argument of `build`.
"""

# No `from __future__ import annotations`: kfp reads the annotations as they are.

import hashlib
from pathlib import Path
from typing import Any

from kfp import compiler, dsl

from helmholtz import __version__
from helmholtz.cluster import Cluster, Resources
from helmholtz.experiment import Experiment
from helmholtz_components import analyse, compress, plan, publish, refine, train
from helmholtz_pipelines import pods

CPU_IMAGE = f"helmholtz-cpu:{__version__}"
GPU_IMAGE = f"helmholtz-gpu:{__version__}"


def build_for_cluster(experiment: Experiment) -> dsl.graph_component.GraphComponent:
    """The pipeline as `experiment` says it runs on a cluster: its images, pods, parallelism and rounds of refinement."""
    cluster = experiment.cluster
    return build(
        cluster.cpu_image or CPU_IMAGE,
        cluster.gpu_image or GPU_IMAGE,
        cluster.parallelism,
        experiment.resources,
        experiment.refine.rounds,
        cluster,
    )


def build(
    cpu_image: str = CPU_IMAGE,
    gpu_image: str = GPU_IMAGE,
    parallelism: int = 8,
    resources: Resources | None = None,
    rounds: int = 0,
    cluster: Cluster | None = None,
    run_id: str = dsl.PIPELINE_JOB_ID_PLACEHOLDER,
) -> dsl.graph_component.GraphComponent:
    """The pipeline, with its stages in the given images, at most `parallelism` train tasks at once.

    It refines in at most `rounds`; an experiment that asks for more goes on with them when it is run again. Without a
    `cluster` nothing is asked of pods, and each cell is tried once. By its `run_id` a run holds the root against others.
    """
    plan_stage, compress_stage, refine_stage, analyse_stage, publish_stage = (
        stage.build(cpu_image) for stage in (plan, compress, refine, analyse, publish)
    )
    train_stage = train.build(gpu_image)
    resources = resources or Resources()
    attempts = resources.retries + 1 if cluster else 1

    def placed(task: dsl.PipelineTask, *, again: bool = True) -> dsl.PipelineTask:
        # The run root knows what is finished, and data change under a path: kfp's cache, which knows neither, stays out.
        task.set_caching_options(False)
        if cluster:
            pods.request_stage(task, cluster)
            if again and cluster.retries:
                pods.retry(task, cluster.retries, resources.backoff, cluster.timeout)
        return task

    def train_cells(root: Any, asking: dsl.PipelineTask) -> dsl.PipelineTask:
        # kfp.local (2.17) loops only over the single output of a task, and hands the loop's item to any input inside the
        # loop that is another task's output: so a cell names its plan, and but for the root only constants go in.
        with dsl.ParallelFor(asking.output, parallelism=parallelism) as cell:
            trained = train_stage(root=root, run_id=run_id, cell=cell, attempts=attempts, pause=resources.backoff)
            trained.set_caching_options(False)
            if cluster:
                pods.request_train(trained, resources, cluster)
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
            "run_id": run_id,
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
        # Only the exit handler's task ignores failures upstream. `ignore_upstream_failure()` on another, with two tasks
        # upstream, starts on Argo as soon as one of them ends; newer backends run it as a hook of each.
        with dsl.ExitHandler(placed(publish_stage(**request), again=False)):
            planned = placed(plan_stage(**request))
            compressed = placed(compress_stage(root=root, run_id=run_id, plan=planned.output))
            trained = train_cells(root, compressed)
            for _ in range(rounds):
                refined = placed(refine_stage(root=root, run_id=run_id, plan=planned.output).after(trained))
                trained = train_cells(root, refined)
            placed(analyse_stage(root=root, run_id=run_id, plan=planned.output).after(trained))

    return helmholtz


def compile_to(path: Path, pipeline: dsl.graph_component.GraphComponent) -> str:
    """Writes the pipeline's IR YAML to `path`. Returns the SHA-256 (hexadecimal) of what it wrote."""
    compiler.Compiler().compile(pipeline, str(path))
    return hashlib.sha256(path.read_bytes()).hexdigest()
