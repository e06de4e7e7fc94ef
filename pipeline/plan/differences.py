"""Why a stored cell is stale: the components that differ between two fingerprints, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_OWN = {"text", "sha256", "start", "end", "crop", "track", "channel", "region"}
"""The parts of an input that are the utterance's own. The other parts were read together with it."""

_WORDS = {"settings": "setting", "weights": "weights", "engine": "engine"}
_NAMED = 5
"""The largest number of changed definitions that are named."""


@dataclass(frozen=True)
class Difference:
    """One component that differs: ``input.text``, ``settings.feature_set``, ``code.read_frames``.

    A setting at its first default is ``None``.
    """

    component: str
    stored: Any
    now: Any


def differences(
    stored_extractor: Mapping[str, Any],
    stored_input: Mapping[str, Any],
    extractor: Mapping[str, Any],
    input_: Mapping[str, Any],
) -> list[Difference]:
    """Every component that differs: inputs first, then settings, then code."""
    parts = [("input", stored_input, input_)]
    parts += [(part, stored_extractor.get(part, {}), extractor.get(part, {})) for part in (*_WORDS, "code")]
    found = [
        Difference(f"{part}.{key}", old.get(key), new.get(key))
        for part, old, new in parts
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if stored_extractor.get("name") != extractor.get("name"):
        found.append(Difference("name", stored_extractor.get("name"), extractor.get("name")))
    return found


def difference(
    stored_extractor: Mapping[str, Any],
    stored_input: Mapping[str, Any],
    extractor: Mapping[str, Any],
    input_: Mapping[str, Any],
) -> str:
    """Why a stored cell is stale, in a few words: the first component that differs.

    Inputs come before settings and code.
    """
    if stored_input != input_ and not _wider(stored_extractor, stored_input, extractor, input_):
        return _input_difference(stored_input, input_)
    found = [
        other
        for other in differences(stored_extractor, stored_input, extractor, input_)
        if not other.component.startswith("input.")
    ]
    if not found:
        return "fingerprint changed"  # the form of fingerprints changed, not what they cover
    part, _, key = found[0].component.partition(".")
    if part in _WORDS:
        old, new = (_short(value, part == "settings") for value in (found[0].stored, found[0].now))
        return f"{_WORDS[part]} {key} {old} -> {new}"
    if part == "code":
        names = [other.component.partition(".")[2] for other in found if other.component.startswith("code.")]
        return f"code changed: {some(names)}"
    return f"extractor {found[0].stored} -> {found[0].now}"


def counted(why: str, number: int) -> str:
    """A reason with the number of its cells: ``1 changed transcript``, ``setting rate 5 -> 6 (3 cells)``."""
    whole = why.startswith(("setting", "code", "weights", "engine", "extractor", "fingerprint"))
    return f"{why} ({number:,} cell{'' if number == 1 else 's'})" if whole else f"{number} {why}"


def _wider(
    stored_extractor: Mapping[str, Any],
    stored_input: Mapping[str, Any],
    extractor: Mapping[str, Any],
    input_: Mapping[str, Any],
) -> bool:
    """Whether only the inputs beside an utterance's own (context, sound) differ: a setting changed, not the corpus."""
    own = input_.keys() & _OWN
    same = bool(own) and all(stored_input.get(key) == input_[key] for key in own)
    return same and stored_extractor.get("reads") != extractor.get("reads")


def _input_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if "missing" in new:
        return "transcript removed" if new["missing"] == "text" else "media file removed"
    if "utterance" in new:
        return "taken from a feature file now"
    if "missing" in old:
        return "transcript added" if old["missing"] == "text" else "media file added"
    if "text" in new:
        return "changed transcript" if old.get("text") != new["text"] else "changed context"
    if old.get("sha256") != new.get("sha256"):
        return "changed media file"
    same = all(old.get(key) == new.get(key) for key in _OWN)
    return "changed sound" if same else "changed time span or crop"


def some(names: Sequence[str]) -> str:
    """The first of many names, and the number of the others."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _short(value: Any, is_setting: bool = False) -> str:
    text = "default" if value is None and is_setting else str(value)
    return text if len(text) <= 24 else text[:12] + "..."
