"""How often each cell was tried, and why it failed: so that one cell that fails doesn't take the others with it.

On a cluster the cells of a loop share an Argo DAG, which fails fast: once a task has failed for good, those that haven't
started never do. So a train task that has used up its attempts leaves its failure here and ends well; `analyse`, which
comes after all of them, tells. An attempt is counted when it starts, so one that is killed (out of memory, node taken
away) counts, too.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Literal

from helmholtz.errors import HelmholtzError
from helmholtz.storage import Store
from helmholtz.stored import Model, read_model
from helmholtz.trials import Trial

ERROR = "helmholtz: error: "  # starts the line that says why a stage failed; always its last
_KILLED = "killed without a word: out of memory, out of time, or its node was taken away"
_NAMED = 5  # cells that a sentence names; a sweep that fails as a whole needs no list of hundred


class Attempts(Model):
    """``attempts/<plan id>/<architecture>-<level>.json``: the attempts of this run at one cell."""

    format: Literal[1] = 1
    count: int  # started
    failure: str | None = None  # of the last that could say


def _key(plan_id: str, architecture: str, level: str) -> str:
    return f"attempts/{plan_id}/{architecture}-{level}.json"


def _read(store: Store, key: str) -> Attempts:
    return read_model(store, key, Attempts) if store.exists(key) else Attempts(count=0)


def _write(store: Store, key: str, attempts: Attempts) -> None:
    store.write_bytes(key, attempts.model_dump_json().encode())


def forget_attempts(store: Store, plan_id: str, architecture: str, level: str) -> None:
    """Begins the count anew: another run has its own attempts."""
    key = _key(plan_id, architecture, level)
    if store.exists(key):
        _write(store, key, Attempts(count=0))


def attempt(store: Store, cell: tuple[str, str, str], allowed: int, work: Callable[[], None]) -> None:
    """Does `work` on the `cell` (plan id, architecture, level), unless it has been tried `allowed` times.

    Raises what `work` raises where another attempt is left; else that is recorded, printed, and all is well.
    """
    key = _key(*cell)
    earlier = _read(store, key)
    if earlier.count >= allowed:
        print(f"given up after {earlier.count} attempts: {earlier.failure or _KILLED}", flush=True)
        return
    tried = Attempts(count=earlier.count + 1, failure=earlier.failure)
    _write(store, key, tried)
    try:
        work()
    except Exception as error:  # whatever it is, it is this cell's alone
        expected = isinstance(error, HelmholtzError)
        failure = str(error) if expected else f"{type(error).__name__}: {error}"
        _write(store, key, tried.model_copy(update={"failure": failure}))
        if tried.count < allowed:
            raise
        if not expected:
            traceback.print_exc()
        print(f"{ERROR}{failure}", file=sys.stderr, flush=True)


def lacking_sentence(store: Store, plan_id: str, lacking: Iterable[Trial], total: int) -> str:
    """What became of the trials that lack a result, of `total`."""
    lacking = list(lacking)
    cells = dict.fromkeys((trial.architecture, str(trial.level)) for trial in lacking)
    told = [_told(store, plan_id, *cell) for cell in list(cells)[:_NAMED]]
    more = f"; and {len(cells) - _NAMED} more" if len(cells) > _NAMED else ""
    return (
        f"{len(lacking)} of {total} trials have no result: {'; '.join(told)}{more}. "
        "The report is made of the others; run it again to train these alone"
    )


def _told(store: Store, plan_id: str, architecture: str, level: str) -> str:
    found = _read(store, _key(plan_id, architecture, level))
    if not found.count:
        return f"{architecture} at level {level} (never started)"
    times = "once" if found.count == 1 else f"{found.count} times"
    return f"{architecture} at level {level} (tried {times}: {found.failure or _KILLED})"
