"""The refine component."""

from kfp import dsl


def build(image: str) -> dsl.base_component.BaseComponent:
    """The component, running in `image`."""

    @dsl.component(base_image=image, install_kfp_package=False)
    def refine(root: str, plan: str) -> list:
        """Compresses the next levels around the drop; returns their cells, to train, and none where nothing is left to ask."""
        from helmholtz import stages

        with stages.explained():
            return stages.refine(root, plan)

    return refine
