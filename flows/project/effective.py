"""The settings that a command would use, each with the layer that sets it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bigfusion.flows.project.load import laid, layers, load, settings_file
from bigfusion.pipeline.settings import assign

OF_CORPUS = "default; more if the corpus has more in a dialogue"
"""The source of what the corpus decides where nobody has."""


def effective_settings(
    config: Path | None, preset: str | None, assignments: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Every key with its value and its source: ``--set``, the settings file, the preset, or the default.

    Raises:
        SettingsError: as in :func:`bigfusion.flows.project.load.load`.
    """
    project = load(config, preset, assignments)
    name, below, own = layers(config, preset, assignments)
    sources = _sources(
        (below, f"preset {name}"), (own, str(settings_file(config, preset))), (assign({}, assignments), "--set")
    )
    left = {f"model.{name}" for name in project.model.left_to_corpus}
    return [
        {"key": key, "value": value, "source": sources.get(key, OF_CORPUS if key in left else "default")}
        for key, value in _leaves(project.model_dump(mode="json"))
    ]


def _sources(*layers: tuple[Mapping[str, Any], str]) -> dict[str, str]:
    """Which layer sets each key. A layer that names another network takes the keys of the former one away."""
    table: dict[str, Any] = {}
    found: dict[str, str] = {}
    for layer, source in layers:
        table = laid(table, layer)
        below, found = found, dict.fromkeys((key for key, _ in _leaves(layer)), source)
        found |= {key: below[key] for key, _ in _leaves(table) if key not in found}
    return found


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted keys of a table: plain values before tables, as TOML needs it."""
    for key, value in table.items():
        if not isinstance(value, Mapping):
            yield f"{prefix}{key}", value
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
