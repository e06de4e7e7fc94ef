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
from dataclasses import dataclass, field, replace
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
from bigfusion.pipeline.schema import FeatureName, Modality, Status
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
    feature: FeatureName
    fingerprint: str
    input: str
    state: State
    why: str


@dataclass(frozen=True)
class FeaturePlan:
    """The cells of one feature: how many are in each state, how many failed in each way, and which rows are
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
    extractors: Mapping[FeatureName, Mapping[str, Any]]
    parts: Mapping[FeatureName, FeaturePlan]

    @property
    def features(self) -> tuple[FeatureName, ...]:
        """The features that were planned."""
        return tuple(self.parts)

    def fingerprints(self, feature: FeatureName | Modality) -> list[str]:
        """The fingerprint of every utterance's cell, in the manifest's order."""
        name = FeatureName(feature)
        keys = fingerprints(self.manifest.table, name.modality, self.extractors[name]).hex()
        return [keys[start : start + 64] for start in range(0, len(keys), 64)]

    def pending(self, feature: FeatureName | Modality) -> list[PlannedCell]:
        """The cells that have to be computed."""
        name = FeatureName(feature)
        part, extractor = self.parts[name], self.extractors[name]
        table = self.manifest.table
        keys = fingerprints(table, name.modality, extractor, part.pending).hex()
        columns = zip(
            table["utterance"].iloc[list(part.pending)].tolist(),
            inputs(table, name.modality, extractor, part.pending),
            part.states,
            part.whys,
            strict=True,
        )
        return [
            PlannedCell(utterance, name, keys[64 * at : 64 * at + 64], input_, state, why)
            for at, (utterance, input_, state, why) in enumerate(columns)
        ]

    @property
    def pending_count(self) -> int:
        """How many cells have to be computed, over all features."""
        return sum(len(part.pending) for part in self.parts.values())

    def counts(self) -> dict[str, dict[str, int]]:
        """Cells by feature and state.

        ``orphaned`` counts the corpus's stored cells of a modality that nothing in this plan needs, in the row of the
        modality's first feature.
        """
        return {str(feature): dict(part.counts) for feature, part in self.parts.items()}

    def failures(self) -> dict[str, dict[str, int]]:
        """Stored failures by feature and status."""
        return {str(feature): dict(part.failures) for feature, part in self.parts.items()}

    def notes(self) -> dict[str, dict[str, int]]:
        """Notes of stored cells, by feature and kind."""
        return {str(feature): dict(part.notes) for feature, part in self.parts.items()}

    def reasons(self) -> list[str]:
        """One line for each reason for pending cells, most frequent first: ``text: 1 changed transcript``."""
        return [
            f"{feature}: {counted(why, number)}"
            for feature, part in self.parts.items()
            for why, number in Counter(part.whys).most_common()
        ]


def plan_cells(
    manifest: Manifest,
    extractors: Mapping[FeatureName, Mapping[str, Any]],
    store: Store,
    retry_failed: bool = False,
) -> CellPlan:
    """Compare the cells that ``manifest`` and ``extractors`` require with those in the store.

    ``extractors`` has the extractor part of a fingerprint, by feature. With ``retry_failed``, stored failures are
    pending.
    """
    named = {FeatureName(feature): extractor for feature, extractor in extractors.items()}
    parts = {}
    for feature, extractor in named.items():
        others = {name: other for name, other in named.items() if name.modality is feature.modality and name != feature}
        first = feature == next(name for name in named if name.modality is feature.modality)
        key = digest(
            [
                *(_code(), manifest.digest, manifest.corpus, feature.modality, extractor, retry_failed),
                *(list(others.values()), first, store.state(feature.modality)),
            ]
        )
        kept = store.kept_plan(key)
        if kept:
            parts[feature] = FeaturePlan(**kept)
            continue
        wanted_by_others = _keys(
            b"".join(fingerprints(manifest.table, feature.modality, other) for other in others.values())
        )
        part = _plan(manifest, feature.modality, extractor, store, retry_failed, wanted_by_others)
        if not first:
            part = replace(part, counts={**part.counts, State.ORPHANED.value: 0})
        if not part.pending:
            store.keep_plan(key, {name: getattr(part, name) for name in ("counts", "failures", "digest", "notes")})
        parts[feature] = part
    return CellPlan(manifest, named, parts)


@cache
def _code() -> str:
    return digest(code_digests(f"{__name__}:plan_cells"))


def _plan(
    manifest: Manifest,
    modality: Modality,
    extractor: Mapping[str, Any],
    store: Store,
    retry_failed: bool,
    wanted_by_others: pa.Array,
) -> FeaturePlan:
    """The plan of one feature. Cells that other features of its modality want are neither orphans nor older states."""
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
    before = _changes(table, absent, manifest.corpus, modality, extractor, store, wanted_by_others)
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
        State.ORPHANED: pc.sum(
            pc.invert(pc.or_(pc.is_in(orphans, wanted), pc.is_in(orphans, wanted_by_others)))
        ).as_py()
        or 0,
    }
    return FeaturePlan(
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
    wanted_by_others: pa.Array,
) -> list[str]:
    """What changed in each of ``rows`` since its latest stored cell; ``""`` if it has no stored cell."""
    utterances = table["utterance"].iloc[rows].tolist()
    others = {key.hex() for key in wanted_by_others.to_pylist()} if utterances else set()
    before = store.records(corpus, utterances, modality, str(extractor.get("name", "")), others)
    found = []
    now = inputs(table, modality, extractor, rows.tolist()) if before else [""] * len(rows)
    for utterance, input_ in zip(utterances, now, strict=True):
        record = before.get(utterance)
        found.append(difference(record.extractor, record.input, extractor, json.loads(input_)) if record else "")
    return found
