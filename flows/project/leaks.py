"""A text encoder that was fine-tuned on dialogues which are tested here would make their scores worthless."""

from __future__ import annotations

from pathlib import Path

from bigfusion.extractors.speech.weights import local
from bigfusion.extractors.text.finetuning.learned import RECORD, mark, read_learned, renamed_marks
from bigfusion.flows.project.features import features, settings_of
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.errors import ExtractionError, SettingsError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.schema import Modality, Split


def leaks(project: Project, manifest: Manifest, every: bool = False) -> list[str]:
    """A line for each text encoder that a training reads and that learned from utterances which are tested.

    ``every`` says that all are tested, as in a cross-validation; a manifest with folds says so itself.
    """
    if project.corpus.kind == "features":
        return []
    found = []
    for feature in features(project):
        model = getattr(settings_of(project, feature), "model", None)
        if feature.modality is Modality.TEXT and isinstance(model, str):
            line = _leak(f"{feature}.model", model, manifest, every)
            found += [line] if line else []
    return found


def require_no_folds(manifest: Manifest) -> None:
    """Refuse to fine-tune one encoder for a cross-validation: it would learn from every fold's test dialogues.

    Raises:
        SettingsError: the manifest has folds.
    """
    if _in_folds(manifest):
        raise SettingsError(
            "finetune-text: expected one training split, found corpus.folds; an encoder that learned from all folds"
            " has seen each fold's test dialogues. Deal the splits by corpus.split_by instead, or train the folds with"
            " an encoder that was not fine-tuned on this corpus"
        )


def require_unseen(project: Project, manifest: Manifest) -> None:
    """Refuse to fine-tune an encoder that learned from utterances which are tested: the result has seen them too.

    Raises:
        SettingsError: it did.
    """
    if line := _leak("text.model", project.text.model, manifest, False, _AGAIN):
        raise SettingsError(f"finetune-text: {line}")


_OTHER = "fine-tune another (`bigfusion finetune-text`), or take the encoder that it began with"
_AGAIN = "take the encoder that it began with, and delete encoders that were fine-tuned from it: they saw them too"


def _leak(setting: str, model: str, manifest: Manifest, every: bool, remedy: str = _OTHER) -> str | None:
    folder = _folder(model)
    if folder is None:
        return None
    table = manifest.table
    every = every or _in_folds(manifest)
    learned = read_learned(folder)
    if learned is None:
        if every and (folder.parent / RECORD).exists():
            return (
                f"{setting} {model!r}: expected an encoder that never saw the tested dialogues, found one that was"
                " fine-tuned on dialogues it does not name, while all of them are tested here; take the encoder that"
                " it began with"
            )
        return None
    tested = table if every else table[table["split"] == Split.TEST.value]
    taught = table.drop(tested.index)  # words that the corpus itself teaches and tests are no trace of a renaming
    renamed = learned.difference(*renamed_marks(taught))
    said = zip(tested["utterance"], tested["text"], renamed_marks(tested), strict=True)
    seen = sum(mark(utterance, text) in learned or bool(marks & renamed) for utterance, text, marks in said)
    if not seen:
        return None
    return (
        f"{setting} {model!r}: expected an encoder that never saw the tested dialogues, found one that was fine-tuned"
        f" on {seen} of the {len(tested)} utterances that are tested here; {remedy}"
    )


def _folder(model: str) -> Path | None:
    try:
        return local(model)
    except ExtractionError:  # a package that is not there: the plan says so
        return None


def _in_folds(manifest: Manifest) -> bool:
    return bool((manifest.table["fold"] != "").any())
