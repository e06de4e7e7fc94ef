"""Features in the layouts of other benchmarks: MMSA's pickle, MERBench's folders of arrays.

A feature with ``level = "frame"`` goes out frame by frame: in MMSA's pickle as its unaligned files have it, padded with
zeros and with lengths; for MERBench as an array (T, F) a clip, beside the vectors.

Both train on each utterance alone, so that utterances without a label are left out. Both take rows of zeros for a
feature that does not exist. A corpus without validation rows gets those that a training would hold out.
"""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigfusion.flows.project.exporting import exportable
from bigfusion.flows.project.exporting_frames import Framed, blocks, framed, token_spans
from bigfusion.flows.project.settings import Project
from bigfusion.model.data.dialogues import hold_out
from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.errors import SettingsError, StoreError
from bigfusion.pipeline.feature_files.mmsa import BETWEEN, KEYS
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.schema import FeatureName, Modality, Split
from bigfusion.pipeline.sequences import NO_SPAN, Frames
from bigfusion.pipeline.store.store import Store
from bigfusion.pipeline.words import numbered

_SIGNS = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}
_MERBENCH = {Split.TRAIN: "train_corpus", Split.VALID: "val_corpus", Split.TEST: "test_corpus"}
_NO_VALUE, _NO_CLASS = -10.0, 0
"""What MERBench's own label files hold as the number of a class corpus, and as the class of a number corpus."""


@dataclass(frozen=True)
class Exported:
    """What was written: the rows of each split, the files, and what the reader of the files has to know."""

    rows: dict[Split, int]
    files: tuple[Path, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Chosen:
    """The labelled rows of each split as positions in the manifest, and features row for row of it.

    ``frames`` are the features that go out frame by frame.
    """

    manifest: Manifest
    rows: dict[Split, NDArray[np.int64]]
    features: dict[FeatureName, NDArray[np.float32]]
    frames: dict[FeatureName, Framed]
    notes: list[str] = field(default_factory=list)

    def cells(self, column: str, rows: NDArray[np.int64]) -> list[Any]:
        values: list[Any] = self.manifest.table[column].iloc[rows].tolist()
        return values


def write_mmsa(project: Project, folder: Path) -> Exported:
    """Write ``features.pkl`` as MMSA's loader reads it: one frame an utterance, (N, 1, F) a modality, or its frames,
    (N, T, F), with ``audio_lengths``, ``vision_lengths``, and ``audio_times``, ``vision_times`` (N, T) in seconds.
    Tokens have ``text_spans`` (N, T, 2): their first character in the transcript and the one behind their last, -1 for
    none.

    ``regression_labels`` are the numbers of a regression; of the classes negative, neutral, positive they are -1, 0, 1,
    and of other classes NaN, for those have no order. ``classification_labels`` and ``annotations`` hold the classes.
    Transcripts are not exported: ``raw_text`` is empty.

    Raises:
        SettingsError: the folder is not empty, a modality has several features, or a split has no labelled rows.
        StoreError: cells are pending, or a file cannot be written.
    """
    chosen = _choose(project, folder)
    modalities = [feature.modality for feature in chosen.features]
    several = next((m for m in modalities if modalities.count(m) > 1), None)
    if several:
        names = ", ".join(feature for feature in chosen.features if feature.modality is several)
        raise SettingsError(
            f"model.features: expected one {several} feature, for MMSA holds one a modality, found {names}; choose with"
            " --set 'model.features=[...]'"
        )
    empty = next((split for split in Split if not len(chosen.rows[split])), None)
    if empty:
        raise SettingsError(
            f"{empty}: expected labelled utterances, for MMSA reads train, valid and test, found none; divide the"
            " corpus into these splits (without folds)"
        )
    _check_memory(chosen)
    with project.files.store() as store:
        content = {split.value: _mmsa_split(chosen, rows, store) for split, rows in chosen.rows.items()}
    if not chosen.manifest.has_values and not {*chosen.manifest.labels} <= {*_SIGNS}:
        chosen.notes.append("regression_labels are NaN: the classes have no order; classification_labels hold them")
    absent = [key for modality, key in KEYS.items() if modality not in modalities]
    if absent:
        chosen.notes.append(f"{' and '.join(absent)} are one zero an utterance: the project has no such features")
    rows = (
        "a row a token"
        if any(feature.modality is Modality.TEXT for feature in chosen.frames)
        else "one row an utterance"
    )
    chosen.notes.append(f"text is {rows}: set MMSA's use_bert to false, for there is no text_bert")
    if chosen.frames:
        chosen.notes.append("frames are not aligned: set MMSA's need_data_aligned to false")
    path = folder / "features.pkl"
    _write(path, _portable(content))
    return Exported({split: len(rows) for split, rows in chosen.rows.items()}, (path,), tuple(chosen.notes))


def write_merbench(project: Project, folder: Path) -> Exported:
    """Write ``features/NAME-UTT/UTTERANCE.npy`` (F,) and ``label.npz`` as MERBench's loaders read them.

    Frames go to ``features/NAME-FRA/UTTERANCE.npy`` (T, F), their seconds to ``times/NAME-FRA/UTTERANCE.npy`` (T,), the
    characters of tokens to ``spans/NAME-FRA/UTTERANCE.npy`` (T, 2), -1 for none.

    ``label.npz`` maps each utterance of train_corpus, val_corpus, test_corpus and of whole_corpus, which IEMOCAP's
    loader reads, to its class (emo) and number (val). A slash in an id becomes ``_``.

    Raises:
        SettingsError: the folder is not empty, or two ids become the same name.
        StoreError: cells are pending, or a file cannot be written.
    """
    chosen = _choose(project, folder)
    names = [name.replace("/", "_") for name in chosen.manifest.table["utterance"]]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SettingsError(f"{twice}: expected ids that differ when / becomes _, found two alike; rename one")
    kept = np.concatenate([*chosen.rows.values()])
    written = []
    for feature, values in chosen.features.items():
        place = folder / "features" / f"{str(feature).replace('.', '-')}-UTT"
        try:
            place.mkdir(parents=True)
            for row in kept:
                np.save(place / f"{names[row]}.npy", values[row])
        except OSError as error:
            raise StoreError(
                f"{place}: cannot be written ({error.strerror}); make room or correct the rights"
            ) from error
        written.append(place)
    with project.files.store() as store:
        for feature, known in chosen.frames.items():
            written += _merbench_frames(folder, str(feature), known, kept, names, store)
    corpora = {name: _merbench_labels(chosen, names, chosen.rows[split]) for split, name in _MERBENCH.items()}
    corpora["whole_corpus"] = {name: label for part in corpora.values() for name, label in part.items()}
    path = folder / "label.npz"  # last: with it the export is whole
    _write(path, _dictionaries(corpora))
    classes = ", ".join(f"{code} {name}" for code, name in enumerate(chosen.manifest.labels))
    chosen.notes.append(f"emo: {classes}" if classes else "val: the number of each utterance")
    return Exported({split: len(rows) for split, rows in chosen.rows.items()}, (*written, path), tuple(chosen.notes))


def _choose(project: Project, folder: Path) -> _Chosen:
    manifest, planned = exportable(project, folder)
    features = {}
    with project.files.store() as store:
        for feature in planned.features:
            features[feature] = store.read(feature.modality, planned.fingerprints(feature)).values  # zeros where absent
        frames = framed(store, planned)
    table = manifest.table
    labelled = (~np.isnan(table["value"].to_numpy())) if manifest.has_values else (table["label"] != "").to_numpy()
    splits = table["split"].to_numpy().astype(str)
    notes = [f"{numbered(int((~labelled).sum()), 'utterance')} without a label left out"] if not labelled.all() else []
    if Split.VALID.value not in splits:
        train = list(dict.fromkeys(table["dialogue"][splits == Split.TRAIN.value]))
        _, held = hold_out(train, project.train.holdout)
        splits = np.where(table["dialogue"].isin(held).to_numpy(), Split.VALID.value, splits)
        notes.append(f"valid: the last {numbered(len(held), 'dialogue')} of train, as a training holds them out")
    rows = {split: np.flatnonzero(labelled & (splits == split.value)) for split in Split}
    return _Chosen(manifest, rows, features, frames, notes)


def _check_memory(chosen: _Chosen) -> None:
    """MMSA's pickle holds every clip padded to the longest of its split, in memory at once.

    Raises:
        StoreError: that is more than this machine has.
    """
    size = sum(
        len(rows) * max(map(known.count, rows.tolist()), default=0) * (4 * known.width + 16)
        for known in chosen.frames.values()
        for rows in chosen.rows.values()
    )
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if 3 * size > most:  # the arrays, the pickle, and the pickle with older names
        raise StoreError(
            f"MMSA's layout: expected padded frames of at most {most / 3 / 2**30:.1f} GiB, a third of this machine's"
            f" memory, found {size / 2**30:.1f}; choose --layout merbench or parquet, or set level to 'utterance'"
        )


def _padded(
    known: Framed, rows: NDArray[np.int64], store: Store
) -> tuple[NDArray[np.float32], list[int], NDArray[np.float64], NDArray[np.int32]]:
    """Frames, times and spans padded to the longest of some rows, and how many are real.

    A row without frames has one of zeros. Shapes: (N, T, F), padded with zeros; (N,); (N, T), padded with NaN;
    (N, T, 2), padded with -1.
    """
    counts = [max(known.count(row), 1) for row in rows.tolist()]
    values = np.zeros((len(rows), max(counts, default=1), known.width), np.float32)
    times = np.full(values.shape[:2], np.nan)
    spans = np.full((*values.shape[:2], 2), NO_SPAN, np.int32)
    places = {row: at for at, row in enumerate(rows.tolist())}
    for block in blocks([known], rows):
        for row, frames in known.read(store, block).items():
            values[places[row], : len(frames.values)] = frames.values
            spans[places[row], : len(frames.values)] = token_spans(frames)
            if frames.times is not None:
                times[places[row], : len(frames.values)] = frames.times
    return values, counts, times, spans


def _merbench_frames(
    folder: Path, name: str, known: Framed, rows: NDArray[np.int64], names: Sequence[str], store: Store
) -> list[Path]:
    """Write the frames of each utterance, and their times or spans if they have any. A row without frames has one of
    zeros.
    """
    place, timed, spanned = (folder / part / f"{name.replace('.', '-')}-FRA" for part in ("features", "times", "spans"))
    written = [place, *([timed] if known.timed else []), *([spanned] if known.spanned else [])]
    try:
        for one in written:
            one.mkdir(parents=True)
        nothing = Frames(np.zeros((1, known.width), np.float32), np.zeros(1))
        for block in blocks([known], rows):
            found = known.read(store, block)
            for row in block:
                frames = found.get(row, nothing)
                np.save(place / f"{names[row]}.npy", frames.values)
                if known.timed and frames.times is not None:
                    np.save(timed / f"{names[row]}.npy", frames.times)
                if known.spanned:
                    np.save(spanned / f"{names[row]}.npy", token_spans(frames))
    except OSError as error:
        raise StoreError(f"{place}: cannot be written ({error.strerror}); make room or correct the rights") from error
    return written


def _mmsa_split(chosen: _Chosen, rows: NDArray[np.int64], store: Store) -> dict[str, Any]:
    names, dialogues, turns = (chosen.cells(name, rows) for name in ("utterance", "dialogue", "turn"))
    labels = chosen.manifest.labels
    part: dict[str, Any] = {
        "id": [f"{dialogue}{BETWEEN}{turn}" for dialogue, turn in zip(dialogues, turns, strict=True)],
        "raw_text": [""] * len(rows),
        "utterance": names,
        "dialogue": dialogues,
        "turn": turns,
        "speaker": chosen.cells("speaker", rows),
    }
    if chosen.manifest.has_values:
        part["regression_labels"] = np.array(chosen.cells("value", rows))
    else:
        found = chosen.cells("label", rows)
        values = [_SIGNS[name] if {*labels} <= {*_SIGNS} else np.nan for name in found]
        part["annotations"] = found
        part["classification_labels"] = np.array([labels.index(name) for name in found], np.float32)
        part["regression_labels"] = np.array(values)
    there = {feature.modality: values for feature, values in chosen.features.items()}
    frames = {feature.modality: known for feature, known in chosen.frames.items()}
    for modality, key in KEYS.items():
        if modality in frames:
            part[key], part[f"{key}_lengths"], times, spans = _padded(frames[modality], rows, store)
            if frames[modality].timed:
                part[f"{key}_times"] = times
            if frames[modality].spanned:
                part[f"{key}_spans"] = spans
            continue
        block = there[modality][rows] if modality in there else np.zeros((len(rows), 1), np.float32)
        part[key] = block[:, None]  # (N, 1, F)
        if key != "text":
            part[f"{key}_lengths"] = [1] * len(rows)
    return part


def _merbench_labels(chosen: _Chosen, names: Sequence[str], rows: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    labels = chosen.manifest.labels
    cells = zip(rows, chosen.cells("label", rows), chosen.cells("value", rows), strict=True)
    if chosen.manifest.has_values:
        return {names[row]: {"emo": _NO_CLASS, "val": value} for row, _, value in cells}
    return {names[row]: {"emo": labels.index(label), "val": _NO_VALUE} for row, label, _ in cells}


def _dictionaries(content: Mapping[str, Any]) -> bytes:
    """An npz of dictionaries as pickled arrays without dimensions, which MERBench's loaders expect."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in content.items():
            array = np.array(part, object)
            member = io.BytesIO()
            np.lib.format.write_array_header_1_0(member, np.lib.format.header_data_from_array_1_0(array))
            archive.writestr(f"{name}.npy", member.getvalue() + _portable(array))
    return sink.getvalue()


def _portable(content: Any) -> bytes:
    """``content`` as a pickle that NumPy 1 reads as well: arrays by the name that both versions know."""
    data = pickle.dumps(content, protocol=3)
    new, old = b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"
    parts, end = [], 0
    for code, _, place in pickletools.genops(data):
        if code.name == "GLOBAL" and place is not None and data.startswith(new, place):
            parts += [data[end:place], old]
            end = place + len(new)
    return b"".join([*parts, data[end:]])


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}); make room or correct the rights") from error
