"""The facial DenseNet from the command line: trained on FER+, and scored on it. Neither needs a project."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path

from bigfusion.flows.commands.options import Answer, Options, without
from bigfusion.flows.progress import bar
from bigfusion.flows.project.workspace import relative
from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.settings import assign, validate

log = logging.getLogger("bigfusion")


def train_faces(options: Options) -> Answer:
    """Train the DenseNet on FER+, or go on with it where it was interrupted."""
    from safetensors.torch import save

    from bigfusion.extractors.visual.training import ferplus
    from bigfusion.extractors.visual.training.training import Epoch, FaceTraining, FaceTrainingSettings

    remedy = "the face network is no part of a project; --set KEY=VALUE sets its training"
    without("train-faces", remedy, config=options.config, preset=options.preset)
    settings = validate(FaceTrainingSettings, assign({}, options.assignments), "--set")
    folder = options.out or Path("faces")
    training = FaceTraining(ferplus.read(options.data), folder, settings)

    def finished(epoch: Epoch) -> None:
        log.info(
            "train-faces: epoch %d of %d, %d pixels: loss %.3f, valid accuracy %.1f",
            epoch.epoch,
            settings.epochs,
            epoch.side,
            epoch.loss,
            100 * epoch.valid_accuracy,
        )

    if training.step:
        log.info("train-faces: goes on at step %d of %d", training.step, training.steps)
    with bar("train-faces", training.steps - training.step, " steps") as progress:
        network = training.run(progress, finished)
    weights = folder / "ferplus.safetensors"
    history = [asdict(epoch) for epoch in training.history]
    write_whole(weights, save({name: tensor.contiguous() for name, tensor in network.state_dict().items()}))
    write_whole(
        folder / "ferplus.json",
        json.dumps({"settings": settings.model_dump(mode="json"), "history": history}, indent=2).encode(),
    )
    text = f"{relative(weights)}: score it with `bigfusion evaluate-faces --data DIR --weights {relative(weights)}`"
    return Answer(text, {"weights": str(weights), "history": history})


def evaluate_faces(options: Options) -> Answer:
    """Score weights of the DenseNet on FER+: those that come with the project, or a file's."""
    from bigfusion.extractors.files import FACE_WEIGHTS
    from bigfusion.extractors.visual.training import ferplus
    from bigfusion.extractors.visual.training.scores import score

    remedy = "the face network is no part of a project; --weights names another"
    without("evaluate-faces", remedy, config=options.config, preset=options.preset, set=options.assignments)
    data = score(options.weights or FACE_WEIGHTS, ferplus.read(options.data))
    rows = [f"  {name:<10} {100 * data['f1'][name]:5.1f}  {data['supports'][name]:5d}" for name in data["classes"]]
    lines = [
        f"FER+ test accuracy {100 * data['test_accuracy']:.2f} ({data['test_faces']} faces with a majority)",
        f"     of all faces with a most frequent emotion {100 * data['test_accuracy_plurality']:.2f} "
        f"({data['test_faces_plurality']}); valid {100 * data['valid_accuracy']:.2f} ({data['valid_faces']})",
        "  class         F1  faces",
        *rows,
    ]
    return Answer("\n".join(lines), data)
