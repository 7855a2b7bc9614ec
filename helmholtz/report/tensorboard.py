"""The report in TensorBoard: figures, curves against Q, the recommendation, and a table of all trials (HParams).

The trials' own curves are already there, written by the trainer below ``tensorboard/trials/<trial id>``; the hyperparameters
of a trial go beside them, so that both belong to one run. Every file has a fixed name: publishing again replaces it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from helmholtz.analysis.summary import Report
from helmholtz.analysis.table import Row
from helmholtz.audio import SAMPLE_RATE
from helmholtz.levels import NONE, Level
from helmholtz.report.clips import PickedClip
from helmholtz.report.marks import labels
from helmholtz.report.picks import Shown, short
from helmholtz.report.picture import Picture, Undrawn
from helmholtz.report.players import Players
from helmholtz.report.quantisation_axis import places
from helmholtz.storage import Store
from helmholtz.training.importing import import_tensorflow

SUMMARY = "tensorboard/summary/events.out.tfevents.summary"


def hparams_key(trial: str) -> str:
    """Key of a trial's hyperparameters; sorts after the trainer's events in the same folder, as TensorBoard reads them."""
    return f"tensorboard/trials/{trial}/events.out.tfevents.hparams"


def write_tensorboard(
    store: Store,
    report: Report,
    table: Sequence[Row],
    pictures: Sequence[Picture | Players | Undrawn],
    clips: Shown[PickedClip] | None = None,
) -> None:
    """Writes the events; `clips` go to the audio tab. Takes seconds for the import of TensorFlow."""
    import_tensorflow()
    _write(store, SUMMARY, lambda: _summary(report, pictures, clips))
    for row in table:
        if row.status != "missing":
            _write(store, hparams_key(row.trial), lambda row=row: _trial(row))  # type: ignore[misc]  # a default binds the row


def _write(store: Store, key: str, emit: Callable[[], None]) -> None:
    import tensorflow as tf

    with store.scratch() as folder:
        writer = tf.summary.create_file_writer(str(folder))
        with writer.as_default(step=0):
            emit()
        writer.close()
        (path,) = folder.glob("*tfevents*")
        store.upload(path, key)


def _summary(report: Report, pictures: Sequence[Picture | Players | Undrawn], clips: Shown[PickedClip] | None) -> None:
    import tensorflow as tf
    from tensorboard.plugins.hparams import api as hp

    hp.hparams_config(
        hparams=[hp.HParam(name) for name in ("architecture", "level", "Q", "seed", "codec")],
        metrics=[hp.Metric(tag, display_name=name) for tag, name in METRICS.values()],
    )
    answer = report.recommendation
    notes = "".join(f"\n\n- {note}" for note in (*answer.details, *answer.caveats))
    tf.summary.text("recommendation", f"**{answer.sentence}**{notes}")
    for picture in pictures:
        if isinstance(picture, Picture):
            image = tf.io.decode_png(picture.png, channels=3)
            tf.summary.image(picture.name, image[tf.newaxis], description=picture.caption)
    for tag, step, value in _against_q(report):
        tf.summary.scalar(tag, value, step=step)
    if clips is not None:
        _clips(clips, labels(report))


def _clips(clips: Shown[PickedClip], named: dict[Level, str]) -> None:
    """A group a clip, a tag a level: decoded and aligned, as the networks hear them. (Of steps, TensorBoard shows but ten.)"""
    import tensorflow as tf

    for level, row in clips.levels.items():
        for number, (name, clip) in enumerate(zip(clips.names, row, strict=True), start=1):
            if clip is not None:
                wave = tf.cast(clip.samples, tf.float32)[tf.newaxis, :, tf.newaxis] / 32768
                # A slash would open a group of its own.
                tf.summary.audio(f"clip {number}, {short(name, 40).replace('/', '|')}/{named[level]}", wave, SAMPLE_RATE)


METRICS = {
    "test_accuracy": ("hparams/test_accuracy", "test accuracy"),
    "epochs_to_converge": ("hparams/epochs_to_converge", "epochs to converge"),
    "train_seconds": ("hparams/train_seconds", "train seconds"),
}


def _trial(row: Row) -> None:
    import tensorflow as tf
    from tensorboard.plugins.hparams import api as hp

    values = {"architecture": row.architecture, "level": str(row.level), "Q": row.Q, "seed": row.seed, "codec": row.codec}
    hp.hparams(values, trial_id=row.trial)
    found = dataclasses.asdict(row)
    for column, (tag, _) in METRICS.items():
        if found[column] is not None:
            tf.summary.scalar(tag, found[column])


def _against_q(report: Report) -> Iterator[tuple[str, int, Any]]:
    """(tag, Q in percent as the step, value). Levels that share Q = 0 with a more compressed one, as none does, have tags of
    their own."""
    at, named = places(report), labels(report)
    for cell in sorted(report.cells, key=lambda cell: cell.quantisation):
        where = cell.architecture if at[cell.level] >= 0 else f"{cell.architecture} {_apart(cell.level, named)}"
        step = round(100 * cell.quantisation)
        for name, estimate in (("accuracy", cell.test_accuracy), ("epochs_to_converge", cell.epochs_to_converge)):
            if estimate.mean is not None:
                yield f"{name} against Q/{where}", step, estimate.mean
    for level in sorted(report.levels, key=lambda level: level.quantisation):
        if level.bits_per_sample is not None:
            where = "levels" if at[level.level] >= 0 else _apart(level.level, named)
            yield f"bits per {report.codec.sample} against Q/{where}", round(100 * level.quantisation), level.bits_per_sample


def _apart(level: Level, named: dict[Level, str]) -> str:
    return "lossless" if level == NONE else f"at {named[level]}"
