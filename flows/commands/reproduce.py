"""``bigfusion reproduce``: the paper's table 4 and figures 3, 4 and 5, from a feature file or a project."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from bigfusion.flows.commands.options import Answer, Options
from bigfusion.flows.commands.show import columns
from bigfusion.flows.progress import training
from bigfusion.flows.project import file_runs, runs
from bigfusion.flows.project.assemble import assemble
from bigfusion.flows.project.project import load_learning
from bigfusion.flows.project.workspace import Workspace, exclusive, relative
from bigfusion.model.data.dialogues import Data
from bigfusion.model.reproduce.studies import STUDIES
from bigfusion.model.reproduce.tables import rows
from bigfusion.model.reproduce.trials import Study
from bigfusion.model.runs.files import write_file, write_json
from bigfusion.model.settings import ModelSettings, TrainSettings
from bigfusion.pipeline.errors import SettingsError, TrainingError
from bigfusion.pipeline.tables.labels import IEMOCAP, MELD

log = logging.getLogger("bigfusion")

_TRIALS = {"table-4": 8, "figure-3": 36, "figure-4": 4, "figure-5": 2}


def reproduce(options: Options) -> Answer:
    """Make one table or figure, as a picture and as data. What was trained for another one is used again."""
    if (options.table is None) == (options.figure is None):
        raise SettingsError("reproduce: expected one of --table 4, --figure 3, --figure 4, --figure 5")
    name = f"table-{options.table}" if options.table else f"figure-{options.figure}"
    data, model, settings, folder = _material(options)
    corpus = {IEMOCAP: "iemocap", MELD: "meld"}.get(data.labels)
    with exclusive(folder, "name another folder with --out"):
        study = Study.of(folder, data, settings)
        with training(_TRIALS[name] * len(settings.seeds) * settings.epochs) as progress:
            found = STUDIES[name](study, model, corpus, progress, lambda line: log.info("reproduce: %s", line))
        found |= {"seeds": list(settings.seeds), "train": settings.model_dump(mode="json"), "data": study.digest}
        write_json(folder / f"{name}.json", found)
        table = rows(found)
        write_file(folder / f"{name}.csv", table.to_csv(index=False).encode())
        from bigfusion.model.reproduce.plots import draw  # matplotlib takes a while

        pictures = draw(found, folder / name)
    paths = [folder / f"{name}.json", folder / f"{name}.csv", *pictures]
    shown = "" if name == "figure-5" else columns(_short(table.to_numpy().tolist()), list(table.columns)) + "\n\n"
    return Answer(
        shown + "\n".join(relative(path.absolute()) for path in paths), found | {"paths": [str(path) for path in paths]}
    )


def _material(options: Options) -> tuple[Data, ModelSettings, TrainSettings, Path]:
    """Data, settings and the folder to work in."""
    if options.features is not None:
        wanted = load_learning(options.config, options.preset, options.settings)
        data, model = file_runs.training_data(options.features, wanted)
        return data, model, wanted.train, options.out or Path("reproduction")
    mine = options.project()
    manifest, planned, _ = runs.present(mine)
    if planned.pending_count:
        raise TrainingError(f"{planned.pending_count} cells are pending; run `bigfusion extract` first")
    folder = options.out or Workspace(mine).folder / "reproduction"
    return assemble(mine, manifest, planned), mine.model, mine.train, folder


def _short(table: list[list[Any]]) -> list[list[str]]:
    return [
        ["" if pd.isna(value) else f"{value:.4f}" if isinstance(value, float) else str(value) for value in row]
        for row in table
    ]
