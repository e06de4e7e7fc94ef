"""The flow ``retrain``: ingest, extract, train, evaluate. Each stage does only what changed, and says why."""

from __future__ import annotations

from prefect import flow

from flows.evaluate import evaluate
from flows.extract import extract
from flows.ingest import ingest
from flows.project import Project
from flows.runtime import end_abandoned_runs, has_server
from flows.train import train


@flow(name="retrain", flow_run_name="retrain {project.corpus.kind}")
def retrain(project: Project, retry_failed: bool = False) -> str:
    """The whole road. Returns the run's id."""
    if not has_server():
        end_abandoned_runs()
    ingest(project)
    extract(project, retry_failed)
    train(project)
    return evaluate(project)
