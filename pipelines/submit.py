"""Sends the pipeline to a Kubeflow Pipelines host through the kfp client, with its errors as sentences."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp
from kfp import dsl

from helmholtz.errors import HelmholtzError
from helmholtz.experiment import Experiment
from helmholtz_pipelines.sweep import compile_to


@dataclass(frozen=True, slots=True)
class SubmittedRun:
    """A run on the host."""

    id: str
    url: str


def submit(
    pipeline: dsl.graph_component.GraphComponent,
    experiment: Experiment,
    *,
    host: str,
    root: str,
    namespace: str | None = None,
) -> SubmittedRun:
    """Creates a run of `pipeline` on `host`, in the Kubeflow experiment of the experiment's name.

    Raises HelmholtzError, with the likely fix, when the host can't be reached or refuses.
    """
    try:
        # The client prints links of its own, and warns of hosts older than any that is still in use.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            client = _Client(host=host, namespace=namespace or "kubeflow")
            run = _create(client, pipeline, experiment, root, namespace)
    except Exception as error:
        raise HelmholtzError(f"{host}: {_sentence(error)}") from error
    return SubmittedRun(run.run_id, f"{host.rstrip('/')}/#/runs/details/{run.run_id}")


class _Client(kfp.Client):  # type: ignore[misc]  # kfp has no types
    def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:  # noqa: ARG002  # as in kfp
        """Asks once: kfp's own tries five times over 25 seconds, logs five tracebacks, and then hides the reason."""
        return self._healthz_api.healthz_service_get_healthz()


def _create(
    client: kfp.Client,
    pipeline: dsl.graph_component.GraphComponent,
    experiment: Experiment,
    root: str,
    namespace: str | None,
) -> Any:
    with tempfile.TemporaryDirectory(prefix="helmholtz-") as folder:
        package = Path(folder, "helmholtz.yaml")
        compile_to(package, pipeline)
        return client.create_run_from_pipeline_package(
            str(package),
            arguments={"root": root, "experiment": experiment.to_json()},
            run_name=f"helmholtz {experiment.name}",
            experiment_name=experiment.name,
            namespace=namespace,
            enable_caching=False,
        )


def _sentence(error: Exception) -> str:
    status = getattr(error, "status", None)
    if status in (401, 403):
        return f"refused ({status}): log in again, or ask for permission to create runs in this namespace"
    if status == 404:
        return "no Kubeflow Pipelines API here (404): give the address of the ml-pipeline service or its UI"
    if status is not None:
        reason = getattr(error, "reason", "")
        return f"answered {status} {reason}"
    if "Max retries" in str(error) or isinstance(error, (ConnectionError, OSError)):
        return (
            "can't be reached: check the address, or forward the port with "
            "`kubectl port-forward svc/ml-pipeline-ui 8080:80 -n kubeflow`"
        )
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no detail'}"
