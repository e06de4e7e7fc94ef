"""The settings that a command would use, each with the layer that it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bigfusion.flows.project.load import layers, load, settings_file
from bigfusion.pipeline.settings import parse_assignment


def effective_settings(
    config: Path | None, preset: str | None, assignments: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Every key with its value and its source: ``--set``, the settings file, the preset, or the default.

    Raises:
        SettingsError: as :func:`bigfusion.flows.project.load.load`.
    """
    project = load(config, preset, assignments)
    name, below, own = layers(config, preset)
    given = dict.fromkeys((".".join(parse_assignment(one)[0]) for one in assignments), "--set")
    sources = (
        dict.fromkeys((key for key, _ in _leaves(below)), f"preset {name}")
        | dict.fromkeys((key for key, _ in _leaves(own)), str(settings_file(config, preset)))
        | given
    )
    return [
        {"key": key, "value": value, "source": _source(key, sources)}
        for key, value in _leaves(project.model_dump(mode="json"))
    ]


def _source(key: str, sources: Mapping[str, str]) -> str:
    """The source of a key, or of the table or list around it that was set as a whole."""
    parts = key.split(".")
    around = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((sources[name] for name in around if name in sources), "default")


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted keys of a table, those with a value before those that are tables, as TOML has them."""
    for key, value in table.items():
        if not isinstance(value, Mapping):
            yield f"{prefix}{key}", value
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
