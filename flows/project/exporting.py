"""Features as plain Parquet with a dataset card, one file a split: for pandas, ``datasets`` or another project."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bigfusion.flows.project import cells
from bigfusion.flows.project.corpus import present
from bigfusion.flows.project.croissant import NAME as CROISSANT
from bigfusion.flows.project.croissant import croissant
from bigfusion.flows.project.exporting_frames import Framed, blocks, framed, nested, spans, times
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.atomic import whole, write_whole
from bigfusion.pipeline.digests.files import file_sha256
from bigfusion.pipeline.errors import SettingsError, StoreError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.plan import CellPlan
from bigfusion.pipeline.schema import FeatureName, Split
from bigfusion.pipeline.store.store import Features, Store
from bigfusion.pipeline.words import numbered

FILES = {Split.TRAIN: "train", Split.VALID: "validation", Split.TEST: "test"}
"""The names of the splits that ``datasets`` expects."""
_COLUMNS = {
    "utterance": "the utterance's id",
    "dialogue": "the dialogue's id",
    "turn": "the utterance's place in its dialogue, from 0",
    "speaker": "who speaks",
    "label": "the emotion that annotators gave it; null or empty if it has none",
}


def write_export(project: Project, folder: Path) -> dict[Path, int]:
    """Write ``data/<split>.parquet``, ``README.md`` and ``croissant.json``. Returns the rows of each Parquet file.

    Each row is an utterance. A feature (``audio``, ``audio.wavlm``) is a list of float32, or null if its cell failed;
    ``<feature>_status`` names the failure. A feature with ``level = "frame"`` also has ``<feature>_frames``, a list of
    frames, and ``<feature>_times``, their seconds, or ``<feature>_spans``, where tokens lie in the transcript.
    Transcripts and media are not exported.

    Raises:
        SettingsError: the folder is not empty.
        StoreError: cells are pending, or a shard is damaged.
    """
    manifest, planned = exportable(project, folder)
    columns = {name: pa.array(manifest.table[name].tolist()) for name in _COLUMNS}
    if manifest.has_values:
        columns["label"] = pa.array(manifest.table["value"].to_numpy(), from_pandas=True)
    widths: dict[FeatureName, int] = {}
    with project.files.store() as store:
        for feature in planned.features:
            keys = planned.fingerprints(feature)
            features, failures = store.read(feature.modality, keys), store.failures(set(keys))
            widths[feature] = features.values.shape[1]
            columns[str(feature)] = _lists(features)
            columns[f"{feature}_status"] = pa.array([failures[k][0].value if k in failures else "ok" for k in keys])
        frames = framed(store, planned)
        table = pa.table(columns)
        splits = manifest.table["split"].to_numpy()
        written = {}
        schema = table.schema
        for split, name in FILES.items():
            rows: NDArray[np.int64] = np.flatnonzero(splits == split.value)
            if len(rows):
                path = folder / "data" / f"{name}.parquet"
                if frames:
                    schema = _write_framed(path, table, rows, store, frames)
                else:
                    _write(path, table.take(pa.array(rows)))
                written[path] = len(rows)
    write_whole(folder / "README.md", _card(project, manifest, planned, widths, written, frames).encode())
    files = {path.relative_to(folder): file_sha256(path) for path in written}
    facts = croissant(manifest.corpus, manifest.digest, files, schema, _about(widths, frames), manifest.labels)
    write_whole(folder / CROISSANT, (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode())
    return written


def exportable(project: Project, folder: Path) -> tuple[Manifest, CellPlan]:
    """The present manifest and its cells, all of them computed, to be exported into ``folder``.

    Raises:
        SettingsError: the folder is not empty.
        StoreError: cells are pending.
    """
    manifest = present(project)
    planned = cells.plan(project, manifest)
    if planned.pending_count:
        raise StoreError(f"{numbered(planned.pending_count, 'cell')} pending; run `bigfusion extract`, then export")
    if folder.exists() and any(folder.iterdir()):
        raise SettingsError(f"{folder}: expected a folder that is empty or not there yet; name another")
    return manifest, planned


def _about(widths: dict[FeatureName, int], frames: Mapping[FeatureName, Framed]) -> dict[str, str]:
    """What each column holds."""
    about = dict(_COLUMNS)
    for feature, width in widths.items():
        about[str(feature)] = f"{width} numbers: the {feature} feature of the utterance; null if there is none"
        about[f"{feature}_status"] = f"ok, or why there is no {feature} feature"
    for feature, found in frames.items():
        about[f"{feature}_frames"] = f"the frames that {feature} is pooled from, each {found.width} numbers"
        about[f"{feature}_times"] = "the second, from the utterance's beginning, at which each frame begins"
        about[f"{feature}_spans"] = "each token's first character in the transcript, and the one behind its last"
    return about


def _lists(features: Features) -> pa.Array:
    """One list for each row, null if there is no feature."""
    lengths = np.where(features.present, features.values.shape[1], 0)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32() if lengths.sum() < 2**31 else pa.int64())
    values = pa.array(features.values[features.present].reshape(-1))
    kind = pa.ListArray if offsets.type == pa.int32() else pa.LargeListArray
    return kind.from_arrays(offsets, values, mask=pa.array(~features.present))


def _write_framed(
    path: Path, table: pa.Table, rows: NDArray[np.int64], store: Store, features: dict[FeatureName, Framed]
) -> pa.Schema:
    """Write rows with their frames. Only the frames of one block of rows are in memory. Returns the columns."""
    try:
        with whole(path) as partial:
            writer = None
            for block in blocks(features.values(), rows):
                part = table.take(pa.array(block))
                for feature, known in features.items():
                    frames = known.read(store, block)
                    part = part.append_column(f"{feature}_frames", nested(block, frames, known.width))
                    if known.timed:
                        part = part.append_column(f"{feature}_times", times(block, frames))
                    if known.spanned:
                        part = part.append_column(f"{feature}_spans", spans(block, frames))
                if writer is None:
                    writer = pq.ParquetWriter(partial, part.schema, compression="zstd", write_page_checksum=True)
                writer.write_table(part)
            assert writer is not None  # there are rows
            writer.close()
            return part.schema
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}); make room or correct the rights") from error


def _write(path: Path, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True, row_group_size=1024)
    try:
        write_whole(path, sink.getvalue().to_pybytes())
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}); make room or correct the rights") from error


def _card(
    project: Project,
    manifest: Manifest,
    planned: CellPlan,
    widths: dict[FeatureName, int],
    written: dict[Path, int],
    frames: Mapping[FeatureName, Framed],
) -> str:
    files = "".join(f"      - split: {path.stem}\n        path: data/{path.name}\n" for path in written)
    counts = planned.counts()
    rows = "".join(
        f"| `{m}` | {widths[m]} | {counts[m]['done']} | {_failures(planned.failures()[m])} |\n"
        for m in planned.features
    )
    makers = "\n\n".join(_maker(feature, planned.extractors[feature]) for feature in planned.features)
    notes = "".join(f"- {note}\n" for note in cells.notes(project))
    versions = ", ".join(f"{name} {version}" for name, version in cells.versions().items())
    labels = ", ".join(manifest.labels) or "are numbers"
    sizes = ", ".join(f"{number} {path.stem}" for path, number in written.items())
    return f"""---
license: other
license_name: that-of-the-corpus
tags: [emotion-recognition-in-conversation, features]
configs:
  - config_name: default
    data_files:
{files}---

# Features of {manifest.corpus}

{len(manifest)} utterances ({sizes}) of `{manifest.corpus}`, labels {labels}; computed by bigfusion.
One row an utterance, in the order of the dialogues; `turn` counts from 0 within a `dialogue`. A feature is null where
it could not be computed, and `<feature>_status` says why. No transcripts and no media are in these files.

| column | numbers | utterances that have it | others |
|---|---|---|---|
{rows}
{"".join(_framed_card(feature, found) for feature, found in frames.items())}```python
datasets.load_dataset("DIR")   # this folder, or its name on the hub; or pandas.read_parquet of a file
```

`croissant.json` describes files and columns for data catalogues (Croissant 1.0).

## What made them

Manifest `{manifest.digest}` (SHA-256 over rows, labels and media digests). Written with {versions}.
{notes}
{makers}

## Licence

These numbers derive from `{manifest.corpus}`, whose owner's terms decide what may be done with them; they are not given
anew here. The code that computed them is under the MIT licence; encoders and openSMILE have licences of their own.
"""


def _framed_card(feature: FeatureName, found: Framed) -> str:
    when = "they have no times"
    if found.timed:
        when = f"`{feature}_times` says at which second of the utterance each begins"
    if found.spanned:
        when += (
            f", but places in the transcript: `{feature}_spans` holds each token's first character and the one behind"
            " its last, counted from 0 in Unicode characters, null for one that stands for none"
        )
    names = f" ({', '.join(found.columns)})" if found.columns else ""
    return f"`{feature}_frames` holds the frames behind `{feature}`, each {found.width} numbers{names}; {when}.\n\n"


def _failures(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {status}" for status, number in sorted(counts.items())) or "none"


def _maker(feature: FeatureName, extractor: Any) -> str:
    code = "\n".join(f"- `{name}` {sha256}" for name, sha256 in extractor["code"].items())
    parts = {name: extractor[name] for name in ("settings", "weights", "engine") if extractor[name]}
    return (
        f"### {feature}: `{extractor['name']}`\n\n```json\n{json.dumps(parts, indent=2, sort_keys=True)}\n```\n\n"
        "Settings that are not named have their first default. "
        f"Code, as digests of its syntax trees:\n\n{code}"
    )
