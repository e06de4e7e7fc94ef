"""``bigfusion explain``: the cells of one utterance."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from bigfusion.flows.commands.common import Answer, Common
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.nearest import did_you_mean

HELP = "show each cell of an utterance: what it was made from, when, and by which run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `explain` takes."""
    parser.add_argument("utterance", metavar="UTTERANCE")


def run(common: Common, utterance: str) -> Answer:
    """Show each cell of one utterance: fingerprint, components, what changed, and when and by which run it was made."""
    from bigfusion.flows.project import cells, corpus

    project = common.project()
    manifest = corpus.look(project).manifest
    known = manifest.table["utterance"].tolist()
    if utterance not in set(known):
        raise CorpusError(
            f"utterance {utterance!r}: not in the manifest of {manifest.corpus}; ids look like {known[0]!r}"
            f"{did_you_mean(utterance, known)}"
            if known
            else f"{manifest.corpus}: the manifest is empty"
        )
    data = cells.explain(project, manifest, utterance)
    return Answer(_text(data), data)


def _text(data: Mapping[str, Any]) -> str:
    lines = [
        f"{data['utterance']}  ({data['split']}, {data['speaker']}, {data['label'] or 'unlabelled'}): {data['text']}"
    ]
    for name, cell in data["cells"].items():
        why = f" ({cell['why']})" if cell["why"] else ""
        lines += ["", f"{name}: {cell['state']}{why}", f"  fingerprint  {cell['fingerprint']}"]
        lines += [f"  {key:<11}  {value}" for key, value in _components(cell)]
        for part in cell["differences"]:
            absent = "default" if part["component"].startswith("settings.") else "none"
            values = " -> ".join(_value(part[name], absent) for name in ("stored", "now"))
            lines.append(f"  differs      {part['component']}: {values}")
        stored = cell["stored"]
        if stored:
            made = f"{stored['created']} by run {stored['run']}"
            lines.append(f"  made         {made} with " + ", ".join(f"{k} {v}" for k, v in stored["versions"].items()))
            if stored["note"]:
                lines.append(f"  noted        {stored['note']}")
            if stored["reason"]:
                lines.append(f"  failure      {stored['status']}: {stored['reason']}")
    return "\n".join(lines)


def _value(value: Any, absent: str) -> str:
    text = absent if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:16]}..."


def _components(cell: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    from bigfusion.pipeline.plan.differences import some

    extractor = cell["extractor"]
    yield "input", _pairs(cell["input"])
    yield "extractor", extractor["name"]
    for part in ("settings", "weights", "engine"):  # settings appear only if they differ from their first default
        if extractor[part]:
            yield part, _pairs(extractor[part])
    yield "code", f"{len(extractor['code'])} definitions: {some(list(extractor['code']))}"


def _pairs(table: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={str(value)[:16]}" for key, value in table.items() if value is not None)
