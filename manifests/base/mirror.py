"""Keeps a local copy of a run root's TensorBoard logs: ``mirror.py FOLDER``, with the root in ``RUN_ROOT``.

TensorBoard goes on reading a file where it stopped. So a file that grew is appended to, and one that was written anew gets
another name, beside which the old one vanishes.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from helmholtz.errors import HelmholtzError
from helmholtz.storage import Store, open_store

LOGS = "tensorboard"
SECONDS = 60  # between two looks; each reads every log once


def mirror(store: Store, folder: Path, copies: dict[str, Path]) -> int:
    """Brings `folder` up to date. Returns how many files have changed.

    `copies` says which file holds which key's content, and is brought up to date as well.
    """
    changed = 0
    keys = set(store.list(LOGS))
    for key in sorted(keys):
        content, copy = store.read_bytes(key), copies.get(key)
        held = copy.read_bytes() if copy else b""
        if copy and content == held:
            continue
        changed += 1
        if copy and content.startswith(held):
            with copy.open("ab") as file:
                file.write(content[len(held) :])
            continue
        copies[key] = _fresh(folder / key)
        copies[key].write_bytes(content)
        if copy:
            copy.unlink()
    for key in copies.keys() - keys:
        copies.pop(key).unlink()
        changed += 1
    return changed


def _fresh(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    while path.with_name(f"{path.name}.{number}").exists():
        number += 1
    return path.with_name(f"{path.name}.{number}")


def main() -> None:
    """Mirrors for as long as the pod lives. What goes wrong is said, and tried again."""
    folder, copies, said = Path(sys.argv[1]), dict[str, Path](), ""
    shutil.rmtree(folder / LOGS, ignore_errors=True)  # of a container before this one, which knew what was whose
    (folder / LOGS).mkdir(parents=True)
    while True:
        try:
            store = open_store(os.environ["RUN_ROOT"])
            changed = mirror(store, folder, copies)
            line = f"{store.uri}: {len(copies)} log files" if changed or not said else said
        except HelmholtzError as error:
            line = f"error: {error}"
        if line != said:
            print(line, flush=True)
            said = line
        time.sleep(SECONDS)


if __name__ == "__main__":
    main()
