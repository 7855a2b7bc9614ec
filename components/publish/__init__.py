"""publish: publishes the report of whatever there is."""

from helmholtz_components.publish.component import build

__all__ = ["build"]
