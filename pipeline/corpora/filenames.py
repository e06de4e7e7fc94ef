"""Any corpus of single utterances whose files' names say speaker and emotion -> a manifest.

``pattern`` is a regular expression for a file's path below ``root``, without its ending. Its named groups are
``label`` (needed), ``speaker``, ``text`` (a code that ``transcripts`` spells out), ``id`` (default: the whole path),
and any other that ``split_by`` or ``folds`` may name. ``label_map`` turns codes into classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from bigfusion.pipeline.corpora.base import Progress, corpus_folder, silent
from bigfusion.pipeline.corpora.folds import DividedSettings
from bigfusion.pipeline.corpora.utterance_files import Naming, single_utterances, spoken
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.schema import Skipped
from bigfusion.pipeline.tables.classes import composed, meanings, settle


class FilenamesSettings(DividedSettings):
    """``kind = "filenames"``: a folder of audio or video files and the pattern of their names."""

    kind: Literal["filenames"]
    root: Path
    pattern: str = Field(description="regular expression of a path below root without its ending, with named groups")
    labels: tuple[str, ...] = Field(default=(), description="the classes in order; none: those of the files, sorted")
    label_map: dict[str, str] = Field(default={}, description='what each code means; "" makes one no label')
    transcripts: dict[str, str] = Field(default={}, description="the sentence of each code of the group `text`")
    name: str = Field(default="", description="the corpus's name; none: the folder's")

    @field_validator("pattern")
    @classmethod
    def _pattern(cls, value: str) -> str:
        try:
            names = re.compile(value).groupindex
        except re.error as error:
            raise ValueError(f"expected a regular expression ({error})") from None
        if "label" not in names:
            raise ValueError("expected a group for the label, for instance (?P<label>[A-Z]{3})")
        return value


def scan(settings: FilenamesSettings, digests: FileDigests, progress: Progress = silent) -> Manifest:
    """The manifest of a folder of files.

    Raises:
        CorpusError: there is no such folder, no file matches the pattern, files of one id differ in their label,
            speaker or text, or the labels may mean two things.
    """
    root = corpus_folder(settings.root, "the audio or video files")
    skipped: list[Skipped] = []
    pattern = re.compile(settings.pattern)
    key = "id" if "id" in pattern.groupindex else 0
    shared: dict[str, Callable[[str], str]] = {
        **dict.fromkeys(("speaker", settings.split_by, str(settings.folds)), composed),
        "label": meanings(settings.labels, settings.label_map),
        "text": lambda code: settings.transcripts.get(code, ""),
    }
    naming = Naming(
        pattern,
        f"{settings.pattern} (corpus.pattern)",
        key=lambda match: match[key] or match[0],
        shared={name: meaning for name, meaning in shared.items() if name in pattern.groupindex},
    )
    found = spoken(root, naming, skipped)
    try:
        settled = settle([one.fields["label"] for one in found.values()], settings.labels, settings.label_map)
    except CorpusError as error:
        raise CorpusError(f"{root}: {error}") from None
    labels = tuple(map(composed, settings.labels)) or tuple(sorted({*settled.labels} - {""}))
    strange = next((name for name in settled.labels if name and name not in labels), None)
    if strange is not None:
        raise CorpusError(f"{root}: expected one of {', '.join(labels)} (corpus.labels), found the label {strange!r}")
    described = [
        {
            "speaker": "",
            **one.fields,
            "label": label,
            "text": composed(settings.transcripts.get(one.fields.get("text", ""), "")),
        }
        for one, label in zip(found.values(), settled.labels, strict=True)
    ]
    return single_utterances(
        settings.name or root.name, root, labels, found, described, settings, skipped,
        digests=digests, progress=progress, notes=settled.notes,
    )  # fmt: skip
