"""Sends the pipeline to a Kubeflow Pipelines host: a version of it named by its content, and a run from that version."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import kfp
import kfp_server_api  # type: ignore[import-untyped]  # has no types
import yaml
from google.protobuf import json_format
from kfp import dsl
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

from helmholtz import __version__
from helmholtz.errors import HelmholtzError
from helmholtz.experiment import Experiment
from helmholtz_pipelines.host import Access, connect, explained, is_refusal, known, namespace_of
from helmholtz_pipelines.sweep import compile_to

PIPELINE = "helmholtz"

Found = TypeVar("Found")


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
        namespace = namespace_of(client, access)
        pipeline_id = _pipeline(client, namespace)
        version_id, version, uploaded = _version(client, access, pipeline_id, pipeline)
        group = _group(client, experiment, namespace)
    with _maybe_made(access, group), explained(access):
        run = client.run_pipeline(
            group,
            f"helmholtz {experiment.name}",
            params={"root": root, "experiment": experiment.to_json()},
            pipeline_id=pipeline_id,
            version_id=version_id,
            service_account=service_account,
        )
        run_id = known(run.run_id)
    return SubmittedRun(run_id, f"{access.ui}/#/runs/details/{run_id}", version, uploaded)


@contextlib.contextmanager
def _maybe_made(access: Access, group: str) -> Iterator[None]:
    """Says, where no answer has come, that the run may be there all the same."""
    try:
        yield
    except HelmholtzError as error:
        status = getattr(error.__cause__, "status", None)
        if status and status < 500:
            raise
        page = f"{access.ui}/#/experiments/details/{group}"
        raise HelmholtzError(
            f"{error}. Whether the run was made isn't known: look at {page} before you submit again"
        ) from error


def _found_or_made(find: Callable[[], Found | None], make: Callable[[], Found]) -> tuple[Found, bool]:
    """What `find` finds, else what `make` makes, and whether it did; another's, if that one was quicker."""
    found = find()
    if found:
        return found, False
    try:
        return make(), True
    except kfp_server_api.ApiException as error:
        found = find() if is_refusal(error, 409) else None
        if not found:
            raise
        return found, False


def _named(name: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "string_value": name}]})


def _first(found: list[Any] | None) -> Any:
    return found[0] if found else None


def _pipeline(client: kfp.Client, namespace: str | None) -> str:
    """The pipeline's id on the host; made there if need be."""
    wanted = kfp_server_api.V2beta1Pipeline(display_name=PIPELINE, name=PIPELINE, namespace=namespace)
    made, _ = _found_or_made(
        lambda: _first(client.list_pipelines(filter=_named(PIPELINE), namespace=namespace).pipelines),
        lambda: client._pipelines_api.pipeline_service_create_pipeline(pipeline=wanted),
    )
    found: str = known(made.pipeline_id)
    return found


def _group(client: kfp.Client, experiment: Experiment, namespace: str | None) -> str:
    """Id of the Kubeflow experiment, which is a folder of runs; made if need be."""
    wanted = kfp_server_api.V2beta1Experiment(
        display_name=experiment.name, description=experiment.description or None, namespace=namespace
    )
    made, _ = _found_or_made(
        lambda: _first(client.list_experiments(filter=_named(experiment.name), namespace=namespace).experiments),
        lambda: client._experiment_api.experiment_service_create_experiment(experiment=wanted),
    )
    found: str = known(made.experiment_id)
    return found


def _version(
    client: kfp.Client, access: Access, pipeline_id: str, pipeline: dsl.graph_component.GraphComponent
) -> tuple[str, str, bool]:
    """Id and name of the version that holds just this pipeline, and whether it had to be uploaded."""
    with tempfile.TemporaryDirectory(prefix="helmholtz-") as folder:
        package = Path(folder, "helmholtz.yaml")
        name = f"{PIPELINE}-{__version__}-{compile_to(package, pipeline)[:12]}"
        version, uploaded = _found_or_made(
            lambda: _first(client.list_pipeline_versions(pipeline_id, filter=_named(name)).pipeline_versions),
            lambda: client.upload_pipeline_version(str(package), name, pipeline_id=pipeline_id),
        )
        if not uploaded and not _holds(version.pipeline_spec, package):
            raise HelmholtzError(
                f"{access.host}: the version {name} of the pipeline {PIPELINE} there isn't what this helmholtz makes; "
                "find out who uploaded it, delete that version in the UI, and submit again"
            )
    return known(version.pipeline_version_id), name, uploaded


def _holds(kept: Any, package: Path) -> bool:
    """Whether what the host keeps of a version is the pipeline in `package`, however either is written down."""
    pipeline, *platform = yaml.safe_load_all(package.read_text(encoding="utf-8"))
    try:
        # As the host keeps it: the pipeline, or both under their names.
        there = _messages(kept.get("pipeline_spec", kept), kept.get("platform_spec", {}))
        return there == _messages(pipeline, platform[0] if platform else {})
    except (json_format.ParseError, AttributeError, TypeError):
        return False


def _messages(pipeline: Any, platform: Any) -> tuple[PipelineSpec, PlatformSpec]:
    return json_format.ParseDict(pipeline, PipelineSpec()), json_format.ParseDict(platform, PlatformSpec())
