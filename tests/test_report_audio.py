"""What publishing makes of a run of audio, read back as its readers would: players, figures, TensorBoard, words."""

from __future__ import annotations

import base64
import io
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from helmholtz.analysis.summarise import summarise
from helmholtz.analysis.summary import Report, report_schema
from helmholtz.analysis.table import Run, read_run, rows
from helmholtz.codecs.mp3 import Mp3Codec
from helmholtz.experiment import Experiment
from helmholtz.levels import NONE, Level
from helmholtz.manifest import level_folder, read_manifest
from helmholtz.report import players as players_module
from helmholtz.report.clips import PickedClip, read_clips
from helmholtz.report.network_size import parameters
from helmholtz.report.picks import Shown
from helmholtz.report.picture import Picture, Undrawn
from helmholtz.report.players import BUDGET, Players, players
from helmholtz.report.publish import publish
from helmholtz.report.quantisation_axis import places
from helmholtz.report.spectrograms import band, spectrograms
from helmholtz.shards import ShardWriter
from helmholtz.storage import Store, open_store
from tests import synthetic_run as synthetic
from tests.test_report import HOSTILE, Page

pytestmark = pytest.mark.tensorflow

CLASSES = ("Chorus", "Distortion", "Flanger", "NoFX")
CODEC = "mp3-cbr-q3-30870-ref128"
SMALL: dict[str, Any] = {"levels": [NONE, 8], "seeds": 2}
SOURCE = {"source_levels": {"137": 11_000, "64": 500, "none": 500}, "double_compressed": 500}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Report]:
    store = open_store(str(tmp_path_factory.mktemp("run")))
    run = synthetic.audio_experiment(also=[{"architectures": list("ABCDEF"), "levels": [NONE, 32]}], seeds=3)
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


def pitch(samples: np.ndarray, rate: int) -> float:
    """Hz of the strongest tone."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * rate / len(samples))


# The page's players


def test_every_player_holds_the_clip_of_its_class_and_level(published: tuple[Store, Report]) -> None:
    tags = audio_tags(published[0])
    assert len(tags) == 4 * len(synthetic.BITRATES)
    seen = set()
    for tag in tags:
        label, source = tag["aria-label"], tag["src"]
        assert label is not None
        assert source is not None
        number, name, level = label.split(", ")
        assert "controls" in tag
        assert tag["preload"] == "none"
        kind, content = source.split(";base64,")
        data = base64.b64decode(content)
        samples, rate = soundfile.read(io.BytesIO(data))
        assert pitch(samples, rate) == pytest.approx(synthetic.PITCHES[CLASSES.index(name)], rel=0.02), label
        if level == "lossless":
            assert (kind, data[:4], len(samples)) == ("data:audio/flac", b"fLaC", 30_870)
        else:
            assert kind == "data:audio/mpeg"
            assert 8 * len(data) / (len(samples) / rate) / 1000 == pytest.approx(int(level.split()[0]), rel=0.02)
        seen.add((number, name, level))
    assert len(seen) == len(tags)


def test_players_stand_in_a_table_of_levels_by_clips_and_tell_of_the_delay(published: tuple[Store, Report]) -> None:
    store, _ = published
    html = store.read_bytes("report/report.html").decode()
    start = html.index('<figure id="players">')
    table = Page(html[start : html.index("</figure>", start)])
    assert [a["scope"] for t, a in table.tags if t == "th"] == ["col"] * 5 + ["row"] * 6
    assert "1: Chorus2: Distortion3: Flanger4: NoFX" in table.text
    assert table.text.index("lossless") < table.text.index("128 kbit/s") < table.text.index("8 kbit/s\n")
    assert "An MP3 file may play late, by the delay" in table.text
    assert "keep the page small" not in table.text


def test_the_page_still_needs_nothing_but_itself(published: tuple[Store, Report]) -> None:
    parsed = page(published[0])
    links = [value or "" for _, attributes in parsed.tags for name, value in attributes.items() if name in ("src", "href")]
    assert all(link.startswith(("data:image/", "data:audio/", "#")) for link in links)
    (policy,) = (a["content"] for t, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
    assert "script" not in {tag for tag, _ in parsed.tags}


def test_publishing_again_changes_nothing(published: tuple[Store, Report]) -> None:
    store, _ = published
    before = {key: store.read_bytes(key) for key in store.list("report")}
    run = synthetic.audio_experiment(also=[{"architectures": list("ABCDEF"), "levels": [NONE, 32]}], seeds=3)
    publish(store, run, synthetic.DATASET)
    assert {key: store.read_bytes(key) for key in store.list("report")} == before


def shown(sizes: Sequence[Sequence[int]]) -> Shown[PickedClip]:
    """Clips of so many bytes: one row a level."""
    nothing = np.zeros(0, np.int16)
    levels: tuple[Level, ...] = (NONE, 320, 128, 64, 8)
    clips = {
        level: tuple(PickedClip(bytes(n), nothing, nothing) for n in row) for level, row in zip(levels, sizes, strict=False)
    }
    return Shown(tuple(f"class {n}" for n in range(len(sizes[0]))), clips)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that has nothing yet."""
    return found(open_store(str(tmp_path_factory.mktemp("bare"))), synthetic.audio_experiment(levels=[NONE, 320, 128, 64, 8]))


def test_of_too_much_sound_clips_are_left_out_first_then_the_largest_levels(bare: Run) -> None:
    few = players(bare, shown([[2_000_000] * 4, [100_000] * 4]))
    assert isinstance(few, Players)
    assert (len(few.clips), [label for label, _ in few.rows]) == (2, ["lossless", "320 kbit/s"])
    assert "holds only 2 of the 4 clips above." in few.caption
    low = players(bare, shown([[40_000_000] * 4, [10_000_000] * 4, [1_000_000] * 4]))
    assert isinstance(low, Players)
    assert (len(low.clips), [label for label, _ in low.rows]) == (1, ["128 kbit/s"])
    assert "only 1 of the 4 clips above and 1 of 3 levels, the smaller ones." in low.caption
    none = players(bare, shown([[40_000_000]]))
    assert isinstance(none, Undrawn)
    assert "too large" in none.reason


@given(st.lists(st.lists(st.integers(0, 2_000), min_size=3, max_size=3), min_size=1, max_size=5), st.integers(0, 20_000))
def test_the_players_never_exceed_the_budget(sizes: list[list[int]], budget: int) -> None:
    run = found(open_store("nowhere"), synthetic.audio_experiment(levels=[NONE, 320, 128, 64, 8]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(players_module, "BUDGET", budget)
        made = players(run, shown(sizes))
    if isinstance(made, Players):
        assert sum(len(player.uri) for _, row in made.rows for player in row if player) <= budget
        assert made.rows


def test_the_budget_is_that_of_the_whole_page(published: tuple[Store, Report]) -> None:
    assert BUDGET == 8_000_000
    assert len(published[0].read_bytes("report/report.html")) < BUDGET


# The spectrograms


def test_spectrograms_are_what_the_networks_get(published: tuple[Store, Report]) -> None:
    from helmholtz.training.inputs import open_inputs

    store, _ = published
    run = synthetic.audio_experiment()
    clips, inputs = read_clips(store, found(store, run)), open_inputs(run)
    assert clips.names == CLASSES
    for row in clips.levels.values():
        for clip in row:
            assert clip is not None
            samples = inputs.samples(1)
            inputs.decode(clip.payload, samples[0])
            features = inputs.features(samples)
            np.testing.assert_allclose(clip.decibels, features[0, ..., 0], atol=0.01)
            assert clip.samples.shape == (30_870,)


def test_the_sheet_shows_what_low_bitrates_cut_off(published: tuple[Store, Report]) -> None:
    image = Image.open(io.BytesIO(published[0].read_bytes("report/figures/spectrograms.png"))).convert("L")
    pixels = np.asarray(image, float)
    assert 1_200 < image.width < 1_400
    first, height = 0.35 * 150, 1.05 * 150  # the sheet's rows, in pixels

    def treble(row: int) -> float:
        """Brightness of the upper third of a row, right of its labels: above 6 kHz."""
        top = int(first + (row + 0.08) * height)
        return float(pixels[top : top + int(0.25 * height), int(0.25 * image.width) : int(0.65 * image.width)].mean())

    assert treble(0) > treble(5) + 20
    assert treble(5) < treble(3)


@pytest.mark.parametrize("hertz", [100, 440, 2_000, 5_000, 12_000, 20_000])
def test_frequencies_are_marked_where_they_are(hertz: int) -> None:
    from helmholtz.training.features import log_mel

    tone = np.sin(2 * np.pi * hertz * np.arange(30_870) / 44_100).astype(np.float32)
    assert log_mel(tone[np.newaxis]).numpy()[0].mean(axis=1).argmax() == pytest.approx(band(hertz), abs=1)


def test_of_long_clips_the_beginning_is_shown(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    short = synthetic.audio_experiment(levels=[NONE])
    run = synthetic.audio_experiment(levels=[NONE], mp3={"seconds": 12})
    written = synthetic.write_level(store, short, NONE)
    identity = Mp3Codec(seconds=12).identity
    folder = level_folder(synthetic.DATASET, identity, NONE)
    changed = written.model_copy(update={"codec": identity})
    store.write_bytes(f"{folder}/manifest.json", changed.model_dump_json().encode())
    payload, _ = synthetic.clip_payload(0, 0, NONE, 12)
    replace_clips(store, run, NONE, [("a.wav", 2, payload)], tmp_path)
    clips = read_clips(store, found(store, run))
    (clip,) = clips.levels[NONE]
    assert clip is not None
    assert (clip.samples.shape, clip.decibels.shape) == ((441_000,), (96, 862))
    drawn = spectrograms(found(store, run), clips)
    assert isinstance(drawn, Picture)
    assert "the first 10 seconds" in drawn.caption


def test_silence_can_be_drawn(tmp_path: Path) -> None:
    store, run = open_store(str(tmp_path)), synthetic.audio_experiment(levels=[NONE])
    synthetic.write_level(store, run, NONE)
    codec = Mp3Codec(seconds=synthetic.SECONDS)
    payload = codec.encode(codec.prepare(np.zeros(30_870, np.int16)), NONE).data
    replace_clips(store, run, NONE, [("a.wav", 0, payload)], tmp_path)
    assert isinstance(spectrograms(found(store, run), read_clips(store, found(store, run))), Picture)


# What may be missing


def test_no_level_and_no_test_record(tmp_path: Path) -> None:
    run = synthetic.audio_experiment(**SMALL)
    publish(open_store(str(tmp_path / "none")), run, synthetic.DATASET)
    assert text(open_store(str(tmp_path / "none"))).count("Not drawn: No level is written yet.") == 3
    store = open_store(str(tmp_path / "empty"))
    synthetic.write_run(store, run)
    for level in run.all_levels:
        replace_clips(store, run, level, [], tmp_path)
    publish(store, run, synthetic.DATASET)
    assert text(store).count("Not drawn: The test split is empty.") == 2
    assert not store.exists("report/figures/spectrograms.png")


def test_a_level_that_is_not_written_is_named(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    run = synthetic.audio_experiment(levels=[NONE, 32, 8], seeds=2)
    synthetic.write_run(store, run)
    folder = Path(store.uri, level_folder(synthetic.DATASET, CODEC, 32))
    for file in folder.iterdir():
        file.unlink()
    publish(store, run, synthetic.DATASET)
    assert text(store).count("Not written yet: 32 kbit/s.") == 2
    assert {str(tag["aria-label"]).split(", ")[2] for tag in audio_tags(store)} == {"lossless", "8 kbit/s"}


def damaged(store: Store, run: Experiment, payload: bytes, tmp_path: Path) -> None:
    """Writes a run whose clips of class 1 are `payload` at 8 kbit/s."""
    synthetic.write_run(store, run, classes=CLASSES)
    keys = [(f"0/{number:02d}.wav", number % 4) for number in range(8)]
    for level in (NONE, 8):
        whole = [(key, label, synthetic.clip_payload(label, 0, level)[0]) for key, label in keys]
        broken = [(key, label, payload if (label, level) == (1, 8) else data) for key, label, data in whole]
        replace_clips(store, run, level, broken, tmp_path)


@pytest.mark.parametrize("payload", [b"", b"not a clip", b"fLaC" + bytes(100), b"\xff\xfb" + bytes(200)])
def test_a_damaged_clip_is_missing(tmp_path: Path, payload: bytes) -> None:
    store, run = open_store(str(tmp_path)), synthetic.audio_experiment(**SMALL)
    damaged(store, run, payload, tmp_path)
    clips = read_clips(store, found(store, run))
    assert [clip is None for clip in clips.levels[8]] == [False, True, False, False]
    assert None not in clips.levels[NONE]


def test_a_damaged_clip_stops_nothing(tmp_path: Path) -> None:
    store, run = open_store(str(tmp_path)), synthetic.audio_experiment(**SMALL)
    damaged(store, run, b"not a clip", tmp_path)
    publish(store, run, synthetic.DATASET)
    labels = {str(tag["aria-label"]) for tag in audio_tags(store)}
    assert "Clip 2, Distortion, lossless" in labels
    assert "Clip 2, Distortion, 8 kbit/s" not in labels
    assert len(labels) == 7
    assert "missing" in page(store).text
    assert {tag for tag in sounds(store) if tag.startswith("clip 2")} == {"clip 2, Distortion/lossless"}
    assert b"missing" in store.read_bytes("report/figures/spectrograms.svg")


# TensorBoard


def sounds(store: Store) -> dict[str, bytes]:
    """Tag -> WAV file, of the summary."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(f"{store.uri}/tensorboard/summary", size_guidance={"tensors": 0}).Reload()
    return {
        tag: events.Tensors(tag)[0].tensor_proto.string_val[0]
        for tag in events.Tags()["tensors"]
        if events.SummaryMetadata(tag).plugin_data.plugin_name == "audio"
    }


def test_tensorboard_holds_the_clips_as_the_networks_hear_them(published: tuple[Store, Report]) -> None:
    store, _ = published
    waves = sounds(store)
    levels = ["lossless", *(f"{level} kbit/s" for level in synthetic.BITRATES[1:])]
    assert set(waves) == {f"clip {n}, {name}/{level}" for n, name in enumerate(CLASSES, start=1) for level in levels}
    clips = read_clips(store, found(store, synthetic.audio_experiment()))
    for label, row in zip(levels, clips.levels.values(), strict=True):
        for number, (name, clip) in enumerate(zip(CLASSES, row, strict=True), start=1):
            assert clip is not None
            samples, rate = soundfile.read(io.BytesIO(waves[f"clip {number}, {name}/{label}"]), dtype="int16")
            assert rate == 44_100
            assert np.abs(samples.astype(int) - clip.samples).max() <= 1


def test_levels_that_share_a_place_have_scalars_of_their_own(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    store, run = open_store(str(tmp_path)), synthetic.audio_experiment(levels=[NONE, 320, 128, 8], seeds=2)
    synthetic.write_run(store, run)
    publish(store, run, synthetic.DATASET)
    events = EventAccumulator(f"{store.uri}/tensorboard/summary").Reload()
    tags = [tag for tag in events.Tags()["tensors"] if tag.startswith("accuracy against Q/")]
    assert sorted(tags) == [f"accuracy against Q/A{end}" for end in ("", " at 320 kbit/s", " lossless")]
    assert [event.step for event in events.Tensors("accuracy against Q/A")] == [0, 94]


# Names from data


def test_hostile_class_names_are_only_ever_text(tmp_path: Path) -> None:
    store, run = open_store(str(tmp_path)), synthetic.audio_experiment(**SMALL)
    names = (*HOSTILE[:3], HOSTILE[3] + "/../x")
    synthetic.write_run(store, run, classes=names)
    publish(store, run, synthetic.DATASET)
    parsed = page(store)
    assert not {"script", "b"} & {tag for tag, _ in parsed.tags}
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    for name in names:
        assert any(name in str(tag["aria-label"]) for tag in audio_tags(store))
    assert len(sounds(store)) == 8
    assert {tag.split("/", 1)[1] for tag in sounds(store)} == {"lossless", "8 kbit/s"}


# Figures


def test_levels_that_share_a_quantisation_stand_side_by_side(tmp_path: Path) -> None:
    store, run = open_store(str(tmp_path)), synthetic.audio_experiment(levels=[NONE, 320, 160, 128, 96, 8], seeds=2)
    synthetic.write_run(store, run)
    report = publish(store, run, synthetic.DATASET)
    at = places(report)
    ordered = [at[level] for level in run.levels]
    assert ordered == sorted(ordered)
    assert min(b - a for a, b in itertools.pairwise(ordered)) > 0.05
    assert (at[128], at[96], at[8]) == (0, 0.25, 0.9375)
    assert text(store).count("Left of 0, since their Q is 0 too: 320 kbit/s, 160 kbit/s.") == 3
    assert report.curves[0].levels == 5


def test_with_one_level_at_zero_nothing_moves(published: tuple[Store, Report]) -> None:
    assert places(published[1]) == {NONE: -0.035, 128: 0, 64: 0.5, 32: 0.75, 16: 0.875, 8: 0.9375}
    assert "Left of 0" not in text(published[0])


def test_networks_of_nearly_one_size_do_not_hide_each_other(published: tuple[Store, Report]) -> None:
    store, report = published
    run = synthetic.audio_experiment(also=[{"architectures": list("ABCDEF"), "levels": [NONE, 32]}], seeds=3)
    drawn = parameters(report, rows(found(store, run)))
    assert isinstance(drawn, Picture)
    assert "Drawn right of their place, for they would cover the one before: E." in drawn.caption
    assert "beside lossless" in drawn.caption
    assert "D at 32 kbit/s" in drawn.alt


def test_every_figure_speaks_of_bitrates(published: tuple[Store, Report]) -> None:
    images = {a["alt"]: a for t, a in page(published[0]).tags if t == "img"}
    assert len(images) == 6
    assert all("32" in str(alt) or "Predicted" in str(alt) for alt in images)
    for name in ("accuracy", "convergence", "sizes"):
        svg = published[0].read_bytes(f"report/figures/{name}.svg").decode()
        assert ("MP3 bitrate (kbit/s)" if name != "sizes" else "headers, stuffing") in svg


# Words


def test_nothing_is_said_of_pictures(published: tuple[Store, Report]) -> None:
    words = text(published[0]).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    words = words[words.index("How much of this data set") : words.index("The experiment in full")].lower()
    method = "the paper's theory of bits rests on jpeg's quantisation tables; for mp3 it gives none."
    assert method in words
    for word in ("pixel", "picture", "jpeg", "quantisation tables", "original files", "as printed", "theoretical", "png"):
        assert word not in words.replace(method, ""), word


def test_the_answer_explains_frames_once_and_says_that_there_is_no_theory(published: tuple[Store, Report]) -> None:
    answer = published[1].recommendation
    assert answer.sentence.startswith("MP3 32 kbit/s loses less than 1 point")
    assert "smaller than lossless" in answer.sentence
    (measured,) = (detail for detail in answer.details if detail.startswith("Measured"))
    assert measured.endswith("lossless (a frame is one sample of the one channel, 44,100 a second).")
    assert "Theory: the paper has none of the bits that MP3 leaves; the measured ones stand alone." in answer.details


def test_what_each_level_takes_has_bitrates_and_coded_rates_instead_of_theory(published: tuple[Store, Report]) -> None:
    store, report = published
    words = text(store)
    assert "Bitrate realised, kbit/s" in words
    assert "Bits left" not in words
    assert "32.022.05 kHz" in words  # two cells
    assert "8.08 kHz" in words
    content = json.loads(store.read_bytes("report/report.json"))
    jsonschema.Draft202012Validator(report_schema()).validate(content)
    by_level = {level["level"]: level for level in content["levels"]}
    assert (by_level[16]["bitrate"], by_level[16]["coded_rates"]) == (16.0, {"16000": 12_000})
    assert by_level[16]["theoretical_bits"] == {}
    assert report.codec.medium == "audio"


def test_a_level_larger_than_flac_is_called_larger(tmp_path: Path) -> None:
    store, run = open_store(str(tmp_path)), synthetic.audio_experiment(levels=[NONE, 128, 8], seeds=3)
    synthetic.write_run(store, run, accuracies={("A", 8, seed): 0.3 + 0.001 * seed for seed in range(3)})
    for level, factor in ((NONE, 1), (128, 3.9)):
        manifest = read_manifest(store, synthetic.DATASET, CODEC, level)
        splits = {
            name: split.model_copy(update={"payload_bytes": round(split.payload_bytes * factor)})
            for name, split in manifest.splits.items()
        }
        changed = manifest.model_copy(update={"splits": splits})
        store.write_bytes(f"{level_folder(synthetic.DATASET, CODEC, level)}/manifest.json", changed.model_dump_json().encode())
    report = publish(store, run, synthetic.DATASET)
    ratio = next(level.ratio_to_none for level in report.levels if level.level == 128)
    assert ratio is not None
    assert ratio < 1
    larger = f"{1 / ratio:.1f} times larger"
    assert larger + " than lossless" in report.recommendation.sentence
    assert text(store).count(f"{larger} than lossless") == 2  # the answer and the tile
    assert any(larger in str(a.get("alt")) for _, a in page(store).tags)
    assert f"{ratio:.1f} times smaller" not in text(store)


def test_a_lossy_source_is_decoded_so_none_stays_lossless(tmp_path: Path) -> None:
    store, run = open_store(str(tmp_path)), synthetic.audio_experiment(**SMALL)
    synthetic.write_run(store, run, **SOURCE)
    report = publish(store, run, synthetic.DATASET)
    assert report.levels[0].label == "lossless"
    (caveat,) = (c for c in report.recommendation.caveats if "already compressed in the source" in c)
    assert caveat.startswith("11,500 records were already compressed in the source (64 kbit/s to 137 kbit/s, in their own")
    assert "none holds what they decode to, without further loss" in caveat
    assert any(c.startswith("Double compression") and "MP3 8 kbit/s" in c for c in report.recommendation.caveats)
    words = text(store)
    assert "untouched" not in words
    assert (
        "lossless files (FLAC) of the clips, as the source\N{RIGHT SINGLE QUOTATION MARK}s own files decode to them." in words
    )


@pytest.mark.parametrize(("source", "keep"), [(SOURCE, "as they are"), ({}, "lossless")])
def test_data_that_are_not_lossless_are_not_told_to_stay_so(tmp_path: Path, source: dict[str, Any], keep: str) -> None:
    store, run = open_store(str(tmp_path)), synthetic.audio_experiment(levels=[NONE, 8], seeds=3)
    low = {("A", 8, seed): 0.3 + 0.001 * seed for seed in range(3)}
    synthetic.write_run(store, run, accuracies=low, **source)
    sentence = summed_up(store, run).recommendation.sentence
    assert sentence.startswith(f"Keep the data {keep}: even MP3 8 kbit/s")


def test_overhead_is_named_as_mp3s(tmp_path: Path) -> None:
    store, run = open_store(str(tmp_path)), synthetic.audio_experiment(**SMALL)
    synthetic.write_run(store, run)
    manifest = read_manifest(store, synthetic.DATASET, CODEC, 8)
    splits = {name: split.model_copy(update={"coded_bits": split.coded_bits // 2}) for name, split in manifest.splits.items()}
    content = manifest.model_copy(update={"splits": splits}).model_dump_json().encode()
    store.write_bytes(f"{level_folder(synthetic.DATASET, CODEC, 8)}/manifest.json", content)
    even = {("A", level, seed): 0.8 + 0.001 * (seed + (level == 8) * (seed == 1)) for level in (NONE, 8) for seed in range(2)}
    synthetic_trials(store, run, even)
    details = summed_up(store, run).recommendation.details
    assert any("are headers, side information and stuffing, not content." in detail for detail in details)


def synthetic_trials(store: Store, run: Experiment, accuracies: dict[tuple[str, Level, int], float]) -> None:
    """Writes the results of a run again, with these accuracies."""
    from helmholtz.results import result_key
    from helmholtz.trials import trials

    for trial in trials(run, synthetic.DATASET, CODEC):
        reached = accuracies[trial.architecture, trial.level, trial.seed]
        result = synthetic.trial_result(trial, reached, medium="audio", classes=4)
        store.write_bytes(result_key(trial.id), result.model_dump_json().encode())


def test_cropped_clips_are_not_held_against_the_whole_source(tmp_path: Path) -> None:
    """A recording of an hour of which two seconds are used has not become 1,800 times smaller by the codec."""
    run = synthetic.audio_experiment()
    for notes, compared in (({"padded": 4}, True), ({"cropped": 1}, False)):
        store = open_store(str(tmp_path / str(compared)))
        synthetic.write_run(store, run, notes=notes)
        report = summed_up(store, run)
        assert ("source's own bytes" in report.recommendation.sentence) is compared
        assert all((level.ratio_to_source is not None) is compared for level in report.levels)
