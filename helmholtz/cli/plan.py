"""``helmholtz plan``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from helmholtz.cli.options import experiment_options, json_option, load


@click.command(name="plan")
@experiment_options
@json_option
def command(experiment: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Say what an experiment would do: trials, bytes, time. Runs nothing, writes nothing.

    The bytes come from a sample of the records, encoded at every level; the time is a rough estimate for this machine.

    \b
    Examples:
      helmholtz plan quickstart
      helmholtz plan cifar10-jpeg --set dataset.path=/data/cifar-10-batches-bin --json
    """
    from helmholtz.forecast import forecast

    resolved = load(experiment, overrides)
    found = forecast(resolved)
    if as_json:
        facts = asdict(found) | {"index": found.index.model_dump(mode="json"), "experiment": resolved.model_dump(mode="json")}
        click.echo(json.dumps(facts, indent=2))
        return
    counts = ", ".join(f"{count} {split}" for split, count in found.index.records.items())
    click.echo(f"{resolved.name}: {found.index.description}")
    click.echo(
        f"records: {counts}; {len(found.index.classes)} classes; {found.index.rejected} set aside "
        "(damaged files only show when they are decoded)"
    )
    epochs = f"{resolved.training.epochs} epoch{'' if resolved.training.epochs == 1 else 's'}"
    click.echo(
        f"trials:  {found.trials} = {len(resolved.combinations)} (architecture, level) x {resolved.seeds} seeds, {epochs} each"
    )
    if resolved.refine.rounds:
        more = resolved.refine.rounds * resolved.refine.levels
        click.echo(
            f"then:    up to {more * resolved.seeds} trials more, at up to {more} levels around the drop, of one architecture "
            f"({resolved.refine.rounds} rounds of {resolved.refine.levels}); not counted below"
        )
    click.echo(f"\n{'level':>6} {'Q':>5} {'MB':>10} {'bits/sample':>12} {'smaller':>8}")
    for level in found.levels:
        click.echo(
            f"{level.level!s:>6} {level.quantisation:>5.2f} {level.nbytes / 1e6:>10.2f} "
            f"{level.bits_per_sample:>12.3f} {level.ratio:>7.3g}x"
        )
    click.echo(f"\nabout {_time(found.seconds)} on this machine (rough), {found.multiply_accumulates:.2e} multiply-accumulates")


def _time(seconds: float) -> str:
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds > 1.5 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
