"""Importing TensorFlow without its remarks about the machine, which it writes before any setting of ours is read."""

from __future__ import annotations

import contextlib
import os
import sys


def import_tensorflow() -> None:
    """Imports TensorFlow with the process's standard error closed to it. An ImportError is left for who needs it."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with contextlib.suppress(ImportError):
            import tensorflow as tf

            tf.config.list_physical_devices()  # looks for graphics processors, and complains that there are none
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
