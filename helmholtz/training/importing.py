"""Importing TensorFlow without what takes a third of the time, and on a terminal without its remarks about the machine."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

# Keras imports these where it finds them, for plots and wrappers that nothing here uses.
_UNUSED = ("matplotlib", "sklearn")


def import_tensorflow(*, quietly: bool = False) -> None:
    """Imports TensorFlow. It makes its remarks before any setting of ours is read: `quietly` closes standard error to it.

    For these seconds no thread of the process finds matplotlib and scikit-learn, unless they were imported before, and
    Keras' own plots and wrappers stay without them. Who wants those imports TensorFlow first, and this does nothing. An
    ImportError is left for who needs it.
    """
    with _without(_UNUSED), _silence() if quietly else contextlib.nullcontext(), contextlib.suppress(ImportError):
        import tensorflow as tf

        tf.config.list_physical_devices()  # looks for graphics processors, and complains that there are none


@contextlib.contextmanager
def _without(packages: tuple[str, ...]) -> Iterator[None]:
    """Within, an import of these finds none, unless they were imported before."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is how the import system says so
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Within, what the process writes to its standard error is gone."""
    try:
        kept = os.dup(2)
    except OSError:  # it was started without one
        yield
        return
    if sys.stderr:
        sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
