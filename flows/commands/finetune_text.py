"""``bigfusion finetune-text``: fine-tune the project's text encoder on the emotions of its training dialogues."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from bigfusion.flows.commands.common import Answer, Common
from bigfusion.pipeline.words import numbered

HELP = "fine-tune the text encoder on the training dialogues' emotions"

log = logging.getLogger("bigfusion")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `finetune-text` takes."""
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the encoder goes (default: in the workspace)")


def run(common: Common, out: Path | None) -> Answer:
    """Fine-tune the project's text encoder on its training dialogues, and print how to use it."""
    from bigfusion.extractors.text.finetuning.training import finetune, total
    from bigfusion.flows.progress import bar
    from bigfusion.flows.project import corpus
    from bigfusion.flows.project.labelled_texts import labelled_corpus
    from bigfusion.flows.project.leaks import require_no_folds, require_unseen
    from bigfusion.flows.project.preflight import preflight_finetuning, require
    from bigfusion.flows.project.workspace import relative

    project = common.project()
    workspace = project.files
    folder = (out or workspace.folder / "encoder").absolute()  # text.model may be read from elsewhere
    require(preflight_finetuning(project, folder))
    manifest = corpus.look(project).manifest
    require_no_folds(manifest)
    require_unseen(project, manifest)
    labelled = labelled_corpus(project, manifest)
    train, valid = numbered(len(labelled.train), "utterance"), len(labelled.valid)
    log.info("finetune-text: %s to train on, %d to validate", train, valid)
    sha256 = workspace.digests().one
    with workspace.exclusive(), bar("finetune-text", total(project.finetune, labelled), " utterances") as progress:
        found = finetune(project.text, project.finetune, labelled, folder, sha256, progress)
    scores = ", ".join(f"seed {seed}: {100 * score:.1f}" for seed, score in found.weighted_f1.items())
    text = (
        f"validation WF1 {scores}; the encoder of seed {found.seed} is in {relative(found.encoder)}\n"
        f'use it: text.model = "{found.encoder}" in the settings file, then `bigfusion run`'
    )
    return Answer(text, {"encoder": str(found.encoder), "seed": found.seed, "weighted_f1": found.weighted_f1})
