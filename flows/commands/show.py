"""Text that several commands print: aligned columns without colour, readable in a log file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_SKIPPED_SHOWN = 8


def columns(rows: Iterable[Sequence[Any]], header: Sequence[str] = ()) -> str:
    """Rows as aligned columns: the first aligned to the left, the others to the right."""
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
    """Counts by split and label, skipped items, items without media or transcripts, and notes on the corpus."""
    splits = list(data["utterances"])
    rows: list[list[Any]] = [["dialogues", *data["dialogues"].values()], ["utterances", *data["utterances"].values()]]
    labels: Iterable[str] = next(iter(data["labels"].values()), ())
    rows += [[f"  {label}", *(data["labels"][split][label] for split in splits)] for label in labels]
    if data["unlabelled"]:
        rows.append(["  (no label)", *(data["unlabelled"].get(split, 0) for split in splits)])
    lines = [columns(rows, [data["corpus"], *splits])]
    lines += _listed("skipped", data["skipped"], data["skipped_counts"])
    lines += _listed("incomplete (in the manifest all the same)", data["incomplete"], data["incomplete_counts"])
    lines += [f"\nnote: {note}" for note in data["notes"]]
    lines.append(
        f"\nmanifest {'written' if changed else 'unchanged'}: {data.get('path', '')}  digest {data['digest'][:12]}"
    )
    return "\n".join(lines)


def _listed(title: str, items: Sequence[Mapping[str, str]], counts: Mapping[str, int]) -> list[str]:
    """How many items have each status, and the first of the items."""
    if not items:
        return []
    kinds = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    lines = [f"\n{title}: {kinds}", *(f"  {item['item']}: {item['reason']}" for item in items[:_SKIPPED_SHOWN])]
    if len(items) > _SKIPPED_SHOWN:
        lines.append(f"  ... and {len(items) - _SKIPPED_SHOWN} more (--json lists all)")
    return lines


def cells(data: Mapping[str, Any]) -> str:
    """Cells by feature and state."""
    from bigfusion.pipeline.plan.plan import State

    states = [state.value for state in State]
    return columns(
        [[name, *(counts[state] for state in states)] for name, counts in data["cells"].items()], ["cells", *states]
    )


def points(fraction: float | None) -> str:
    """A score in points. Empty if there is none."""
    return "" if fraction is None else f"{100 * fraction:.2f}"


def size(number: float) -> str:
    """A number of bytes in a readable unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"
