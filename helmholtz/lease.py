"""The lease on a run root: at most one run works in it at a time, and a run that has died never locks it.

A lease is ``lease/<number>.json``, and the one with the highest number counts. Who wants the root creates the next number,
which of many who try at once one does (`Store.create`); nobody ever writes another run's lease. All processes of a run hold
the same one. It says when one of them last gave a sign of life, and is void when that is too long ago and no other sign comes
while one watches (clocks differ, and jump), or at once when the process that took it is gone from this machine.
"""

from __future__ import annotations

import _thread
import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from helmholtz.errors import StorageError
from helmholtz.storage import Store, machine
from helmholtz.stored import Model, read_model

BEAT = 30.0  # seconds between two signs of life
PATIENCE = 1800.0  # seconds without one after which a lease may be void: a run's pods may all be waiting for a node
WATCH = 2.2  # beats of this process's own time in which there has to be another sign then

_log = logging.getLogger(__name__)


class HeldError(StorageError):
    """Another run is at work in this root."""


class Lease(Model):
    """``lease/<number>.json``: which run works in this root."""

    format: Literal[1] = 1
    run: str
    machine: str  # of the process that took it
    process: int = Field(ge=1, lt=1 << 31)  # its number there
    beat: float = Field(ge=0, le=1e12)  # last sign of life, in seconds since 1970 (UTC)
    released: bool = False


def take(store: Store, run: str) -> int:
    """Takes the lease for `run`, or gives a sign of life if it has it. Returns its number.

    Raises HeldError while another run holds it.
    """
    while True:
        number, lease = _newest(store)
        if lease is not None and not _is_void(lease):
            if lease.run != run:
                raise HeldError(_sentence(store, number, lease))
            _renew(store, number, lease)
            return number
        if lease is not None and lease.run != run and not _is_given_up(lease) and _is_heard(store, number, lease):
            raise HeldError(_sentence(store, number, lease))
        mine = Lease(run=run, machine=machine(), process=os.getpid(), beat=time.time())
        if not store.create(_key(number + 1), _content(mine)):
            time.sleep(0.1)
        # And look again: not every store keeps two from creating one object.


def release(store: Store, run: str) -> None:
    """Gives the root free, if it is `run` that holds it."""
    number, lease = _newest(store)
    if lease is not None and lease.run == run and not lease.released:
        store.write_bytes(_key(number), _content(lease.model_copy(update={"released": True})))


@contextlib.contextmanager
def held(store: Store, run: str) -> Iterator[None]:
    """Holds the root for `run` while the block works, with signs of life; doesn't give it free, since a run has many blocks.

    Raises HeldError where another run holds it, or has taken it since, after a long silence of this one (of a machine that
    slept, say): the block is then interrupted, so that two don't go on side by side.
    """
    number = take(store, run)
    done, lost = threading.Event(), threading.Event()
    interruptible = threading.current_thread() is threading.main_thread()

    def beat() -> None:
        while not done.wait(BEAT):
            with contextlib.suppress(StorageError):  # a store that doesn't answer for a moment: the lease lasts for many signs
                if not _keep(store, run, number):
                    lost.set()
                    if interruptible:
                        _thread.interrupt_main()
                    return

    heart = threading.Thread(target=beat, name="lease", daemon=True)
    heart.start()
    try:
        yield
    except KeyboardInterrupt:
        if not lost.is_set():
            raise
        raise HeldError(f"{store.uri}: another run has taken this root, after a long silence of this one; run again") from None
    finally:
        done.set()
        heart.join()


def _newest(store: Store) -> tuple[int, Lease | None]:
    stems = (key.removeprefix("lease/").removesuffix(".json") for key in store.list("lease"))
    number = max((int(stem) for stem in stems if stem.isdecimal() and len(stem) == 6), default=0)
    return number, read_model(store, _key(number), Lease) if number else None


def _keep(store: Store, run: str, number: int) -> bool:
    """Gives a sign of life for the lease of that number; False where another run has the root now."""
    lease: Lease | None = read_model(store, _key(number), Lease)
    if store.exists(_key(number + 1)):  # cheaper than a listing, which asks a bucket after every lease there was
        number, lease = _newest(store)
    if lease is None or lease.run != run:
        return False
    _renew(store, number, lease)
    return True


def _is_given_up(lease: Lease) -> bool:
    return lease.released or (lease.machine == machine() and not _runs(lease.process))


def _is_void(lease: Lease) -> bool:
    # A sign from far in the future is as good as an old one: a clock was wrong, and nobody may wait until then.
    return _is_given_up(lease) or abs(time.time() - lease.beat) > PATIENCE


def _is_heard(store: Store, number: int, lease: Lease) -> bool:
    """Whether there is a sign of life of the lease while one watches, whatever the clocks say."""
    _log.warning("%s: waits %.0f s for a sign of life of run %s", store.uri, WATCH * BEAT, lease.run)
    until = time.monotonic() + WATCH * BEAT
    while time.monotonic() < until:
        time.sleep(BEAT / 10)
        now: Lease | None = read_model(store, _key(number), Lease)
        if now is not None and now.beat != lease.beat:
            return not now.released
    return False


def _renew(store: Store, number: int, lease: Lease) -> None:
    # A run may have hundreds of pods, and an object store takes about one write a second of one object.
    if abs(time.time() - lease.beat) > BEAT / 2:
        store.write_bytes(_key(number), _content(lease.model_copy(update={"beat": time.time()})))


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    with contextlib.suppress(OSError):  # a container's first process may never fetch what died: a zombie
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    return True


def _key(number: int) -> str:
    return f"lease/{number:06}.json"


def _content(lease: Lease) -> bytes:
    return lease.model_dump_json().encode()


def _sentence(store: Store, number: int, lease: Lease) -> str:
    age = max(0, round(time.time() - lease.beat))
    return (
        f"{store.uri}: another run ({lease.run}) is at work here, last heard of {age} s ago; wait until it has ended, or give "
        f"this one a root of its own. Was it killed on another machine? Then the root is free {PATIENCE / 60:.0f} minutes "
        f"after its last sign of life, or when you delete {_key(number)} there"
    )
