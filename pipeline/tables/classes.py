"""The labels of a table or feature file as classes: which mean none, which are the same, and which are no class.

The same words mean the same in CSV, Parquet and pickles. If a label may mean two things, ingest stops and names the
setting (``corpus.label_map``) that decides.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.words import numbered

NONE = frozenset(("", "nan", "-nan", "none", "null", "<na>", "n/a", "#n/a", "na", "#na", "nat"))
"""What programs export for an empty cell, in lower case. It means that there is no label."""

FEW = 7
"""A file may always have this many classes. A file with more needs ten rows a class."""

LIKE, OFTEN = 0.8, 3
"""A label is taken for misspelt if it is so similar (difflib's ratio) to one that is so many times as frequent."""

_WHOLE = re.compile(r"([+-]?[0-9]+)(\.0*)?")
_FRACTION = re.compile(r"[+-]?([0-9]+[.,][0-9]*|[.,][0-9]+|[0-9]+)([eE][+-]?[0-9]+)?")
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class Classed:
    """``labels`` row by row, ``""`` for none; ``notes`` say what was decided about them."""

    labels: list[str]
    notes: tuple[str, ...] = ()


def composed(text: str) -> str:
    """``text`` in Unicode's composed form (NFC): é is one character, however it was typed."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def settle(cells: Sequence[str], known: Iterable[str] = (), label_map: Mapping[str, str] | None = None) -> Classed:
    """The class of each cell.

    ``known`` are the classes in the settings. ``label_map`` says what a label means (``""``: no label). A label that
    neither mentions is examined.

    Raises:
        CorpusError: labels that are no classes, or may mean two things; the message names the setting to write.
    """
    known, mapped = frozenset(map(composed, known)), {_tidy(a): _tidy(b) for a, b in (label_map or {}).items()}
    tidy = {cell: _tidy(cell) for cell in set(cells)}
    written = Counter(tidy[cell] for cell in cells)
    meaning = {name: _meaning(name, known, mapped) for name in written}
    counts = Counter[str]()
    for name, number in written.items():
        counts[meaning[name]] += number
    del counts[""]
    said = known | {*mapped.values()}
    notes = [f"corpus.label_map: no row has the label {name!r}" for name in mapped if name not in written]
    if not known:
        _refuse_fractions(counts, said)
        notes += _negatives(counts, said, meaning, len(cells))
        _refuse_doubles(counts, said)
        _refuse_too_many(counts, len(cells))
        notes += _misspelt(counts)
    labels = [meaning[tidy[cell]] for cell in cells]
    return Classed(labels, (*notes, *_unlabelled(written, meaning, len(cells))))


def meanings(known: Iterable[str], label_map: Mapping[str, str]) -> Callable[[str], str]:
    """What a label means, in the form for comparison; ``""``: none. Arguments as in :func:`settle`.

    Labels that look the same mean the same, unless the settings name both as classes.
    """
    classes, mapped = frozenset(map(composed, known)), {_tidy(a): _tidy(b) for a, b in label_map.items()}
    looks = Counter(map(_looks, classes | {*mapped.values()}))

    def meaning(label: str) -> str:
        name = _meaning(_tidy(label), classes, mapped)
        return name if looks[_looks(name)] > 1 else _looks(name)

    return meaning


def _tidy(cell: str) -> str:
    """A label in the form for comparison: composed, stripped, a whole number without its ``.0``."""
    name = composed(cell.strip())
    if all(unicodedata.category(char) == "Cf" for char in name):  # empty, or nothing visible
        return ""
    whole = _WHOLE.fullmatch(name)
    return name if whole is None else whole[1]


def _meaning(name: str, known: frozenset[str], mapped: Mapping[str, str]) -> str:
    if name in mapped:
        return mapped[name]
    return "" if name.lower() in NONE and name not in known else name


def _refuse_fractions(counts: Counter[str], said: frozenset[str] | set[str]) -> None:
    found = [name for name in counts if name not in said and _FRACTION.fullmatch(name) and not _WHOLE.fullmatch(name)]
    if found:
        rows = sum(counts[name] for name in found)
        raise CorpusError(
            f"column label: expected classes, found real numbers ({', '.join(found[:4])}; rows: {rows}); "
            'write corpus.task = "regression" to predict the numbers, or the class of each: corpus.label_map = '
            f'{{{_toml(found[0])} = "CLASS", ...}}'
        )


def _negatives(counts: Counter[str], said: frozenset[str] | set[str], meaning: dict[str, str], rows: int) -> list[str]:
    """Decide whether -1 is a class or means none. If it means none, ``meaning`` and ``counts`` are corrected.

    Codes that begin at -2 or lower and have no gap are a scale. -1 is a class beside 1 alone, or beside 0 and 1 if it
    is as frequent as they are. -1 means none if it is much rarer than every class. As frequent: at least half the rows
    of the rarest class.
    """
    numbers = {int(name) for name in counts if _WHOLE.fullmatch(name)}
    low = min(numbers, default=0)
    scale = low < -1 and numbers == {*range(low, max(numbers) + 1)}
    if low >= 0 or str(low) in said or scale:
        return []
    others = [number for name, number in counts.items() if name != str(low)]
    as_frequent = bool(others) and 2 * counts[str(low)] >= min(others)
    whole = len(numbers) == len(counts)
    share = f"{counts[str(low)]} of {rows} rows"
    if low == -1 and whole and (numbers == {-1, 1} or (numbers == {-1, 0, 1} and as_frequent)):
        return [f'label -1 ({share}) is a class; corpus.label_map = {{"-1" = ""}} would make it none']
    if low == -1 and not as_frequent and numbers != {-1, 0, 1}:
        meaning["-1"] = ""
        del counts["-1"]
        return []
    raise CorpusError(
        f"column label: expected classes, found {low} in {share}, which may be a class or none; write "
        f'corpus.label_map = {{"{low}" = "{low}"}} if it is a class, {{"{low}" = ""}} if such rows have no label'
    )


def _refuse_doubles(counts: Counter[str], said: frozenset[str] | set[str]) -> None:
    """Refuse labels that look the same: other case, spaces, zero-width characters, or other forms of the same
    letter.
    """
    alike: dict[str, str] = {}
    for name, _ in counts.most_common():
        other = alike.setdefault(_looks(name), name)
        if other != name and not {name, other} <= said:
            found = f"{_rows(other, counts)} and {_rows(name, counts)}"
            raise CorpusError(
                f"column label: expected classes that differ, found {found}; write corpus.label_map = "
                f"{{{_toml(name)} = {_toml(other)}}}, or list both in corpus.labels"
            )


def _misspelt(counts: Counter[str]) -> list[str]:
    """Notes on rare labels that are nearly another one: ``hapy`` beside ``happy``, but not ``unhappy``."""
    notes = []
    for name, number in counts.items():
        usual = [other for other in counts if counts[other] >= OFTEN * number and min(len(name), len(other)) > 3]
        for other in get_close_matches(name, [other for other in usual if abs(len(name) - len(other)) <= 1], 1, LIKE):
            notes.append(
                f"label {_rows(name, counts)} is a class of its own beside {_rows(other, counts)}; if one is misspelt, "
                "corpus.label_map says which class is meant"
            )
    return notes


def _rows(name: str, counts: Counter[str]) -> str:
    return f"{_toml(name)} ({numbered(counts[name], 'row')})"


def _looks(name: str) -> str:
    if _WHOLE.fullmatch(name):
        return str(int(name))
    visible = "".join(char for char in unicodedata.normalize("NFKC", name) if unicodedata.category(char) != "Cf")
    folded = unicodedata.normalize("NFC", _SPACES.sub(" ", visible).strip().casefold())
    return folded.replace("i\u0307", "i").replace("ı", "i")  # Turkish case rules turn I and i into these


def _refuse_too_many(counts: Counter[str], rows: int) -> None:
    if len(counts) > max(FEW, rows / 10):
        found = ", ".join(map(_toml, [*counts][:4]))
        raise CorpusError(
            f"column label: expected at most one class for ten rows, found {len(counts)} in {rows} rows ({found}, ...);"
            " name the column of classes with corpus.columns.label, merge them with corpus.label_map, or list them in"
            " corpus.labels"
        )


def _unlabelled(written: Counter[str], meaning: Mapping[str, str], rows: int) -> list[str]:
    """The number of rows without a label, and what is written there."""
    kinds = {name: number for name, number in written.items() if not meaning[name]}
    if not kinds:
        return []
    found = ", ".join(f"{name or 'empty'} {number}" for name, number in sorted(kinds.items()))
    return [f"{sum(kinds.values())} of {rows} rows have no label ({found})"]


def _toml(text: str) -> str:
    """A label as a TOML string; invisible characters become escapes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped) + '"'
