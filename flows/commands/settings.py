"""``bigfusion settings``: every key of a settings file with its default, its allowed values and its meaning."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import Any

from bigfusion.flows.commands.common import Answer, Common, without
from bigfusion.pipeline.errors import SettingsError
from bigfusion.pipeline.nearest import did_you_mean

HELP = "list every setting: its default, what it may be, and what it means"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `settings` takes."""
    parser.add_argument("table", metavar="TABLE", nargs="?", help="for instance `text`, or `model.graph`")
    parser.add_argument(
        "--effective", action="store_true", help="what a command with these options uses, and where each value is from"
    )


def run(common: Common, table: str | None, effective: bool) -> Answer:
    """Print all keys, or those of one table.

    Raises:
        SettingsError: no table or key has this name, or an option sets what the list does not show.
    """
    from bigfusion.flows.project.effective import effective_settings
    from bigfusion.flows.project.settings_keys import keys

    if not effective:
        _refuse(common)
    wanted = table or ""
    every = effective_settings(common.config, common.preset, common.assignments) if effective else keys()
    shown = [key for key in every if not wanted or key["key"] == wanted or key["key"].startswith(f"{wanted}.")]
    if not shown:
        tables = {".".join(key["key"].split(".")[:depth]) for key in every for depth in range(1, 5)}
        raise SettingsError(
            f"settings {wanted!r}: expected a table or key, found none; `bigfusion settings` lists all"
            f"{did_you_mean(wanted, tables)}"
        )
    said = [_said(key["value"]) if effective else key["default"] for key in shown]
    about = [key["source" if effective else "meaning"] for key in shown]
    return Answer("\n".join(_lines([key["key"] for key in shown], said, about)), {"settings": shown})


def _refuse(common: Common) -> None:
    """Refuse options that the list of defaults does not show. A wrong setting among them is named first."""
    from bigfusion.flows.project.load import settings_file

    if common.assignments and (common.preset or settings_file(common.config, None).exists()):
        common.project()
    shown = "--effective shows what a command with these options uses"
    without("settings", shown, config=common.config, preset=common.preset, set=common.assignments)


def _said(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def _lines(keys: Sequence[str], values: Sequence[str], about: Sequence[str]) -> Iterator[str]:
    """Lines like those of a settings file, except ``none`` and ``to be given``, which TOML cannot express."""
    wide = min(44, max(len(f"{key.rpartition('.')[2]} = {value}") for key, value in zip(keys, values, strict=True)))
    before = ""
    for key, value, comment in zip(keys, values, about, strict=True):
        table, _, name = key.rpartition(".")
        if table != before:
            yield f"\n[{table}]"
            before = table
        said = f"{name} = {value}"
        yield f"{said.ljust(wide)}  # {comment}" if comment else said
