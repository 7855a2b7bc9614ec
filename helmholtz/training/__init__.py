"""Training: one (architecture, level) with all its seeds. To be imported before TensorFlow is."""

import os
import platform

# TensorFlow uses oneDNN's convolutions by itself only where the processor has AVX-512 VNNI or newer: with AVX2 alone they train
# 1.3 times as fast as its own (docs/performance.md), and all machines then use one library. It reads this when it is imported.
if platform.machine().lower() in ("x86_64", "amd64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
