"""The command line. Commands are imported when they are called, so that ``helmholtz --help`` answers at once."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from helmholtz import __version__
from helmholtz.errors import ExperimentError, HelmholtzError

# name -> what `helmholtz --help` says of it; the command is the function `command` of the module of that name.
COMMANDS = {
    "run": "Run an experiment on this machine, to its report.",
    "submit": "Send an experiment to a Kubeflow Pipelines host.",
    "status": "Say how far a run on a host is, and what is wrong with it.",
    "logs": "Say why a run's task failed, or print its log.",
    "plan": "Say what an experiment would do: trials, bytes, time. Runs nothing.",
    "report": "Rebuild the report from what a run root holds.",
    "export": "Copy a level's shards out of a run root, as a data set to train on.",
    "verify": "Check a run root again: shards, splits, results, report.",
    "compile": "Write the pipeline as Kubeflow IR YAML.",
    "bits": "Say how many bits per sample a codec's level leaves.",
    "experiments": "List the bundled experiments, or show one.",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"helmholtz.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # likewise
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HelmholtzError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(2 if isinstance(error, ExperimentError) else 1)
        except KeyboardInterrupt:
            said = "stopped; the same command goes on: what is finished is kept, and so is what a long trial has trained so far"
            click.echo(said, err=True)
            ctx.exit(130)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="helmholtz")
def cli() -> None:
    """Measure how much of an image or audio data set is noise for a classification task.

    The same data are compressed at many levels, the same networks are trained at each, and the level is found where
    accuracy starts to fall: what lies above it is noise, and need not be stored, moved or trained on.

    \b
    Start with real photographs, offline, in minutes:
      helmholtz run quickstart
    Then your own pictures, one folder a class:
      helmholtz run quickstart --set dataset.kind=image-folder --set dataset.path=PICTURES --root runs/mine
    """


def main() -> None:
    """Entry point of the console script."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's remarks about the machine aren't for our users
    sys.exit(cli())
