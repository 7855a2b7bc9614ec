"""The plan component. Only the standard library and kfp are imported at the top: its body runs elsewhere."""

from typing import NamedTuple

from kfp import dsl


def build(image: str) -> dsl.base_component.BaseComponent:
    """The component, running in `image`."""

    @dsl.component(base_image=image, install_kfp_package=False)
    def plan(
        root: str,
        experiment: str,
        dataset_path: str,
        dataset_limit: int,
        levels: str,
        architectures: str,
        seeds: int,
        epochs: int,
        batch_size: int,
        margin: float,
        confidence: float,
    ) -> NamedTuple("Planned", [("experiment", str), ("dataset", str), ("cells", list)]):  # type: ignore[valid-type]
        """Resolves the experiment, lists and splits the data set, and says which (architecture, level) cells to train."""
        parameters = {name: value for name, value in locals().items() if name not in ("root", "experiment")}
        from collections import namedtuple

        from helmholtz import stages

        with stages.explained():
            resolved = stages.resolve(experiment, parameters)
            dataset, cells = stages.plan(root, resolved)
        return namedtuple("Planned", ["experiment", "dataset", "cells"])(resolved.to_json(), dataset, cells)

    return plan
