"""The flow ``evaluate``: score a trained run's test split once, and write the report."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bigfusion.flows.engine import artifacts
from bigfusion.flows.engine.session import alone
from bigfusion.flows.engine.stage import stage
from bigfusion.flows.project.settings import Project
from bigfusion.flows.project.standing import Standing, handed, load_kept
from bigfusion.pipeline.errors import TrainingError

if TYPE_CHECKING:
    from bigfusion.model.scoring.number_results import NumberMetrics
    from bigfusion.model.scoring.results import Metrics

log = logging.getLogger("bigfusion")


@stage("evaluate {project.name}")
@alone
def evaluate(project: Project) -> str:
    """Score the present run and write its report, unless it was scored already. Returns the run's id.

    Raises:
        TrainingError: there is no trained run with the present cells, labels, settings and code.
    """
    return evaluate_run(project, handed(project) or load_kept(project))


def evaluate_run(project: Project, standing: Standing) -> str:
    """Score a standing's run and write its report, within a flow run. Returns its id.

    Raises:
        TrainingError: the run is not trained.
    """
    training, evaluation, run = standing.stage("train"), standing.stage("evaluate"), standing.run
    if training.pending:
        raise TrainingError(f"nothing to evaluate: {training.why}; run `bigfusion train`, or `bigfusion run` for all")
    log.info("evaluate: %s: %s", "to do" if evaluation.pending else "up to date", evaluation.why)
    if evaluation.pending:
        from bigfusion.flows.project import reporting  # importing PyTorch Geometric alone takes seconds

        metrics: Metrics | NumberMetrics
        run.forget_evaluation()
        if run.folds:
            metrics = reporting.score_folds(project, standing.manifest, standing.plan, run)
        else:
            from bigfusion.flows.project.assemble import assemble
            from bigfusion.model.scoring.evaluate import evaluate as score

            data = assemble(project, standing.manifest, standing.plan)
            if data.regression:
                from bigfusion.model.scoring.regression import evaluate_numbers

                metrics = evaluate_numbers(run.folder, data, project.train.seeds, project.train.device)
            else:
                metrics = score(run.folder, data, project.train.seeds, project.train.device)
            reporting.write(project, standing.manifest, standing.plan, run)
        run.mark_evaluated()
        log.info("evaluate: %s WF1 %.1f", metrics.scored, 100 * metrics.weighted_f1)
    artifacts.results(project, run)
    return run.id
