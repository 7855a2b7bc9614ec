"""Waits for a run on a cluster: progress as it goes, the report at its end, and why it failed if it did."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from helmholtz.cli.access import TOKEN
from helmholtz.errors import HelmholtzError
from helmholtz.experiment import Experiment
from helmholtz.progress import read_progress
from helmholtz.storage import is_remote, open_store

if TYPE_CHECKING:
    import kfp

    from helmholtz_pipelines.host import Access
    from helmholtz_pipelines.runs import Run

_PATIENCE = 6  # looks that may fail in a row: a forwarded port breaks now and then, the run doesn't


def wait_for(
    access: Access, run_id: str, experiment: Experiment, root: str, report: Path | None, poll: float, *, quiet: bool
) -> dict[str, object]:
    """Looks every `poll` seconds until the run has ended. Returns its facts.

    Raises HelmholtzError if it failed, with the reasons that its tasks give, after fetching what report there is.
    """
    from helmholtz_pipelines.host import connect

    client = connect(access)
    try:
        run = _watch(client, access, run_id, _Trials(experiment, root), poll, quiet=quiet)
    except KeyboardInterrupt:
        click.echo(f"the run goes on; see it with: helmholtz status {run_id} --host {access.host}", err=True)
        raise click.exceptions.Exit(130) from None
    fetched = _fetch(root, report) if report else None
    if not run.succeeded:
        raise HelmholtzError(_why(client, access, run))
    if fetched and not quiet:
        click.echo(f"report: {fetched}")
    return {"state": run.state, "report": str(fetched) if fetched else None}


class _Trials:
    """What the run root says of trials and epochs, where it can be read from here; looked up beside the waiting.

    A store that isn't ours to read takes Google's client two minutes to give up on.
    """

    def __init__(self, experiment: Experiment, root: str) -> None:
        self.sentence = ""
        self._experiment, self._root = experiment, root
        self._readable = is_remote(root) or Path(root).is_dir()
        self._looking: threading.Thread | None = None

    def update(self) -> str:
        """The last that is known; begins to look for news unless that is still under way."""
        if self._readable and not (self._looking and self._looking.is_alive()):
            self._looking = threading.Thread(target=self._look, daemon=True)
            self._looking.start()
        return self.sentence

    def _look(self) -> None:
        try:
            progress = read_progress(open_store(self._root), self._experiment)
        except HelmholtzError:
            self._readable = False  # the host's own word must do
            return
        if progress is not None:
            self.sentence = (
                f"; {progress.shards}/{progress.shards_total} shards, {progress.trials}/{progress.trials_total} trials, "
                f"{progress.epochs:.0f}/{progress.epochs_total} epochs"
            )


def _watch(client: kfp.Client, access: Access, run_id: str, trials: _Trials, poll: float, *, quiet: bool) -> Run:
    from helmholtz_pipelines.host import is_refusal
    from helmholtz_pipelines.runs import read_run

    console = Console(stderr=True, highlight=False, quiet=quiet)
    started, failures, shown = time.monotonic(), 0, ""
    with console.status("waiting for the run to begin") as status:
        while True:
            try:
                run = read_run(client, access, run_id)
                failures = 0
            except HelmholtzError as error:
                failures += 1
                if failures >= _PATIENCE or is_refusal(error.__cause__, 401):
                    raise HelmholtzError(
                        f"{error}\nThe run goes on: helmholtz status {run_id} --host {access.host} (a token in ${TOKEN})"
                    ) from error
                time.sleep(poll)
                continue
            if run.finished:
                return run
            told = "\n".join([f"{run.summary()}{trials.update()}", *_troubles(run)])
            if told != shown:
                shown = told
                if console.is_terminal:
                    status.update(told)
                else:
                    console.print(f"[{time.monotonic() - started:5.0f} s] {told}", markup=False, soft_wrap=True)
            time.sleep(poll)


def _troubles(run: Run) -> list[str]:
    """What keeps tasks that haven't ended from going on, once each."""
    troubles = {f"{task.name}: {run.advice(task)}" for task in run.tasks if task.ended is None and run.advice(task)}
    return sorted(troubles)


def _why(client: kfp.Client, access: Access, run: Run) -> str:
    from helmholtz_pipelines.runs import last_line, read_log

    lines = [f"the run has {run.state.lower()}: {run.url}" if run.state != "SUCCEEDED" else f"tasks have failed: {run.url}"]
    if run.error:
        lines.append(run.error)
    for task in run.failed:
        try:
            said = last_line(read_log(client, access, run, task))
        except HelmholtzError as error:
            said = task.error or str(error)
        lines.append(f"{task.name}: {said}")
        if run.advice(task):
            lines.append(f"{task.name}: {run.advice(task)}")
    return "\n".join(dict.fromkeys(lines))


def _fetch(root: str, report: Path) -> Path | None:
    """Copies the report out of the run root; says so where it can't."""
    if not is_remote(root) and not Path(root).is_dir():
        click.echo(
            f"{root}: on a volume of the cluster, not here; the report is in the UI, as an artifact of publish", err=True
        )
        return None
    try:
        page = open_store(root).read_bytes("report/report.html")
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_bytes(page)
    except (HelmholtzError, OSError) as error:
        click.echo(f"no report fetched: {error}", err=True)
        return None
    return report
