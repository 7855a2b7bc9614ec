"""Live progress of a run: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from helmholtz.experiment import Experiment
from helmholtz.progress import Progress

LINE_SECONDS = 15.0  # how often a line is printed where there is no terminal
ENOUGH = 0.03  # share of the epochs from which on the time left can be told: the first ones hold the start of TensorFlow


class Display:
    """Shows `Progress` on standard error, with the time left as estimated from the epochs trained so far."""

    def __init__(self, experiment: Experiment, root: str, log: Path, *, quiet: bool) -> None:
        self._console = Console(stderr=True, highlight=False, quiet=quiet)
        self._bars = Bars(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._started = time.monotonic()
        self._first: tuple[float, float] | None = None  # (time, epochs) when training of this run began to move
        self._last_line = 0.0
        self._compress = self._bars.add_task("compress", total=None, note="listing the data set")
        self._train = self._bars.add_task("train", total=None, note="")
        self._console.print(
            f"{experiment.name}: {experiment.description or experiment.dataset.kind}", markup=False, soft_wrap=True
        )
        self._console.print(f"run root {root}, log {log}", style="dim", markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    def update(self, progress: Progress | None) -> None:
        """Shows where the run is; None while it isn't planned yet."""
        if progress is None:
            return
        compressed = progress.shards == progress.shards_total
        trained = progress.trials == progress.trials_total
        stage = "compressing" if not compressed else "training" if not trained else "analysing"
        refining = f"refining: {progress.refining}" if progress.refining and not trained else ""
        after = "looking where to refine" if progress.more else "writing the report"
        note = after if trained else self._time_left(progress) if compressed else ""
        epochs = f"{progress.epochs:.0f} of {progress.epochs_total} epochs"
        self._bars.update(self._compress, completed=progress.shards, total=progress.shards_total, note="shards")
        self._bars.update(
            self._train,
            completed=progress.trials,
            total=progress.trials_total,
            note=", ".join(part for part in ("trials", epochs, refining, note) if part),
        )
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line > LINE_SECONDS:
            self._last_line = now
            self._console.print(
                f"[{now - self._started:4.0f} s] {refining or stage}: {progress.shards}/{progress.shards_total} shards, "
                f"{progress.trials}/{progress.trials_total} trials, {progress.epochs:.0f}/{progress.epochs_total} epochs"
                f"{', ' + note if note else ''}",
                markup=False,
                soft_wrap=True,
            )

    def _time_left(self, progress: Progress) -> str:
        now = time.monotonic()
        if self._first is None or progress.epochs < self._first[1]:  # less than before: what a stopped trial left was dropped
            self._first = (now, progress.epochs)
        since, already = self._first
        done = progress.epochs - already
        if done < max(1.0, ENOUGH * (progress.epochs_total - already)):
            return ""
        left = (progress.epochs_total - progress.epochs) * (now - since) / done
        return f"about {left / 60:.0f} min left" if left > 90 else f"about {left:.0f} s left"
