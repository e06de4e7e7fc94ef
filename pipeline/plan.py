"""Utterances x extractors -> cells: which are done, failed, new or changed, and why.

A cell's fingerprint is the SHA-256 of the canonical JSON ``{"extractor": {...}, "input": {...}}``: the extractor's
name, settings, weights, declared engine versions and code digest, and what of the utterance it reads.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import pandas as pd

from pipeline.digest import canonical
from pipeline.manifest import Manifest
from pipeline.schema import Modality, Status
from pipeline.store import Store


class State(StrEnum):
    """Where a cell stands."""

    DONE = "done"
    NEW = "new"
    CHANGED = "changed"
    FAILED = "failed"
    ORPHANED = "orphaned"


class PlannedCell(NamedTuple):
    """A cell that a manifest and an extractor call for."""

    utterance: str
    modality: Modality
    fingerprint: str
    input: str
    state: State
    why: str


@dataclass(frozen=True)
class CellPlan:
    """All cells of a manifest under the current extractors.

    ``orphaned`` counts the corpus's stored cells that none of them reaches.
    """

    cells: dict[Modality, list[PlannedCell]]
    orphaned: dict[Modality, int] = field(default_factory=dict)

    def pending(self, modality: Modality) -> list[PlannedCell]:
        """The cells that have to be computed."""
        return [cell for cell in self.cells[modality] if cell.state in (State.NEW, State.CHANGED)]

    @property
    def pending_count(self) -> int:
        """How many cells have to be computed, over all modalities."""
        return sum(len(self.pending(modality)) for modality in self.cells)

    def counts(self) -> dict[str, dict[str, int]]:
        """Cells by modality and state."""
        return {
            modality.value: {
                **{state.value: 0 for state in State},
                **Counter(cell.state.value for cell in cells),
                State.ORPHANED.value: self.orphaned.get(modality, 0),
            }
            for modality, cells in self.cells.items()
        }

    def reasons(self) -> list[str]:
        """One line for each reason why cells are pending, most frequent first: ``text: 1 changed transcript``."""
        lines = []
        for modality in self.cells:
            whys = Counter(cell.why for cell in self.pending(modality))
            lines += [f"{modality}: {_counted(why, number)}" for why, number in whys.most_common()]
        return lines


def plan_cells(
    manifest: Manifest, extractors: Mapping[Modality, Mapping[str, Any]], store: Store, retry_failed: bool = False
) -> CellPlan:
    """Compare what ``manifest`` and ``extractors`` call for with what the store holds.

    ``extractors`` is a fingerprint's extractor part, by modality. With ``retry_failed`` stored failures are pending.
    """
    cells, orphaned = {}, {}
    for modality, extractor in extractors.items():
        wanted = fingerprints(manifest, modality, extractor)
        known = store.statuses(wanted["fingerprint"])
        missing = [
            name for name, key in zip(wanted["utterance"], wanted["fingerprint"], strict=True) if key not in known
        ]
        before = store.records(manifest.corpus, missing, modality)
        planned = []
        for utterance, fingerprint, input_ in wanted.itertuples(index=False):
            status = known.get(fingerprint)
            if status is None and utterance in before:
                record = before[utterance]
                why = difference(record.extractor, record.input, extractor, _loads(input_))
                state = State.CHANGED
            elif status is None:
                state, why = State.NEW, "new"
            elif status is Status.OK:
                state, why = State.DONE, ""
            else:
                state, why = (State.NEW, f"retry of {status}") if retry_failed else (State.FAILED, status.value)
            planned.append(PlannedCell(utterance, modality, fingerprint, input_, state, why))
        cells[modality] = planned
        orphaned[modality] = len(store.fingerprints(manifest.corpus, modality) - known.keys())
    return CellPlan(cells, orphaned)


def fingerprints(manifest: Manifest, modality: Modality, extractor: Mapping[str, Any]) -> pd.DataFrame:
    """Columns ``utterance``, ``fingerprint`` and ``input`` (canonical JSON), in the manifest's order."""
    inputs = _INPUTS[modality](manifest.table)
    # The keys sort as "extractor" < "input": hash the part that all cells share once.
    shared = hashlib.sha256(b'{"extractor":' + canonical(extractor) + b',"input":')
    keys = []
    for text in inputs:
        whole = shared.copy()
        whole.update(text.encode() + b"}")
        keys.append(whole.hexdigest())
    return pd.DataFrame({"utterance": manifest.table["utterance"].tolist(), "fingerprint": keys, "input": inputs})


def difference(
    stored_extractor: Mapping[str, Any],
    stored_input: Mapping[str, Any],
    extractor: Mapping[str, Any],
    input_: Mapping[str, Any],
) -> str:
    """Why a stored cell is stale, in a few words; the first thing that differs, inputs before settings before code."""
    if stored_input != input_:
        return _input_difference(stored_input, input_)
    for part, word in (("settings", "setting"), ("weights", "weights"), ("engine", "engine")):
        old, new = stored_extractor.get(part, {}), extractor.get(part, {})
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                return f"{word} {key} {_short(old.get(key))} -> {_short(new.get(key))}"
    old, new = stored_extractor.get("code", {}), extractor.get("code", {})
    files = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    if files:
        return f"code changed: {', '.join(files)}"
    return f"extractor {stored_extractor.get('name')} -> {extractor.get('name')}"


def _input_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if "missing" in new:
        return "transcript removed" if new["missing"] == "text" else "media file removed"
    if "missing" in old:
        return "transcript added" if old["missing"] == "text" else "media file added"
    if "text" in new:
        return "changed transcript"
    if old.get("sha256") != new.get("sha256"):
        return "changed media file"
    return "changed time span or crop"


def _counted(why: str, number: int) -> str:
    return (
        f"{number} {why}"
        if not why.startswith(("setting", "code", "weights", "engine", "extractor"))
        else f"{why} ({number} cells)"
    )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else text[:12] + "..."


def _loads(text: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(text)
    return value


def _text_inputs(table: pd.DataFrame) -> list[str]:
    return [
        canonical({"text": hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()}).decode()
        if text
        else _missing("text", utterance)
        for text, utterance in zip(table["text"], table["utterance"], strict=True)
    ]


def _media_inputs(kind: Modality) -> Callable[[pd.DataFrame], list[str]]:
    def inputs(table: pd.DataFrame) -> list[str]:
        columns = [
            table[name].tolist() for name in ("utterance", f"{kind}_sha256", f"{kind}_start", f"{kind}_end", "crop")
        ]
        lines = []
        for utterance, sha256, start, end, crop in zip(*columns, strict=True):
            if not sha256:
                lines.append(_missing(kind.value, utterance))
                continue
            parts = {"sha256": sha256, "start": _seconds(start), "end": _seconds(end)}
            lines.append(canonical(parts | {"crop": crop} if kind is Modality.VISUAL else parts).decode())
        return lines

    return inputs


def _missing(what: str, utterance: str) -> str:
    """The input of a cell that has none. It names its utterance: a failure's reason is that utterance's own."""
    return canonical({"missing": what, "utterance": utterance}).decode()


def _seconds(value: float) -> float | None:
    return None if pd.isna(value) else round(float(value), 4)


_INPUTS: dict[Modality, Callable[[pd.DataFrame], list[str]]] = {
    Modality.TEXT: _text_inputs,
    Modality.AUDIO: _media_inputs(Modality.AUDIO),
    Modality.VISUAL: _media_inputs(Modality.VISUAL),
}
