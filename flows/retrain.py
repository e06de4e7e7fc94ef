"""The flow ``retrain``: ingest, extract, train, evaluate, promote. Each stage does only what changed, and says why."""

from __future__ import annotations

from prefect import flow

from flows import learning, promotion
from flows.evaluate import evaluate
from flows.extract import extract
from flows.ingest import ingest
from flows.outlook import outlook
from flows.project import Project
from flows.runtime import end_abandoned_runs, has_server
from flows.train import train


@flow(name="retrain", flow_run_name="retrain {project.corpus.kind}")
def retrain(project: Project, retry_failed: bool = False) -> str:
    """The whole road. Returns the run's id; the run becomes the current model unless validation speaks against it."""
    if not has_server():
        end_abandoned_runs()
    found = outlook(project, retry_failed)
    if not found.pending:
        found.say_nothing_to_do()
        return found.run.id
    ingest(project)
    extract(project, retry_failed)
    train(project)
    evaluate(project)
    manifest, planned, run = learning.present(project)
    promotion.settle(project, manifest, planned, run)
    return run.id
