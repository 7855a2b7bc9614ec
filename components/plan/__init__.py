"""plan: resolves the experiment, lists and splits the data set, and says what is left to train."""

from helmholtz_components.plan.component import build

__all__ = ["build"]
