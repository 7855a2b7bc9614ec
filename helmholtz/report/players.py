"""The same test clips at every level to listen to: the payloads themselves, inside the page."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from helmholtz.analysis.table import Run
from helmholtz.analysis.wording import level_label
from helmholtz.levels import Level
from helmholtz.report.clips import PickedClip
from helmholtz.report.picks import Shown, unwritten
from helmholtz.report.picture import Undrawn

TITLE = "Listen to the clips"
BUDGET = 8_000_000  # characters of all data URIs: a page of more is slow to open and too big to mail


@dataclass(frozen=True, slots=True)
class Player:
    """One clip at one level."""

    label: str  # for those who don't see where in the table it stands
    uri: str


@dataclass(frozen=True, slots=True)
class Players:
    """A table of players: levels in rows, clips in columns."""

    name: str
    title: str
    caption: str
    clips: tuple[str, ...]  # class names
    rows: tuple[tuple[str, tuple[Player | None, ...]], ...]  # label of the level; None where the clip is missing


def players(run: Run, shown: Shown[PickedClip]) -> Players | Undrawn:
    """Players of the picked clips; fewer clips, then fewer levels, where all of them would go over the budget."""
    if shown.lacking:
        return Undrawn("players", TITLE, shown.lacking)
    sizes = {level: [_length(clip) for clip in clips] for level, clips in shown.levels.items()}
    count, levels = _within(sizes, BUDGET)
    if not levels:
        return Undrawn("players", TITLE, "The clips are too large for the page.")
    cut = [
        *([f"{count} of the {len(shown.names)} clips above"] if count < len(shown.names) else []),
        *([f"{len(levels)} of {len(shown.levels)} levels, the smaller ones"] if len(levels) < len(shown.levels) else []),
    ]
    return Players(
        name="players",
        title=TITLE,
        caption="The stored files themselves, FLAC or MP3. An MP3 file may play late, by the delay of its encoder and decoder "
        "(25 milliseconds where it is coded at 44.1 kHz, 138 at 8 kHz); the networks hear it aligned with the original, at "
        "44.1 kHz." + (f" To keep the page small it holds only {' and '.join(cut)}." if cut else "") + unwritten(run),
        clips=shown.names[:count],
        rows=tuple(_row(run, level, shown, count) for level in levels),
    )


def _row(run: Run, level: Level, shown: Shown[PickedClip], count: int) -> tuple[str, tuple[Player | None, ...]]:
    label = level_label(run, level)
    return label, tuple(
        None if clip is None else Player(f"Clip {number}, {name}, {label}", _data_uri(clip.payload))
        for number, (name, clip) in enumerate(zip(shown.names[:count], shown.levels[level][:count], strict=True), start=1)
    )


def _within(sizes: dict[Level, list[int]], budget: int) -> tuple[int, list[Level]]:
    """How many clips, and which levels, fit: clips are left out first, then the largest levels."""
    levels = list(sizes)
    count = max(len(row) for row in sizes.values())

    def total() -> int:
        return sum(sum(sizes[level][:count]) for level in levels)

    while count > 1 and total() > budget:
        count -= 1
    while total() > budget:
        levels.remove(max(levels, key=lambda level: sum(sizes[level][:count])))
    return count, levels


def _length(clip: PickedClip | None) -> int:
    return 0 if clip is None else 4 * len(clip.payload) // 3 + 30


def _data_uri(payload: bytes) -> str:
    kind = "flac" if payload.startswith(b"fLaC") else "mpeg"
    return f"data:audio/{kind};base64,{base64.b64encode(payload).decode()}"
