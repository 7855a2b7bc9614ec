"""The compress component."""

from kfp import dsl


def build(image: str) -> dsl.base_component.BaseComponent:
    """The component, running in `image`."""

    @dsl.component(base_image=image, install_kfp_package=False)
    def compress(root: str, run_id: str, plan: str) -> list:
        """Compresses the data set to every level, as TFRecord shards below the run root; returns the cells left to train."""
        from helmholtz import stages
        from helmholtz.task import running

        with running(root, run_id, "compress"):
            return stages.compress(root, plan)

    return compress
