"""ELAN's annotation files (``.eaf``), read and written by pympi."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.transcripts.cue import Cue, refuse
from bigfusion.pipeline.transcripts.tiers import Tier, cues, of_cues


def read(path: Path, media: Path | None, notes: list[str]) -> list[Cue]:
    """The annotations of the tiers that have no parent tier, and labels from any tier ``emotion@NAME``.

    A tier's participant is the speaker, or else its name. Times are those of ``media``: the annotations' zero lies at
    its offset, ``TIME_ORIGIN``. What labels no annotation has goes to ``notes``.

    Raises:
        CorpusError: the file is not ELAN's, or its linked media differ in their offset and ``media`` is none of them.
    """
    from pympi.Elan import Eaf

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions of the format that pympi does not list
            file = Eaf(str(path))
        said = cues((_tier(file, name) for name in file.get_tier_names()), notes)
        origins = [(_name(linked), int(linked.get("TIME_ORIGIN") or 0)) for linked in file.get_linked_files()]
    except Exception as error:  # what a damaged file raises there is of every kind
        refuse(path, "an annotation file of ELAN (.eaf)", error)
    origin = _origin(path, origins, media) / 1000
    return [replace(cue, start=round(cue.start + origin, 3), end=round(cue.end + origin, 3)) for cue in said]


def _name(linked: Any) -> str:
    """The file name of a linked medium."""
    return re.split(r"[/\\]", unquote(linked.get("MEDIA_URL") or linked.get("RELATIVE_MEDIA_URL") or ""))[-1]


def _origin(path: Path, origins: Sequence[tuple[str, int]], media: Path | None) -> int:
    """The milliseconds of ``media`` at which the annotations' time is zero.

    Those of the linked medium that has its name, or its name with another ending, or else those of all.
    """
    name, stem = (media.name, media.stem) if media else ("", "")
    for known in (
        {origin for other, origin in origins if other == name},
        {origin for other, origin in origins if Path(other).stem == stem},
        {origin for _, origin in origins} or {0},
    ):
        if len(known) == 1:
            return known.pop()
    found = ", ".join(f"{other} with {origin} ms" for other, origin in origins)
    raise CorpusError(
        f"{path}: expected {name or 'the recording'} among the linked media, because their offsets differ, found"
        f" {found[:200]}; link it in ELAN (Edit, Linked Files)"
    )


def _tier(file: Any, name: str) -> Tier | None:
    settings = file.get_parameters_for_tier(name)
    spans = [(start / 1000, end / 1000, text or "") for start, end, text, *_ in file.get_annotation_data_for_tier(name)]
    tier = Tier.named(name, spans, (settings.get("PARTICIPANT") or "").strip())
    return tier if tier is None or tier.labels or not settings.get("PARENT_REF") else None


def written(several: Sequence[Cue], media: Path) -> bytes:
    """An annotation file beside ``media``: for each speaker a tier of words, and one of labels, to be corrected."""
    from pympi.Elan import Eaf

    file = Eaf(author="bigfusion")
    file.remove_tier("default")
    file.add_linked_file(str(media.absolute()), relpath=f"./{media.name}", mimetype=_mime(media))
    for name, spans in of_cues(several).items():
        file.add_tier(name, part=name.partition("@")[2] or name)
        for start, end, text in spans:
            first, last = round(start * 1000), round(end * 1000)
            file.add_annotation(name, first, max(last, first + 1), text)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "annotations.eaf"
        file.to_file(str(path))
        return path.read_bytes()


def _mime(media: Path) -> str:
    return {".mp4": "video/mp4", ".wav": "audio/x-wav"}.get(media.suffix.lower(), "unknown")
