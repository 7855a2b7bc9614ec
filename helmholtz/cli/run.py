"""``helmholtz run``."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from helmholtz.attempts import ERROR
from helmholtz.cli.options import default_root, experiment_options, json_option, load, root_option
from helmholtz.errors import HelmholtzError
from helmholtz.experiment import Experiment
from helmholtz.progress import Progress, count_reused, finished_pieces, read_progress
from helmholtz.sources import open_source
from helmholtz.storage import Store, is_remote, open_store


@click.command(name="run")
@experiment_options
@root_option
@click.option(
    "--parallel",
    type=click.IntRange(1, 2),
    help="Train tasks at once. Each has half of the processors, whether there is another or not: the sums of other numbers "
    "of threads are rounded otherwise.  [default: 2 where there are two]",
)
@json_option
def command(experiment: str, overrides: tuple[str, ...], root: str | None, parallel: int | None, as_json: bool) -> None:
    """Run an experiment on this machine, to its report.

    EXPERIMENT is a YAML file or the name of a bundled experiment (see `helmholtz experiments`). It runs the same Kubeflow
    pipeline that `helmholtz submit` sends to a cluster. Whatever the run root already holds is reused, so a stopped run
    goes on where it was, and a changed level redoes only that level.

    \b
    Examples:
      helmholtz run quickstart
      helmholtz run quickstart --set levels=[none,25,1] --set seeds=2
      helmholtz run mine.yaml --root gs://bucket/runs/mine
    """
    resolved = load(experiment, overrides)
    root = root or default_root(resolved)
    store = open_store(root)
    if not is_remote(root) and not Path(store.uri).exists():
        open_source(resolved.dataset)  # a wrong path is told before there is a root
    earlier = finished_pieces(store)
    started = time.monotonic()
    log = _log_path(store)
    with tempfile.TemporaryDirectory(prefix="helmholtz-") as folder:
        request = Path(folder, "experiment.json")
        request.write_text(resolved.to_json(), encoding="utf-8")
        status = _watch(store, resolved, _start(store, request, log, parallel), log, quiet=as_json)
    failure = _failure(log)
    after = read_progress(store, resolved)
    finished = after is not None and after.trials == after.trials_total and store.exists("report/report.html")
    if status != 0 or after is None or not finished:
        last = "" if failure else _last_words(log)
        reason = failure or f"the pipeline stopped before it was done{last}"
        when = "once that is mended, the same command" if failure or last else "the same command"
        raise HelmholtzError(f"{reason}\nThe whole log is in {log}. What is finished is kept: {when} goes on from here.")
    reused = count_reused(store, resolved, earlier)
    _conclude(store, after, reused, time.monotonic() - started, as_json=as_json)


def _start(store: Store, request: Path, log: Path, parallel: int | None) -> subprocess.Popen[bytes]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = min(2, cores)
    parallel = parallel or most
    environment = {**os.environ, "HELMHOLTZ_THREADS": str(cores // most), "PYTHONUNBUFFERED": "1"}
    environment["PYTHONSAFEPATH"] = "1"  # what lies where the command is called, as a clone's helmholtz/, isn't imported
    arguments = [sys.executable, "-m", "helmholtz_pipelines.local", store.uri, str(request), f"--parallelism={parallel}"]
    arguments += [f"--parent={os.getpid()}"]
    with log.open("ab") as output:  # in a session of its own: what it starts ends with it, see _stop
        return subprocess.Popen(  # noqa: S603  # our own module
            arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the pipeline and all that it has started, such as the train processes, which would go on without it."""
    for way in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, way)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)


def _terminated(*_: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def _log_path(store: Store) -> Path:
    folder = Path(tempfile.gettempdir(), "helmholtz-logs") if is_remote(store.uri) else Path(store.uri, "logs")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HelmholtzError(f"{folder}: can't write here: {error.strerror}; choose another --root") from error
    return folder / time.strftime("run-%Y%m%d-%H%M%S.log")


def _watch(store: Store, experiment: Experiment, process: subprocess.Popen[bytes], log: Path, *, quiet: bool) -> int:
    """Shows progress until the process ends. Returns its exit status."""
    from helmholtz.cli.display import Display

    display = Display(experiment, store.uri, log, quiet=quiet)
    signal.signal(signal.SIGTERM, _terminated)  # as an interruption is: by default it would leave the pipeline running
    try:
        with display:
            while process.poll() is None:
                display.update(_peek(store, experiment))
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.5 if not is_remote(store.uri) else 5)
            display.update(_peek(store, experiment))
    except BaseException:
        _stop(process)
        raise
    return process.returncode


def _peek(store: Store, experiment: Experiment) -> Progress | None:
    try:
        return read_progress(store, experiment)
    except HelmholtzError:
        return None  # being written this very moment; the pipeline itself will say if it is really broken


def _failure(log: Path) -> str | None:
    """The last error that a stage explained in the log."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    starts = [number for number, line in enumerate(lines) if ERROR in line]
    if not starts:
        return None
    last = lines[starts[-1] :]
    rest = [line.strip() for line in last[1:11]]
    end = next((n for n, line in enumerate(rest) if not line or "[KFP" in line or " - " in line[:20]), len(rest))
    return "\n".join([last[0].split(ERROR, 1)[1], *rest[:end]])


def _last_words(log: Path) -> str:
    """The exception that ended the pipeline itself, for the end of a sentence; nothing if it left none."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return f": {lines[-1][:500]}" if lines and re.match(r"[\w.]*(Error|Exception)\b", lines[-1]) else ""


def _conclude(store: Store, after: Progress, reused: tuple[int, int], seconds: float, *, as_json: bool) -> None:
    report = json.loads(store.read_bytes("report/report.json"))
    sentence = report["recommendation"]["sentence"]
    shards, kept = reused
    places = {
        "report": f"{store.uri}/report/report.html",
        "table": f"{store.uri}/report/curves.csv",
        "tensorboard": f"{store.uri}/tensorboard",
    }
    aside = report["rejected"]["records"]
    if as_json:
        facts = {"root": store.uri, "seconds": round(seconds, 1), "trials": after.trials_total, "trials_kept": kept}
        facts["records_set_aside"] = aside
        click.echo(json.dumps({**facts, "recommendation": sentence, **places}, indent=2))
        return
    click.echo(
        f"Done in {seconds:.0f} s: {after.trials_total} trials ({kept} kept from before), "
        f"{after.shards_total} shards ({shards} kept from before)."
    )
    if aside:
        were = "1 record could not be used and was" if aside == 1 else f"{aside} records could not be used and were"
        click.echo(f"{were} set aside; the report lists the reasons.")
    click.echo(f"\n{sentence}\n")
    click.echo(f"Report:      {places['report']}\nTable:       {places['table']}")
    click.echo(f"TensorBoard: tensorboard --logdir {places['tensorboard']}")
