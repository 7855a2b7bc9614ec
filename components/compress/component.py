"""The compress component."""

from kfp import dsl


def build(image: str) -> dsl.base_component.BaseComponent:
    """The component, running in `image`."""

    @dsl.component(base_image=image, install_kfp_package=False)
    def compress(root: str, plan: str) -> list:
        """Compresses the data set to every level, as TFRecord shards below the run root; returns the cells left to train."""
        from helmholtz import stages

        with stages.explained():
            return stages.compress(root, plan)

    return compress
