"""From a feature file that a user already has to a manifest with features: the field's pickles, or one Parquet
layout.

The Parquet layout has the columns dialogue, utterance, speaker (none: unknown; all such utterances of a dialogue count
as one person's) and label (a whole number or a name; none: unlabelled),
and at least one of text, audio, visual (lists of numbers). A modality may have several columns: ``audio.wavlm`` is the
feature ``wavlm`` of the modality audio. The column split is optional; without it every row is
``train``. The columns may have any order. The dialogues have the order of their first rows. Within a dialogue, the
column turn (numbers; optional) orders the utterances; without it, and among rows of one turn, the rows do.

A feature is absent for an utterance if its row is null or has no finite number. A column without any row that is not
null is left out, as if the file did not have it. A number missing inside a row (a pitch
that could not be measured) is replaced by its column's mean over the training rows. The manifest's notes count both.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.feature_files.conversations import MOST_CLASSES, Conversations
from bigfusion.pipeline.feature_files.layouts import from_pickle
from bigfusion.pipeline.feature_files.mmsa import labels_of
from bigfusion.pipeline.feature_files.unpickle import load
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.schema import FeatureName, Modality, Split
from bigfusion.pipeline.tables.classes import composed, settle
from bigfusion.pipeline.tables.labels import IEMOCAP, MELD
from bigfusion.pipeline.tables.numbers import numbers
from bigfusion.pipeline.tables.splits import NAMES as SPLITS
from bigfusion.pipeline.tables.splits import check_spellings, split_of
from bigfusion.pipeline.tables.tables import PARQUET, as_text
from bigfusion.pipeline.words import numbered

PICKLES = (".pkl", ".pickle", ".p")
_COLUMNS = ("dialogue", "utterance", "speaker", "label")
_OPTIONAL = ("split", "turn")
_FEATURE = re.compile(rf"({'|'.join(Modality)})(\.[A-Za-z0-9][A-Za-z0-9_-]*)?")
_CODE = re.compile(r"-?[0-9]{1,18}(\.0*)?")
_NUMBERED = re.compile(r"(.*?)([0-9]{1,18})")
_IEMOCAP_DIALOGUE = re.compile(r"Ses0[1-5][FM]_(impro|script)\w+")


@dataclass(frozen=True, eq=False)
class ImportedFeatures:
    """Utterances and their features, row for row.

    Shapes: ``features[m]`` (N, F_m) float32, zeros where absent, finite unless read with its gaps; ``present[m]`` (N,)
    bool. ``filled[m]`` counts the single numbers that were missing. ``layout`` says what was recognised.
    """

    manifest: Manifest
    layout: str
    features: dict[FeatureName, NDArray[np.float32]]
    present: dict[FeatureName, NDArray[np.bool_]]
    filled: dict[FeatureName, int]


def read_features(
    path: Path,
    labels: Sequence[str] = (),
    name: str = "",
    *,
    fill: bool = True,
    label_map: Mapping[str, str] | None = None,
    labelled: bool = True,
    regression: bool = False,
) -> ImportedFeatures:
    """Read a feature file.

    ``labels`` names the classes in the order of the file's codes. Without it, the codes of a file that is recognised as
    IEMOCAP or MELD have that corpus's names; any other file has its codes as classes. A file with names has those that
    occur, in the order of MELD or IEMOCAP if one of the two knows all of them, else sorted. ``label_map`` says what
    single codes or names mean (:func:`settle`). ``name`` is the corpus's name (default: the file's). With ``fill`` =
    False, a number that is missing inside a row stays NaN: when a file is only scored, its own mean is not the mean of
    the training. With ``labelled`` = False the labels are not read. With ``regression`` they are numbers to predict.

    Raises:
        UnsafePickleError: a pickle asks for anything but plain containers, strings, numbers and NumPy arrays.
        CorpusError: the file is missing, of another layout, its parts do not fit together, or its labels may mean two
            things.
    """
    path = path.expanduser().absolute()
    suffix = path.suffix.lower()
    if suffix not in (*PARQUET, *PICKLES):
        raise CorpusError(f"{path}: expected features in a file whose name ends in {', '.join((*PARQUET, *PICKLES))}")
    content = load(path) if suffix in PICKLES else _open(path)
    try:
        found = from_pickle(content, path) if suffix in PICKLES else _from_parquet(content)
        classed = labelled and not regression
        names = tuple(labels) or _known(found, label_map or {})
        label, classes, notes = _classes(found, names, label_map or {}) if classed else ([], (), ())
        columns = {**found.columns, "label": label or [""] * len(found.labels)}
        if regression:
            columns["value"] = numbers(found.targets or found.labels)
        training = np.array(columns["split"]) == Split.TRAIN.value
        complete = {feature: _complete(values, training, fill) for feature, values in found.features.items()}
        notes = (*found.notes, *notes, *_nameless(columns))
        gaps = (note for feature, (_, present, filled) in complete.items() for note in _gaps(feature, present, filled))
        manifest = Manifest.of(name or path.stem, path.parent, classes, columns, notes=(*notes, *gaps))
    except CorpusError as error:
        raise CorpusError(f"{path}: {error}") from None
    return ImportedFeatures(
        manifest,
        found.layout,
        features={name: values for name, (values, _, _) in complete.items()},
        present={name: present for name, (_, present, _) in complete.items()},
        filled={name: filled for name, (_, _, filled) in complete.items()},
    )


def read_target(
    path: Path,
    target: str,
    labels: Sequence[str] = (),
    name: str = "",
    *,
    label_map: Mapping[str, str] | None = None,
    regression: bool = False,
) -> ImportedFeatures:
    """As :func:`read_features`, with the labels of one modality alone: ``target`` is ``"label_T"``, ``"label_A"`` or
    ``"label_V"``, as in MMSA's pickle of CH-SIMS.

    The pickle is read a second time for them, so that the code of imported cells does not depend on labels.

    Raises:
        UnsafePickleError: the pickle asks for anything but plain containers, strings, numbers and NumPy arrays.
        CorpusError: the file is missing, of another layout, or has no such labels.
    """
    features = read_features(path, name=name, labelled=False)
    path = path.expanduser().absolute()
    try:
        if features.layout != "MMSA":
            raise CorpusError(
                f'expected MMSA\'s pickle, for corpus.target = "{target}" chooses among its labels, found '
                f"{features.layout}; leave corpus.target out"
            )
        found = labels_of(load(path), target, regression)
        table = features.manifest.table
        classes: tuple[str, ...] = ()
        notes: tuple[str, ...] = ()
        if regression:
            table = table.assign(value=numbers(found.targets))
        else:
            label, classes, notes = _classes(found, tuple(labels), label_map or {})
            table = table.assign(label=label)
    except CorpusError as error:
        raise CorpusError(f"{path}: {error}") from None
    said = features.manifest
    manifest = Manifest(said.corpus, said.root, classes, table, said.skipped, (*said.notes, *notes))
    return replace(features, manifest=manifest)


def feature_columns(path: Path) -> tuple[FeatureName, ...]:
    """The features that a file may have, without reading their numbers: of a pickle that is the three modalities.

    Raises:
        CorpusError: the file is not there, or is neither Parquet nor a pickle.
    """
    if path.suffix.lower() not in PARQUET:
        return tuple(map(FeatureName, Modality))
    try:
        return _features(pq.read_schema(path).names)
    except (OSError, UnicodeError, pa.ArrowException) as error:
        raise CorpusError(f"{path}: expected a Parquet file, found {str(error).splitlines()[0]}") from None


def _features(columns: Sequence[str]) -> tuple[FeatureName, ...]:
    """The columns that are features, modality by modality in the schema's order."""
    names = [FeatureName(name) for name in columns if _FEATURE.fullmatch(name)]
    return tuple(name for modality in Modality for name in names if name.modality is modality)


def _known(found: Conversations, label_map: Mapping[str, str]) -> tuple[str, ...]:
    """The classes that the file names in the order of its codes, under ``label_map``."""
    return tuple(dict.fromkeys(name for name in (label_map.get(one, one) for one in found.classes) if name))


def _classes(
    found: Conversations, names: tuple[str, ...], label_map: Mapping[str, str]
) -> tuple[list[str], tuple[str, ...], tuple[str, ...]]:
    """The class of each utterance (``""``: none), all classes in order, and what was decided about them.

    A file has codes or names. Codes are named by ``names``; else by the benchmark's names if the file is one of the two
    benchmarks; else by themselves.
    """
    as_names = bool(names) and {*found.labels} - {""} <= {*names}
    if as_names or not all(label == "" or label in label_map or _CODE.fullmatch(label) for label in found.labels):
        settled = settle(found.labels, names, label_map)
        return settled.labels, _names({*settled.labels} - {""}, names), settled.notes
    codes = [int(float(label)) for label in found.labels if label and label not in label_map]
    low, high = min(codes, default=0), max(codes, default=-1)
    if not -MOST_CLASSES < low <= high + 1 <= MOST_CLASSES:
        raise CorpusError(f"column label: expected class codes from 0 on, found {low} to {high}")
    known = names or _benchmark(found, {*codes} - {-1})
    begun = {*codes} == {*range(-1, len(names) - 1)}  # as many codes as names, if -1 counts as a class
    counted = known and not (names and begun)  # the classes are 0, 1, ..., so -1 is no class
    settled = settle(found.labels, (), {"-1": "", **label_map} if counted and low == -1 else label_map)
    classes = {*settled.labels} - {""}
    if not all(map(_CODE.fullmatch, classes)):  # the map has turned the codes into names
        return settled.labels, _names(classes, names), settled.notes
    if any(int(code) < 0 for code in classes):
        if names:
            raise CorpusError(
                f"column label: expected codes from 0 on for {', '.join(names)}, found {low} to {high}; "
                f'write corpus.label_map = {{"{low}" = "{names[0]}", ...}}'
            )
        numbers = sorted(map(int, classes))
        return settled.labels, tuple(str(code) for code in range(numbers[0], numbers[-1] + 1)), settled.notes
    number = max(map(int, classes), default=-1) + 1
    known = known or tuple(str(code) for code in range(number))
    if number > len(known):
        raise CorpusError(f"expected label codes below {len(known)} ({', '.join(known)}), found {number - 1}")
    meaning = ", ".join(f"{code} = {name}" for code, name in enumerate(known[:number]))
    said = names and number and names != _benchmark(found, {*map(int, classes)})
    notes = (*settled.notes, f"label codes are read as {meaning}") if said else settled.notes
    return [known[int(code)] if code else "" for code in settled.labels], known, notes


def _benchmark(found: Conversations, codes: set[int]) -> tuple[str, ...]:
    """The names of the file's codes, if it is recognised as MELD or IEMOCAP; otherwise none.

    IEMOCAP has tasks with three to six classes, so all codes of a task have to occur.
    """
    if found.layout.endswith("MELD") and codes <= {*range(len(MELD))}:
        return MELD
    if all(map(_IEMOCAP_DIALOGUE.fullmatch, {*found.columns["dialogue"]})):
        return next((IEMOCAP[:number] for number in (6, 4) if codes == {*range(number)}), ())
    return ()


def _names(found: set[str], names: tuple[str, ...]) -> tuple[str, ...]:
    """The classes of a file with names: the given ones; else those found, in a benchmark's order if it knows all of
    them, else sorted.
    """
    if names:
        strangers = sorted(found - {*names})
        if strangers:
            raise CorpusError(f"column label: expected one of {', '.join(names)}, found {', '.join(strangers[:5])}")
        return names
    known = next((known for known in (IEMOCAP, MELD) if found <= {*known}), sorted(found))
    return tuple(name for name in known if name in found)


def _complete(
    values: NDArray[np.float32], training: NDArray[np.bool_], fill: bool
) -> tuple[NDArray[np.float32], NDArray[np.bool_], int]:
    """Features with gaps filled (NaN if not ``fill``), which rows exist, and the number of gaps: (N, F), (N,), int."""
    real: NDArray[np.bool_] = np.asarray(np.isfinite(values))  # (N, F)
    present: NDArray[np.bool_] = np.asarray(real.any(axis=1))  # (N,)
    known = real & training[:, None]
    total = np.where(known, values, 0).sum(axis=0, dtype=np.float64)  # (F,)
    mean = (total / np.maximum(known.sum(axis=0), 1)).astype(np.float32) if fill else np.float32(np.nan)
    complete = np.where(present[:, None], np.where(real, values, mean), np.float32(0))
    return complete, present, int((~real[present]).sum())


def _nameless(columns: Mapping[str, list[Any]]) -> tuple[str, ...]:
    """A note if utterances of a conversation have no speaker."""
    turns = Counter(columns["dialogue"])
    rows = zip(columns["dialogue"], columns["speaker"], strict=True)
    found = sum(not speaker and turns[dialogue] > 1 for dialogue, speaker in rows)
    if not found:
        return ()
    share = f"{found:,} of {numbered(len(columns['speaker']), 'row')}"
    return (f"{share} name no speaker: in a dialogue they count as one person's, and so do its emotion shifts",)


def _gaps(feature: FeatureName, present: NDArray[np.bool_], filled: int) -> list[str]:
    """Notes on what is missing in a feature."""
    notes = []
    if filled:
        are = f"{numbered(filled, 'number')} {'is' if filled == 1 else 'are'}"
        notes.append(f"{feature}: {are} missing (NaN or infinite), replaced by the mean of the training rows")
    if absent := int((~present).sum()):
        notes.append(f"{feature}: absent in {absent:,} of {numbered(len(present), 'row')}, for they hold no number")
    return notes


def _open(path: Path) -> pa.Table:
    """The layout's columns that the file has."""
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            return file.read(
                columns=[name for name in names if name in (*_COLUMNS, *_OPTIONAL) or _FEATURE.fullmatch(name)]
            )
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file; set corpus.path to your feature file") from None
    except (OSError, UnicodeError, pa.ArrowException) as error:
        raise CorpusError(f"{path}: expected a Parquet file, found {str(error).splitlines()[0]}") from None


def _from_parquet(table: pa.Table) -> Conversations:
    """The utterances of a Parquet file."""
    named = _features(table.column_names)
    features = [feature for feature in named if table[feature].null_count < len(table)]
    if named and not features:
        raise CorpusError(f"expected features in {' or '.join(named)}, found {len(table)} rows that are null")
    if not {*_COLUMNS} <= {*table.column_names} or not features or not len(table):
        raise CorpusError(
            f"expected rows with {', '.join(_COLUMNS)} and at least one of {', '.join(Modality)}, "
            f"found {len(table)} rows with {', '.join(table.column_names) or 'none of these'}"
        )
    if "split" not in table.column_names:
        table = table.append_column("split", pa.array([Split.TRAIN.value] * len(table)))
    table, dialogue, notes = _ordered(table)
    columns: dict[str, list[Any]] = {
        name: as_text(name, table[name]) for name in ("utterance", "split", "dialogue", "speaker")
    }
    if len(set(columns["utterance"])) < len(table):  # turns are numbered anew in each dialogue
        pairs = zip(columns["dialogue"], columns["utterance"], strict=True)
        columns["utterance"] = [f"{name}/{turn}" for name, turn in pairs]
    columns["turn"] = pd.Series(dialogue).groupby(dialogue).cumcount().tolist()
    columns["text"] = [""] * len(table)
    columns["speaker"] = [composed(name) for name in columns["speaker"]]
    columns["split"] = _splits(columns["split"])
    vectors = {name: _matrix(name, table[name]) for name in features}
    return Conversations("parquet", columns, _labels(table["label"]), vectors, notes=notes)


def _ordered(table: pa.Table) -> tuple[pa.Table, NDArray[np.int64], tuple[str, ...]]:
    """The rows dialogue by dialogue and turn by turn, the number of each row's dialogue, and what is said of the
    order.
    """
    names = as_text("dialogue", table["dialogue"])
    dialogue: NDArray[np.int64] = pd.factorize(np.array(names, dtype=object))[0]
    order = np.argsort(dialogue, kind="stable")
    if "turn" not in table.column_names or table["turn"].null_count == len(table):
        notes = _falling(names, as_text("utterance", table["utterance"]))
        return table.take(order), dialogue[order], notes
    by_turn = np.lexsort((_turns(table["turn"]), dialogue))  # as stable
    moved = len({*dialogue[order][by_turn != order]})
    note = f"column turn: orders {numbered(moved, 'dialogue')} otherwise than the rows of the file"
    return table.take(by_turn), dialogue[by_turn], (note,) if moved else ()


def _turns(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """The numbers that order the utterances of a dialogue. Shape: (N,)."""
    remedy = "name it otherwise if it does not order a dialogue's utterances"
    try:
        turns: NDArray[np.float64] = pc.cast(column, pa.float64(), safe=False).to_numpy()
    except pa.ArrowException:
        raise CorpusError(f"column turn: expected numbers, found {column.type}; {remedy}") from None
    if without := int(np.isnan(turns).sum()):
        raise CorpusError(f"column turn: expected a number in each row, found {without} rows without; {remedy}")
    return turns


def _falling(dialogues: Sequence[str], ids: Sequence[str]) -> tuple[str, ...]:
    """A note if the numbers of utterances (at the end of ids that are else alike) fall within a dialogue."""
    last: dict[tuple[str, str], tuple[int, str]] = {}
    falls: dict[str, str] = {}
    for dialogue, id_ in zip(dialogues, ids, strict=True):
        if match := _NUMBERED.fullmatch(id_):
            number, before = last.get((dialogue, match[1]), (-1, ""))
            last[dialogue, match[1]] = int(match[2]), id_
            if int(match[2]) < number:
                falls.setdefault(dialogue, f"{before} stands before {id_}")
    if not falls:
        return ()
    example = next(iter(falls.values()))
    return (
        f"the numbers of utterances fall in {numbered(len(falls), 'dialogue')} ({example}): the rows are taken in their"
        " order; a column turn (numbers) would order them",
    )


def _labels(column: pa.ChunkedArray) -> list[str]:
    """Codes or names as text, ``""`` for none."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    texts = as_text("label", column)
    types = pa.types
    if not any(check(kind) for check in (types.is_string, types.is_large_string, types.is_null, types.is_integer,
                                         types.is_floating)):  # fmt: skip
        raise CorpusError(f"column label: expected whole numbers (the class codes) or names, found {column.type}")
    return texts


def _splits(cells: list[str]) -> list[str]:
    """The splits that the cells mean."""
    check_spellings(cells)
    strange = next((cell for cell in cells if not split_of(cell)), None)
    if strange is not None:
        raise CorpusError(f"column split: expected one of {', '.join(SPLITS)}, found {strange!r}")
    return [split_of(cell) for cell in cells]


def _matrix(name: FeatureName, column: pa.ChunkedArray) -> NDArray[np.float32]:
    """A column of lists as (N, F) float32. A null becomes a row of NaN."""
    kind = column.type
    if not (pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise CorpusError(f"column {name}: expected lists of numbers, found {kind}")
    lists = column.combine_chunks()
    there = pc.is_valid(lists).to_numpy(zero_copy_only=False)
    widths = pc.unique(pc.list_value_length(lists.drop_null())).to_pylist()
    if len(widths) != 1 or not widths[0]:
        raise CorpusError(f"column {name}: expected lists of one length, found lengths {sorted(widths)[:5]}")
    try:
        numbers = pc.cast(lists.drop_null().flatten(), pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    except pa.ArrowException:
        raise CorpusError(f"column {name}: expected lists of numbers, found {kind}") from None
    values = np.full((len(lists), widths[0]), np.nan, dtype=np.float32)
    values[there] = numbers.reshape(-1, widths[0])
    return values
