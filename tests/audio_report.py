"""A run of audio, published, and its report as its readers find it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helmholtz.analysis.summarise import summarise
from helmholtz.analysis.summary import Report
from helmholtz.analysis.table import Run, read_run, rows
from helmholtz.experiment import Experiment
from helmholtz.levels import NONE, Level
from helmholtz.manifest import level_folder, read_manifest
from helmholtz.report.publish import publish
from helmholtz.shards import ShardWriter
from helmholtz.storage import Store, open_store
from tests import synthetic_run as synthetic
from tests.pages import Page

CLASSES = ("Chorus", "Distortion", "Flanger", "NoFX")
CODEC = "mp3-cbr-q3-30870-ref128"
SMALL: dict[str, Any] = {"levels": [NONE, 8], "seeds": 2}


def everything() -> Experiment:
    """Architecture A at every level, and all at two."""
    return synthetic.audio_experiment(also=[{"architectures": list("ABCDEF"), "levels": [NONE, 32]}], seeds=3)


def publish_all(folder: Path) -> tuple[Store, Report]:
    """Publishes the run of `everything`."""
    store, run = open_store(str(folder)), everything()
    synthetic.write_run(store, run, classes=CLASSES)
    return store, publish(store, run, synthetic.DATASET)


def page(store: Store) -> Page:
    return Page(store.read_bytes("report/report.html").decode())


def text(store: Store) -> str:
    return " ".join(page(store).text.split())


def found(store: Store, run: Experiment) -> Run:
    return read_run(store, run, synthetic.DATASET)


def summed_up(store: Store, run: Experiment) -> Report:
    return summarise(found(store, run), rows(found(store, run)))


def audio_tags(store: Store) -> list[dict[str, str | None]]:
    return [attributes for tag, attributes in page(store).tags if tag == "audio"]


def replace_clips(
    store: Store, run: Experiment, level: Level, records: Sequence[tuple[str, int, bytes]], tmp_path: Path
) -> None:
    """Puts `records` into the first test shard of a level, and nothing into the others."""
    codec = found(store, run).codec.identity
    for number, entry in enumerate(read_manifest(store, synthetic.DATASET, codec, level).splits["test"].shards):
        with ShardWriter(tmp_path / "shard") as shard:
            for record in records if number == 0 else ():
                shard.add(*record)
        store.upload(tmp_path / "shard", f"{level_folder(synthetic.DATASET, codec, level)}/{entry.name}")


def sounds(store: Store) -> dict[str, bytes]:
    """Tag -> WAV file, of the summary."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(f"{store.uri}/tensorboard/summary", size_guidance={"tensors": 0}).Reload()
    return {
        tag: events.Tensors(tag)[0].tensor_proto.string_val[0]
        for tag in events.Tags()["tensors"]
        if events.SummaryMetadata(tag).plugin_data.plugin_name == "audio"
    }
