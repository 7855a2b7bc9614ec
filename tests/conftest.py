"""Fixtures that many tests share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def cifar10(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real CIFAR-10, unpacked; skips where it isn't at hand."""
    import subprocess
    import sys

    packed = SHARED / "cifar10" / "unpack.py"
    if not packed.is_file():
        pytest.skip("the real CIFAR-10 isn't beside this checkout")
    folder = tmp_path_factory.mktemp("cifar10")
    subprocess.run([sys.executable, str(packed), str(folder)], check=True, capture_output=True)
    return folder / "cifar-10-batches-bin"


def picture(seed: int, height: int = 40, width: int = 48) -> np.ndarray:
    """A smooth random picture, uint8 [height, width, 3]: something a photograph's codec can do its work on."""
    from PIL import Image

    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A class folder: 2 classes of 12 PNG pictures."""
    from PIL import Image

    root = tmp_path / "pictures"
    for label, name in enumerate(("birds", "fish")):
        (root / name).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(picture(100 * label + number)).save(root / name / f"{number:02d}.png")
    return root
