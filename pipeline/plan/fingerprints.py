"""What each cell is computed from, and its digest.

A cell's fingerprint is the SHA-256 of the canonical JSON ``{"extractor": {...}, "input": {...}}``. The extractor part
has the name, settings, weights, declared engine versions and code digest. The input part has what the extractor reads
of the utterance: the transcript, the media file, or (features from a file) the utterance's id. A transcript that is
read with context also depends on the speakers and transcripts around it: ``-1`` is the utterance before it, ``+1`` the
one after it. Pictures that are read with their sound also depend on the sound: ``audio``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import repeat
from typing import Any

import pandas as pd

from bigfusion.pipeline.digests.values import canonical, digest
from bigfusion.pipeline.manifest.context import neighbours
from bigfusion.pipeline.schema import Modality, Window

BY_UTTERANCE = "utterance"
"""In an extractor's ``reads``: it looks utterances up by id, so two equal transcripts are different inputs."""

WITH_SOUND = "visual+audio"
"""In an extractor's ``reads``: it reads the pictures together with the sound, which is ``null`` if an utterance has
none.
"""


def inputs(
    table: pd.DataFrame, modality: Modality, extractor: Mapping[str, Any], rows: Sequence[int] | None = None
) -> Iterator[str]:
    """The part of each of the manifest's rows (or of ``rows``) that enters its fingerprint, as canonical JSON.

    ``table`` is the table of the whole manifest, because an input may name the utterances around it.
    """
    reads = extractor.get("reads")
    if isinstance(reads, Mapping):
        return _context_inputs(table, Window(**reads), range(len(table)) if rows is None else rows)
    part = table if rows is None else table.iloc[list(rows)]
    if reads == BY_UTTERANCE:
        return (canonical({"utterance": utterance}).decode() for utterance in part["utterance"].tolist())
    if reads == WITH_SOUND:
        return _heard_inputs(part)
    return _text_inputs(part) if modality is Modality.TEXT else _media_inputs(part, modality)


def fingerprints(
    table: pd.DataFrame, modality: Modality, extractor: Mapping[str, Any], rows: Sequence[int] | None = None
) -> bytes:
    """The fingerprints of the manifest's rows (or of ``rows``), 32 bytes each, one after the other."""
    return b"".join(_keys(inputs(table, modality, extractor, rows), extractor))


def _keys(texts: Iterable[str], extractor: Mapping[str, Any]) -> Iterator[bytes]:
    # The keys sort as "extractor" < "input", so the part that all cells share is hashed once.
    shared = hashlib.sha256(b'{"extractor":' + canonical(extractor) + b',"input":')
    for text in texts:
        whole = shared.copy()
        whole.update(text.encode() + b"}")
        yield whole.digest()


def _text_inputs(table: pd.DataFrame) -> Iterator[str]:
    for text, utterance in zip(table["text"].tolist(), table["utterance"].tolist(), strict=True):
        yield f'{{"text":"{_sha256(text)}"}}' if text else _missing("text", utterance)


def _context_inputs(table: pd.DataFrame, window: Window, rows: Iterable[int]) -> Iterator[str]:
    speakers, texts, turns = (table[name].tolist() for name in ("speaker", "text", "turn"))
    line, speaker = (cache(one) for one in (lambda row: digest([speakers[row], texts[row]]), _sha256))
    order = sorted(
        (f"{distance:+d}", distance) for distance in (*range(-window.before, 0), *range(1, window.after + 1))
    )
    for row in rows:
        if not texts[row]:
            yield _missing("text", table["utterance"].iloc[row])
            continue
        before, after = neighbours(turns, row, window)
        # This text equals canonical JSON: keys are sorted, and digests need no escapes.
        around = (f'"{key}":"{line(row + at)}",' for key, at in order if before.start <= row + at < after.stop)
        yield f'{{{"".join(around)}"speaker":"{speaker(speakers[row])}","text":"{_sha256(texts[row])}"}}'


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _media_inputs(table: pd.DataFrame, kind: Modality) -> Iterator[str]:
    columns = [table[name].tolist() for name in ("utterance", f"{kind}_sha256", "crop")]
    times = [_seconds(table[f"{kind}_{name}"]) for name in ("end", "start")]
    visual = kind is Modality.VISUAL
    chosen = _region(table) if visual else _channel_and_track(table)
    # This text equals canonical JSON: keys are sorted, and a digest and the two crops need no escapes.
    for utterance, sha256, crop, end, start, (first, middle, last) in zip(*columns, *times, chosen, strict=True):
        if not sha256:
            yield _missing(kind.value, utterance)
        elif visual:
            yield f'{{{first}"crop":"{crop}","end":{end},{middle}"sha256":"{sha256}","start":{start}{last}}}'
        else:
            yield f'{{{first}"end":{end},{middle}"sha256":"{sha256}","start":{start}{last}}}'


def _channel_and_track(table: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """The chosen channel and track of the sound, at their places among sorted keys; empty if nothing was chosen."""
    if table["channel"].isna().all() and table["track"].isna().all():
        yield from repeat(("", "", ""), len(table))
        return
    for channel, track in zip(table["channel"].tolist(), table["track"].tolist(), strict=True):
        first = "" if math.isnan(channel) else f'"channel":{int(channel)},'
        yield first, "", "" if math.isnan(track) else f',"track":{int(track)}'


def _region(table: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    for text in table["region"].tolist():
        yield (
            "",
            f'"region":{json.dumps(list(map(float, text.split(","))), separators=(",", ":"))},' if text else "",
            "",
        )


def _heard_inputs(table: pd.DataFrame) -> Iterator[str]:
    sound = ("null" if text.startswith('{"missing"') else text for text in _media_inputs(table, Modality.AUDIO))
    for pictures, heard in zip(_media_inputs(table, Modality.VISUAL), sound, strict=True):
        # "audio" sorts before the other keys of the pictures.
        yield pictures if pictures.startswith('{"missing"') else f'{{"audio":{heard},{pictures[1:]}'


def _missing(what: str, utterance: str) -> str:
    """The input of a cell without input.

    It names its utterance, because a failure's reason belongs to one utterance.
    """
    return canonical({"missing": what, "utterance": utterance}).decode()


def _seconds(column: pd.Series[float]) -> list[str]:
    """Seconds as JSON, to a tenth of a millisecond; ``null`` if there are none."""
    if column.isna().all():
        return ["null"] * len(column)
    return ["null" if math.isnan(value) else json.dumps(round(value, 4)) for value in column.tolist()]
