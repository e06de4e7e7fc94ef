"""Import what the stages need while Prefect's server starts. This saves seconds of waiting."""

from __future__ import annotations

import importlib

from bigfusion.flows.project.settings import Project
from bigfusion.flows.project.standing import Standing
from bigfusion.pipeline.schema import Modality

_ENCODERS = {Modality.TEXT: ("transformers",), Modality.AUDIO: ("opensmile",), Modality.VISUAL: ("torch", "cv2")}
_TRAINING = ("bigfusion.flows.project.assemble", "bigfusion.model.training.train")
_EVALUATION = ("bigfusion.flows.project.reporting", "bigfusion.model.scoring.evaluate")


def prepare(project: Project, standing: Standing) -> None:
    """Import the libraries of the stages that have work, and no others."""
    names = ["bigfusion.flows.stages.retrain"]
    here = project.runner.kind != "workers"
    if here and project.corpus.kind != "features":
        for feature in standing.plan.features:
            names += _ENCODERS[feature.modality] if feature.is_first and standing.plan.pending(feature) else ()
    if here and standing.stage("train").pending:
        names += _TRAINING
    if standing.stage("evaluate").pending:
        names += _EVALUATION
    for name in names:
        importlib.import_module(name)
