"""``helmholtz submit``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from helmholtz.cli.access import access, access_options
from helmholtz.cli.checkout_images import checkout_images
from helmholtz.cli.options import experiment_options, json_option, load
from helmholtz.credentials import credential_options, holds_userinfo, userinfo_places
from helmholtz.errors import ExperimentError
from helmholtz.experiment import Experiment
from helmholtz.storage import is_remote


@click.command(name="submit")
@experiment_options
@access_options
@click.option(
    "--root",
    required=True,
    metavar="ROOT",
    help="Run root that the pods can write: gs://, s3://, or a path on cluster.volumes.",
)
@click.option("--cpu-image", metavar="IMAGE", help="Image of all stages but train: cluster.cpu_image.")
@click.option("--gpu-image", metavar="IMAGE", help="Image of the train stage: cluster.gpu_image.")
@click.option(
    "--registry", metavar="REGISTRY", help="Both images, as this checkout's `images/build.py push --registry` names them."
)
@click.option("--parallelism", type=click.IntRange(1, 1000), metavar="N", help="Train tasks at once: cluster.parallelism.")
@click.option("--service-account", metavar="NAME", help="What the pods run as: cluster.service_account.")
@click.option(
    "--wait",
    is_flag=True,
    help="Stay until the run has ended. Exit status 0: all went well, 1: it failed, 124: stopped waiting, the run goes on.",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="With --wait: write this run's HTML report here; status 1 where there is none.",
)
@click.option("--poll", type=click.FloatRange(min=0), default=10.0, show_default=True, help="Seconds between two looks.")
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    help="Seconds for which the host may fail to answer before waiting stops.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds after which waiting stops, also for a run that is paused or never begins.  [default: none]",
)
@json_option
def command(
    experiment: str,
    overrides: tuple[str, ...],
    host: str,
    namespace: str | None,
    token_env: str | None,
    ca_cert: str | None,
    allow_http: bool,
    root: str,
    cpu_image: str | None,
    gpu_image: str | None,
    registry: str | None,
    parallelism: int | None,
    service_account: str | None,
    wait: bool,
    report: Path | None,
    poll: float,
    patience: float,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Send an experiment to a Kubeflow Pipelines host, and print the link to its run.

    The pipeline is uploaded once, as a version named by its content, so that it can be run again in the UI with other
    parameters. The dataset path must be one that the pods can read (gs://, s3://, or on cluster.volumes).

    \b
    Example:
      helmholtz submit cifar10-jpeg --host http://localhost:8080 --root gs://bucket/runs/cifar10 \\
        --set dataset.path=gs://bucket/cifar-10-batches-bin \\
        --cpu-image registry/helmholtz-cpu:TAG --gpu-image registry/helmholtz-gpu:TAG --wait --report report.html
    """
    given = {"cpu_image": cpu_image, "gpu_image": gpu_image, "parallelism": parallelism, "service_account": service_account}
    chosen = {key: value for key, value in given.items() if value is not None}
    named = checkout_images(registry) if registry else {}
    more = tuple(f"cluster.{key}={json.dumps(value)}" for key, value in (named | chosen).items())
    resolved = load(experiment, (*overrides, *more))
    _check(resolved, root)
    _check_report(report, root, wait=wait)

    from helmholtz_pipelines.submit import submit
    from helmholtz_pipelines.sweep import build_for_cluster

    where = access(host, namespace, token_env, ca_cert, allow_http)
    pipeline = build_for_cluster(resolved)
    run = submit(pipeline, resolved, access=where, root=root, service_account=resolved.cluster.service_account)
    facts = {"run_id": run.id, "url": run.url, "root": root, "pipeline_version": run.version}
    if as_json and not wait:
        click.echo(json.dumps(facts, indent=2))
    if not as_json:
        click.echo(f"submitted: {run.url}\nThe report will be at {root}/report/report.html")
    if wait:
        from helmholtz.cli.wait import Waiting, wait_for

        outcome = wait_for(where, run.id, resolved, root, report, Waiting(poll, patience, timeout, quiet=as_json))
        said = {"state": outcome.state, "error": outcome.error, "report": str(outcome.report) if outcome.report else None}
        if as_json:
            click.echo(json.dumps({**facts, **said}, indent=2))
        elif outcome.report:
            click.echo(f"report: {outcome.report}")
        if outcome.error:
            click.echo(f"error: {outcome.error}", err=True)
        raise click.exceptions.Exit(outcome.status)


def _check_report(report: Path | None, root: str, *, wait: bool) -> None:
    """Raises ExperimentError where the report couldn't be fetched in the end."""
    if report and not wait:
        raise ExperimentError("--report: only with --wait, since the report is there at the end")
    if report and not is_remote(root) and not Path(root).is_dir():
        raise ExperimentError(
            f"--report: {root} is on a volume of the cluster, not here, so no report can be fetched from it; leave --report "
            "out, and take the report from the UI, where it is an artifact of publish"
        )


def _check(experiment: Experiment, root: str) -> None:
    """Raises ExperimentError for what can only fail on the cluster, later and in many pods."""
    cluster = experiment.cluster
    _check_no_credentials(experiment, root)
    for name, path in (("--root", root), ("dataset.path", experiment.dataset.path)):
        if path is None or is_remote(path):
            continue
        if not path.startswith("/"):
            raise ExperimentError(f"{name} {path}: pods can't see a relative path; use gs://, s3:// or one on cluster.volumes")
        if not cluster.holds(path):
            raise ExperimentError(
                f"{name} {path}: on none of the pods' volumes; use gs:// or s3://, or mount a claim that holds it: "
                "--set 'cluster.volumes=[{claim: NAME, path: /mnt/runs}]'"
            )
    missing = [f"--{key.replace('_', '-')}" for key in ("cpu_image", "gpu_image") if getattr(cluster, key) is None]
    if missing:
        raise ExperimentError(
            f"{' and '.join(missing)}: missing; build and push the images (images/README.md), then give --registry, or name "
            "them here or in the experiment's cluster section"
        )


def _check_no_credentials(experiment: Experiment, root: str) -> None:
    """The host keeps an experiment, and shows it to all who may see the run."""
    places = [*(["--root"] if holds_userinfo(root) else []), *userinfo_places(experiment.model_dump(mode="json"))]
    places += [f"beam.options {name}" for name in credential_options(experiment.beam.options)]
    if places:
        raise ExperimentError(
            f"{', '.join(places)}: credentials are never given by value, since the host keeps and shows the experiment; put "
            "them into a Kubernetes secret, named in cluster.secrets"
        )
