"""ELAN's annotation files (``.eaf``), read and written by pympi."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bigfusion.pipeline.transcripts.cue import Cue, refuse
from bigfusion.pipeline.transcripts.tiers import Tier, cues, of_cues


def read(path: Path) -> list[Cue]:
    """The annotations of the tiers that have no parent tier, and labels from any tier ``emotion@NAME``.

    A tier's participant is the speaker, or else its name.

    Raises:
        CorpusError: the file is not ELAN's.
    """
    from pympi.Elan import Eaf

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions of the format that pympi does not list
            file = Eaf(str(path))
        return cues(_tier(file, name) for name in file.get_tier_names())
    except Exception as error:  # what a damaged file raises there is of every kind
        refuse(path, "an annotation file of ELAN (.eaf)", error)


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
