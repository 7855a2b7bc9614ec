"""The plan component. Only the standard library and kfp are imported at the top: its body runs elsewhere."""

from kfp import dsl


def build(image: str) -> dsl.base_component.BaseComponent:
    """The component, running in `image`."""

    @dsl.component(base_image=image, install_kfp_package=False)
    def plan(
        root: str,
        run_id: str,
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
    ) -> str:
        """Resolves the experiment, and lists and splits the data set; returns the plan's id."""
        from helmholtz import stages
        from helmholtz.parameters import resolve
        from helmholtz.task import running

        with running(root, run_id, "plan"):
            resolved = resolve(
                experiment,
                dataset_path=dataset_path,
                dataset_limit=dataset_limit,
                levels=levels,
                architectures=architectures,
                seeds=seeds,
                epochs=epochs,
                batch_size=batch_size,
                margin=margin,
                confidence=confidence,
            )
            return stages.plan(root, resolved)

    return plan
