"""``helmholtz export``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from helmholtz.cli.options import json_option
from helmholtz.errors import ExperimentError
from helmholtz.levels import parse_level
from helmholtz.storage import open_store


@click.command(name="export")
@click.argument("root", metavar="ROOT")
@click.argument("destination", metavar="DEST")
@click.option("--level", metavar="LEVEL", help="none, a JPEG quality, or an MP3 bitrate.  [default: the recommended one]")
@json_option
def command(root: str, destination: str, level: str | None, as_json: bool) -> None:
    """Copy a level's shards out of a run root, as a data set to train on.

    DEST, a folder, gs://bucket/prefix or s3://bucket/prefix, gets the shards of the level that the report recommends, each
    checked against its SHA-256, with a card (README.md), the report, and read.py, a tf.data reader that needs no helmholtz.
    Repeated, a stopped export goes on. What isn't of this export is never overwritten, nor a document that you have changed.

    \b
    Examples:
      helmholtz export helmholtz-runs/quickstart photographs-50
      helmholtz export gs://bucket/runs/mine gs://bucket/sets/mine-25 --level 25
    """
    try:
        chosen = None if level is None else parse_level(level)
    except ValueError as error:
        raise ExperimentError(f"--level {level}: {error}") from error
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from helmholtz.export import export

    console = Console(stderr=True, quiet=as_json)
    columns = (TextColumn("copying"), BarColumn(bar_width=32), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        done = export(
            open_store(root),
            open_store(destination),
            chosen,
            on_copied=lambda copied, total: bar.update(task, completed=copied, total=total),
        )
    if as_json:
        click.echo(json.dumps(asdict(done), indent=2))
        return
    edited = f"\nChanged since they were written, and so left as they are: {', '.join(done.edited)}." if done.edited else ""
    counts = ", ".join(f"{count:,} {split}" for split, count in done.records.items())
    click.echo(
        f"{done.uri}: {done.label}, {counts} records in {done.shards} shards, {done.nbytes:,} bytes "
        f"({done.kept} shards were there already).\nRead them: {done.uri}/read.py; what they are: {done.uri}/README.md{edited}"
    )
