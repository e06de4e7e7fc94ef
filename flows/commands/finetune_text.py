"""Fine-tuning a project's text encoder: which of its utterances teach, which judge, and where the encoder goes."""

from __future__ import annotations

import logging

from bigfusion.flows.commands.options import Answer, Options
from bigfusion.flows.progress import bar
from bigfusion.flows.project import corpus
from bigfusion.flows.project.project import Project
from bigfusion.flows.project.workspace import Workspace, relative
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.schema import Split, Utterance, Window

log = logging.getLogger("bigfusion")


def finetune_text(options: Options) -> Answer:
    """Fine-tune the project's text encoder on its training dialogues; says how to use it."""
    from bigfusion.extractors.text.finetuning.data import LabelledCorpus, LabelledTexts
    from bigfusion.extractors.text.finetuning.training import finetune, total

    mine = options.project()
    workspace = Workspace(mine)
    manifest = corpus.look(mine).manifest
    taught, judged = (
        LabelledTexts.of(*_texts(manifest, dialogues, mine.text.window)) for dialogues in _dialogues(mine, manifest)
    )
    labelled = LabelledCorpus(manifest.labels, taught, judged)
    folder = (options.out or workspace.folder / "encoder").absolute()  # for text.model, which may be read elsewhere
    log.info("finetune-text: %d utterances to train on, %d to validate", len(taught), len(judged))
    sha256 = workspace.digests().one
    with workspace.exclusive(), bar("finetune-text", total(mine.finetune, labelled), " utterances") as progress:
        found = finetune(mine.text, mine.finetune, labelled, folder, sha256, progress)
    scores = ", ".join(f"seed {seed}: {100 * score:.1f}" for seed, score in found.weighted_f1.items())
    text = (
        f"validation WF1 {scores}; the encoder of seed {found.seed} is in {relative(found.encoder)}\n"
        f'use it: text.model = "{found.encoder}" in the settings file, then `bigfusion run`'
    )
    return Answer(text, {"encoder": str(found.encoder), "seed": found.seed, "weighted_f1": found.weighted_f1})


def _dialogues(project: Project, manifest: Manifest) -> tuple[set[str], set[str]]:
    """The dialogues that teach and those that judge: as in the model's own training. Test dialogues are never read."""
    from bigfusion.model.data.dialogues import hold_out

    first = manifest.table.drop_duplicates("dialogue")
    train: list[str] = first.loc[first["split"] == Split.TRAIN.value, "dialogue"].tolist()
    valid: list[str] = first.loc[first["split"] == Split.VALID.value, "dialogue"].tolist()
    if not valid:
        train, valid = hold_out(train, project.train.holdout)
    return set(train), set(valid)


def _texts(manifest: Manifest, dialogues: set[str], window: Window) -> tuple[list[Utterance], list[int]]:
    table = manifest.table[manifest.table["dialogue"].isin(dialogues)]
    codes = {label: code for code, label in enumerate(manifest.labels)}
    return manifest.utterances(table["utterance"].tolist(), window), [codes.get(label, -1) for label in table["label"]]
