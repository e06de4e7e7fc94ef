"""The rows of Tables 2 and 3: every network that has a file, every contrast that has one. Nobody keeps a list.

A network's settings file may say more of its row: ``RELEASED``, its paper's settings by corpus; ``PRINTED_NAME``;
``NOTE``, for instance that it is a reconstruction; and ``unreached(settings, epochs)``, what of the network a training
of so many epochs never comes to. A contrast's may have ``PRINTED_NAME`` and ``NOTE``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import get_annotations
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from bigfusion.model.kinds import changed_kind, settings_classes
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.network_settings.bigfusion import CONTRASTS, DEFAULT_CONTRAST, BigFusionSettings
from bigfusion.model.report.paper import TABLE_2, TABLE_3, PaperFigures, PrintedRow, network_title
from bigfusion.model.reproduce.variants import unread
from bigfusion.model.settings import DEFAULT_NETWORK, NETWORKS, TrainSettings, network_settings, tuned
from bigfusion.pipeline.errors import SettingsError
from bigfusion.pipeline.nearest import did_you_mean
from bigfusion.pipeline.settings import merge

NONE = "none"
"""The row of Table 3 without contrastive learning."""

SHARED = ("modalities", "features", "fusion", "fusion_width")
"""Settings of the caller's network that every row takes over."""

PROTOCOL = (*sorted(TrainSettings.run_only), "holdout", "regression_loss", "precision", "compile", "processes")
"""The caller's training settings that a network with released settings takes over. How it learns is its paper's."""

_NOTES = {
    "mvn": "MVN-like: on modality tokens",
    "scmm": "reconstructed from its abstract",
    "cmcf_srnet": "CMCF-style reconstruction",
    "hcl": "DAG-ERC under HCL's curriculum; its soft targets are reconstructed",
    NONE: "the control: no contrastive learning",
}
"""Marks of rows whose settings file has no ``NOTE``."""


@dataclass(frozen=True)
class System:
    """A row: what is trained, how, and what the paper prints of it on this corpus."""

    key: str
    name: str
    note: str
    model: NetworkSettings
    train: TrainSettings
    printed: PaperFigures | None = None


@dataclass(frozen=True)
class Base:
    """What the rows start from: the caller's own settings. ``own`` is what was set by hand: it lies above all.

    ``corpus`` is ``iemocap``, ``meld`` or ``None``; ``released``: each network under its own paper's settings, which
    take no more of ``train`` than :data:`PROTOCOL`; ``tuned``, not none: each under its own numbers of preset `tuned`
    for the corpus of this name, and ``train`` is what all of them share.
    """

    model: NetworkSettings
    train: TrainSettings
    corpus: str | None
    released: bool
    own: Mapping[str, Any]
    tuned: str | None = None


def networks(base: Base) -> list[System]:
    """Table 2: the paper's rows in its order, BIG-FUSION last, and before it the networks that are not in the paper."""
    kinds = settings_classes(NETWORKS)
    systems = {kind: _network(kind, base) for kind in kinds}
    if "dag_erc" in systems and "curriculum" in TrainSettings.model_fields:
        below = systems["dag_erc"]
        train = TrainSettings.model_validate(merge(below.train.model_dump(), {"curriculum": "hcl"}))
        systems["hcl"] = System("hcl", "HCL", _NOTES["hcl"], below.model, train, _printed(TABLE_2.get("hcl"), base))
    return _ordered(systems, [kind for kind in TABLE_2 if kind != "bigfusion"], last="bigfusion")


def contrasts(base: Base) -> list[System]:
    """Table 3: BIG-FUSION with each contrast in the place of its own, and with none.

    What all contrasts share (weight, temperature, pairs) is the caller's, but for what a method fixes itself.

    Raises:
        SettingsError: the network is not BIG-FUSION, or reads no contrast.
    """
    if not isinstance(base.model, BigFusionSettings):
        raise SettingsError(
            f"reproduce: expected model.kind bigfusion, which table-3 is about, found {base.model.kind}"
        )
    own = base.model.contrast.model_dump() | {"enabled": True}
    contrasted = base.model.model_copy(update={"contrast": base.model.contrast.model_copy(update={"enabled": True})})
    if why := unread(contrasted, "contrast"):
        raise SettingsError(f"table-3: expected a network that learns from its contrast, found {why}; set it otherwise")
    systems = {}
    for kind, settings in settings_classes(CONTRASTS).items():
        module = import_module(f"{CONTRASTS}.{kind}")
        row = TABLE_3.get(kind)
        table = changed_kind(own, CONTRASTS, DEFAULT_CONTRAST, kind) | {"kind": kind}
        if kind != base.model.contrast.kind:  # what a method declares anew of the shared settings belongs to it
            table = {name: value for name, value in table.items() if name not in get_annotations(settings)}
            table["kind"] = kind
        note = _note(module, kind)
        try:
            model = network_settings(base.model.model_dump() | {"contrast": table})
        except ValidationError:  # of a method that compares in one way only
            table = {name: table[name] for name in ("kind", "enabled", "weight", "temperature") if name in table}
            model = network_settings(base.model.model_dump() | {"contrast": table})
            note = "; ".join([*([note] if note else []), "its own pairs and negatives: the given ones do not fit it"])
        systems[kind] = System(kind, _name(module, row, kind), note, model, base.train, _printed(row, base))
    without = network_settings(merge(base.model.model_dump(), {"contrast": {"enabled": False}}))
    systems[NONE] = System(NONE, "none", _NOTES[NONE], without, base.train)
    return _ordered(systems, [kind for kind in TABLE_3 if kind != DEFAULT_CONTRAST], last=DEFAULT_CONTRAST)


def chosen(systems: Sequence[System], names: Sequence[str] | None) -> list[System]:
    """The rows that are named, in the table's order; without names all.

    Raises:
        SettingsError: there is no row of a name.
    """
    if names is None:
        return list(systems)
    keys = [system.key for system in systems]
    wanted = [name.strip().lower().replace("-", "_") for name in names]
    for name in wanted:
        if name not in keys:
            raise SettingsError(f"--rows {name}: expected rows among {', '.join(keys)}{did_you_mean(name, keys)}")
    return [system for system in systems if system.key in wanted]


def _network(kind: str, base: Base) -> System:
    module = import_module(f"{NETWORKS}.{kind}")
    released = getattr(module, "RELEASED", None) if base.released else None
    shared: dict[str, Any] = {
        name: getattr(base.model, name)
        for name in SHARED
        if name == "modalities" or name in base.model.model_fields_set
    }
    note = _note(module, kind)
    if released is not None:
        overrides = released.get(base.corpus or "", None) or next(iter(released.values()))
        table = _on(shared, overrides.get("model", {}))
        model = network_settings({"kind": kind, **table})
        protocol = base.train.model_dump(include=set(PROTOCOL))
        train = TrainSettings.model_validate(
            merge(merge(protocol, overrides.get("train", {})), base.own.get("train", {}))
        )
    elif base.tuned is not None:
        model, train, source = _tuned(kind, base, shared)
        note = "; ".join([*([note] if note else []), *([source] if source else [])])
    else:
        model = base.model if base.model.kind == kind else network_settings({"kind": kind, **shared})
        train = base.train
    if unreached := getattr(module, "unreached", None):
        note = "; ".join(filter(None, [note, unreached(model, train.epochs)]))
    return System(kind, network_title(kind), note, model, train, _printed(TABLE_2.get(kind), base))


def _tuned(kind: str, base: Base, shared: dict[str, Any]) -> tuple[NetworkSettings, TrainSettings, str]:
    """What ``train --network KIND --preset tuned`` trains, and a mark if nobody has searched for the network."""
    numbers = tuned(kind, base.tuned or "")
    searched = kind == DEFAULT_NETWORK or numbers.source == "searched"
    sizes = "released sizes" if numbers.source == "released" else "defaults"
    changed = "".join(f", but {name} = {json.dumps(value)}" for name, value in numbers.by_hand.items())
    mark = "" if searched else f"not searched: its {sizes}{changed}"
    own = {} if kind == DEFAULT_NETWORK else numbers.table
    model = base.model if base.model.kind == kind else network_settings({**own.get("model", {"kind": kind}), **shared})
    train = merge(merge(base.train.model_dump(), own.get("train", {})), base.own.get("train", {}))
    return model, TrainSettings.model_validate(train), mark


def _on(shared: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Released settings of the network, on those of its modalities that the caller's data have."""
    there = [str(name) for name in shared["modalities"]]
    wanted = [name for name in overrides.get("modalities", there) if name in there]
    return {**overrides, "modalities": wanted or there}


def _printed(row: PrintedRow | None, base: Base) -> PaperFigures | None:
    return None if row is None or base.corpus is None else row.figures.get(base.corpus)


def _name(module: ModuleType, row: PrintedRow | None, kind: str) -> str:
    return str(getattr(module, "PRINTED_NAME", row.name if row else kind))


def _note(module: ModuleType, kind: str) -> str:
    return str(getattr(module, "NOTE", _NOTES.get(kind, "")))


def _ordered(systems: Mapping[str, System], printed: Sequence[str], last: str) -> list[System]:
    first = [kind for kind in printed if kind in systems]
    others = sorted(kind for kind in systems if kind not in (*printed, last))
    return [systems[kind] for kind in (*first, *others, last)]
