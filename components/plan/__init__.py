"""plan: resolves the experiment, and lists and splits the data set."""

from helmholtz_components.plan.component import build

__all__ = ["build"]
