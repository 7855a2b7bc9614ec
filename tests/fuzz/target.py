"""What is fuzzed, and what may come of it: accepted with a right result, or refused with a sentence for the user."""

from __future__ import annotations

import re
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType
from typing import Literal

from helmholtz.errors import BadRecord, HelmholtzError
from tests.fuzz.mutations import mutate_bytes

SECONDS = 5.0  # of processor time that a case may take; the slowest good ones take a tenth
ADDRESSES = 3 << 30  # bytes that all cases together may ask for
MEMORY = 400 << 20  # bytes that one case may add to the process
LONGEST = 1_000  # characters of an error
LONGEST_REASON = 200  # characters of the reason why a record is set aside

Mutate = Callable[[Random, bytes, Sequence[bytes]], bytes]
"""A new case from one of the corpus, and the corpus itself."""


class Refused(Exception):  # noqa: N818  # the input is at fault
    """The input was refused as documented, by another error than the two kinds for users."""


class Hang(BaseException):
    """Past the deadline. No Exception, which the library may take for damage of the input."""


@dataclass(frozen=True)
class Target:
    """One kind of input."""

    corpus: Callable[[], list[bytes]]  # made by our own encoders; all of it is accepted
    check: Callable[[bytes, Path], str]  # what was accepted, in a word; raises AssertionError where the result is wrong
    mutate: Mutate = mutate_bytes
    where: tuple[str, ...] = ()  # one of these names the place in every error
    speed: float = 1.0  # cases of a run, as a multiple of other targets'


@dataclass(frozen=True)
class Outcome:
    """What became of one case."""

    kind: Literal["accepted", "refused", "failed"]
    said: str

    @property
    def shape(self) -> str:
        """The outcome without what changes from case to case: numbers, quoted values, paths."""
        plain = re.sub(r"'[^']*'|\"[^\"]*\"|/\S*|--set .*?:|\(got .*", "~", self.said)
        return f"{self.kind}: {re.sub('[0-9]+', '#', plain)[:60]}"


def judge(target: Target, data: bytes, folder: Path) -> Outcome:
    """Puts one case to the target, in the empty `folder`."""
    before, start = _peak(reset=True), time.process_time()
    try:
        with deadline(SECONDS):
            outcome = Outcome("accepted", target.check(data, folder))
    except (HelmholtzError, BadRecord, Refused) as error:
        problem = _problem(error, target.where)
        outcome = Outcome("failed", f"{problem}: '{str(error)[:2000]}'") if problem else Outcome("refused", str(error))
    except Hang:
        outcome = Outcome("failed", f"hang: over {SECONDS:.0f} s")
    except Exception as error:  # whatever it is, it is a fault of ours
        outcome = Outcome("failed", f"{type(error).__name__} at {_place(error)}: {str(error)[:2000]}")
    if (took := time.process_time() - start) > SECONDS and outcome.kind != "failed":
        outcome = Outcome("failed", f"slow: over {SECONDS:.0f} s ({took:.1f})")
    if (grown := _peak() - before) > MEMORY:
        outcome = Outcome("failed", f"memory: over {MEMORY >> 20} MiB ({grown >> 20})")
    return outcome


def _peak(*, reset: bool = False) -> int:
    """The most memory this process has had, in bytes, ever or since the last `reset`."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): the peak becomes what it is now
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


@contextmanager
def bounded_memory() -> Iterator[None]:
    """No more than ADDRESSES for the block beyond what the process has, so that a bomb never takes the machine with it."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESSES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raises Hang once the block has taken so much processor time."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.5)  # again, for where the first one is swallowed
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _problem(error: Exception, where: tuple[str, ...]) -> str | None:
    """What is wrong with an error for users, if anything is."""
    text = str(error)
    if not text.strip():
        return "says nothing"
    if len(text) > (LONGEST_REASON if isinstance(error, BadRecord) else LONGEST):
        return "too long"
    if not all(c.isprintable() or c == "\n" for c in text):
        return "not printable"
    if re.search(r"Traceback|<class '| object at 0x|For further information visit", text):
        return "not for users"
    if isinstance(error, HelmholtzError) and where and not any(name in text for name in where):
        return "names no place"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return "out of memory"
        cause = cause.__cause__
    return None


def _place(error: Exception) -> str:
    """The last line of the library, or else of anything, that the error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/helmholtz/" in frame.filename] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].name}"
