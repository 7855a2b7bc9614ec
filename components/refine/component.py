"""The refine component."""

from kfp import dsl


def build(image: str) -> dsl.base_component.BaseComponent:
    """The component, running in `image`."""

    @dsl.component(base_image=image, install_kfp_package=False)
    def refine(root: str, run_id: str, plan: str) -> list:
        """Compresses the next levels around the drop; returns their cells, to train, and none where nothing is left to ask."""
        from helmholtz import stages
        from helmholtz.task import running

        with running(root, run_id, "refine"):
            return stages.refine(root, plan)

    return refine
