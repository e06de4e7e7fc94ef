"""What commands print for a person: aligned columns, no colour, readable in a log file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bigfusion.flows.project.project import Project
from bigfusion.flows.project.runs import Run
from bigfusion.pipeline.plan.differences import some
from bigfusion.pipeline.plan.plan import State

_SKIPPED_SHOWN = 8


def columns(rows: Iterable[Sequence[Any]], header: Sequence[str] = ()) -> str:
    """Rows as aligned columns: the first to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in ([header] if header else [])] + [[str(c) for c in r] for r in rows]
    if not cells:
        return ""
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
    lines = []
    for row in cells:
        first, *others = (
            cell.ljust(w) if at == 0 else cell.rjust(w) for at, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)


def ingested(data: Mapping[str, Any], changed: bool) -> str:
    """Counts by split and label, and what was skipped."""
    splits = list(data["utterances"])
    rows: list[list[Any]] = [["dialogues", *data["dialogues"].values()], ["utterances", *data["utterances"].values()]]
    labels: Iterable[str] = next(iter(data["labels"].values()), ())
    rows += [[f"  {label}", *(data["labels"][split][label] for split in splits)] for label in labels]
    lines = [columns(rows, [data["corpus"], *splits])]
    if data["skipped"]:
        kinds = ", ".join(f"{number} {status}" for status, number in sorted(data["skipped_counts"].items()))
        lines.append(f"\nskipped or incomplete: {kinds}")
        lines += [f"  {item['item']}: {item['reason']}" for item in data["skipped"][:_SKIPPED_SHOWN]]
        if len(data["skipped"]) > _SKIPPED_SHOWN:
            lines.append(f"  ... and {len(data['skipped']) - _SKIPPED_SHOWN} more (--json lists all)")
    lines.append(
        f"\nmanifest {'written' if changed else 'unchanged'}: {data.get('path', '')}  digest {data['digest'][:12]}"
    )
    return "\n".join(lines)


def cells(data: Mapping[str, Any]) -> str:
    """Cells by modality and state."""
    states = [state.value for state in State]
    return columns(
        [[name, *(counts[state] for state in states)] for name, counts in data["cells"].items()], ["cells", *states]
    )


def plan(data: Mapping[str, Any]) -> str:
    """What a run would do, and why."""
    lines = [cells(data), ""]
    lines += [f"  {reason}" for reason in data["reasons"]]
    for name, stage in data["stages"].items():
        lines.append(f"{name}: {'will run' if stage['pending'] else 'up to date'} ({stage['why']})")
    stages = [name for name, stage in data["stages"].items() if stage["pending"]]
    if data["pending"] or stages:
        lines.append(f"\n{data['pending']} cells to extract" + (f", then {' and '.join(stages)}" if stages else ""))
        lines += _estimate(data["estimate"])
    else:
        lines.append("\nnothing to do: 0 cells to extract, model up to date")
    return "\n".join(lines)


def _estimate(data: Mapping[str, Any]) -> list[str]:
    """About how long it will take, and of what nothing is known."""
    known = {name: seconds for name, seconds in data["extract"].items() if seconds is not None}
    parts = [f"{name} {duration(seconds)}" for name, seconds in known.items()]
    if data["train"].get("seconds") is not None:
        parts.append(f"training at most {duration(data['train']['seconds'])}")
    unknown = [name for name in data["extract"] if name not in known]
    lines = [f"about {', '.join(parts)}, going by what was recorded before"] if parts else []
    return [*lines, f"no time recorded yet for {' and '.join(unknown)}"] if unknown else lines


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 1:
        return "under a second"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def explanation(data: Mapping[str, Any]) -> str:
    """One utterance, cell by cell."""
    lines = [
        f"{data['utterance']}  ({data['split']}, {data['speaker']}, {data['label'] or 'unlabelled'}): {data['text']}"
    ]
    for name, cell in data["cells"].items():
        why = f" ({cell['why']})" if cell["why"] else ""
        lines += ["", f"{name}: {cell['state']}{why}", f"  fingerprint  {cell['fingerprint']}"]
        lines += [f"  {key:<11}  {value}" for key, value in _components(cell)]
        for part in cell["differences"]:
            lines.append(f"  differs      {part['component']}: {_value(part['stored'])} -> {_value(part['now'])}")
        stored = cell["stored"]
        if stored:
            made = f"{stored['created']} by run {stored['run']}"
            lines.append(f"  made         {made} with " + ", ".join(f"{k} {v}" for k, v in stored["versions"].items()))
            if stored["reason"]:
                lines.append(f"  failure      {stored['status']}: {stored['reason']}")
    return "\n".join(lines)


def _value(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:16]}..."


def _components(cell: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    extractor = cell["extractor"]
    yield "input", _pairs(cell["input"])
    yield "extractor", extractor["name"]
    for part in ("settings", "weights", "engine"):  # of the settings those that differ from their default
        if extractor[part]:
            yield part, _pairs(extractor[part])
    yield "code", f"{len(extractor['code'])} definitions: {some(list(extractor['code']))}"


def _pairs(table: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={str(value)[:16]}" for key, value in table.items() if value is not None)


def status(data: Mapping[str, Any]) -> str:
    """The store, the manifest, the runs and the failures."""
    store, manifest = data["store"], data["manifest"]
    lines = [f"workspace  {data['workspace']}"]
    if manifest is None:
        lines.append("manifest   none yet; run `bigfusion ingest`")
    else:
        counts = ", ".join(f"{number} {split}" for split, number in manifest["utterances"].items())
        lines.append(f"manifest   {manifest['corpus']}: {counts} utterances")
    lines.append(
        f"store      {store['cells']} cells in {store['shards']} shards, {size(store['bytes'])}, {store['path']}"
    )
    failed = data["failures"]
    failures = (
        "not known" if failed is None else ", ".join(f"{number} {name}" for name, number in sorted(failed.items()))
    )
    lines.append(f"failures   {failures or 'none'}")
    lines.append(f"disk left  {size(data['disk_free_bytes'])}")
    lines.append(f"working    {'process ' + data['working'] if data['working'] else 'no command at present'}")
    if data["flow_runs"]:
        found = [
            [run["flow"], run["run"], run["state"], run["start"] or "", run["seconds"]] for run in data["flow_runs"]
        ]
        lines += ["", columns(found, ["flow", "run", "state", "start", "seconds"])]
    if data["runs"]:
        rows = [[run["run"], run["created"], run["state"], _points(run["weighted_f1"])] for run in data["runs"]]
        lines += ["", columns(rows, ["run", "created", "state", "WF1"])]
    return "\n".join(lines)


def _points(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.2f}"


def size(number: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def results(run: Run, paths: Mapping[str, str], mine: Project) -> str:
    """The results table of a run, and the paths of what it made."""
    from bigfusion.model.report.table import table

    lines = [table(run.folder)]
    if mine.is_demo:
        lines.append(
            "\nA demo on made-up conversations: it shows that the pipeline works, nothing about emotion recognition."
        )
    lines += ["", *(f"{name:<9} {path}" for name, path in paths.items())]
    return "\n".join(lines)
