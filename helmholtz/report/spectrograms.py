"""The same test clips at every level, as the networks get them: log-mel spectrograms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from helmholtz.analysis.table import Run
from helmholtz.audio import SAMPLE_RATE
from helmholtz.report.clips import SECONDS, PickedClip
from helmholtz.report.picks import Shown, level_facts, short, unwritten
from helmholtz.report.picture import Picture, Undrawn, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "The same clips at every level"
ROW_INCHES = 1.05
TOP_INCHES, BOTTOM_INCHES = 0.35, 0.45
KILOHERTZ = (0.5, 2, 5, 10, 20)  # of the ticks
COLOURS = "magma"  # perceptually uniform, and its lightness alone tells the order


def spectrograms(run: Run, shown: Shown[PickedClip]) -> Picture | Undrawn:
    """The picked clips in columns, one row a level, on one scale of colours."""
    if shown.lacking:
        return Undrawn("spectrograms", TITLE, shown.lacking)
    longer = f", the first {SECONDS:g} seconds" if run.experiment.mp3.seconds > SECONDS else ""
    rows = ", ".join(str(level) for level in shown.levels)
    return draw(
        "spectrograms",
        title=TITLE,
        size=(8.6, TOP_INCHES + ROW_INCHES * len(shown.levels) + BOTTOM_INCHES),
        wide=True,
        paint=lambda figure: _paint(figure, run, shown),
        alt=f"Log-mel spectrograms of {len(shown.names)} test clips ({', '.join(shown.names)}) at the levels {rows}.",
        caption=f"{len(shown.names)} test clips, picked by seed and spread over the classes, one row a level: log-mel "
        f"spectrograms in decibels, as the networks get them{longer}, all in the same colours. MP3 at low bitrates is coded at "
        "a lower sample rate, and holds nothing above half of it. Bytes are means of the test files, headers included; bits a "
        f"{run.codec.sample} count coded content alone.{unwritten(run)}",
    )


def band(hertz: float) -> float:
    """Where a frequency stands among the spectrogram's 96 rows: the centre of row n is at n (HTK's mel scale, to 22.05 kHz)."""
    from helmholtz.training.features import MELS

    return (MELS + 1) * math.log1p(hertz / 700) / math.log1p(SAMPLE_RATE / 2 / 700) - 1


def _paint(figure: Figure, run: Run, shown: Shown[PickedClip]) -> None:
    # Placed by hand: of so many axes, the layout engine's solver gives positions that differ in the last digit, run by run.
    figure.set_layout_engine("none")
    height = figure.get_figheight()
    top, bottom = 1 - TOP_INCHES / height, BOTTOM_INCHES / height
    grid = figure.add_gridspec(
        len(shown.levels), len(shown.names) + 1, width_ratios=[0.84, *(1 for _ in shown.names)],
        left=0.012, right=0.915, bottom=bottom, top=top, wspace=0.08, hspace=0.1,
    )  # fmt: skip
    limits = _limits(shown)
    image = None
    for row, (level, clips) in enumerate(shown.levels.items()):
        text = figure.add_subplot(grid[row, 0])
        text.axis("off")
        label, facts = level_facts(run, level)
        text.text(0, 0.66, label, weight="bold", va="bottom", transform=text.transAxes)
        text.text(0, 0.62, facts, va="top", fontsize=8, transform=text.transAxes)
        for column, (name, clip) in enumerate(zip(shown.names, clips, strict=True)):
            axes = figure.add_subplot(grid[row, column + 1])
            image = _draw_clip(axes, clip, limits) or image
            axes.tick_params(labelsize=7, length=2, pad=2, labelleft=column == 0, labelbottom=row == len(shown.levels) - 1)
            if row == 0:
                axes.set_title(short(name, 18), fontsize=8)
    figure.text(0.5, 0.06 / height, "time (s); upwards: frequency (kHz, mel scale)", ha="center", va="bottom", fontsize=8)
    if image is not None:
        # As high as three rows at most: of twenty rows it would be a long way from its label to its ends.
        high = min(top - bottom, 3 * ROW_INCHES / height)
        bar = figure.colorbar(image, cax=figure.add_axes((0.928, top - high, 0.014, high)))
        bar.ax.tick_params(labelsize=7, length=2, pad=2)
        bar.set_label("power (dB)", fontsize=8)


def _draw_clip(axes: Axes, clip: PickedClip | None, limits: tuple[float, float]) -> Any:
    from matplotlib.ticker import MaxNLocator

    from helmholtz.training.features import HOP

    axes.grid(visible=False)
    if clip is None:
        axes.text(0.5, 0.5, "missing", ha="center", va="center", fontsize=8, transform=axes.transAxes)
        axes.set_xticks([])
        axes.set_yticks([])
        return None
    bands, columns = clip.decibels.shape
    across = ((-0.5) * HOP / SAMPLE_RATE, (columns - 0.5) * HOP / SAMPLE_RATE)  # a column stands for the middle of its window
    image = axes.imshow(
        clip.decibels, origin="lower", aspect="auto", cmap=COLOURS, vmin=limits[0], vmax=limits[1],
        extent=(*across, -0.5, bands - 0.5),
    )  # fmt: skip
    axes.set_xlim(0, len(clip.samples) / SAMPLE_RATE)
    axes.set_yticks([band(1000 * frequency) for frequency in KILOHERTZ], [f"{frequency:g}" for frequency in KILOHERTZ])
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], prune="upper"))  # the last would meet the next 0
    return image


def _limits(shown: Shown[PickedClip]) -> tuple[float, float]:
    values = [clip.decibels for clips in shown.levels.values() for clip in clips if clip is not None]
    low = min((float(np.min(value)) for value in values), default=0.0)
    high = max((float(np.max(value)) for value in values), default=1.0)
    return (low, high) if low < high else (low - 1, high)
