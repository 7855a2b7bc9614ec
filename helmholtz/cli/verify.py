"""``helmholtz verify``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from helmholtz.cli.options import json_option
from helmholtz.storage import open_store

SHOWN = 20


@click.command(name="verify")
@click.argument("root", metavar="ROOT")
@json_option
@click.pass_context
def command(context: click.Context, root: str, as_json: bool) -> None:
    """Check a whole run root again: is all that lies there what it says it is?

    Reads every shard (checksums, records, labels, counts), checks that no record and no content is in two splits, that
    every result is of its trial and its data, and that the report follows from the results. Changes nothing. Exits with
    status 0 if nothing is wrong, 1 if something is.

    \b
    Examples:
      helmholtz verify helmholtz-runs/quickstart
      helmholtz verify gs://bucket/runs/mine --json
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from helmholtz.verify import verify

    console = Console(stderr=True, quiet=as_json)
    columns = (TextColumn("checking"), BarColumn(bar_width=32), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        done = verify(open_store(root), on_checked=lambda read, total: bar.update(task, completed=read, total=total))
    if as_json:
        click.echo(json.dumps(asdict(done), indent=2))
    else:
        checked = ", ".join(f"{count:,} {what if count != 1 else what[:-1]}" for what, count in done.checked.items())
        click.echo(f"{done.uri}: checked {checked}.")
        if done.missing:
            planned = f"{done.missing} of the {done.trials} trials planned in this root"
            click.echo(f"{planned} have no result: run their experiment to go on.")
        _list("not of a run, and left alone", done.foreign)
        _list("of a run under way, or one that was stopped", done.unfinished)
        for problem in done.problems:
            click.echo(f"wrong: {problem}")
        problems = len(done.problems) + done.unlisted
        more = f" ({done.unlisted} of them not listed)" if done.unlisted else ""
        click.echo(f"{problems} {'problem' if problems == 1 else 'problems'}{more}." if problems else "Nothing is wrong.")
    context.exit(1 if done.problems else 0)


def _list(what: str, keys: tuple[str, ...]) -> None:
    if keys:
        more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
        click.echo(f"{len(keys)} files {what}: {', '.join(keys[:SHOWN])}{more}.")
