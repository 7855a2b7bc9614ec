"""The same test pictures at every level, as the networks get them: read from the shards themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from helmholtz.analysis.table import Run
from helmholtz.analysis.wording import original
from helmholtz.errors import BadRecord
from helmholtz.levels import NONE, Level
from helmholtz.manifest import LevelManifest, level_folder
from helmholtz.report.picture import Picture, Undrawn, draw
from helmholtz.shards import read_shard
from helmholtz.storage import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = 8
LARGEST = 128  # pixels a side; of larger pictures the centre is shown, since shrinking would hide what compression does
TITLE = "The same pictures at every level"
TITLE_INCHES = 0.35


@dataclass(frozen=True, slots=True)
class Pick:
    """A chosen test picture."""

    shard: str
    key: str
    label: int


def contact_sheet(store: Store, run: Run) -> Picture | Undrawn:
    """Eight test pictures, spread over the classes, at every level that is written."""
    levels = [level for level in run.experiment.all_levels if level in run.manifests]
    if not levels or run.codec.medium != "image":
        return Undrawn("contact-sheet", TITLE, "No level is written yet." if not levels else "Only images can be shown.")
    first = run.manifests[levels[0]]
    picks = pick(store, first, run.experiment.dataset.split_seed)
    if not picks:
        return Undrawn("contact-sheet", TITLE, "The test split is empty.")
    names = [first.classes[p.label] for p in picks]
    images = {level: _images(store, run, level, picks) for level in levels}
    return draw(
        "contact-sheet",
        title=TITLE,
        size=(8.6, TITLE_INCHES + 0.92 * len(levels)),
        wide=True,
        paint=lambda figure: _paint(figure, run, levels, names, images),
        alt=f"{len(picks)} test pictures ({', '.join(names)}) at the levels {', '.join(str(level) for level in levels)}.",
        caption=f"{len(picks)} test pictures, picked by seed and spread over the classes, one row a level. Each pixel is drawn "
        f"as it is, without smoothing{_cropped(images)}. Bytes are means of the test files, headers included; bits a "
        f"{run.codec.sample} count coded content alone.",
    )


def pick(store: Store, manifest: LevelManifest, seed: int) -> list[Pick]:
    """Up to eight test records, by hash of seed and key, going round the classes.

    Reads shards only until every class (or eight of them) has been seen and eight records are there.
    """
    by_label: dict[int, list[tuple[str, Pick]]] = {}
    for shard, key, label, _ in _records(store, manifest, [entry.name for entry in manifest.splits["test"].shards]):
        seen = sum(len(found) for found in by_label.values())
        started = any(p.shard == shard for found in by_label.values() for _, p in found)
        if not started and len(by_label) >= min(PICTURES, len(manifest.classes)) and seen >= PICTURES:
            break
        found = by_label.setdefault(label, [])
        found.append((_hash(seed, key), Pick(shard, key, label)))
        found.sort(key=lambda item: item[0])
        del found[PICTURES:]
    order = sorted(by_label, key=lambda label: _hash(seed, manifest.classes[label]))
    rounds = [by_label[label][turn][1] for turn in range(PICTURES) for label in order if turn < len(by_label[label])]
    return sorted(rounds[:PICTURES], key=lambda p: (p.label, p.key))


def _hash(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed}:{text}".encode()).hexdigest()


def _records(store: Store, manifest: LevelManifest, names: Sequence[str]) -> Iterator[tuple[str, str, int, bytes]]:
    """(shard, key, label, payload) of each record of the named shards, one shard downloaded at a time."""
    folder = level_folder(manifest.dataset, manifest.codec, manifest.level)
    with store.scratch() as scratch:
        for name in names:
            path = scratch / "shard"
            store.download(f"{folder}/{name}", path)
            for key, label, payload in read_shard(path):
                yield name, key, label, payload


def _images(store: Store, run: Run, level: Level, picks: Sequence[Pick]) -> list[np.ndarray | None]:
    from helmholtz.images import decode

    manifest = run.manifests[level]
    there = {entry.name for entry in manifest.splits["test"].shards}
    wanted = {p.key for p in picks}
    found: dict[str, np.ndarray | None] = {}
    for _, key, _, payload in _records(store, manifest, sorted({p.shard for p in picks} & there)):
        if key in wanted:
            try:
                found[key] = _centre(decode(payload, run.experiment.dataset.max_pixels).samples)
            except BadRecord:
                found[key] = None
    return [found.get(p.key) for p in picks]


def _centre(samples: np.ndarray) -> np.ndarray:
    height, width = samples.shape[:2]
    top, left = max(0, height - LARGEST) // 2, max(0, width - LARGEST) // 2
    return samples[top : top + LARGEST, left : left + LARGEST]


def _cropped(images: dict[Level, list[np.ndarray | None]]) -> str:
    large = any(image is not None and max(image.shape[:2]) == LARGEST for row in images.values() for image in row)
    return f"; of pictures larger than {LARGEST} pixels a side only the centre is shown" if large else ""


def _paint(
    figure: Figure, run: Run, levels: Sequence[Level], names: Sequence[str], images: dict[Level, list[np.ndarray | None]]
) -> None:
    # Placed by hand: of so many axes, the layout engine's solver gives positions that differ in the last digit, run by run.
    figure.set_layout_engine("none")
    top = 1 - TITLE_INCHES / figure.get_figheight()
    grid = figure.add_gridspec(
        len(levels), len(names) + 1, width_ratios=[1.5, *(1 for _ in names)],
        left=0.012, right=0.99, bottom=0.02, top=top, wspace=0.08, hspace=0.08,
    )  # fmt: skip
    for row, level in enumerate(levels):
        text = figure.add_subplot(grid[row, 0])
        text.axis("off")
        split = run.manifests[level].splits["test"]
        label = original(run) if level == NONE else f"{run.codec.scale} {level}"
        text.text(0, 0.56, label, weight="bold", va="bottom", transform=text.transAxes)
        size = f"{split.payload_bytes / split.records:,.0f} bytes\n{split.coded_bits / max(1, split.samples):.2f}"
        text.text(0, 0.52, f"{size} bits a {run.codec.sample}", va="top", fontsize=8, transform=text.transAxes)
        for column, (name, image) in enumerate(zip(names, images[level], strict=True)):
            axes = figure.add_subplot(grid[row, column + 1])
            axes.axis("off")
            if image is None:
                axes.text(0.5, 0.5, "missing", ha="center", va="center", fontsize=8)
            else:
                axes.imshow(image, interpolation="nearest")
            if row == 0:
                axes.set_title(_short(name), fontsize=8)


def _short(name: str) -> str:
    line = " ".join(name.split())
    return line if len(line) <= 12 else f"{line[:11]}…"
