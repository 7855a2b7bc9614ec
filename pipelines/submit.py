"""Sends the pipeline to a Kubeflow Pipelines host: a version of it named by its content, and a run from that version."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp
import kfp_server_api  # type: ignore[import-untyped]  # has no types
from kfp import dsl

from helmholtz import __version__
from helmholtz.experiment import Experiment
from helmholtz_pipelines.host import Access, connect, explained, is_refusal, known
from helmholtz_pipelines.sweep import compile_to

PIPELINE = "helmholtz"


@dataclass(frozen=True, slots=True)
class SubmittedRun:
    """A run on the host, made from a version of the pipeline that is kept there for reruns."""

    id: str
    url: str
    version: str  # name of the pipeline's version
    uploaded: bool  # False: that version was there already


def submit(
    pipeline: dsl.graph_component.GraphComponent,
    experiment: Experiment,
    *,
    access: Access,
    root: str,
    service_account: str | None = None,
) -> SubmittedRun:
    """Creates a run of `pipeline`, in the Kubeflow experiment of the experiment's name.

    Raises HelmholtzError, with the likely fix, when the host can't be reached or refuses.
    """
    client = connect(access)
    with explained(access):
        pipeline_id = _pipeline(client, access.namespace)
        version_id, version, uploaded = _version(client, pipeline_id, pipeline)
        group = client.create_experiment(experiment.name, experiment.description or None, access.namespace)
        run = client.run_pipeline(
            known(group.experiment_id),
            f"helmholtz {experiment.name}",
            params={"root": root, "experiment": experiment.to_json()},
            pipeline_id=pipeline_id,
            version_id=version_id,
            service_account=service_account,
        )
        run_id = known(run.run_id)
    return SubmittedRun(run_id, f"{access.ui}/#/runs/details/{run_id}", version, uploaded)


def _named(name: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "string_value": name}]})


def _find_pipeline(client: kfp.Client, namespace: str | None) -> str | None:
    found = client.list_pipelines(filter=_named(PIPELINE), namespace=namespace).pipelines
    return found[0].pipeline_id if found else None


def _pipeline(client: kfp.Client, namespace: str | None) -> str:
    """The pipeline's id on the host; made there if need be."""
    found = _find_pipeline(client, namespace)
    if found:
        return found
    wanted = kfp_server_api.V2beta1Pipeline(display_name=PIPELINE, name=PIPELINE, namespace=namespace)
    try:
        made: Any = client._pipelines_api.pipeline_service_create_pipeline(pipeline=wanted)
    except kfp_server_api.ApiException as error:
        found = _find_pipeline(client, namespace) if is_refusal(error, 409) else None  # made by another in the meantime
        if not found:
            raise
        return found
    made_id: str = known(made.pipeline_id)
    return made_id


def _version(client: kfp.Client, pipeline_id: str, pipeline: dsl.graph_component.GraphComponent) -> tuple[str, str, bool]:
    """Id and name of the version that holds just this pipeline, and whether it had to be uploaded."""
    with tempfile.TemporaryDirectory(prefix="helmholtz-") as folder:
        package = Path(folder, "helmholtz.yaml")
        name = f"{PIPELINE}-{__version__}-{compile_to(package, pipeline)[:12]}"
        found = client.list_pipeline_versions(pipeline_id, filter=_named(name)).pipeline_versions
        if found:
            return known(found[0].pipeline_version_id), name, False
        made = client.upload_pipeline_version(str(package), name, pipeline_id=pipeline_id)
    return known(made.pipeline_version_id), name, True
