"""Numbers as the page prints them; a dash where there is none."""

from __future__ import annotations

import re
from decimal import Decimal

from helmholtz.analysis.claim import Claim
from helmholtz.analysis.estimate import Estimate
from helmholtz.analysis.wording import signed

NO_VALUE = "\N{EN DASH}"
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    """`text` without control characters (but for tabs and ends of lines) and those that turn the direction of what follows."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def percent(fraction: float | None) -> str:
    """A fraction in percent, one decimal."""
    return NO_VALUE if fraction is None else f"{100 * fraction:.1f}"


def interval(estimate: Estimate, scale: float = 1.0, digits: int = 1) -> str:
    """Mean and interval, times `scale`."""
    if estimate.mean is None:
        return NO_VALUE
    mean = f"{scale * estimate.mean:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return mean
    return f"{mean} ({scale * estimate.low:.{digits}f} to {scale * estimate.high:.{digits}f})"


def paid(estimate: Estimate) -> str:
    """An amount of money and its interval, three digits, without the currency."""
    if estimate.mean is None:
        return NO_VALUE
    if estimate.low is None or estimate.high is None:
        return digits(estimate.mean)
    return f"{digits(estimate.mean)} ({digits(max(0.0, estimate.low))} to {digits(estimate.high)})"


def money(amount: float, currency: str) -> str:
    """An amount, three digits, and its currency."""
    return f"{digits(amount)} {currency}"


def digits(amount: float) -> str:
    """Three digits, never in powers of ten: 0.00000888, 8.88, 8,880."""
    if abs(amount) >= 100 or not amount:
        return f"{amount:,.0f}"
    return f"{Decimal(f'{amount:.3g}'):f}"


def size(nbytes: float | None) -> str:
    """Bytes in the largest decimal unit of which there is one."""
    if nbytes is None:
        return NO_VALUE
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if nbytes >= unit:
            return f"{nbytes / unit:.2f} {name}"
    return f"{nbytes:.0f} bytes"


def number(value: float | None, digits: int = 2) -> str:
    """A number with so many decimals and thousands apart."""
    return NO_VALUE if value is None else f"{value:,.{digits}f}"


def effect(claim: Claim) -> str:
    """A claim's effect with its interval, in its unit; empty where there is none."""
    if claim.effect is None:
        return ""

    def form(value: float) -> str:
        return signed(value) if claim.unit == "accuracy" else f"{value:.3f}" if claim.unit == "ratio" else f"{value:.2f}"

    mean = form(claim.effect) + (" points" if claim.unit == "accuracy" else "")
    return mean if claim.low is None or claim.high is None else f"{mean} ({form(claim.low)} to {form(claim.high)})"
