"""``bigfusion reproduce --table 2|3|features``: every network, contrast or set of features, judged alike."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigfusion.flows.commands.common import Answer, Common
from bigfusion.flows.commands.show import columns
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import SettingsError

if TYPE_CHECKING:
    from bigfusion.flows.commands.reproduce import Material
    from bigfusion.model.data.dialogues import Data
    from bigfusion.model.reproduce.schemes import Fold
    from bigfusion.model.reproduce.systems import Base, System
    from bigfusion.model.settings import ModelSettings, TrainSettings

log = logging.getLogger("bigfusion")

RELEASED = "released"
"""A preset of these tables only: each network with the settings of its own paper."""

FEATURES = "features"
_TITLES = {
    2: "Table 2: systems",
    3: "Table 3: contrastive methods in BIG-FUSION",
    FEATURES: "Features: together, each alone, and all but each",
}


@dataclass(frozen=True)
class Asked:
    """The options of these tables.

    ``preset`` names what the rows are trained under (empty: the defaults), and ``own`` are the settings that lie above
    it, by dotted key; both are known when the settings are (:func:`with_origin`).
    """

    table: int | str
    rows: str | None
    scheme: str
    classes: int | None
    released: bool
    on_file: bool
    preset: str = ""
    own: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the files. It holds what the rows are trained and scored under: the preset, a digest of the
        settings above it, the scheme and the classes. Other rows or seeds of the same table replace it.
        """
        parts = [f"table-{self.table}", self.preset or "defaults", *[digest(dict(self.own))[:8]] * bool(self.own)]
        parts += [self.scheme] * (self.scheme != "given") + [f"{self.classes}-classes"] * (self.classes is not None)
        return "-".join(parts)


def without_released(common: Common, features: Path | None) -> tuple[Common, bool]:
    """The common options with a preset that the loader knows. On a file, BIG-FUSION's own paper is preset `paper`."""
    from bigfusion.flows.project.preset_names import PAPER

    if common.preset != RELEASED:
        return common, False
    return replace(common, preset=PAPER if features else None), True


def with_origin(asked: Asked, common: Common) -> Asked:
    """``asked`` with the preset and the settings above it.

    A row under `tuned`, `best` or `released` has its network's own numbers, so any training setting above them may
    change it.
    The preset that lies below `released` (BIG-FUSION's own) counts as a setting unless it is the paper's.
    """
    from bigfusion.flows.project.load import origin, own_settings
    from bigfusion.flows.project.preset_names import PAPER, SEARCHED

    preset, above = origin(common.config, common.preset, common.settings(), project=not asked.on_file)
    each = asked.released or (asked.table == 2 and preset in SEARCHED)
    own = own_settings(preset, above, ("train",) if each else ())
    if not asked.released:
        return replace(asked, preset=preset or "", own=own)
    below = {} if preset == PAPER else {"preset": preset or "none"}
    return replace(asked, preset=RELEASED, own=below | own)


def make(asked: Asked, common: Common, material: Material, divided: Sequence[Fold] = ()) -> Answer:
    """Train every system that is not trained yet, and write the table as JSON, Parquet, Markdown and a page.

    ``divided`` are the corpus's own folds, if it has some.
    """
    from bigfusion.flows.progress import training
    from bigfusion.flows.project.workspace import exclusive, relative
    from bigfusion.model.reproduce.features import ALL, features
    from bigfusion.model.reproduce.ranking import Ranking, rank
    from bigfusion.model.reproduce.schemes import as_given, four_classes, sessions
    from bigfusion.model.reproduce.systems import NONE, chosen, contrasts, networks
    from bigfusion.model.training.train import fitting
    from bigfusion.pipeline.tables.labels import corpus_of

    data, model, train, folder, benchmark = material
    asked = with_origin(asked, common)
    corpus = corpus_of(data.labels)
    base = base_of(asked, common, corpus, model, train)
    wanted = None if asked.rows is None else asked.rows.split(",")
    if asked.table == FEATURES:
        systems = chosen(features(base, data.widths), wanted)
        systems = [replace(system, model=fitting(data, system.model)) for system in systems]
    else:
        systems = chosen((networks if asked.table == 2 else contrasts)(base), wanted)
        if asked.table == 2:
            _check_read(common, systems)
            if alone := _of_one_row(asked, systems):
                log.warning("reproduce: %s", alone)
            systems = [_with_speakers(system, data) for system in systems]
        if data.single_utterances:
            systems = [replace(system, model=system.model.itself()) for system in systems]
    if asked.classes == 4:
        data, divided = four_classes(data), [replace(fold, data=four_classes(fold.data)) for fold in divided]
    if asked.classes == 4 or benchmark is None:
        systems = [replace(system, printed=None) for system in systems]  # the paper's numbers are for six classes
    folds = sessions(data, train.holdout) if asked.scheme == "sessions" else list(divided) or as_given(data)
    references = {2: ["bigfusion"], 3: ["dual_importance", NONE], FEATURES: [ALL]}[asked.table]
    total = sum(len(folds) * system.train.epochs_in_all for system in systems)
    with exclusive(folder, "name another folder with --out"):
        ranking = Ranking.of(folder, folds, references)
        with training(total) as progress:
            found = rank(ranking, systems, progress, lambda line: log.info("reproduce: %s", line))
        found = _facts(asked, benchmark, data, [fold.name for fold in folds], systems, found)
        paths = _write(folder / asked.name, found)
    failed = any("failed" in row for row in found["rows"])
    places = "\n".join(relative(path.absolute()) for path in paths)
    shown = "\n\n".join([_shown(found), *["\n".join(found["caveats"])] * bool(found["caveats"]), places])
    return Answer(shown, found | {"paths": [str(path) for path in paths]}, code=1 if failed else 0)


def base_of(asked: Asked, common: Common, corpus: str | None, model: ModelSettings, train: TrainSettings) -> Base:
    """What the rows start from. In table 2 under preset `tuned` or `best` each network has its own numbers, as in
    ``train --network``.
    """
    from bigfusion.flows.project.load import each_tuned, read_preset
    from bigfusion.flows.project.preset_names import TUNED
    from bigfusion.model.reproduce.systems import Base
    from bigfusion.model.settings import DEFAULT_NETWORK, TrainSettings
    from bigfusion.pipeline.settings import assign, merge

    own = assign({}, common.settings())
    tuned = None
    if asked.table == 2 and not asked.released:  # the other tables train one network, with the numbers it has
        tuned = each_tuned(common.config, common.preset, common.settings(), project=not asked.on_file)
    if tuned is None:
        return Base(model, train, corpus, asked.released, own)
    above, of = tuned
    if model.kind != DEFAULT_NETWORK:
        raise SettingsError(
            f"reproduce: expected model.kind {DEFAULT_NETWORK}, which all networks are compared with, found"
            f" {model.kind}; choose networks with --rows"
        )
    numbers = merge(read_preset(TUNED)["train"], above.get("train", {}))
    shared = TrainSettings.model_validate(merge(numbers, {"seeds": list(train.seeds)}))
    return Base(model, shared, corpus, False, above, (corpus or "") if asked.on_file else of)


def _with_speakers(system: System, data: Data) -> System:
    """For as many speakers as the corpus has, and with a mark if these are more than the network tells apart."""
    from bigfusion.model.data.split_notes import most_speakers, speaker_notes

    model = system.model.for_speakers(most_speakers(data))
    notes = [*filter(None, [system.note]), *speaker_notes(data, model)]
    return replace(system, model=model, note="; ".join(notes))


def _check_read(common: Common, systems: Sequence[System]) -> None:
    """Refuse a setting of BIG-FUSION's where no row is BIG-FUSION: it would change nothing, in silence."""
    from bigfusion.model.settings import DEFAULT_NETWORK
    from bigfusion.pipeline.settings import parse_assignment

    if any(system.model.kind == DEFAULT_NETWORK for system in systems):
        return
    if own := _of_one_network(".".join(parse_assignment(one)[0]) for one in common.assignments):
        raise SettingsError(
            f"--set {own[0]}: expected a setting that a row reads, found one of {DEFAULT_NETWORK}'s, and no row is of"
            f" that network; a row's own are searched by `bigfusion tune --network {systems[0].model.kind}`, and"
            f" `bigfusion train --network {systems[0].model.kind} --set {own[0]}=...` trains with others"
        )


def _of_one_network(keys: Iterable[str]) -> list[str]:
    """The model's settings among ``keys``, but for those that every row takes over (``SHARED``)."""
    from bigfusion.model.reproduce.systems import SHARED

    parts = ((key, *f"{key}.".split(".")[:2]) for key in keys)
    return [key for key, table, name in parts if table == "model" and name not in ("kind", *SHARED)]


def _of_one_row(asked: Asked, systems: Sequence[System]) -> str:
    """What a reader of Table 2 must know of own settings that are BIG-FUSION's: no other row has them."""
    from bigfusion.model.settings import DEFAULT_NETWORK

    own = _of_one_network(asked.own)
    if asked.table != 2 or not own or all(system.model.kind == DEFAULT_NETWORK for system in systems):
        return ""
    return f"No row but BIG-FUSION's has {', '.join(own)}; the other networks keep their own."


def _facts(
    asked: Asked, benchmark: str | None, data: Data, folds: list[str], systems: Sequence[System], found: dict[str, Any]
) -> dict[str, Any]:
    """``found``, with what the table was made from and the notes that a reader needs."""
    from bigfusion.model.report.benchmark import caveat
    from bigfusion.model.report.material import corpus_title

    scored = {row["scored"] for row in found["rows"] if "failed" not in row}
    where = corpus_title(benchmark) if benchmark else "own data"
    title = f"{_TITLES[asked.table]} on {where}" + (f", {asked.classes} classes" if asked.classes else "")
    caveats = []
    if asked.own:
        own = ", ".join(f"{key} = {json.dumps(value)}" for key, value in asked.own.items())
        below = f"preset {asked.preset}" if asked.preset else "the defaults"
        trained = (
            f"Trained with own settings: {own}. A network with released numbers learns by these alone, but for what"
            " --set changes of train."
            if asked.released
            else f"Trained with own settings, above {below}: {own}."
        )
        caveats.append(" ".join(filter(None, [trained, _of_one_row(asked, systems)])))
    if scored == {"valid"}:
        caveats.append(
            "There are no test labels: the validation split is scored, on which each epoch was chosen (unless a network"
            " is fitted at once), so such scores are too high. --scheme sessions scores sessions that chose nothing."
        )
    if asked.scheme == "given" and len(folds) > 1:
        caveats.append(f"The corpus's folds: {', '.join(folds)}, each scored once; predictions are pooled by seed.")
    if asked.scheme == "sessions":
        caveats.append(f"Leave one session out: {', '.join(folds)}, each scored once; predictions are pooled by seed.")
    printed = asked.table != FEATURES and not asked.classes
    if printed and (unknown := caveat(data.labels, benchmark)):
        caveats.append(unknown)
    if printed and benchmark and (asked.scheme == "sessions" or scored == {"valid"}):
        caveats.append("The paper's figures are of its own test split and features: other utterances than these.")
    lead = (
        "Each row on the same features, splits and seeds, its epoch chosen on validation unless it is fitted at once."
        " Click a heading to sort."
    )
    return {
        "table": asked.table, "title": title, "lead": lead, "caveats": caveats, "corpus": benchmark,
        "labels": list(data.labels), "scheme": asked.scheme, "folds": folds,
        "preset": asked.preset or "defaults", "own": dict(asked.own), "seeds": list(systems[0].train.seeds), **found,
    }  # fmt: skip


def _write(stem: Path, found: dict[str, Any]) -> list[Path]:
    from bigfusion.model.reproduce.ranking_page import page
    from bigfusion.model.reproduce.ranking_tables import frame, markdown
    from bigfusion.model.runs.files import write_file, write_json

    paths = [stem.with_name(f"{stem.name}.{end}") for end in ("json", "parquet", "md", "html")]
    write_json(paths[0], found)
    buffer = io.BytesIO()
    frame(found).to_parquet(buffer, index=False)
    for path, content in zip(
        paths[1:], (buffer.getvalue(), markdown(found).encode(), page(found).encode()), strict=True
    ):
        write_file(path, content)
    return paths


def _shown(found: dict[str, Any]) -> str:
    """The table for a terminal, without the classes."""
    from bigfusion.model.reproduce.ranking_tables import cells, headings

    kept = len(headings(found)) - len(found["labels"])  # they stand last
    return columns([cells(row, found)[:kept] for row in found["rows"]], headings(found)[:kept])
