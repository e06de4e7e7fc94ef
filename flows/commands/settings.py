"""``bigfusion settings``: every key of a settings file with its default, what it may be, and what it means."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from bigfusion.flows.commands.common import Answer, Common
from bigfusion.pipeline.errors import SettingsError

HELP = "list every setting: its default, what it may be, and what it means"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `settings` takes."""
    parser.add_argument("table", metavar="TABLE", nargs="?", help="for instance `text`, or `model.graph`")


def run(common: Common, table: str | None) -> Answer:
    """All keys, or those of one table.

    Raises:
        SettingsError: there is no such table or key.
    """
    from bigfusion.flows.project.settings_keys import keys

    wanted = table or ""
    shown = [key for key in keys() if not wanted or key["key"] == wanted or key["key"].startswith(f"{wanted}.")]
    if not shown:
        raise SettingsError(f"settings {wanted!r}: expected a table or key, found none; `bigfusion settings` lists all")
    return Answer("\n".join(_lines(shown)), {"settings": shown})


def _lines(keys: list[dict[str, Any]]) -> Iterator[str]:
    """As a settings file would have it, but for ``none`` and ``to be given``, which no file can say."""
    wide = min(44, max(len(f"{one['key'].rpartition('.')[2]} = {one['default']}") for one in keys))
    before = ""
    for one in keys:
        table, _, name = one["key"].rpartition(".")
        if table != before:
            yield f"\n[{table}]"
            before = table
        said = f"{name} = {one['default']}"
        yield f"{said.ljust(wide)}  # {one['meaning']}" if one["meaning"] else said
