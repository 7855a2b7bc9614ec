"""``helmholtz status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from helmholtz.cli.access import access, access_options
from helmholtz.cli.options import json_option

if TYPE_CHECKING:
    from helmholtz_pipelines.runs import Run, Task


@click.command(name="status")
@click.argument("run_id", metavar="RUN_ID")
@access_options
@json_option
def command(
    run_id: str,
    host: str,
    namespace: str | None,
    token_env: str | None,
    ca_cert: str | None,
    allow_http: bool,
    as_json: bool,
) -> None:
    """Say how far a run on a Kubeflow Pipelines host is: every task with its state, its time and its error.

    \b
    Example:
      helmholtz status 1b4e28ba-2fa1-11d2-883f-0016d3cca427 --host http://localhost:8080
    """
    from helmholtz_pipelines.runs import open_run

    _, run = open_run(access(host, namespace, token_env, ca_cert, allow_http), run_id)
    if as_json:
        _print_json(run)
    else:
        print_run(run)


def _print_json(run: Run) -> None:
    import json

    tasks = [
        {"name": t.name, "state": t.state, "seconds": t.seconds, "error": t.error or None, "advice": run.advice(t) or None}
        for t in run.tasks
    ]
    facts = {"run_id": run.id, "name": run.name, "state": run.state, "succeeded": run.succeeded, "finished": run.finished}
    words = {"error": run.error or None, "trouble": run.trouble or None, "url": run.url, "root": run.root}
    click.echo(json.dumps({**facts, **words, "tasks": tasks}, indent=2))


def print_run(run: Run) -> None:
    """Prints a line a task, with what is wrong and what to do below it."""
    click.echo(f"{run.name}: {_state(run)}{f', {run.error}' if run.error else ''}\n{run.url}\n")
    width = max((len(task.name) for task in run.tasks), default=0)
    for task in run.tasks:
        click.echo(f"{task.name:<{width}}  {task.state.lower():<9}  {_time(task)}".rstrip())
        for line in (task.error, run.advice(task)):
            if line:
                click.echo(f"{'':<{width}}  {line}")
    if not run.tasks:
        click.echo("no task has begun yet")
    if run.trouble:
        click.echo(run.trouble)
    if run.failed:
        click.echo(f"\nwhy, says: helmholtz logs {run.id}")


def _state(run: Run) -> str:
    state = run.state.lower()
    return f"{state}, but {len(run.failed)} of its tasks failed" if run.failed and run.state == "SUCCEEDED" else state


def _time(task: Task) -> str:
    if task.seconds is None:
        return ""
    minutes, seconds = divmod(round(task.seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
