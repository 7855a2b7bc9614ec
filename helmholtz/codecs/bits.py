"""How many bits JPEG's quantisation takes away, in theory: the arithmetic of the Helmholtz paper, section 4.1.

A sample starts at 16 bits (the paper's figure for a pixel with subsampled chrominance). Quantisation at quality q takes
``log2(sum(K1_q) + 2 * sum(K2_q))`` of them, with K1 and K2 the standard's luminance and chrominance tables as libjpeg
scales them to q. It is a sum over 192 table entries, not a loss per pixel: read it beside the measured bits.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

from helmholtz.codecs.base import Bits

BITS_PER_SAMPLE = 16
PAPER_SUM = 12487  # what the paper prints for sum(K1) + 2 sum(K2); the standard's tables give 14698

# ISO/IEC 10918-1 (ITU-T T.81), Annex K, Table K.1: luminance quantisation, rows of rising vertical frequency.
_LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
# The same, Table K.2: chrominance quantisation.
_CHROMINANCE = np.array(
    [
        [17, 18, 24, 47, 99, 99, 99, 99],
        [18, 21, 26, 66, 99, 99, 99, 99],
        [24, 26, 56, 99, 99, 99, 99, 99],
        [47, 66, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
    ]
)

Table = npt.NDArray[np.uint8]


def scale_factor(quality: int) -> int:
    """The percentage s that libjpeg (``jpeg_quality_scaling``) scales the tables by: 5000 at quality 1 down to 0 at 100."""
    if not 1 <= quality <= 100:
        raise ValueError(f"JPEG quality {quality} is not in 1..100")
    return 5000 // quality if quality < 50 else 200 - 2 * quality


@cache
def scaled_tables(quality: int) -> tuple[Table, Table]:
    """Luminance and chrominance tables at `quality` (1..100), as libjpeg writes them: ``clamp((K * s + 50) // 100, 1, 255)``.

    Each is uint8 [8, 8] in natural order (row: vertical frequency, column: horizontal), and read-only.
    """
    scale = scale_factor(quality)
    luminance, chrominance = (np.clip((k * scale + 50) // 100, 1, 255).astype(np.uint8) for k in (_LUMINANCE, _CHROMINANCE))
    luminance.flags.writeable = chrominance.flags.writeable = False
    return luminance, chrominance


def theoretical_bits(quality: int) -> dict[str, Bits]:
    """Bits lost and left at `quality` (1..100), by both accountings.

    ``standard`` sums the scaled tables. Its all-ones tables at quality 100 still "lose" log2(192) bits: an artefact.

    ``paper`` is the formula that reproduces the paper's printed numbers: ``lost = log2(12487 * s / 100)``. It scales a sum
    without rounding or clamping the entries, so it has no value at quality 100 (s = 0), where it is left out, and below
    quality 10 it loses more than there is: bits left are then negative, and are handed on as they are.
    """
    luminance, chrominance = scaled_tables(quality)
    bits = {"standard": _losing(float(luminance.sum(dtype=int) + 2 * chrominance.sum(dtype=int)))}
    if scale := scale_factor(quality):
        bits["paper"] = _losing(PAPER_SUM * scale / 100)
    return bits


def _losing(total: float) -> Bits:
    lost = math.log2(total)
    return Bits(lost=lost, left=BITS_PER_SAMPLE - lost)
