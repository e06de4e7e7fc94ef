"""``bigfusion train-faces``: the facial DenseNet on FER+. It needs no project."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from bigfusion.flows.commands.common import Answer, Common, without
from bigfusion.pipeline.words import quoted

if TYPE_CHECKING:
    from bigfusion.extractors.visual.training.training import Epoch

HELP = "train the facial DenseNet on FER+; goes on where it was interrupted"

log = logging.getLogger("bigfusion")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `train-faces` takes."""
    parser.add_argument("--out", type=Path, metavar="DIR", help="where state and weights go (default: faces)")
    add_data(parser)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``."""
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("ferplus"),
        metavar="DIR",
        help="FER+, index.csv and mosaics (default: ferplus)",
    )


def run(common: Common, out: Path | None, data: Path) -> Answer:
    """Train the DenseNet on FER+, or continue a training that was interrupted."""
    import json
    from dataclasses import asdict

    from safetensors.torch import save

    from bigfusion.extractors.visual.training import ferplus
    from bigfusion.extractors.visual.training.training import FaceTraining, FaceTrainingSettings
    from bigfusion.flows.progress import bar
    from bigfusion.flows.project.workspace import relative
    from bigfusion.pipeline.atomic import write_whole
    from bigfusion.pipeline.settings import assign, validate

    remedy = "the face network is no part of a project; --set KEY=VALUE sets its training"
    without("train-faces", remedy, config=common.config, preset=common.preset)
    settings = validate(FaceTrainingSettings, assign({}, common.assignments), "--set")
    folder = out or Path("faces")
    training = FaceTraining(ferplus.read(data), folder, settings)

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
    shown, its_data = quoted(weights), quoted(data)
    text = f"{relative(weights)}: score it with `bigfusion evaluate-faces --data {its_data} --weights {shown}`"
    return Answer(text, {"weights": str(weights), "history": history})
