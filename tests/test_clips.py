"""Clips in a report: players, spectrograms, and what of them may be missing."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from helmholtz.analysis.summary import Report
from helmholtz.analysis.table import Run
from helmholtz.codecs.mp3 import Mp3Codec
from helmholtz.experiment import Experiment
from helmholtz.levels import NONE, Level
from helmholtz.manifest import level_folder
from helmholtz.report import players as players_module
from helmholtz.report.clips import PickedClip, read_clips
from helmholtz.report.picks import Shown
from helmholtz.report.picture import Picture, Undrawn
from helmholtz.report.players import BUDGET, Players, players
from helmholtz.report.publish import publish
from helmholtz.report.spectrograms import band, spectrograms
from helmholtz.storage import Store, open_store
from tests import synthetic_run as synthetic
from tests.audio_report import (
    CLASSES,
    CODEC,
    SMALL,
    audio_tags,
    everything,
    found,
    page,
    publish_all,
    replace_clips,
    sounds,
    text,
)
from tests.pages import Page

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Report]:
    return publish_all(tmp_path_factory.mktemp("run"))


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
    run = everything()
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
