"""Tiers of annotations, as in Praat and ELAN: each speaker has one of words and one of labels, ``emotion@NAME``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from bigfusion.pipeline.tables.classes import composed
from bigfusion.pipeline.transcripts.cue import UNANSWERED, Cue
from bigfusion.pipeline.words import numbered

LABELS = "emotion"
"""The label tier of the speaker Anna is ``emotion@Anna``."""

_LABEL_TIER = re.compile(r"(?:emotions?|labels?)(?:@(.*))?", re.IGNORECASE)
_PARTS_OF_WORDS = re.compile(r".*\b(words?|phones?|phonemes?|syllables?)", re.IGNORECASE)


@dataclass(frozen=True)
class Tier:
    """One tier: its speaker (``""``: all), its annotations, and whether they are labels of other tiers' annotations."""

    speaker: str
    annotations: Sequence[tuple[float, float, str]]
    labels: bool = False

    @classmethod
    def named(cls, name: str, annotations: Sequence[tuple[float, float, str]], speaker: str = "") -> Tier | None:
        """The tier of this name; ``None`` for one of single words or phones, which are no utterances."""
        if label := _LABEL_TIER.fullmatch(name.strip()):
            return cls(speaker or (label[1] or "").strip(), annotations, labels=True)
        if _PARTS_OF_WORDS.fullmatch(name.strip()):
            return None
        return cls(speaker or name.strip(), annotations)


def cues(tiers: Iterable[Tier | None], notes: list[str]) -> list[Cue]:
    """The annotations of every tier of words as cues, by their start, each with the label that overlaps it most.

    What labels no cue has goes to ``notes``.
    """
    known = [tier for tier in tiers if tier is not None]
    words = [tier for tier in known if not tier.labels]
    labels = [_owned(tier, {other.speaker for other in words}) for tier in known if tier.labels]
    said = sorted((Cue(*each, tier.speaker) for tier in words for each in tier.annotations), key=lambda cue: cue.start)
    notes.extend(note for tier in labels for note in _lost(tier, said))
    return [replace(cue, label=_label(cue, labels)) for cue in said]


def _owned(tier: Tier, speakers: Iterable[str]) -> Tier:
    """A tier of labels under its speaker's name as the tier of words spells it, if only capitals or spaces differ."""
    if tier.speaker in ("", *speakers):
        return tier
    alike = [name for name in speakers if _plain(name) == _plain(tier.speaker)]
    return replace(tier, speaker=alike[0]) if len(alike) == 1 else tier


def _plain(name: str) -> str:
    return composed(" ".join(name.split()).casefold())


def _lost(tier: Tier, said: Sequence[Cue]) -> list[str]:
    """A note on the labels of a tier that no words of its speaker overlap."""
    own = [cue for cue in said if tier.speaker in ("", cue.speaker)]
    lost = [
        (start, label.strip())
        for start, end, label in tier.annotations
        if label.strip()
        and label.strip().lower() not in UNANSWERED
        and all(cue.overlap(start, end) <= 0 for cue in own)
    ]
    if not lost:
        return []
    start, label = lost[0]
    first = f"{numbered(len(lost), 'label is/labels are')} left out, the first {label[:40]!r} at {start:g} s: "
    if own:
        return [f"{first}no words{f' of {tier.speaker}' if tier.speaker else ''} overlap them"]
    names = ", ".join(dict.fromkeys(cue.speaker for cue in said))
    return [f"{first}expected the tier {LABELS}@NAME of a speaker ({names[:200]}), found that of {tier.speaker}"]


def _label(cue: Cue, tiers: Sequence[Tier]) -> str:
    found = [
        (cue.overlap(start, end), label.strip())
        for tier in tiers
        if tier.speaker in ("", cue.speaker)
        for start, end, label in tier.annotations
        if label.strip()
    ]
    longest, label = max(found, default=(0.0, ""))
    return label if longest > 0 else ""


def of_cues(several: Sequence[Cue]) -> dict[str, list[tuple[float, float, str]]]:
    """Tiers by name: for each speaker one of words, and one of labels. Within a tier, annotations do not overlap.

    Where a speaker's cues overlap, the earlier ends where the later begins. A cue that this leaves empty is dropped.
    """
    found: dict[str, list[tuple[float, float, str]]] = {}
    for speaker in dict.fromkeys(cue.speaker for cue in several):
        own = sorted((cue for cue in several if cue.speaker == speaker), key=lambda cue: (cue.start, cue.end))
        ends = [min(cue.end, later.start) for cue, later in pairwise(own)] + [own[-1].end]
        whole = [(cue, end) for cue, end in zip(own, ends, strict=True) if end > cue.start]
        found[speaker or "speaker"] = [(cue.start, end, cue.text) for cue, end in whole]
        found[f"{LABELS}@{speaker or 'speaker'}"] = [(cue.start, end, cue.label) for cue, end in whole]
    return found
