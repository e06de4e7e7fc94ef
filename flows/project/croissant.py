"""The Croissant metadata of exported features (mlcommons.org/croissant, version 1.0): files, columns, their meaning.

Data catalogues and loaders read it; it says the same as the card's table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

NAME = "croissant.json"

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification prescribes."""


def croissant(
    corpus: str,
    digest: str,
    files: Mapping[Path, str],
    table: pa.Schema,
    about: Mapping[str, str],
    labels: Sequence[str],
) -> dict[str, Any]:
    """The content of ``croissant.json``.

    ``files`` maps the Parquet files (paths within the export) to their SHA-256. ``about`` says what a column holds.
    """
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": f"Features of {corpus}",
        "description": (
            f"Features of the utterances of {corpus} for emotion recognition in conversation, computed by bigfusion. "
            f"Labels: {', '.join(labels)}. No transcripts and no media."
        ),
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "citeAs": f"Features of {corpus}, computed by bigfusion",
        "license": f"The terms of {corpus} decide; they are not given anew here",
        "url": ".",
        "version": "1.0.0",
        "identifier": digest,
        "datePublished": date.today().isoformat(),
        "distribution": [_file(path, sha256) for path, sha256 in files.items()],
        "recordSet": [_records(path, table, about) for path in files],
    }


def _file(path: Path, sha256: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.as_posix(),
        "encodingFormat": "application/x-parquet",
        "sha256": sha256,
    }


def _records(path: Path, table: pa.Schema, about: Mapping[str, str]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": path.stem,
        "name": path.stem,
        "description": f"The utterances of the {path.stem} split, in the order of the dialogues.",
        "key": {"@id": f"{path.stem}/utterance"},
        "field": [_field(path, column, about[column.name]) for column in table],
    }


def _field(path: Path, column: pa.Field, about: str) -> dict[str, Any]:
    several = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    kind = column.type
    while pa.types.is_list(kind) or pa.types.is_large_list(kind):  # of frames, each a list of numbers
        kind = kind.value_type
    field = {
        "@type": "cr:Field",
        "@id": f"{path.stem}/{column.name}",
        "name": column.name,
        "description": about,
        "dataType": _KINDS[str(kind)],
        "source": {"fileObject": {"@id": path.name}, "extract": {"column": column.name}},
    }
    return field | {"repeated": True} if several else field


_KINDS = {
    "string": "sc:Text",
    "large_string": "sc:Text",
    "int64": "sc:Integer",
    "int32": "sc:Integer",
    "float": "sc:Float",
    "double": "sc:Float",
    "null": "sc:Text",
}
"""Croissant's names of the columns' types; a column in which nothing is known holds nulls."""
