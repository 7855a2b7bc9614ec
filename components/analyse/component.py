"""The analyse component."""

from kfp import dsl


def build(image: str) -> dsl.base_component.BaseComponent:
    """The component, running in `image`."""

    @dsl.component(base_image=image, install_kfp_package=False)
    def analyse(root: str, run_id: str, plan: str, metrics: dsl.Output[dsl.Metrics]) -> None:
        """Finds N_approx from the finished trials and writes report.json and curves.csv."""
        from helmholtz import stages
        from helmholtz.task import running

        with running(root, run_id, "analyse"):
            for name, value in stages.analyse(root, plan, run_id).items():
                metrics.log_metric(name, value)

    return analyse
