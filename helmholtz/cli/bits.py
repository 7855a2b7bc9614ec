"""``helmholtz bits``."""

from __future__ import annotations

import json
from typing import Any

import click

from helmholtz.cli.options import json_option
from helmholtz.codecs.base import Codec
from helmholtz.errors import ExperimentError
from helmholtz.levels import Level, parse_level

ACCOUNTINGS = {"standard": "by the standard's tables", "paper": "as the paper printed it"}


@click.command(name="bits")
@click.option("--codec", "name", type=click.Choice(["jpeg"]), default="jpeg", show_default=True)
@click.option(
    "--level",
    "levels",
    multiple=True,
    metavar="LEVEL",
    help="JPEG quality 1..100; may be given many times.  [default: a range]",
)
@json_option
def command(name: str, levels: tuple[str, ...], as_json: bool) -> None:  # noqa: ARG001  # one codec so far
    """Say how many bits per sample a codec's level loses and leaves, in theory.

    The theory is section 4.1 of the paper: 16 bits less the logarithm of the summed quantisation tables. It is a property
    of the level alone, not of any picture; what a run measures stands in its report.

    \b
    Examples:
      helmholtz bits --codec jpeg --level 25
      helmholtz bits --json
    """
    from helmholtz.codecs.jpeg import JpegCodec

    codec: Codec = JpegCodec(subsampling="4:2:0", max_pixels=1)
    rows = [_row(codec, _level(codec, text)) for text in levels or ("100", "90", "75", "50", "25", "20", "15", "10", "5", "1")]
    if as_json:
        click.echo(json.dumps({"codec": "jpeg", "levels": rows}, indent=2))
        return
    for row in rows:
        parts = [
            f"{bits['lost']:.3f} bits lost, {bits['left']:.3f} left {ACCOUNTINGS[accounting]}"
            for accounting, bits in row["bits"].items()
        ]
        click.echo(f"jpeg quality {row['level']}: Q = {row['Q']:.2f}; {'; '.join(parts) or 'lossless'}")


def _level(codec: Codec, text: str) -> Level:
    try:
        level = parse_level(text)
        codec.check(level)
    except ValueError as error:
        raise ExperimentError(f"--level {text}: {error}") from error
    return level


def _row(codec: Codec, level: Level) -> dict[str, Any]:
    bits = {accounting: {"lost": b.lost, "left": b.left} for accounting, b in codec.bits(level).items()}
    return {"level": level, "Q": codec.quantisation(level), "bits": bits}
