"""Each table and figure as data: trials of its networks, and what is read off them. All of it resumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.reproduce.landscape import explained_variance, landscape
from bigfusion.model.reproduce.trials import Progress, Study
from bigfusion.model.reproduce.variants import (
    CASE,
    COMPLETE,
    NO_SPIKING,
    TABLE_4,
    WEIGHTS,
    Variant,
    balance,
    unread,
)
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.files import read_json, write_json
from bigfusion.model.runs.folder import PREDICTIONS, seed_folder
from bigfusion.model.scoring.compare import compare, too_few
from bigfusion.model.scoring.predict import choose_device
from bigfusion.model.scoring.results import Metrics
from bigfusion.pipeline.errors import SettingsError

Data = dict[str, Any]
Told = Callable[[str], None]


def table_4(study: Study, base: BigFusionSettings, corpus: str | None, progress: Progress, told: Told) -> Data:
    """Accuracy and weighted F1 of each row, and its difference from the complete network (paired bootstrap).

    ``left_out`` names the rows that would train the complete network again, and why.
    """
    rows, few = [], ""
    variants, left_out = _telling(TABLE_4, study, base, told)
    for variant in variants:
        metrics = study.trial(variant.of(base), progress)
        row: Data = {"name": variant.name, **_headline(metrics)}
        row["paper"] = None
        if corpus is not None and corpus in variant.paper:
            row["paper"] = dict(zip(("accuracy", "weighted_f1"), variant.paper[corpus], strict=True))
        row["against_complete"] = None
        if variant is not COMPLETE:
            found = compare(study.run(COMPLETE.of(base)), study.run(variant.of(base)))
            row["against_complete"] = found.weighted_f1.model_dump()
            few = too_few(found.dialogues)
        rows.append(row)
        told(f"{variant.name}: WF1 {100 * metrics.weighted_f1:.2f}")
    if few:
        told(few)
    scored = metrics.scored.value
    return {"table": 4, "scored": scored, "corpus": corpus, "rows": rows, "few": few, "left_out": left_out}


def _telling(
    variants: Sequence[Variant], study: Study, base: BigFusionSettings, told: Told
) -> tuple[list[Variant], dict[str, str]]:
    """The variants that differ from ``base``; and the names of those that would train it again, with the reason."""
    idle = {variant.name: variant.idle(base, study.data.single_utterances) for variant in variants}
    left_out = {name: why for name, why in idle.items() if why}
    for name, why in left_out.items():
        told(f"{name}: left out: the complete network has nothing to take away there ({why})")
    return [variant for variant in variants if variant.name not in left_out], left_out


def _require_read(study: Study, base: BigFusionSettings, figure: int, *parts: str) -> None:
    """Refuse a figure that varies settings which the network does not read."""
    for part in parts:
        if why := unread(base, part, study.data.single_utterances):
            raise SettingsError(
                f"figure-{figure}: expected a network that reads model.{part}, which the figure varies, found {why};"
                " set it otherwise"
            )


def figure_3(study: Study, base: BigFusionSettings, corpus: str | None, progress: Progress, told: Told) -> Data:
    """Weighted F1 for each pair of the attention's global weight and the contrast's local weight.

    Raises:
        SettingsError: the network does not read one of the two.
    """
    _require_read(study, base, 3, "attention", "importance")
    cells = []
    for attention in WEIGHTS:
        for contrast in WEIGHTS:
            metrics = study.trial(balance(attention, contrast).of(base), progress)
            cells.append({"attention_global": attention, "contrast_local": contrast, **_headline(metrics)})
        told(f"alpha {attention:g}: done")
    return {"figure": 3, "scored": metrics.scored.value, "corpus": corpus, "cells": cells}


def figure_5(study: Study, base: BigFusionSettings, corpus: str | None, progress: Progress, told: Told) -> Data:
    """Explained variance (mean over seeds) and the loss landscape (first seed) of spiking and of plain attention.

    Raises:
        SettingsError: the network has no spiking attention.
    """
    _require_read(study, base, 5, "spiking")
    models: dict[str, Data] = {}
    device = choose_device(study.training.device)
    for name, variant in (("spiking", COMPLETE), ("plain", NO_SPIKING)):
        model = variant.of(base)
        metrics = study.trial(model, progress)
        run = study.run(model)
        kept = run / "figure-5.json"
        seeds = list(study.training.seeds)
        if not kept.exists() or read_json(kept)["seeds"] != seeds:
            shares = []
            for seed in seeds:
                network = checkpoint.load(seed_folder(run, seed), device).network
                shares.append(explained_variance(network, study.data[metrics.scored], device))
            network = checkpoint.load(seed_folder(run, seeds[0]), device).network
            around = landscape(network, study.data.valid, device)
            write_json(
                kept,
                {
                    "seeds": seeds,
                    "explained_variance": np.mean(shares, axis=0).tolist(),
                    "steps": around.steps.tolist(),
                    "loss": around.loss.tolist(),
                },
            )
        models[name] = read_json(kept) | _headline(metrics)
        told(f"{name} attention: done")
    return {"figure": 5, "scored": metrics.scored.value, "corpus": corpus, "models": models}


def figure_4(study: Study, base: BigFusionSettings, corpus: str | None, progress: Progress, told: Told) -> Data:
    """A dialogue turn by turn under several models (first seed): the one on which the models differ most.

    Of at least six labelled turns; of equals the first by name. The rule, not a person, picks it.

    Raises:
        SettingsError: the network has none of the parts that the models lack.
    """
    tables = {}
    variants, left_out = _telling(CASE, study, base, told)
    if len(variants) == 1:
        raise SettingsError(f"figure-4: expected parts to take away, found {'; '.join(left_out.values())}")
    for variant in variants:
        metrics = study.trial(variant.of(base), progress)
        rows = pd.read_parquet(study.run(variant.of(base)) / PREDICTIONS)
        chosen = (rows["seed"] == study.training.seeds[0]) & (rows["split"] == metrics.scored.value)
        tables[variant.name] = rows[chosen].reset_index(drop=True)
        told(f"{variant.name}: WF1 {100 * metrics.weighted_f1:.2f}")
    first = tables[COMPLETE.name]
    guesses = pd.DataFrame({name: table["predicted"] for name, table in tables.items()})
    differs = guesses.nunique(axis=1).gt(1) & first["true"].notna()
    long_enough = first["true"].notna().groupby(first["dialogue"]).sum() >= 6
    share = differs.groupby(first["dialogue"]).mean()
    share = share[long_enough[share.index]] if long_enough.any() else share
    name = share.sort_index().idxmax()
    guessed = guesses.to_dict("records")
    turns = [
        {"utterance": row["utterance"], "speaker": row["speaker"], "true": row["true"], "predicted": guessed[place]}
        for place, row in enumerate(first.to_dict("records"))
        if row["dialogue"] == name
    ]
    return {
        "figure": 4,
        "scored": metrics.scored.value,
        "corpus": corpus,
        "left_out": left_out,
        "dialogue": name,
        "labels": list(study.data.labels),
        "turns": turns,
    }


STUDIES: Mapping[str, Callable[[Study, BigFusionSettings, str | None, Progress, Told], Data]] = {
    "table-4": table_4,
    "figure-3": figure_3,
    "figure-4": figure_4,
    "figure-5": figure_5,
}


def _headline(metrics: Metrics) -> Data:
    return {
        name: {
            "mean": getattr(metrics, name),
            "std": None if metrics.std is None else getattr(metrics.std, name),
            "values": [getattr(seed, name) for seed in metrics.seeds],
        }
        for name in ("accuracy", "weighted_f1")
    }
