"""The results of a run's evaluation, the content of ``metrics.json``: means and deviations over seeds, and each seed.

Scores are fractions in [0, 1]. Standard deviations are sample deviations (n - 1 in the denominator), so that a single
seed has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from bigfusion.model.data.dialogues import Data, true_labels
from bigfusion.model.runs.files import Record, read_record
from bigfusion.model.runs.folder import METRICS
from bigfusion.model.runs.sizes import SplitSize
from bigfusion.model.scoring.calibration import Calibration, pooled
from bigfusion.model.scoring.metrics import Scores, scores
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.schema import Split

FORMAT = 2


class Picked(Record):
    """The epoch with the best score on the test split itself."""

    epoch: int
    weighted_f1: float


class SeedResult(Scores):
    """Scores of one seed's chosen checkpoint: on the scored split, on validation, and at turns that shift or stay."""

    seed: int
    epoch: int
    epochs: int
    valid: Scores | None
    shift: Scores
    steady: Scores
    calibration: Calibration
    picked_on_test: Picked | None


class Deviation(Record):
    """Standard deviation over seeds; ``ddof`` = 1: the sample's."""

    weighted_f1: float
    accuracy: float
    macro_f1: float
    ddof: int = 1


class Mean(Record):
    """Means over seeds, with their deviation if there are several seeds."""

    weighted_f1: float
    accuracy: float
    macro_f1: float
    std: Deviation | None
    utterances: int


class ClassMean(Record):
    """Means over seeds for one class. ``support`` is the number of utterances with this label."""

    f1: float
    precision: float
    recall: float
    support: int
    f1_std: float | None


class Confusion(Record):
    """``counts[i][j]`` = utterances of ``labels[i]`` predicted as ``labels[j]``, a mean over seeds."""

    labels: tuple[str, ...]
    counts: tuple[tuple[float, ...], ...]


class EmotionShift(Mean):
    """Scores of turns whose label differs from the speaker's previous one; ``steady`` of turns with the same label."""

    steady: Mean


class Majority(Record):
    """The scores of a classifier that always answers the training split's most frequent label."""

    label: str
    weighted_f1: float
    accuracy: float
    macro_f1: float


class Together(Record):
    """The scores of the mean of the seeds' probabilities: the likeliest labels of ``predict``, sure of them or not."""

    weighted_f1: float
    accuracy: float
    macro_f1: float


class TestPicking(Record):
    """NOT a result: the scores if each seed's best test epoch were picked, and by how many points they are inflated."""

    __test__ = False  # the name comes from the field; it is no pytest class

    weighted_f1: float
    inflation_points: float
    note: str = "not a result: the epoch was picked on the test split itself"


class Interval(Record):
    """The interval that holds 95 % of a score's values when the scored dialogues are resampled, as fractions."""

    low: float
    high: float


class Intervals(Record):
    """The interval of each headline score of one run, a mean over its seeds, over ``dialogues`` dialogues."""

    weighted_f1: Interval
    accuracy: Interval
    macro_f1: Interval
    dialogues: int
    resamples: int


class FoldScore(Record):
    """The scores of one fold of a cross-validation, means over seeds, and its labelled utterances.

    ``train`` counts those that the tested network learned from, ``utterances`` those that it was tested on.
    """

    name: str
    weighted_f1: float
    accuracy: float
    macro_f1: float
    valid_weighted_f1: float | None
    train: int
    utterances: int


class Metrics(Record):
    """The content of ``metrics.json``. ``scored`` is the split of every score for which no other split is named.

    ``interval`` is the interval of the headline scores over the scored dialogues. ``together`` are the scores of the
    seeds' mean probabilities, if there are several.
    ``folds`` is empty unless the run is a cross-validation; then all other scores are of its folds' pooled predictions.
    ``ece`` is the mean over seeds of the expected calibration error; ``calibration`` pools their predictions.
    ``fitted_at_once``: all seeds are the same network, so nothing deviates and no epoch was picked. Earlier versions do
    not say so.
    """

    format: int = FORMAT
    scored: Split
    labels: tuple[str, ...]
    weighted_f1: float
    accuracy: float
    macro_f1: float
    std: Deviation | None
    ece: float
    ece_std: float | None
    per_class: dict[str, ClassMean]
    confusion: Confusion
    majority: Majority
    interval: Intervals | None = None
    together: Together | None = None
    emotion_shift: EmotionShift
    calibration: Calibration
    valid: Mean | None
    test_picking: TestPicking | None
    seeds: tuple[SeedResult, ...]
    splits: dict[Split, SplitSize]
    folds: tuple[FoldScore, ...] = ()
    fitted_at_once: bool = False


def read_metrics(run: Path) -> Metrics:
    """The scores of a run.

    Raises:
        TrainingError: the run was not evaluated.
    """
    if not (run / METRICS).exists():
        raise TrainingError(f"{run / METRICS}: expected the run's scores, found none; evaluate the run first")
    return read_record(run / METRICS, Metrics)


def summarise(
    seeds: Sequence[SeedResult], data: Data, scored: Split, splits: dict[Split, SplitSize], fitted_at_once: bool = False
) -> Metrics:
    """Summarise all seeds. ``data`` gives the labels of the scored split, ``splits`` the counts of training labels.

    Seeds that are ``fitted_at_once`` are one and the same network: it counts once, without deviation.
    """
    results = seeds[:1] if fitted_at_once else seeds
    mean = mean_of(results)
    validated = [result.valid for result in results if result.valid is not None]
    return Metrics(
        scored=scored,
        labels=data.labels,
        weighted_f1=mean.weighted_f1,
        accuracy=mean.accuracy,
        macro_f1=mean.macro_f1,
        std=mean.std,
        ece=float(np.mean([result.calibration.ece for result in results])),
        ece_std=_std(result.calibration.ece for result in results),
        per_class={label: _class_mean(results, index) for index, label in enumerate(data.labels)},
        confusion=Confusion(
            labels=data.labels, counts=np.mean([result.confusion for result in results], axis=0).tolist()
        ),
        majority=_majority(data, scored, splits[Split.TRAIN]),
        emotion_shift=EmotionShift(
            **dict(mean_of([result.shift for result in results])),
            steady=mean_of([result.steady for result in results]),
        ),
        calibration=pooled([result.calibration for result in results]),
        valid=mean_of(validated) if validated else None,
        test_picking=None if fitted_at_once else _test_picking(results),
        seeds=tuple(seeds),
        splits=splits,
        fitted_at_once=fitted_at_once,
    )


def mean_of(parts: Sequence[Scores]) -> Mean:
    """Mean and sample deviation of the three headline scores."""
    names = ("weighted_f1", "accuracy", "macro_f1")
    columns = {name: [getattr(part, name) for part in parts] for name in names}
    several = len(parts) > 1
    return Mean(
        **{name: float(np.mean(values)) for name, values in columns.items()},
        std=Deviation.model_validate({name: _std(values) for name, values in columns.items()}) if several else None,
        utterances=parts[0].utterances,
    )


def _std(values: Iterable[float]) -> float | None:
    values = list(values)
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _class_mean(results: Sequence[SeedResult], index: int) -> ClassMean:
    parts = [result.classes[index] for result in results]
    return ClassMean(
        f1=float(np.mean([part.f1 for part in parts])),
        precision=float(np.mean([part.precision for part in parts])),
        recall=float(np.mean([part.recall for part in parts])),
        support=parts[0].support,
        f1_std=_std(part.f1 for part in parts),
    )


def _majority(data: Data, scored: Split, train: SplitSize) -> Majority:
    counts = [train.labels[label] for label in data.labels]
    label = int(np.argmax(counts))
    true = true_labels(data[scored])
    always = scores(true, np.full_like(true, label), len(data.labels))
    return Majority(
        label=data.labels[label],
        weighted_f1=always.weighted_f1,
        accuracy=always.accuracy,
        macro_f1=always.macro_f1,
    )


def _test_picking(results: Sequence[SeedResult]) -> TestPicking | None:
    picked = [result.picked_on_test.weighted_f1 for result in results if result.picked_on_test is not None]
    if len(picked) < len(results):
        return None
    mean = float(np.mean(picked))
    return TestPicking(
        weighted_f1=mean, inflation_points=100 * (mean - float(np.mean([result.weighted_f1 for result in results])))
    )
