"""compress: compresses the data set to every level."""

from helmholtz_components.compress.component import build

__all__ = ["build"]
