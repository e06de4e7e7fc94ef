"""Utterances x extractors -> cells: which cells are done, failed, new or changed, and why.

A plan is a function of the manifest's rows, the extractors' descriptions and the set of shards. A plan without pending
cells is kept in the index under the digest of these three, and is valid as long as they stay the same. So three million
unchanged cells need not be looked at again. Everything else is computed in columns; only pending cells become objects.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigfusion.pipeline.digests.code import code_digests
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.differences import counted, difference
from bigfusion.pipeline.plan.fingerprints import fingerprints, inputs
from bigfusion.pipeline.plan.notes import kinds
from bigfusion.pipeline.schema import Modality, Status
from bigfusion.pipeline.store.store import Store

_KEY = pa.binary(32)


class State(StrEnum):
    """The state of a cell."""

    DONE = "done"
    NEW = "new"
    CHANGED = "changed"
    FAILED = "failed"
    ORPHANED = "orphaned"


class PlannedCell(NamedTuple):
    """A cell that a manifest and an extractor require."""

    utterance: str
    modality: Modality
    fingerprint: str
    input: str
    state: State
    why: str


@dataclass(frozen=True)
class ModalityPlan:
    """The cells of one modality: how many are in each state, how many failed in each way, and which rows are
    pending.

    ``digest`` covers every fingerprint, in order, and whether its cell is done. ``pending`` has the manifest's rows;
    ``states`` and ``whys`` are parallel to it. ``notes`` counts the notes of the cells that are done.
    """

    counts: dict[str, int]
    failures: dict[str, int]
    digest: str
    pending: Sequence[int] = ()
    states: Sequence[State] = ()
    whys: Sequence[str] = ()
    notes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CellPlan:
    """All cells that a manifest requires under the current extractors."""

    manifest: Manifest
    extractors: Mapping[Modality, Mapping[str, Any]]
    parts: Mapping[Modality, ModalityPlan]

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities that were planned."""
        return tuple(self.parts)

    def fingerprints(self, modality: Modality) -> list[str]:
        """The fingerprint of every utterance's cell, in the manifest's order."""
        keys = fingerprints(self.manifest.table, modality, self.extractors[modality]).hex()
        return [keys[start : start + 64] for start in range(0, len(keys), 64)]

    def pending(self, modality: Modality) -> list[PlannedCell]:
        """The cells that have to be computed."""
        part = self.parts[modality]
        table = self.manifest.table
        keys = fingerprints(table, modality, self.extractors[modality], part.pending).hex()
        columns = zip(
            table["utterance"].iloc[list(part.pending)].tolist(),
            inputs(table, modality, self.extractors[modality], part.pending),
            part.states,
            part.whys,
            strict=True,
        )
        return [
            PlannedCell(utterance, modality, keys[64 * at : 64 * at + 64], input_, state, why)
            for at, (utterance, input_, state, why) in enumerate(columns)
        ]

    @property
    def pending_count(self) -> int:
        """How many cells have to be computed, over all modalities."""
        return sum(len(part.pending) for part in self.parts.values())

    def counts(self) -> dict[str, dict[str, int]]:
        """Cells by modality and state.

        ``orphaned`` counts the corpus's stored cells that nothing in this plan needs.
        """
        return {modality.value: dict(part.counts) for modality, part in self.parts.items()}

    def failures(self) -> dict[str, dict[str, int]]:
        """Stored failures by modality and status."""
        return {modality.value: dict(part.failures) for modality, part in self.parts.items()}

    def notes(self) -> dict[str, dict[str, int]]:
        """Notes of stored cells, by modality and kind."""
        return {modality.value: dict(part.notes) for modality, part in self.parts.items()}

    def reasons(self) -> list[str]:
        """One line for each reason for pending cells, most frequent first: ``text: 1 changed transcript``."""
        return [
            f"{modality}: {counted(why, number)}"
            for modality, part in self.parts.items()
            for why, number in Counter(part.whys).most_common()
        ]


def plan_cells(
    manifest: Manifest, extractors: Mapping[Modality, Mapping[str, Any]], store: Store, retry_failed: bool = False
) -> CellPlan:
    """Compare the cells that ``manifest`` and ``extractors`` require with those in the store.

    ``extractors`` has the extractor part of a fingerprint, by modality. With ``retry_failed``, stored failures are
    pending.
    """
    parts = {}
    for modality, extractor in extractors.items():
        key = digest(
            [_code(), manifest.digest, manifest.corpus, modality, extractor, retry_failed, store.state(modality)]
        )
        kept = store.kept_plan(key)
        parts[modality] = ModalityPlan(**kept) if kept else _plan(manifest, modality, extractor, store, retry_failed)
        if not kept and not parts[modality].pending:
            part = parts[modality]
            kept_part = {name: getattr(part, name) for name in ("counts", "failures", "digest", "notes")}
            store.keep_plan(key, kept_part)
    return CellPlan(manifest, extractors, parts)


@cache
def _code() -> str:
    return digest(code_digests(f"{__name__}:plan_cells"))


def _plan(
    manifest: Manifest, modality: Modality, extractor: Mapping[str, Any], store: Store, retry_failed: bool
) -> ModalityPlan:
    table = manifest.table
    wanted = _keys(fingerprints(table, modality, extractor))
    stored = store.known(modality, manifest.corpus)
    stored = np.concatenate(
        [stored[stored["status"] == b"ok"], stored[stored["status"] != b"ok"]]
    )  # the best come first
    stored_keys = _keys(stored["fingerprint"].tobytes())
    place = pc.fill_null(pc.index_in(wanted, stored_keys), -1).to_numpy()
    statuses = np.append(stored["status"], [b""])[place]  # -1: not stored
    done, missing = statuses == b"ok", statuses == b""
    failed = ~done & ~missing
    retried = np.flatnonzero(failed) if retry_failed else np.zeros(0, np.int64)
    absent = np.flatnonzero(missing)
    before = _changes(table, absent, manifest.corpus, modality, extractor, store)
    pending = [
        (row, State.CHANGED if why else State.NEW, why or "new") for row, why in zip(absent, before, strict=True)
    ]
    pending += [(row, State.NEW, f"retry of {statuses[row].decode()}") for row in retried]
    pending.sort(key=lambda cell: int(cell[0]))
    orphans = pc.unique(stored_keys.filter(pa.array(stored["corpus"])))
    counts = {
        State.DONE: int(done.sum()),
        State.NEW: sum(state is State.NEW for _, state, _ in pending),
        State.CHANGED: sum(state is State.CHANGED for _, state, _ in pending),
        State.FAILED: 0 if retry_failed else int(failed.sum()),
        State.ORPHANED: pc.sum(pc.invert(pc.is_in(orphans, wanted))).as_py() or 0,
    }
    return ModalityPlan(
        counts={state.value: number for state, number in counts.items()},
        failures={} if retry_failed else _failures(statuses[failed]),
        digest=hashlib.sha256(wanted.buffers()[1].to_pybytes() + np.packbits(done).tobytes()).hexdigest(),
        pending=tuple(int(row) for row, _, _ in pending),
        states=tuple(state for _, state, _ in pending),
        whys=tuple(why for _, _, why in pending),
        notes=_notes(wanted, done, store.notes(modality)),
    )


def _keys(raw: bytes) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(_KEY, len(raw) // 32, [None, pa.py_buffer(raw)])


def _notes(wanted: pa.Array, done: NDArray[np.bool_], notes: Mapping[bytes, str]) -> dict[str, int]:
    """The notes of the required cells, by kind."""
    if not notes:
        return {}
    noted = pc.is_in(wanted, pa.array(list(notes), _KEY)).to_numpy(zero_copy_only=False) & done
    return kinds(notes[key] for key in wanted.filter(pa.array(noted)).to_pylist())


def _failures(statuses: NDArray[np.bytes_]) -> dict[str, int]:
    found, numbers = np.unique(statuses, return_counts=True)
    return {Status(name.decode()).value: int(number) for name, number in zip(found, numbers, strict=True)}


def _changes(
    table: pd.DataFrame,
    rows: NDArray[np.int64],
    corpus: str,
    modality: Modality,
    extractor: Mapping[str, Any],
    store: Store,
) -> list[str]:
    """What changed in each of ``rows`` since its latest stored cell; ``""`` if it has no stored cell."""
    utterances = table["utterance"].iloc[rows].tolist()
    before = store.records(corpus, utterances, modality)
    found = []
    now = inputs(table, modality, extractor, rows.tolist()) if before else [""] * len(rows)
    for utterance, input_ in zip(utterances, now, strict=True):
        record = before.get(utterance)
        found.append(difference(record.extractor, record.input, extractor, json.loads(input_)) if record else "")
    return found
