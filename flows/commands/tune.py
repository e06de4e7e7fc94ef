"""``bigfusion tune``: search the settings that a network declares as searchable, with a fixed number of trials."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigfusion.flows.commands.common import Answer, Common, add_features, add_seeds, networks
from bigfusion.flows.commands.reproduce import material
from bigfusion.flows.commands.show import columns
from bigfusion.flows.commands.train import kind_of
from bigfusion.pipeline.errors import SettingsError, TrainingError

if TYPE_CHECKING:
    from bigfusion.model.settings import ModelSettings, TrainSettings
    from bigfusion.model.tuning.search import Search, Tried

HELP = "search a network's settings: the same number of trials for any network, resumable"

log = logging.getLogger("bigfusion")

_SCORES = "bigfusion.model.scoring.metrics:scores"
"""What turns the predictions of a trial into its score."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `tune` takes."""
    parser.add_argument("--network", metavar="KIND", required=True, help=f"one of {networks()}")
    parser.add_argument(
        "--trials", type=_trials, metavar="N", default=30, help="by all processes together (default: 30)"
    )
    parser.add_argument(
        "--scheme",
        choices=["sessions", "given"],
        default="sessions",
        help="score each session left out once (IEMOCAP), or the validation split; never the test dialogues",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where it goes (default: tuning)")
    add_features(parser)
    add_seeds(parser)


def run(
    common: Common,
    network: str,
    trials: int,
    scheme: str,
    out: Path | None,
    features: Path | None,
    seeds: int | None,
) -> Answer:
    """Search, and write the best settings as a file for ``--config``. Without ``--seeds`` a trial trains one seed."""
    from bigfusion.flows.progress import bar
    from bigfusion.model.settings import NETWORKS
    from bigfusion.model.training.code import NO_NUMBER, training_entries
    from bigfusion.model.training.train import fitting
    from bigfusion.model.tuning.objective import Objective
    from bigfusion.model.tuning.search import Search
    from bigfusion.pipeline.digests.code import code_digests

    kind = kind_of(network)
    common = replace(common, assignments=(f"model.kind={kind}", *common.assignments))
    data, model, train, folder, _ = material(common, features, out, seeds or 1, "tuning", scheme == "sessions")
    if (other := fitting(data, model).kind) != kind:
        raise SettingsError(
            f"tune: a corpus of single utterances trains {other} in place of {kind}; add"
            f" --set model.single_utterances=network to search {kind} all the same"
        )
    train = train.model_copy(update={"log": ()})
    objective = Objective.of(folder, data, scheme, train.holdout)
    trained = fitting(objective.folds[0].data, model)  # the test split is in no fold
    space = import_module(f"{NETWORKS}.{kind}").SEARCHABLE
    facts = {
        "data": [*objective.digests],
        "scheme": scheme,
        "seeds": [*train.seeds],
        "settings": {"model": trained.numbers(), "train": train.numbers()},
        "code": code_digests(*training_entries(trained, train), _SCORES, stop=NO_NUMBER),
    }
    search = Search(folder, kind, space, {key: _value(key, model, train) for key in space}, facts)
    with bar("tune", trials * len(objective.folds), " folds") as progress:

        def score(values: Mapping[str, Any]) -> list[float]:
            tried_model, tried_train = with_values(model, train, values)
            found = objective.score(tried_model, tried_train, lambda: progress(1))
            objective.forget(tried_model, tried_train)
            return found

        def told(tried: Tried) -> None:
            said = f"WF1 {100 * tried.score:.2f}" if tried.score is not None else f"failed: {tried.why}"
            log.info("tune: %s: trial %d of %d: %s", kind, tried.number + 1, trials, said)

        tried = search.run(trials, score, told)
    return _answer(search, tried, model, train)


def _trials(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"expected how many trials to make, 1 to 100000, found {text!r}")
    return int(text)


def with_values(
    model: ModelSettings, train: TrainSettings, values: Mapping[str, Any]
) -> tuple[ModelSettings, TrainSettings]:
    """The settings with the values of a trial. A training ends early only if its number of epochs allows it."""
    from bigfusion.model.settings import TrainSettings, network_settings
    from bigfusion.pipeline.settings import merge

    tables: dict[str, dict[str, Any]] = {"model": {}, "train": {}}
    for key, value in values.items():
        part, *names = key.split(".")
        inner = tables[part]
        for name in names[:-1]:
            inner = inner.setdefault(name, {})
        inner[names[-1]] = value
    return (
        network_settings(merge(model.model_dump(exclude_unset=True) | {"kind": model.kind}, tables["model"])),
        TrainSettings.model_validate(merge(train.model_dump(), tables["train"])),
    )


def _value(key: str, model: ModelSettings, train: TrainSettings) -> Any:
    """The value that a search starts from."""
    part, *names = key.split(".")
    found: Any = {"model": model, "train": train}[part]
    for name in names:
        found = getattr(found, name)
    return found


def _answer(search: Search, tried: list[Tried], model: ModelSettings, train: TrainSettings) -> Answer:
    """Write what was found: the best settings (TOML), every trial (CSV), and all of it (JSON)."""
    import pandas as pd

    from bigfusion.flows.project.settings_text import settings_text
    from bigfusion.flows.project.workspace import relative
    from bigfusion.model.runs.files import write_file, write_json
    from bigfusion.model.tuning.search import best

    chosen = best(tried)
    if chosen is None:
        last = f": {tried[-1].why}" if tried else ""
        raise TrainingError(f"tune: expected a trial that could be trained, found none in {len(tried)}{last}")
    importance = search.importance()
    stem = search.folder / search.name
    head = (
        f"# {search.name}, the best of {len(tried)} trials on {search.facts['scheme']}: weighted F1 "
        f"{100 * (chosen.score or 0):.2f} (trial {chosen.number + 1}).\n"
    )
    write_file(stem.with_suffix(".toml"), (head + settings_text(*with_values(model, train, chosen.settings))).encode())
    rows = [{"trial": one.number + 1, "weighted_f1": one.score, **one.settings, "why": one.why} for one in tried]
    write_file(stem.with_suffix(".csv"), pd.DataFrame(rows).to_csv(index=False).encode())
    data = {
        "network": search.name, "trials": len(tried), "best": chosen.number + 1, "weighted_f1": chosen.score,
        "seeds": list(chosen.seeds), "values": chosen.settings, "start": dict(search.start), "importance": importance,
        "scheme": search.facts["scheme"],
        "paths": {end: str(stem.with_suffix(f".{end}")) for end in ("toml", "csv", "json", "journal")},
    }  # fmt: skip
    write_json(stem.with_suffix(".json"), data)
    follows = f"bigfusion train --config {relative(stem.with_suffix('.toml').absolute())} --features FILE --out RUN"
    return Answer("\n".join([*_table(search, chosen, importance), *_first(tried), "", f"next: {follows}"]), data)


def _table(search: Search, chosen: Tried, importance: Mapping[str, float]) -> list[str]:
    """The settings by importance: where the search began, and what was best."""
    keys = sorted(search.space, key=lambda key: -importance.get(key, 0.0))
    rows = [
        [
            key,
            _said(search.start[key]),
            _said(chosen.settings[key]),
            f"{importance[key]:.2f}" if key in importance else "",
        ]
        for key in keys
    ]
    return [columns(rows, ["setting", "start", "best", "importance"]), ""]


def _first(tried: Sequence[Tried], shown: int = 5) -> list[str]:
    """The best trials."""
    scored = sorted((one for one in tried if one.score is not None), key=lambda one: -(one.score or 0.0))
    failed = len(tried) - len(scored)
    lines = [f"trial {one.number + 1:>4}  WF1 {100 * (one.score or 0):.2f}" for one in scored[:shown]]
    return lines + [f"{failed} of {len(tried)} trials could not be trained: their reasons are in the CSV file"] * (
        failed > 0
    )


def _said(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
