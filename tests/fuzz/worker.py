"""One target in a process of its own, so that it can die or hang, and the case that did it is known."""

from __future__ import annotations

import logging
import mmap
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz.engine import Tally, fuzz
from tests.fuzz.mutations import MAX_BYTES
from tests.fuzz.targets import find

SILENCE = 60.0  # seconds without a word after which a process hangs
EVERY = 0.5  # seconds between two words
DEATHS = 10  # after which a target is given up


class Current:
    """The case under way, where it outlives the process that works on it."""

    def __init__(self, path: Path) -> None:
        path.touch()
        os.truncate(path, MAX_BYTES + 8)
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), MAX_BYTES + 8)

    def write(self, data: bytes) -> None:
        self._memory[: 8 + len(data)] = len(data).to_bytes(8) + data

    def read(self) -> bytes:
        return self._memory[8 : 8 + int.from_bytes(self._memory[:8])]


def work(name: str, cases: int, seed: int, seconds: float, current: Path, said: Connection) -> None:
    """Fuzzes one target in this process, and says how far it is now and then, and what it found at the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stderr = os.fdopen(os.dup(2), "w")  # for a fault of this very program
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # C libraries have much to say about damage
    logging.disable()
    last = time.monotonic()

    def on_judged(tally: Tally) -> None:
        nonlocal last
        if time.monotonic() - last > EVERY:
            said.send(tally)
            last = time.monotonic()

    said.send(fuzz(find(name), name, cases, seed, seconds=seconds, on_case=Current(current).write, on_judged=on_judged))


def run(name: str, cases: int, seed: int, seconds: float, folder: Path) -> Iterator[Tally]:
    """The tally of a target, again and again until it is done."""
    done, deaths, start, current = Tally(), 0, time.monotonic(), folder / f"{name}.case"
    Current(current).write(b"")
    while done.cases < cases and deaths < DEATHS and time.monotonic() - start < seconds:
        left = cases - done.cases, seconds - (time.monotonic() - start)
        here, there = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("spawn").Process(target=work, args=(name, left[0], seed, left[1], current, there))
        process.start()
        there.close()
        tally = Tally()
        try:
            while here.poll(SILENCE):
                tally = here.recv()
                yield _sum(done, tally)
            fault = f"hang: no word in {SILENCE:.0f} s"
        except EOFError:
            process.join()
            fault = f"died: exit code {process.exitcode}" if process.exitcode else ""
        finally:
            process.kill()
            process.join()
        if fault:
            data = Current(current).read()
            tally.cases, deaths = tally.cases + 1, deaths + 1
            tally.kinds["failed"] += 1
            tally.failures[fault], tally.said[fault] = data, fault
        done = _sum(done, tally)
        yield done
        seed += 1_000_003  # else the same case came again
    current.unlink()


def _sum(one: Tally, other: Tally) -> Tally:
    both = Tally()
    both.merge(one)
    both.merge(other)
    return both
