"""One cell in full: the parts of its fingerprint, the differences from the stored cell, and that cell's origin."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.differences import difference, differences
from bigfusion.pipeline.plan.fingerprints import fingerprints, inputs
from bigfusion.pipeline.plan.plan import State
from bigfusion.pipeline.schema import FeatureName, Modality, Status
from bigfusion.pipeline.store.store import Store


def explain_cell(
    manifest: Manifest,
    feature: FeatureName | Modality,
    extractor: Mapping[str, Any],
    store: Store,
    utterance: str,
    others: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Explain the cell of an utterance that the manifest holds. ``others`` are the modality's other extractors.

    Keys: ``state`` and ``why`` as in the plan; ``fingerprint`` and its components ``input`` and ``extractor``;
    ``stored``, the cell with this fingerprint or else the utterance's latest cell (``None``: never computed); and
    ``differences`` between the two, component by component.
    """
    modality = FeatureName(feature).modality
    (row,) = np.flatnonzero(manifest.table["utterance"] == utterance).tolist()
    (text,) = inputs(manifest.table, modality, extractor, [row])
    input_ = json.loads(text)
    fingerprint = fingerprints(manifest.table, modality, extractor, [row]).hex()
    record = store.record(fingerprint)
    state, why = State.NEW, "new"
    if record is not None:
        done = record.status is Status.OK
        state, why = (State.DONE, "") if done else (State.FAILED, record.status.value)
    elif (
        record := store.records(
            manifest.corpus,
            [utterance],
            modality,
            str(extractor.get("name", "")),
            {fingerprints(manifest.table, modality, other, [row]).hex() for other in others},
        ).get(utterance)
    ) is not None:
        state, why = State.CHANGED, difference(record.extractor, record.input, extractor, input_)
    changed = [] if record is None else differences(record.extractor, record.input, extractor, input_)
    return {
        "state": state.value,
        "why": why,
        "fingerprint": fingerprint,
        "input": input_,
        "extractor": dict(extractor),
        "stored": None if record is None else asdict(record),
        "differences": [asdict(item) for item in changed],
    }
