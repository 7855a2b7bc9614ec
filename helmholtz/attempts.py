"""How often each task of a run was started, and why it failed: so that one cell that fails doesn't take the others with it.

On a cluster the cells of a loop share an Argo DAG, which fails fast: once a task has failed for good, those that haven't
started never do. So a train task that has used up its attempts leaves its failure here and ends well; `analyse`, which
comes after all of them, tells. An attempt is counted when it starts, so one that is killed (out of memory, node taken
away) counts, too. Each start is an object of its own, and their number is the count: no damage makes it smaller.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterable
from typing import Literal, NoReturn

from helmholtz.errors import HelmholtzError, StorageError
from helmholtz.storage import Store
from helmholtz.stored import Model, read_model
from helmholtz.trials import Trial

ERROR = "helmholtz: error: "  # starts the line that says why a stage failed; always its last
LONGEST_PAUSE = 600.0  # seconds; a pod keeps its GPU while it pauses
_KILLED = "killed without a word: out of memory, out of time, or its node was taken away"
_NAMED = 5  # cells that a sentence names; a sweep that fails as a whole needs no list of hundred


class Start(Model):
    """``attempts/<run>/<task>/<number>-<random>.json``: one start of a task, and how it ended."""

    format: Literal[1] = 1
    failure: str | None = None  # None: it went well, is under way, or was killed
    final: bool = False  # whether another start would fail alike


def attempt(
    store: Store, run: str, cell: tuple[str, str, str], allowed: int, work: Callable[[], None], *, pause: float | None = None
) -> None:
    """Does `work` on the `cell` (plan id, architecture, level), unless this `run` has started it `allowed` times already.

    Where it fails and another attempt is left, this process starts anew after `pause` seconds, doubled each time (without a
    `pause`: raises what `work` raises). Else, and at once for what fails alike each time, that is recorded, printed, and all
    is well.
    """
    task = _task(*cell)
    earlier = _starts(store, run, task)
    if len(earlier) >= allowed:
        print(f"given up after {len(earlier)} attempts: {_cause(store, earlier)}", flush=True)
        return
    number = len(earlier) + 1
    key = _note(store, run, task, number, Start())
    if earlier and (known := _read(store, earlier[-1])).final:
        store.write_bytes(key, known.model_dump_json().encode())
        print(f"not tried again: {known.failure}", flush=True)
        return
    try:
        work()
    except Exception as error:  # whatever it is, it is this cell's alone
        if not isinstance(error, HelmholtzError):
            traceback.print_exc()
        failed = Start(failure=_said(error), final=is_final(error))
        store.write_bytes(key, failed.model_dump_json().encode())
        again = number < allowed and not failed.final
        if again and pause is None:
            raise
        print(f"{ERROR}{failed.failure}", file=sys.stderr, flush=True)
        if again and pause is not None:
            _start_anew(min(pause * 2 ** (number - 1), LONGEST_PAUSE))


def is_final(error: Exception) -> bool:
    """Whether a further attempt would fail alike: the user must do something. A store may answer again by itself."""
    return isinstance(error, HelmholtzError) and not isinstance(error, StorageError)


def note_final(store: Store, run: str, stage: str, failure: str) -> None:
    """Notes that a stage of this `run` needn't be started again: it would fail alike."""
    _note(store, run, f"stages/{stage}", 1, Start(failure=failure, final=True))


def final_failure(store: Store, run: str, stage: str) -> str | None:
    """Why a further start of a stage would fail like an earlier one in this `run`; None if nothing says so."""
    noted = _starts(store, run, f"stages/{stage}")
    return _read(store, noted[0]).failure if noted else None


def lacking_sentence(store: Store, run: str, plan_id: str, lacking: Iterable[Trial], total: int) -> str:
    """What became in this `run` (empty: of none) of the trials that lack a result, of `total`."""
    lacking = list(lacking)
    cells = dict.fromkeys((trial.architecture, str(trial.level)) for trial in lacking)
    told = [_told(store, run, plan_id, *cell) for cell in list(cells)[:_NAMED]]
    more = f"; and {len(cells) - _NAMED} more" if len(cells) > _NAMED else ""
    return (
        f"{len(lacking)} of {total} trials have no result: {'; '.join(told)}{more}. "
        "The report is made of the others; run it again to train these alone"
    )


def _told(store: Store, run: str, plan_id: str, architecture: str, level: str) -> str:
    if not run:
        return f"{architecture} at level {level}"
    found = _starts(store, run, _task(plan_id, architecture, level))
    if not found:
        return f"{architecture} at level {level} (never started)"
    times = "once" if len(found) == 1 else f"{len(found)} times"
    return f"{architecture} at level {level} (tried {times}: {_cause(store, found)})"


def _cause(store: Store, starts: list[str]) -> str:
    """Why the last of the `starts` failed; and where it couldn't say, the last that could."""
    last, *earlier = [(number, _read(store, key).failure) for number, key in reversed(list(enumerate(starts, start=1)))]
    if last[1] is not None:
        return last[1]
    said = next((f"; attempt {number}: {failure}" for number, failure in earlier if failure), "")
    return f"{_KILLED}{said}"


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, HelmholtzError) else f"{type(error).__name__}: {error}"


def _task(plan_id: str, architecture: str, level: str) -> str:
    return f"train/{plan_id}/{architecture}-{level}"


def _starts(store: Store, run: str, task: str) -> list[str]:
    """Keys of the starts of a task in this `run`, in order."""
    return sorted(store.list(f"attempts/{run}/{task}"))


def _note(store: Store, run: str, task: str, number: int, start: Start) -> str:
    key = f"attempts/{run}/{task}/{number:04}-{uuid.uuid4().hex[:8]}.json"  # two pods that start at once are two starts
    store.write_bytes(key, start.model_dump_json().encode())
    return key


def _read(store: Store, key: str) -> Start:
    try:
        return read_model(store, key, Start)
    except StorageError as error:  # it counts all the same
        return Start(failure=f"its record can't be read ({error})")


def _start_anew(pause: float) -> NoReturn:
    """Starts this process as it was started, with nothing left of the failed attempt in memory or on the GPU."""
    print(f"starting anew in {pause:.0f} s", flush=True)
    time.sleep(pause)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # our own command line
