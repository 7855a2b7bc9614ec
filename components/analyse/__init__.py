"""analyse: finds N_approx from the finished trials."""

from helmholtz_components.analyse.component import build

__all__ = ["build"]
