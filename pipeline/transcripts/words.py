"""What is spoken in a cue: without tags, sounds in brackets, music and the name in front."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from bigfusion.pipeline.transcripts.cue import Cue

_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<\d[\d:.]*>|\{\\[^}]*\}")
_SOUND = re.compile(r"\[[^\]]*\](?!:)")  # [door slams], not [Anna]:
_ASIDE = re.compile(r"\([^)]*\)")
_DASH = re.compile(r"^\s*[-–—]\s*", re.MULTILINE)
_SONG = re.compile(r"^\s*[-–—]?\s*[♪♫♬]|[♪♫♬]\s*$")
_NOTES = re.compile(r"[♪♫♬]")
_NAME = re.compile(r"\[(?P<bracket>[^\]]{1,40})\]:\s*|(?P<name>[^\W\d_][\w .'’-]{0,30}):\s+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\ufeff]")


def spoken(text: str) -> str:
    """The words of a cue on one line; ``""`` where it holds only music or sounds.

    Sounds stand in square brackets. Round brackets are left out only if they are all there is, because people write
    words into them as well.
    """
    text = _TAG.sub("", text)
    lines = [line for line in text.split("\n") if line.strip()]
    if lines and all(_SONG.search(line) for line in lines):
        return ""
    text = _DASH.sub("", _NOTES.sub(" ", _SOUND.sub(" ", html.unescape(text))))
    text = " ".join(_CONTROL.sub(" ", text).split())
    return "" if not _ASIDE.sub("", text).strip() else text


def without_names(cues: Sequence[Cue]) -> list[Cue]:
    """Cues whose text begins with ``NAME: `` get that speaker, and lose these words.

    ``TOM: `` is a name. ``Tom: `` may be the beginning of a sentence, so it counts only if most cues begin like that,
    or if another cue begins with the same name. Cues that have a speaker are left alone.
    """
    matches = [None if cue.speaker else _NAME.match(cue.text) for cue in cues]
    names = [(match["bracket"] or match["name"]).strip() if match else "" for match in matches]
    counts = Counter(names)
    usual = 2 * sum(map(bool, names)) > len(cues)
    found = []
    for cue, match, name in zip(cues, matches, names, strict=True):
        sure = usual or counts[name] > 1 or (match is not None and (bool(match["bracket"]) or name.isupper()))
        found.append(replace(cue, speaker=name, text=cue.text[match.end() :]) if match and name and sure else cue)
    return found
