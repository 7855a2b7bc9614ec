"""refine: asks for the next levels around the drop, and compresses them."""

from helmholtz_components.refine.component import build

__all__ = ["build"]
