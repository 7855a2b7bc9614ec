"""Waits for a run on a cluster: progress as it goes, the report at its end, and why it failed if it did."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from helmholtz.cli.access import TOKEN
from helmholtz.errors import HelmholtzError
from helmholtz.experiment import Experiment
from helmholtz.progress import read_progress
from helmholtz.published import read_published
from helmholtz.storage import is_remote, open_store

if TYPE_CHECKING:
    import kfp

    from helmholtz_pipelines.host import Access
    from helmholtz_pipelines.runs import Run

STOPPED_WAITING = 124  # exit status, that of timeout(1): how the run ends isn't known
_LONGEST_PAUSE = 60.0  # seconds between two looks that fail, at most


@dataclass(frozen=True, slots=True)
class Waiting:
    """How to wait for a run. Times are in seconds."""

    poll: float  # between two looks
    patience: float  # for a host that can't be asked, since the last look that went well
    timeout: float | None  # for the run's end, in all; None: none
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How waiting has ended."""

    state: str | None  # the run's, when it was last seen; None: never
    error: str | None = None  # None: all went well
    report: Path | None = None  # where it was written, if it was asked for
    status: int = 0  # exit status: 1 where the run or its report failed, STOPPED_WAITING, or 130 after an interrupt


class _StoppedError(HelmholtzError):
    """The run goes on, or may."""


def wait_for(access: Access, run_id: str, experiment: Experiment, root: str, report: Path | None, waiting: Waiting) -> Outcome:
    """Looks at the run until it has ended; then fetches its report, into `report`."""
    watch = _Watch(access, run_id, waiting, _Trials(experiment, root))
    again = f"the run goes on: helmholtz status {run_id} --host {access.host}"
    try:
        client, run = watch.until_its_end()
    except KeyboardInterrupt:
        return Outcome(watch.state, again, status=130)
    except _StoppedError as error:
        return Outcome(watch.state, f"{error}; {again} (a token in ${TOKEN})", status=STOPPED_WAITING)
    except HelmholtzError as error:
        return Outcome(watch.state, str(error), status=1)
    errors, fetched = [] if run.succeeded else [_why(client, access, run)], None
    if report:
        try:
            fetched = _fetch(root, run_id, report)
        except HelmholtzError as error:
            errors.append(f"no report fetched: {error}")
    return Outcome(run.state, "\n".join(errors) or None, fetched, status=1 if errors else 0)


class _Trials:
    """What the run root says of trials and epochs, where it can be read from here; looked up beside the waiting.

    A store that isn't ours to read may take its client many seconds to give up on.
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


class _Watch:
    """Looks at a run, again and again, and says what changes."""

    def __init__(self, access: Access, run_id: str, waiting: Waiting, trials: _Trials) -> None:
        self.state: str | None = None  # when last seen
        self._access, self._run_id, self._waiting, self._trials = access, run_id, waiting, trials
        self._client: kfp.Client | None = None
        self._began = self._seen = time.monotonic()
        self._shown = ""

    def until_its_end(self) -> tuple[kfp.Client, Run]:
        """The run, ended. Raises _StoppedError where that can't be waited for, HelmholtzError where the run is no more."""
        waiting, failures = self._waiting, 0
        console = Console(stderr=True, highlight=False, quiet=waiting.quiet)
        with console.status("waiting for the run to begin") as status:
            while True:
                try:
                    client, run = self._look()
                except HelmholtzError as error:
                    failures += 1
                    self._bear(error)
                else:
                    failures = 0
                    if run.finished:
                        return client, run
                    self._tell(run, console, status.update)
                self._pause(failures)

    def _look(self) -> tuple[kfp.Client, Run]:
        from helmholtz_pipelines.host import connect
        from helmholtz_pipelines.runs import read_run

        self._client = self._client or connect(self._access)
        run = read_run(self._client, self._access, self._run_id)
        self.state, self._seen = run.state, time.monotonic()
        return self._client, run

    def _bear(self, error: HelmholtzError) -> None:
        """A look that failed: a forwarded port breaks now and then, the run doesn't."""
        from helmholtz_pipelines.host import is_missing, is_refusal

        if is_missing(error.__cause__):
            raise error
        if is_refusal(error.__cause__, 401) or is_refusal(error.__cause__, 403):
            raise _StoppedError(str(error)) from error
        unseen = time.monotonic() - self._seen
        if unseen >= self._waiting.patience:
            raise _StoppedError(f"{error} (for {unseen:.0f} seconds, --patience)") from error

    def _tell(self, run: Run, console: Console, update: object) -> None:
        told = "\n".join([f"{run.summary()}{self._trials.update()}", *_troubles(run)])
        if told == self._shown:
            return
        self._shown = told
        if console.is_terminal and callable(update):
            update(Text(told))  # no markup: it is the host's
        else:
            console.print(f"[{time.monotonic() - self._began:5.0f} s] {told}", markup=False, soft_wrap=True)

    def _pause(self, failures: int) -> None:
        """Until the next look, later after each that failed; an end of waiting isn't slept through."""
        now, waiting = time.monotonic(), self._waiting
        left = [waiting.timeout - (now - self._began)] if waiting.timeout is not None else []
        if left and left[0] <= 0:
            raise _StoppedError(f"the run hasn't ended within {waiting.timeout:.0f} seconds (--timeout)")
        if failures:
            left.append(max(0.0, waiting.patience - (now - self._seen)))
        pause = min(waiting.poll * 2 ** min(failures, 10), max(waiting.poll, _LONGEST_PAUSE))
        time.sleep(min([pause, *left]))


def _troubles(run: Run) -> list[str]:
    """What keeps the run, or tasks that haven't ended, from going on, once each."""
    troubles = {f"{task.name}: {run.advice(task)}" for task in run.tasks if task.ended is None and run.advice(task)}
    return [*filter(None, [run.trouble]), *sorted(troubles)]


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


def _fetch(root: str, run_id: str, report: Path) -> Path:
    page = read_published(open_store(root), run_id)
    try:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_bytes(page)
    except OSError as error:
        raise HelmholtzError(f"{report}: can't be written: {error.strerror}") from error
    return report
