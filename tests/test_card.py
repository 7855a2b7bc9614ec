"""The card of an exported data set: its header as the hub reads it, and what it says of each kind of level."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from helmholtz.analysis.summary import Report
from helmholtz.experiment import Experiment
from helmholtz.levels import NONE, Level
from helmholtz.manifest import LevelManifest, read_manifest
from helmholtz.report.card import card, size_category
from helmholtz.storage import open_store
from tests import synthetic_run as synthetic
from tests.finished_run import finish

HOSTILE = ("<script>alert(1)</script>", "a|b", "two\nlines", "*bold* [link](x)", "`code` \\ $x$", "猫 🐈")
COMMAND = "helmholtz export ROOT DEST"
FOLDER = {"kind": "image-folder", "path": "x"}


def written(root: Path, level: Level, run: Experiment | None = None, **changes: Any) -> tuple[str, dict[str, Any]]:
    """The card, and its header."""
    store, run = open_store(str(root)), run or synthetic.experiment(levels=[NONE, 50, 25, 5])
    report = finish(store, run, **changes)
    manifest = read_manifest(store, synthetic.DATASET, report.codec.identity, level)
    text = card(report, manifest, source="discs | by\n<us>", command=COMMAND, page=True)
    _, header, rest = text.split("---\n", 2)
    assert not re.search(r" $|\n\n\n", rest, re.MULTILINE)
    return rest, yaml.safe_load(header)


def tables(text: str) -> list[list[list[str]]]:
    """Cells of each table's rows, as GitHub's Markdown splits them."""
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [[re.split(r"(?<!\\)\|", row.strip("|")) for row in table.splitlines()] for table in found]


def test_the_recommended_level(tmp_path: Path) -> None:
    text, header = written(tmp_path, 25)
    assert header == {
        "pretty_name": "synthetic, quality 25",
        "license": "unknown",
        "task_categories": ["image-classification"],
        "size_categories": ["10K<n<100K"],
        "tags": ["helmholtz", "tfrecord", "jpeg"],
    }
    assert text.startswith("\n# synthetic, quality 25\n\n12,000 images in 4 classes, compressed by JPEG to quality 25,")
    for said in ("JPEG quality 25 loses less than 1 point of accuracy", "**What it risks.**", synthetic.DATASET, COMMAND):
        assert said in text
    assert "fill in that of the source" in text
    assert "| source | discs \\| by \\<us\\> |" in text
    facts, splits, classes, _ = tables(text)
    assert all(len(row) == len(table[0]) for table in (facts, splits, classes) for row in table)
    assert [cell.strip() for cell in classes[2]] == ["0", "cat", "2,250", "250", "500"]
    assert [row[1].strip() for row in splits[2:]] == ["9,000", "1,000", "2,000"]


def test_another_level_says_which_is_recommended_and_what_it_loses(tmp_path: Path) -> None:
    text, _ = written(tmp_path, 5)
    assert "This is not the recommended level, which is quality 25." in text
    assert re.search(r"differs from that of lossless data by -9\.\d points .*loses more than the margin", text, re.DOTALL)
    assert "**What it saves.**" not in text


def test_lossless_sounds(tmp_path: Path) -> None:
    text, header = written(tmp_path, NONE, synthetic.audio_experiment(seeds=3))
    assert header["task_categories"] == ["audio-classification"]
    assert "as FLAC files, without further loss" in text
    assert "It is what every other level was compared with." in text
    assert "TensorFlow and soundfile alone" in text
    assert "log-mel" in text


def test_nothing_recommended_and_trials_missing(tmp_path: Path) -> None:
    run = synthetic.experiment(levels=[NONE, 25], seeds=1)
    text, _ = written(tmp_path, 25, run, skip=(("A", 25, 0),))
    assert "not the recommended level: none is recommended." in text
    assert "How much is lost here can't be told: 0 complete pairs" in text
    assert "1 of 2 trials are still missing" in text


def test_a_run_without_results_has_a_card_too(tmp_path: Path) -> None:
    run = synthetic.experiment(levels=[NONE, 25], seeds=1)
    text, _ = written(tmp_path, 25, run, skip=(("A", 25, 0), ("A", NONE, 0)))
    assert "Nothing can be said yet" in text


@pytest.mark.parametrize(
    ("dataset", "says"), [({"permute_labels": True}, "labels were shuffled"), ({"noise": 0.1}, "noise of 0.1 of full scale")]
)
def test_a_control_says_that_it_is_one(tmp_path: Path, dataset: dict[str, Any], says: str) -> None:
    run = synthetic.experiment(levels=[NONE, 25], dataset={"kind": "photographs"} | dataset)
    text, _ = written(tmp_path, 25, run)
    assert says in text
    assert "This is a control" in text


def test_names_from_data_are_only_ever_text(tmp_path: Path) -> None:
    run = synthetic.experiment(levels=[NONE, 25], description="<img src=x> | `rm` __x__")
    text, header = written(tmp_path, 25, run, classes=HOSTILE, notes={"a|b\n": 3}, double_compressed=7)
    assert all(len(row) == len(table[0]) for table in tables(text) for row in table)
    assert "\\<script\\>" in text
    assert not re.search(r"(?<!\\)<(img|script)", text)
    assert "7 records, whose source" in text
    names = [row[1].strip() for row in tables(text)[2][2:]]
    assert [re.sub(r"\\(.)", r"\1", name) for name in names] == [" ".join(name.split()) for name in HOSTILE]
    assert header["pretty_name"] == "synthetic, quality 25"


# A Markdown parser as the judge


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, LevelManifest]:
    """A report and a manifest, to be filled with names from data."""
    store = open_store(str(tmp_path_factory.mktemp("run")))
    report = finish(store, synthetic.experiment(levels=[NONE, 50, 25, 5], description="x", dataset=FOLDER), notes={"x": 1})
    return report, read_manifest(store, synthetic.DATASET, report.codec.identity, 25)


def filled(plain: tuple[Report, LevelManifest], names: Sequence[str]) -> tuple[str, str]:
    """Header and body of a card in which every word that comes from data is one of `names`."""
    report, manifest = plain
    a, b, c, d = names
    answer = report.recommendation.model_copy(update={"sentence": a, "caveats": (b, c)})
    dataset = report.experiment["dataset"] | {"kind": c, "path": d}
    changes: dict[str, Any] = {
        "recommendation": answer,
        "experiment": report.experiment | {"name": a, "description": b, "dataset": dataset},
        "levels": [level.model_copy(update={"label": level.label and b}) for level in report.levels],
        "classes": (a, b, c, d),
        "codec": report.codec.model_copy(update={"name": c, "identity": d}),
        "dataset": a,
    }
    manifest = manifest.model_copy(update={"notes": {a: 1}, "versions": {b: c}})
    text = card(report.model_copy(update=changes), manifest, source=d, command=a, page=True)
    found = re.match(r"^(\s*---[\r\n]+)([\S\s]*?)([\r\n]+---(\r\n|\n|$))", text)  # as huggingface_hub finds the header
    assert found
    return found[2], text[found.end() :]


def outline(body: str) -> tuple[list[str], list[list[str]]]:
    """What kinds of elements a text has in which order, and those in each line of text, but for the text itself."""
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    inline = [
        [child.type for child in token.children or () if child.type != "text"] for token in tokens if token.type == "inline"
    ]
    return [token.type for token in tokens], inline


NASTY = [
    *(
        "# heading",
        "## a\n# b",
        "- item",
        "1. item",
        "12) item",
        "+ item",
        "===",
        "---",
        "- - -",
        "***",
        "> quote",
        "```",
        "~~~",
    ),
    *(
        "![x](http://x.y/z)",
        "[x](javascript:alert(1))",
        "[x]: http://x.y",
        "[^1]: x",
        "http://x.y",
        "see WWW.x.y",
        "@x",
        "    code",
    ),
    *(
        "<b>",
        "<!-- x",
        "<script>",
        "&lt;b&gt;",
        "`",
        "``",
        "`a` | `b`",
        "a``b`",
        "|",
        "\\",
        "\\|",
        "a\\",
        "*x*",
        "__x__",
        "~~x~~",
    ),
    *("$x$", "{{ 7 * 7 }}", "{% raw %}", "x\n---\ny", "'", '"', ": x", "? x", "!!python/object:os.system x", "&a", "*a", "%x"),
    *(
        "null",
        "1",
        "2020-01-01",
        "x: y\n- z",
        "#",
        "x #",
        "\x85---\x85",
        "\0",
        "\u202ecod.exe",
        "\u2028# x",
        "\ufeff",
        "\ud7ff\ufffe",
    ),
]


@pytest.mark.parametrize("name", NASTY)
def test_no_name_is_more_than_text(plain: tuple[Report, LevelManifest], name: str) -> None:
    check_is_text(plain, [name] * 4)


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.text(max_size=30) | st.lists(st.sampled_from(NASTY), max_size=3).map(" ".join), min_size=4, max_size=4)
)
def test_no_names_are_more_than_text(plain: tuple[Report, LevelManifest], names: list[str]) -> None:
    check_is_text(plain, [name if name.strip() else "x" for name in names])


def on_one_line(name: str) -> str:
    return re.sub("[\0-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "\N{REPLACEMENT CHARACTER}", " ".join(name.split()))


def check_is_text(plain: tuple[Report, LevelManifest], names: list[str]) -> None:
    header, body = filled(plain, names)
    lines = [on_one_line(name) for name in names]
    assert yaml.safe_load(header) == {
        "pretty_name": on_one_line(f"{names[0]}, {names[1]}"),
        "license": "unknown",
        "task_categories": ["image-classification"],
        "size_categories": ["10K<n<100K"],
        "tags": ["helmholtz", "tfrecord", lines[2]],
    }
    assert outline(body) == outline(filled(plain, "xxxx")[1])
    without_code = re.sub(r"(?<!\\)(`+)(?!`).*?(?<!`)\1(?!`)", "", body)
    assert not re.search(r"(?<!\\)://|www\.", without_code, re.IGNORECASE)  # GitHub makes links of these without any brackets
    html = MarkdownIt("commonmark").enable("table").render(body)
    shown = [unescape(cell) for cell in re.findall(r"<td>([^<]*)</td>", html)]
    assert set(lines) <= set(shown)


@pytest.mark.parametrize(
    ("records", "category"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (60_000, "10K<n<100K"), (10**7, "10M<n<100M"), (10**12, "n>1T")],
)
def test_sizes_have_the_hubs_names(records: int, category: str) -> None:
    assert size_category(records) == category
