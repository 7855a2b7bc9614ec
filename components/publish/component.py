"""The publish component: the pipeline's exit handler, so that there is a report of whatever there is."""

from kfp import dsl


def build(image: str) -> dsl.base_component.BaseComponent:
    """The component, running in `image`."""

    @dsl.component(base_image=image, install_kfp_package=False)
    def publish(
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
        page: dsl.Output[dsl.HTML],
        summary: dsl.Output[dsl.Markdown],
        trials: dsl.Output[dsl.Markdown],
    ) -> None:
        """Publishes the HTML report, figures and TensorBoard logs below the run root."""
        from pathlib import Path

        from helmholtz import stages
        from helmholtz.parameters import resolve
        from helmholtz.task import running

        with running(root, run_id, "publish", last=True):
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
            html, sentence, table = stages.publish(root, resolved, run_id)
        Path(page.path).write_text(html, encoding="utf-8")
        Path(summary.path).write_text(sentence + "\n", encoding="utf-8")
        Path(trials.path).write_text(table, encoding="utf-8")

    return publish
