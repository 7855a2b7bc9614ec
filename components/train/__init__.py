"""train: trains one architecture at one level, all seeds."""

from helmholtz_components.train.component import build

__all__ = ["build"]
