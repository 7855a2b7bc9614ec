"""What every task of the pipeline does around its stage, wherever it runs: one clear sentence where it can't go on."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator

from helmholtz import attempts, lease
from helmholtz.cluster import is_below
from helmholtz.errors import ExperimentError, HelmholtzError
from helmholtz.storage import Store, is_remote, open_store

VOLUMES = "HELMHOLTZ_VOLUMES"  # in pods: where they mount claims, as a JSON list


class _ToldBeforeError(HelmholtzError):
    """What an earlier start of this stage has noted already."""


@contextlib.contextmanager
def running(root: str, run: str, stage: str, *, last: bool = False) -> Iterator[None]:
    """Runs a stage in the block, as a part of `run`, which holds the root meanwhile; the `last` stage gives it free.

    Ends the process with one clear sentence, and status 1, where the library raises an error meant for the user. Where
    that error is final, further starts of the stage by a cluster that knows no difference end at once with the same sentence.
    """
    try:
        check_root(root)
        store = open_store(root)
        try:
            with lease.held(store, run), _remembered(store, run, stage):
                yield
        finally:
            if last:  # and no sign of life is under way any more
                lease.release(store, run)
    except HelmholtzError as error:
        print(f"{attempts.ERROR}{error}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None


@contextlib.contextmanager
def _remembered(store: Store, run: str, stage: str) -> Iterator[None]:
    told = attempts.final_failure(store, run, stage)
    if told is not None:
        raise _ToldBeforeError(f"{told} (so it was told before in this run; once it is mended, start a new one)")
    try:
        yield
    except HelmholtzError as error:
        if attempts.is_final(error):
            attempts.note_final(store, run, stage, str(error))
        raise


def check_root(root: str) -> None:
    """Raises ExperimentError in a pod that couldn't see the run root, or would lose it with itself."""
    volumes = os.environ.get(VOLUMES)
    if volumes is None or is_remote(root):
        return
    mounted = [str(path) for path in json.loads(volumes)]
    if not is_below(root.removeprefix("file://"), mounted):
        where = f", or a path below {' or '.join(mounted)}" if mounted else ", or submit it with a claim in cluster.volumes"
        raise ExperimentError(f"parameter root: {root} is nothing that all pods see; give gs:// or s3://{where}")
