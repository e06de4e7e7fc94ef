"""``bigfusion evaluate-faces``: the scores of the facial DenseNet on FER+. It needs no project."""

from __future__ import annotations

import argparse
from pathlib import Path

from bigfusion.flows.commands.common import Answer, Common, without
from bigfusion.flows.commands.train_faces import add_data

HELP = "score weights of the facial DenseNet on FER+'s test split"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `evaluate-faces` takes."""
    parser.add_argument("--weights", type=Path, metavar="FILE", help="(default: those that come with the project)")
    add_data(parser)


def run(common: Common, weights: Path | None, data: Path) -> Answer:
    """Score weights of the DenseNet on FER+: the weights that come with the project, or those in a file."""
    from bigfusion.extractors.files import FACE_WEIGHTS
    from bigfusion.extractors.visual.training import ferplus
    from bigfusion.extractors.visual.training.scores import score

    remedy = "the face network is no part of a project; --weights names another"
    without("evaluate-faces", remedy, config=common.config, preset=common.preset, set=common.assignments)
    found = score(weights or FACE_WEIGHTS, ferplus.read(data))
    rows = [f"  {name:<10} {100 * found['f1'][name]:5.1f}  {found['supports'][name]:5d}" for name in found["classes"]]
    lines = [
        f"FER+ test accuracy {100 * found['test_accuracy']:.2f} ({found['test_faces']} faces with a majority)",
        f"     of all faces with a most frequent emotion {100 * found['test_accuracy_plurality']:.2f} "
        f"({found['test_faces_plurality']}); valid {100 * found['valid_accuracy']:.2f} ({found['valid_faces']})",
        "  class         F1  faces",
        *rows,
    ]
    return Answer("\n".join(lines), found)
