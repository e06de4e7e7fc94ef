"""A project's labelled utterances for fine-tuning its text encoder: a training part and a validation part."""

from __future__ import annotations

from bigfusion.extractors.text.finetuning.data import LabelledCorpus, LabelledTexts
from bigfusion.extractors.text.finetuning.learned import renamed_marks
from bigfusion.flows.project.settings import Project
from bigfusion.model.data.dialogues import hold_out
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.schema import Split, Utterance, Window


def labelled_corpus(project: Project, manifest: Manifest) -> LabelledCorpus:
    """The texts and labels of the training dialogues and of the validation dialogues."""
    train, valid = dialogues(project, manifest)
    taught, judged = (LabelledTexts.of(*texts(manifest, part, project.text.window)) for part in (train, valid))
    learned = manifest.table[manifest.table["dialogue"].isin(train | valid)]
    return LabelledCorpus(manifest.labels, taught, judged, frozenset().union(*renamed_marks(learned)))


def dialogues(project: Project, manifest: Manifest) -> tuple[set[str], set[str]]:
    """Training and validation dialogues, as in the training of the model. Test dialogues are never read."""
    first = manifest.table.drop_duplicates("dialogue")
    train: list[str] = first.loc[first["split"] == Split.TRAIN.value, "dialogue"].tolist()
    valid: list[str] = first.loc[first["split"] == Split.VALID.value, "dialogue"].tolist()
    if not valid:
        train, valid = hold_out(train, project.train.holdout)
    return set(train), set(valid)


def texts(manifest: Manifest, dialogues: set[str], window: Window) -> tuple[list[Utterance], list[int]]:
    """The utterances of these dialogues with their context, and the codes of their labels; -1 without a label."""
    table = manifest.table[manifest.table["dialogue"].isin(dialogues)]
    codes = {label: code for code, label in enumerate(manifest.labels)}
    return manifest.utterances(table["utterance"].tolist(), window), [codes.get(label, -1) for label in table["label"]]
