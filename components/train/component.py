"""The train component."""

from kfp import dsl


def build(image: str) -> dsl.base_component.BaseComponent:
    """The component, running in `image`."""

    @dsl.component(base_image=image, install_kfp_package=False)
    def train(root: str, experiment: str, dataset: str, cell: dict) -> None:
        """Trains one architecture at one level, all seeds; `cell` is ``{"architecture": "A", "level": "25"}``."""
        from helmholtz import stages

        with stages.explained():
            stages.train(root, experiment, dataset, cell["architecture"], cell["level"])

    return train
