"""``helmholtz report``."""

from __future__ import annotations

import click

from helmholtz.cli.options import json_option
from helmholtz.stages import latest_plan
from helmholtz.storage import open_store


@click.command(name="report")
@click.argument("root", metavar="ROOT")
@click.option(
    "--margin",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    help="Tolerated loss of accuracy: 0.01 is one point.",
)
@click.option("--confidence", type=click.FloatRange(0.5, 1, min_open=True, max_open=True))
@json_option
def command(root: str, margin: float | None, confidence: float | None, as_json: bool) -> None:
    """Rebuild the report from what a run root holds, finished or not. Trains nothing.

    \b
    Examples:
      helmholtz report helmholtz-runs/quickstart
      helmholtz report gs://bucket/runs/mine --margin 0.02 --json
    """
    store = open_store(root)
    planned = latest_plan(store)
    experiment = planned.experiment
    changes = {k: v for k, v in {"margin": margin, "confidence": confidence}.items() if v is not None}
    experiment = experiment.model_copy(update={"analysis": experiment.analysis.model_copy(update=changes)})
    from helmholtz.report.publish import publish
    from helmholtz.training.importing import import_tensorflow

    import_tensorflow(quietly=True)
    report = publish(store, experiment, planned.dataset)
    if as_json:
        click.echo(store.read_bytes("report/report.json").decode())
    else:
        click.echo(f"{report.recommendation.sentence}\n\nReport: {store.uri}/report/report.html")
