"""The train component."""

from kfp import dsl


def build(image: str) -> dsl.base_component.BaseComponent:
    """The component, running in `image`."""

    @dsl.component(base_image=image, install_kfp_package=False)
    def train(root: str, run_id: str, cell: dict, attempts: int = 1, pause: int = 60) -> None:
        """Trains one architecture at one level, all seeds; `cell` names the plan, the architecture and the level."""
        from helmholtz import stages
        from helmholtz.task import running

        with running(root, run_id, "train"):
            stages.train(root, cell["plan"], cell["architecture"], cell["level"], run_id, attempts, pause)

    return train
