"""``bigfusion reproduce``: the paper's tables 2 to 4 and figures 3 to 5, from a feature file or a project."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bigfusion.flows.commands.common import Answer, Common, add_features, add_seeds, see
from bigfusion.flows.commands.show import columns
from bigfusion.pipeline.errors import SettingsError, TrainingError
from bigfusion.pipeline.words import numbered

if TYPE_CHECKING:
    import pandas as pd

    from bigfusion.model.data.dialogues import Data
    from bigfusion.model.reproduce.schemes import Fold
    from bigfusion.model.settings import ModelSettings, TrainSettings

FEATURES = "features"
HELP = "remake a table or figure of the paper, as a picture and as data"

log = logging.getLogger("bigfusion")

_TRIALS = {"table-4": 8, "figure-3": 36, "figure-4": 4, "figure-5": 2}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `reproduce` takes."""
    parser.add_argument(
        "--table", type=_table, choices=[2, 3, 4, FEATURES],
        help="2: systems; 3: contrasts; 4: the ablations; features: each alone and all but each",
    )  # fmt: skip
    parser.add_argument(
        "--figure", type=int, choices=[3, 4, 5], help="3: alpha x gamma; 4: a case; 5: components, loss landscape"
    )
    parser.add_argument("--rows", metavar="A,B", help="of tables 2, 3 and features: these rows alone, by kind or name")
    parser.add_argument(
        "--scheme",
        choices=["given", "sessions"],
        default="given",
        help="of tables 2 and 3: the corpus's splits, or leave each session out once and pool (IEMOCAP)",
    )
    parser.add_argument(
        "--classes", type=int, choices=[4], help="of tables 2 and 3: IEMOCAP with happy + excited as one"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where it goes (default: reproduction)")
    add_features(parser)
    add_seeds(parser)


def _table(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def run(
    common: Common,
    *,
    table: int | str | None,
    figure: int | None,
    rows: str | None,
    scheme: str,
    classes: int | None,
    out: Path | None,
    features: Path | None,
    seeds: int | None,
) -> Answer:
    """Make one table or figure, as a picture and as data. Trainings done for another one are reused."""
    from bigfusion.flows.commands.reproduce_tables import Asked, make, without_released

    if (table is None) == (figure is None):
        raise SettingsError("reproduce: expected one of --table 2, 3, 4 or features, --figure 3, 4 or 5")
    if table in (2, 3, FEATURES):
        assert table is not None
        common, released = without_released(common, features)
        asked = Asked(table, rows, scheme, classes, released, on_file=features is not None)
        divided = corpus_folds(common, seeds) if features is None and scheme == "given" else []
        every = scheme == "sessions" or bool(divided)
        return make(asked, common, material(common, features, out, seeds, every=every), divided)
    if rows or classes or scheme != "given":
        raise SettingsError("reproduce: --rows, --scheme and --classes are of --table 2 and --table 3")
    return _study(common, table, figure, out, features, seeds)


def _study(
    common: Common,
    table: int | str | None,
    figure: int | None,
    out: Path | None,
    features: Path | None,
    seeds: int | None,
) -> Answer:
    from bigfusion.flows.progress import training
    from bigfusion.flows.project.workspace import exclusive, relative
    from bigfusion.model.network_settings.bigfusion import BigFusionSettings
    from bigfusion.model.report.benchmark import caveat
    from bigfusion.model.report.wording import ON_VALIDATION
    from bigfusion.model.reproduce.studies import STUDIES
    from bigfusion.model.reproduce.tables import rows as table_rows
    from bigfusion.model.reproduce.trials import Study
    from bigfusion.model.runs.files import write_file, write_json
    from bigfusion.model.training.train import fitting
    from bigfusion.pipeline.schema import Split

    name = f"table-{table}" if table else f"figure-{figure}"
    data, model, settings, folder, benchmark = material(common, features, out, seeds)
    if not isinstance(model, BigFusionSettings):
        raise SettingsError(f"reproduce: expected model.kind bigfusion, which {name} is about, found {model.kind}")
    model = model.itself() if data.single_utterances else model
    with exclusive(folder, "name another folder with --out"):
        study = Study.of(folder, data, settings)
        with training(_TRIALS[name] * settings.epochs_in_all) as progress:
            found = STUDIES[name](study, model, benchmark, progress, lambda line: log.info("reproduce: %s", line))
        found |= {
            "seeds": list(settings.seeds),
            "model": fitting(data, model).model_dump(mode="json"),
            "train": settings.model_dump(mode="json"),
            "data": study.digest,
        }
        write_json(folder / f"{name}.json", found)
        made = table_rows(found)
        write_file(folder / f"{name}.csv", made.to_csv(index=False).encode())
        from bigfusion.model.reproduce.plots import draw  # importing matplotlib takes a while

        pictures = draw(found, folder / name)
    paths = [folder / f"{name}.json", folder / f"{name}.csv", *pictures]
    shown = [] if name == "figure-5" else [columns(_short(made), list(made.columns))]
    shown += ["scores and differences in points"] * (name in ("table-4", "figure-3"))
    shown += [f"no test labels: {ON_VALIDATION}"] * (found["scored"] == Split.VALID)
    left_out = [f"{row}: left out: nothing to take away ({why})" for row, why in found.get("left_out", {}).items()]
    shown += ["\n".join(left_out)] * bool(left_out)
    if name in ("table-4", "figure-3") and (unknown := caveat(data.labels, benchmark)):
        shown.append(unknown)
    shown.append("\n".join(relative(path.absolute()) for path in paths))
    return Answer("\n\n".join(shown), found | {"paths": [str(path) for path in paths]})


class Material(NamedTuple):
    """Data, settings, the folder to work in, and the corpus that the data are known to be: ``meld``, ``iemocap``."""

    data: Data
    model: ModelSettings
    train: TrainSettings
    folder: Path
    benchmark: str | None


def material(
    common: Common,
    features: Path | None,
    out: Path | None,
    seeds: int | None,
    name: str = "reproduction",
    every: bool = False,
) -> Material:
    """What the options name. ``every`` says that each dialogue is scored once, not test alone."""
    from bigfusion.flows.project import file_runs
    from bigfusion.flows.project.assemble import assemble
    from bigfusion.flows.project.leaks import leaks
    from bigfusion.flows.project.load import load_learning
    from bigfusion.flows.project.preflight import preflight_training, require
    from bigfusion.flows.project.standing import load
    from bigfusion.model.report.benchmark import benchmark_of

    if features is not None:
        see(features)
        wanted = load_learning(
            common.config, common.preset, common.settings(seeds), lambda: file_runs.known_corpus(features)
        )
        require(preflight_training(wanted.train))
        data, model = file_runs.training_data(features, wanted)
        return Material(data, model, wanted.train, out or Path(name), benchmark_of(features.stem, data))
    project = common.project(seeds=seeds)
    require(preflight_training(project.train))
    standing = load(project)
    if standing.plan.pending_count:
        raise TrainingError(f"{numbered(standing.plan.pending_count, 'cell')} pending; run `bigfusion extract` first")
    if leaking := leaks(project, standing.manifest, every):
        raise SettingsError("; ".join(leaking))
    folder = out or project.files.folder / name
    data = assemble(project, standing.manifest, standing.plan)
    benchmark = None if project.is_demo else benchmark_of(standing.manifest.corpus, data)
    return Material(data, project.model, project.train, folder, benchmark)


def corpus_folds(common: Common, seeds: int | None) -> list[Fold]:
    """The folds of the project's corpus (``corpus.folds``), each with its data; empty if it has none."""
    from bigfusion.flows.project.folds import fold_data, fold_names
    from bigfusion.flows.project.standing import load
    from bigfusion.model.reproduce.schemes import Fold

    project = common.project(seeds=seeds)
    if not getattr(project.corpus, "folds", ""):
        return []
    standing = load(project)
    if standing.plan.pending_count or not fold_names(standing.manifest):
        return []
    return [Fold(*part) for part in fold_data(project, standing.manifest, standing.plan).items()]


def _short(table: pd.DataFrame) -> list[list[str]]:
    """The cells as a person reads them: points with two decimals, ``p`` with four."""
    import pandas as pd

    def cell(name: Hashable, value: Any) -> str:
        if pd.isna(value):
            return ""
        return f"{value:.{4 if name == 'p' else 2}f}" if isinstance(value, float) else str(value)

    return [[cell(name, value) for name, value in row.items()] for row in table.to_dict("records")]
