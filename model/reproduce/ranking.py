"""Tables 2 and 3 as data: every row trained over its folds and seeds, scored alike, and compared with BIG-FUSION.

Each seed's predictions of all folds are pooled before they are scored: every utterance counts once. All of it resumes:
by row, by fold, by seed, and within a seed by epoch.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bigfusion.model.data.batch import UNLABELLED
from bigfusion.model.data.dialogues import true_labels
from bigfusion.model.reproduce.cost import Cost, measure
from bigfusion.model.reproduce.schemes import Fold
from bigfusion.model.reproduce.systems import System
from bigfusion.model.reproduce.trials import Progress, Study
from bigfusion.model.runs.files import read_record, write_file, write_record
from bigfusion.model.runs.folder import PREDICTIONS, TEST_EPOCHS, TRAINED, Trained, read_history, seed_folder
from bigfusion.model.runs.tensors import read_tensors
from bigfusion.model.scoring.compare import compare
from bigfusion.model.scoring.metrics import Scores, scores
from bigfusion.model.scoring.results import Metrics
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.schema import Split
from bigfusion.pipeline.words import duration, numbered

Data = dict[str, Any]
Told = Callable[[str], None]

COST = "cost.json"
HEADLINE = ("weighted_f1", "accuracy", "macro_f1")


@dataclass(frozen=True)
class Ranking:
    """What the rows of a table share: where it is made, the folds with the digests of their data, the references.

    ``references`` are the rows that all others are compared with: the first is the table's own.
    """

    folder: Path
    folds: Sequence[Fold]
    digests: Sequence[str]
    references: Sequence[str]

    @classmethod
    def of(cls, folder: Path, folds: Sequence[Fold], references: Sequence[str]) -> Ranking:
        """A table in ``folder``, which may hold others."""
        return cls(folder, folds, [fold.data.digest() for fold in folds], references)

    def studies(self, system: System) -> list[Study]:
        """A study a fold."""
        return [
            Study(self.folder, fold.data, made, system.train)
            for fold, made in zip(self.folds, self.digests, strict=True)
        ]

    def pooled(self, system: System) -> Path:
        """Where a row's pooled predictions lie."""
        runs = [study.run(system.model).name for study in self.studies(system)]
        return self.folder / "pooled" / digest({"runs": runs, "seeds": list(system.train.seeds)})[:16]


def rank(ranking: Ranking, systems: Sequence[System], progress: Progress, told: Told) -> Data:
    """Train and score every row. One that cannot be trained is in the table with the reason, and the others go on."""
    costs = _costs(ranking, systems, told)
    rows: list[Data] = []
    for place, system in enumerate(systems):
        try:
            rows.append(_row(ranking, system, costs[system.key], progress))
        except TrainingError as error:
            rows.append(_identity(system) | {"failed": str(error)})
            told(f"{system.name}: failed: {error}")
            continue
        left = sum(_seconds(ranking, other, costs[other.key]) for other in systems[place + 1 :])
        ahead = f"; at most {duration(left)} left" if left else ""
        told(f"{system.name} ({place + 1} of {len(systems)}): WF1 {100 * rows[-1]['weighted_f1']['mean']:.2f}{ahead}")
    by_key = {system.key: system for system in systems}
    finished = [row for row in rows if "failed" not in row]
    for row in finished:
        row["against"] = _against(ranking, by_key, row["key"], {other["key"] for other in finished})
    return {"rows": rows, "references": list(ranking.references)}


def _row(ranking: Ranking, system: System, cost: Cost | str, progress: Progress) -> Data:
    if isinstance(cost, str):
        raise TrainingError(cost)
    studies = ranking.studies(system)
    metrics = [study.trial(system.model, progress) for study in studies]
    runs = [study.run(system.model) for study in studies]
    table = _pool(runs, metrics, ranking.pooled(system))
    seeds = _scores(table, metrics[0].labels, system.train.seeds)
    fitted = system.model.fitted_at_once
    picked = None if fitted else _picked(studies, runs, metrics)
    histories = [read_history(seed_folder(run, seed)) for run in runs for seed in system.train.seeds]
    trained = [read_record(seed_folder(run, seed) / TRAINED, Trained) for run in runs for seed in system.train.seeds]
    return {
        **_identity(system),
        "fitted_at_once": fitted,
        "scored": metrics[0].scored.value,
        "utterances": seeds[0].utterances,
        **{name: _spread([getattr(seed, name) for seed in seeds], fitted) for name in HEADLINE},
        "per_class": _per_class(seeds, metrics[0].labels, fitted),
        "support": {label: seeds[0].classes[index].support for index, label in enumerate(metrics[0].labels)},
        "test_picking": picked and {**_spread(picked), "note": "not a result: each epoch was picked on the test split"},
        "epochs": float(np.mean([len(history) for history in histories])),
        "seconds_per_epoch": float(np.median([epoch.seconds for history in histories for epoch in history])),
        "seconds": float(sum(epoch.seconds for history in histories for epoch in history)),
        "machines": sorted({one.machine for one in trained if one.machine}),
        "cost": cost.model_dump(),
        "runs": [run.name for run in runs],
    }


def _identity(system: System) -> Data:
    printed = system.printed
    paper = printed and {"weighted_f1": printed.weighted_f1, "per_class": dict(printed.per_class)}
    return {
        "key": system.key,
        "name": system.name,
        "note": system.note,
        "kind": system.model.kind,
        "modalities": [str(name) for name in system.model.modalities],
        "model": system.model.model_dump(mode="json"),
        "train": system.train.model_dump(mode="json"),
        "paper": paper,
    }


def _pool(runs: Sequence[Path], metrics: Sequence[Metrics], folder: Path) -> pd.DataFrame:
    """The scored rows of all folds, written as one table of predictions. Dialogues of two folds never share a name."""
    parts = []
    for run, scored in zip(runs, metrics, strict=True):
        table = pd.read_parquet(run / PREDICTIONS)
        kept = table[(table["split"] == scored.scored.value) & table["seed"].isin([one.seed for one in scored.seeds])]
        parts.append(kept)
    pooled = pd.concat(parts, ignore_index=True)
    buffer = io.BytesIO()
    pooled.to_parquet(buffer, index=False)
    write_file(folder / PREDICTIONS, buffer.getvalue())
    return pooled


def _scores(table: pd.DataFrame, labels: Sequence[str], wanted: Sequence[int]) -> list[Scores]:
    """The scores of each of the ``wanted`` seeds, in their order."""
    code = {label: index for index, label in enumerate(labels)}
    true = table["true"].map(code).fillna(UNLABELLED).astype(np.int64).to_numpy()
    predicted = table["predicted"].map(code).astype(np.int64).to_numpy()
    seeds = table["seed"].to_numpy()
    return [scores(true[seeds == seed], predicted[seeds == seed], len(labels)) for seed in wanted]


def _per_class(seeds: Sequence[Scores], labels: Sequence[str], fitted: bool = False) -> dict[str, Data | None]:
    """The F1 of each class; ``None`` if no scored utterance is of it, and no seed called one so."""
    counts = np.sum([seed.confusion for seed in seeds], axis=0)
    occurs = (counts.sum(0) + counts.sum(1)) > 0
    return {
        label: _spread([seed.classes[index].f1 for seed in seeds], fitted) if occurs[index] else None
        for index, label in enumerate(labels)
    }


def _picked(studies: Sequence[Study], runs: Sequence[Path], metrics: Sequence[Metrics]) -> list[float] | None:
    """Each seed's weighted F1, had every fold's epoch been picked on its test split; ``None`` without one."""
    if any(scored.scored is not Split.TEST for scored in metrics):
        return None
    true = np.concatenate([true_labels(study.data.test) for study in studies])
    found = []
    for place, _ in enumerate(metrics[0].seeds):
        best: list[NDArray[np.int64]] = []
        for run, scored in zip(runs, metrics, strict=True):
            seed = scored.seeds[place]
            if seed.picked_on_test is None:
                return None
            tensors, _, _ = read_tensors(seed_folder(run, seed.seed) / TEST_EPOCHS)
            best.append(tensors["classes"][seed.picked_on_test.epoch - 1].numpy().astype(np.int64))
        found.append(scores(true, np.concatenate(best), len(metrics[0].labels)).weighted_f1)
    return found


def _against(ranking: Ranking, systems: dict[str, System], key: str, finished: set[str]) -> Data:
    """The row less each reference, with intervals over dialogues; nothing where the reference was not asked for."""
    return {
        reference: compare(ranking.pooled(systems[reference]), ranking.pooled(systems[key])).model_dump(mode="json")
        for reference in ranking.references
        if reference in finished and reference != key
    }


def _costs(ranking: Ranking, systems: Sequence[System], told: Told) -> dict[str, Cost | str]:
    """What each row costs, and a line on what all of them will take."""
    if unmeasured := [system for system in systems if _is_unmeasured(ranking, system)]:
        told(f"two epochs of {numbered(len(unmeasured), 'system')} are trained first, to measure their cost")
    costs = {system.key: _cost(ranking, system) for system in systems}
    left = sum(_seconds(ranking, system, costs[system.key]) for system in systems)
    if left >= 1:
        told(f"at most {duration(left)} of training")
    return costs


def _cost(ranking: Ranking, system: System) -> Cost | str:
    """The cost of the row's first fold, measured once; where that cannot be trained, why."""
    try:
        path = _cost_file(ranking, system)
        if path.exists():
            return read_record(path, Cost)
        cost = measure(ranking.folds[0].data, system.model, system.train)
    except TrainingError as error:
        return str(error)
    write_record(path, cost)
    return cost


def _is_unmeasured(ranking: Ranking, system: System) -> bool:
    try:
        return not _cost_file(ranking, system).exists()
    except TrainingError:  # it cannot be trained on these data
        return False


def _cost_file(ranking: Ranking, system: System) -> Path:
    """Raises a TrainingError if the network cannot learn the classes."""
    return ranking.studies(system)[0].run(system.model) / COST


def _seconds(ranking: Ranking, system: System, cost: Cost | str) -> float:
    """What is left of a row if no seed stops early."""
    if isinstance(cost, str):
        return 0.0
    runs = [study.run(system.model) for study in ranking.studies(system)]
    undone = [seed for run in runs for seed in system.train.seeds if not (seed_folder(run, seed) / TRAINED).exists()]
    epochs = 1 if system.model.fitted_at_once else system.train.epochs
    return cost.seconds * epochs * len(undone)


def _spread(values: Sequence[float], fitted: bool = False) -> Data:
    """Mean and deviation over seeds; there is none over one, nor over those of a network that is fitted at once."""
    return {
        "mean": float(np.mean(values)),
        "std": float(np.std(values, ddof=1)) if len(values) > 1 and not fitted else None,
        "values": list(values),
    }
