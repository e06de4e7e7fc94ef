"""A learning preset's text for a corpus. What a corpus has and the paper states for each corpus are the corpus's."""

from __future__ import annotations

import re

CORPUS_OWN = (("model", "modalities"), ("model", "audio_width"), ("model.graph", "window"), ("model.contrast", "rho"))


def for_corpus(learning: str, corpus: str) -> str:
    """TOML of a learning preset, with the modalities and the numbers that the corpus's own preset states.

    The trained width of the audio features is replaced only if the learning preset states one.
    """
    for table, key in CORPUS_OWN:
        stated = _line(corpus, table, key)
        if stated and (key != "audio_width" or _line(learning, table, key)):
            learning = _with_line(learning, table, key, stated)
    return learning


def _line(text: str, table: str, key: str) -> str | None:
    found = re.search(rf"^{key} = .*$", _body(text, table), re.MULTILINE)
    return found[0] if found else None


def _body(text: str, table: str) -> str:
    """The lines under a table's head, up to the next head."""
    found = re.search(rf"^\[{re.escape(table)}\].*?$(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def _with_line(text: str, table: str, key: str, line: str) -> str:
    head = f"[{table}]"
    if not _body(text, table):
        return f"{text.rstrip()}\n\n{head}\n{line}\n"
    before, after = text.split(head, 1)
    body = _body(text, table)
    if old := _line(text, table, key):
        return before + head + after.replace(body, body.replace(old, line), 1)
    return f"{before}{head}\n{line}{after}"
