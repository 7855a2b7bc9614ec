"""A few thousand cases of bad input of every kind, the same ones each time (`make fuzz` tries 100,000), and faults put in."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from helmholtz import shards
from helmholtz.errors import BadRecord, HelmholtzError, SourceError
from tests.fuzz.__main__ import shares
from tests.fuzz.engine import Tally, fuzz
from tests.fuzz.target import Target, judge
from tests.fuzz.targets import NAMES, find
from tests.fuzz.worker import run

CASES = shares(list(NAMES), 2_000)


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_refused_in_a_sentence_or_read_right(name: str, tmp_path: Path) -> None:
    found = Tally()
    for tally in run(name, CASES[name], 0, 60.0, tmp_path):  # in a process of its own: some of these cases have killed one
        found = tally
    assert found.failures == {}, found.said
    assert found.cases >= CASES[name]
    assert found.kinds["accepted"], "else nothing but refusals was tested"


def _raises(error: BaseException) -> Callable[[bytes, Path], str]:
    def check(data: bytes, folder: Path) -> str:
        raise error

    return check


def _returns(nothing: object) -> str:
    return "read"


def _out_of_memory() -> str:
    try:
        raise MemoryError
    except MemoryError as error:
        raise SourceError("set.zip: too large") from error


def _busy() -> str:
    while True:
        try:
            time.process_time()
        except Exception:  # noqa: S112  # as a reader that takes everything for damage of its input
            continue


FAULTS: dict[str, tuple[Callable[[bytes, Path], str], str]] = {
    "another error": (_raises(KeyError("size")), "KeyError"),
    "no words": (_raises(SourceError("")), "says nothing"),
    "no place": (_raises(SourceError("damaged")), "names no place"),
    "a reason that goes on and on": (_raises(BadRecord("x" * 500)), "too long"),
    "control characters": (_raises(BadRecord("\x1b[31mred")), "not printable"),
    "words for developers": (_raises(SourceError("set.zip: <class 'int'> expected")), "not for users"),
    "memory that ran out": (lambda data, folder: _out_of_memory(), "out of memory"),
    "memory": (lambda data, folder: _returns(bytearray(b"x") * (500 << 20)), "memory: over"),
    "a hang": (lambda data, folder: _busy(), "hang"),
    "a wrong result": (_raises(AssertionError("other samples")), "AssertionError"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_reader_at_fault_is_told(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.target.SECONDS", 0.5)
    check, expected = FAULTS[fault]
    outcome = judge(Target(lambda: [b"x"], check, where=("set.zip",)), b"x", tmp_path)
    assert outcome.kind == "failed"
    assert expected in outcome.said


def test_an_error_for_users_is_short_and_printable_whatever_it_quotes() -> None:
    said = str(HelmholtzError("data.yaml: " + "\x1b[2J\u202e" * 5_000 + "; delete it"))
    assert len(said) <= 1_000
    assert said.isprintable()
    assert said.startswith("data.yaml: ")
    assert said.endswith("; delete it")


def _as_it_is(text: str) -> str:
    return text


GUARDS: dict[str, tuple[str, str, Callable[..., object], int]] = {
    "errors are legible": ("documents", "helmholtz.errors.legible", _as_it_is, 400),
    "records have checksums": ("shards", "helmholtz.shards._masked_crc", lambda data: b"0000", 10),
}


@pytest.mark.parametrize("guard", GUARDS)
def test_without_a_guard_it_is_found(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, path, instead, cases = GUARDS[guard]
    monkeypatch.setattr(path, instead)
    shards._length.cache_clear()
    try:
        assert fuzz(find(name), name, cases, 0).failures
    finally:
        for cached in (shards._length, shards._framing):  # wrong checksums would stay for the tests that follow
            cached.cache_clear()
