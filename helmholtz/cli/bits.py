"""``helmholtz bits``."""

from __future__ import annotations

import json
from typing import Any

import click

from helmholtz.cli.options import json_option
from helmholtz.codecs.base import Codec
from helmholtz.errors import ExperimentError
from helmholtz.levels import NONE, Level, parse_level

ACCOUNTINGS = {"standard": "by the standard's tables", "paper": "as the paper printed it"}
DEFAULT_LEVELS = {
    "jpeg": ("100", "90", "75", "50", "25", "20", "15", "10", "5", "1"),
    "mp3": ("128", "96", "64", "32", "16", "8"),  # the paper's
}


@click.command(name="bits")
@click.option("--codec", "name", type=click.Choice(["jpeg", "mp3"]), default="jpeg", show_default=True)
@click.option(
    "--level",
    "levels",
    multiple=True,
    metavar="LEVEL",
    help="JPEG quality 1..100, or MP3 bitrate 8..320 in kbit/s; may be given many times.  [default: a range, or the paper's]",
)
@json_option
def command(name: str, levels: tuple[str, ...], as_json: bool) -> None:
    """Say how many bits per sample a codec's level loses and leaves, in theory.

    The theory is section 4.1 of the paper: 16 bits less the logarithm of the summed quantisation tables. It is a property
    of the level alone, not of any picture; what a run measures stands in its report.

    For MP3 the paper has no theory. What is said is what the level fixes: the sample rate it is coded at, and the bits that
    its bitrate allows for each frame (a frame is one sample of the one channel, 44,100 a second).

    \b
    Examples:
      helmholtz bits --codec jpeg --level 25
      helmholtz bits --codec mp3 --level 32
      helmholtz bits --json
    """
    row, say = (_mp3, _say_mp3) if name == "mp3" else (_jpeg, _say_jpeg)
    rows = [row(text) for text in levels or DEFAULT_LEVELS[name]]
    if as_json:
        click.echo(json.dumps({"codec": name, "levels": rows}, indent=2))
        return
    for each in rows:
        click.echo(say(each))
    if name == "mp3":
        click.echo("The paper has no theory of the bits that MP3 leaves; a run measures them.")


def _jpeg(text: str) -> dict[str, Any]:
    from helmholtz.codecs.jpeg import JpegCodec

    return _row(JpegCodec(subsampling="4:2:0", max_pixels=1), text)


def _say_jpeg(row: dict[str, Any]) -> str:
    parts = [
        f"{bits['lost']:.3f} bits lost, {bits['left']:.3f} left {ACCOUNTINGS[accounting]}"
        for accounting, bits in row["bits"].items()
    ]
    return f"jpeg quality {row['level']}: Q = {row['Q']:.2f}; {'; '.join(parts) or 'lossless'}"


def _mp3(text: str) -> dict[str, Any]:
    from helmholtz.audio import SAMPLE_RATE
    from helmholtz.codecs.mp3 import CODED_RATES, Mp3Codec

    row = _row(Mp3Codec(), text)
    level: Level = row["level"]
    if level == NONE:
        return row | {"coded_rate": SAMPLE_RATE, "bits_per_frame": None}
    return row | {"coded_rate": CODED_RATES[level], "bits_per_frame": 1000 * level / SAMPLE_RATE}


def _say_mp3(row: dict[str, Any]) -> str:
    from helmholtz.analysis.wording import kilohertz

    what = f"mp3 {row['level']}" if row["level"] == NONE else f"mp3 {row['level']} kbit/s"
    allowed = "lossless" if row["bits_per_frame"] is None else f"{row['bits_per_frame']:.3f} bits a frame allowed"
    return f"{what}: Q = {row['Q']:.4g}; coded at {kilohertz([row['coded_rate']])}; {allowed}"


def _row(codec: Codec, text: str) -> dict[str, Any]:
    try:
        level = parse_level(text)
        codec.check(level)
    except ValueError as error:
        raise ExperimentError(f"--level {text}: {error}") from error
    bits = {accounting: {"lost": b.lost, "left": b.left} for accounting, b in codec.bits(level).items()}
    return {"level": level, "Q": codec.quantisation(level), "bits": bits}
