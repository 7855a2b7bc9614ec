"""``helmholtz logs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from helmholtz.cli.access import access, access_options
from helmholtz.errors import HelmholtzError

if TYPE_CHECKING:
    from helmholtz_pipelines.runs import Run, Task


@click.command(name="logs")
@click.argument("run_id", metavar="RUN_ID")
@click.argument("task", metavar="[TASK]", required=False)
@click.option("--full", is_flag=True, help="The whole log, not just the line that says why it failed.")
@access_options
def command(
    run_id: str,
    task: str | None,
    full: bool,
    host: str,
    namespace: str | None,
    token_env: str | None,
    ca_cert: str | None,
    allow_http: bool,
) -> None:
    """Print why a run's task failed: of TASK, or of the tasks that failed.

    Where the host serves no logs, it says the kubectl command that does.

    \b
    Examples:
      helmholtz logs 1b4e28ba-2fa1-11d2-883f-0016d3cca427 --host http://localhost:8080
      helmholtz logs 1b4e28ba-2fa1-11d2-883f-0016d3cca427 compress --full --host http://localhost:8080
    """
    from helmholtz_pipelines.runs import last_line, open_run, read_log

    where = access(host, namespace, token_env, ca_cert, allow_http)
    client, run = open_run(where, run_id)
    for chosen in _chosen(run, task):
        log = read_log(client, where, run, chosen)
        click.echo(log if full else f"{chosen.name}: {last_line(log)}")


def _chosen(run: Run, name: str | None) -> tuple[Task, ...]:
    found = tuple(task for task in run.tasks if (task.state == "FAILED" if name is None else task.name == name))
    if not found:
        names = ", ".join(dict.fromkeys(task.name for task in run.tasks)) or "none yet"
        problem = "no task of this run has failed" if name is None else f"{name}: no such task in this run"
        raise HelmholtzError(f"{problem}; name one to see its log: {names}")
    return found
