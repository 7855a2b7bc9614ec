"""``helmholtz experiments``."""

from __future__ import annotations

import json

import click

from helmholtz.cli.options import json_option
from helmholtz.experiment import as_tree
from helmholtz.experiment_file import bundled, load_experiment


@click.command(name="experiments")
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the bundled experiments, or show one with every key and default, as a start for your own.

    \b
    Examples:
      helmholtz experiments
      helmholtz experiments quickstart > mine.yaml
    """
    if name is None:
        names = bundled()
        click.echo(json.dumps(names, indent=2) if as_json else "\n".join(f"{n}: {text}" for n, text in names.items()))
        return
    tree = as_tree(load_experiment(name))
    if as_json:
        click.echo(json.dumps(tree, indent=2))
        return
    import yaml

    click.echo(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), nl=False)
