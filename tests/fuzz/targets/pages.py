"""Names from data in everything that is published: they are shown as text, and change nothing else of page, card and reader."""

from __future__ import annotations

import ast
import functools
import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import Any

import yaml

from helmholtz.analysis.summary import Report
from helmholtz.codecs import open_codec
from helmholtz.manifest import read_manifest
from helmholtz.report.card import card
from helmholtz.report.html import page
from helmholtz.report.publish import analyse
from helmholtz.report.reader import reader
from helmholtz.storage import open_store
from helmholtz.stored import parse_model
from tests import synthetic_run
from tests.fuzz.engine import empty_folder
from tests.fuzz.mutations import mutate_bytes
from tests.fuzz.target import Refused, Target
from tests.fuzz.trees import HOSTILE

RUN = synthetic_run.experiment(levels=["none", 25, 10], seeds=3, prices={"per_hour": 1.0})
PLAIN = {
    "classes": ["cat", "dog", "ship", "truck"], "description": "plain", "key": "cat/1.png", "reason": "truncated image",
    "device": "CPU", "version": "1.0", "currency": "EUR", "root": "/data/run", "source": "a folder", "currency2": "EUR",
}  # fmt: skip


@functools.cache
def made() -> tuple[dict[str, Any], Any]:
    """The report as JSON, and the manifest of a level."""
    with empty_folder() as folder:
        store = open_store(str(folder))
        synthetic_run.write_run(store, RUN, rejected=synthetic_run.rejected(("cat/1.png", "truncated image")))
        analyse(store, RUN, synthetic_run.DATASET)
        report = json.loads((folder / "report" / "report.json").read_bytes())
        return report, read_manifest(store, synthetic_run.DATASET, open_codec(RUN).identity, 25)


def corpus() -> list[bytes]:
    return [json.dumps(PLAIN).encode()]


def mutate(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    try:
        texts = json.loads(data)
        for _ in range(random.randint(1, 4)):
            name = random.choice(list(PLAIN))
            text = random.choice(HOSTILE) + random.choice(("", "cat", random.choice(HOSTILE)))
            if random.random() < 0.3:
                text = mutate_bytes(random, text.encode(errors="replace"), corpus).decode(errors="replace")
            if name == "classes":
                texts[name][random.randrange(len(texts[name]))] = text
            else:
                texts[name] = text
        return json.dumps(texts).encode()
    except (ValueError, KeyError, TypeError):
        return corpus[0]


def check(data: bytes, folder: Path) -> str:
    try:
        texts = json.loads(data)
        known = {name: texts[name] for name in PLAIN}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused("the case is no set of names") from error
    if [type(value) for value in known.values()] != [type(value) for value in PLAIN.values()] or len(known["classes"]) != 4:
        raise Refused("the case is no set of names")
    shown, plain = published(known), _plain()
    assert _skeleton(shown[0]) == _skeleton(plain[0]), "the page has other elements"
    assert "\0" not in shown[0], "a null in the page"
    header = shown[1].split("\n---\n")[0].removeprefix("---\n")
    keys = {"pretty_name", "license", "task_categories", "size_categories", "tags"}
    assert set(yaml.safe_load(header)) == keys, "card's header"
    assert len(shown[1].splitlines()) == len(plain[1].splitlines()), "the card has other lines"
    assert "<" not in _outside_code(shown[1]).replace("\\<", ""), "markup in the card"
    assert _statements(shown[2]) == _statements(plain[2]), "the reader has other statements"
    return "shown"


@functools.cache
def _plain() -> tuple[str, str, str]:
    return published(PLAIN)


def published(texts: dict[str, Any]) -> tuple[str, str, str]:
    """Page, card and reader with these names in them. Raises StorageError where the report isn't one."""
    content, manifest = made()
    content = json.loads(json.dumps(content))
    content["classes"], content["devices"] = texts["classes"], [texts["device"]]
    content["experiment"]["description"] = texts["description"]
    content["experiment"]["prices"]["currency"] = texts["currency"]
    content["costs"]["currency"] = texts["currency2"]
    content["rejected"]["first"] = [{"key": texts["key"], "reason": texts["reason"]}]
    content["rejected"]["by_reason"] = {texts["reason"]: 1}
    content["versions"]["train"] = {"tensorflow": [texts["version"]]}
    report = parse_model(json.dumps(content).encode(), "root/report/report.json", Report)
    level = next(level for level in report.levels if level.level == 25)
    experiment = yaml.safe_dump(report.experiment, sort_keys=False, allow_unicode=True)
    html = page(report, (), root=texts["root"], experiment=experiment)
    text = card(report, manifest, source=texts["source"], command="helmholtz export", page=True)
    return html.encode().decode(), text.encode(errors="backslashreplace").decode(), reader(report, level, texts["root"])


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[object] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, [name for name, _ in attrs], [v for n, v in attrs if n in ("href", "src")]))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(tag)

    def handle_comment(self, data: str) -> None:
        self.found.append("comment")


def _skeleton(html: str) -> list[object]:
    parser = _Elements()
    parser.feed(html)
    return parser.found


def _outside_code(card: str) -> str:
    """The card without its header, code blocks and code in lines."""
    import re

    body = card.split("\n---\n", 1)[1]
    return re.sub(r"```.*?```|(`+)[^\n]*?\1", "", body, flags=re.DOTALL)


def _statements(source: str) -> list[str]:
    return [type(node).__name__ for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt | ast.Call)]


TARGET = Target(corpus, check, mutate, where=("root/report/report.json",), speed=0.08)
