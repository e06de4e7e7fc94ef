"""How far a run's probabilities can be trusted: their temperature, and below which probability it is not sure.

A run's probability is the mean over its seeds. A mean of several is less sure of itself than each of them, so the
temperature is fitted to the mean, not to each seed (Rahaman and Thiery, 2021, "Uncertainty quantification and deep
ensembles"). Both are computed from the predictions for the validation split that the evaluation stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from bigfusion.model.runs.files import Record
from bigfusion.model.runs.folder import PREDICTIONS
from bigfusion.model.scoring.calibration import calibration
from bigfusion.model.scoring.results import Metrics
from bigfusion.model.scoring.together import Probabilities, mean_probabilities
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.schema import Split

FEWEST = 10
"""With fewer labelled validation utterances nothing is fitted: temperature 1, threshold 0."""
COLDEST, HOTTEST = 0.05, 20.0
"""The range in which the temperature is looked for: a perfect validation would have it fall to zero."""
_LEAST = 1e-12


class Trust(Record):
    """``calibration_error`` is the expected calibration error on the split ``measured_on``, after scaling.

    ``errors`` maps a label to the share of its utterances there whose likeliest label is another one. ``fitted_on``
    counts the validation utterances. ``None``: there was nothing to measure it on, or, of errors, an earlier version
    of bigfusion measured none.
    """

    temperature: float = 1.0
    threshold: float = 0.0
    fitted_on: int = 0
    calibration_error: float | None = None
    measured_on: Split | None = None
    errors: dict[str, float] | None = None


def trust(run: Path, labels: tuple[str, ...]) -> Trust:
    """Temperature, threshold, calibration error and errors by label of an evaluated run.

    The errors are measured on the test split, or on validation if no test utterance has a label.

    Raises:
        TrainingError: the run has no stored predictions.
    """
    try:
        table = pq.read_table(run / PREDICTIONS)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise TrainingError(
            f"{run / PREDICTIONS}: expected the run's predictions, found {reason}; evaluate the run (`bigfusion run`)"
        ) from None
    valid, true = mean_probabilities(table, Split.VALID, labels)
    found = Trust()
    if len(true) >= FEWEST:
        heat = temperature(valid, true)
        found = Trust(temperature=heat, threshold=threshold(scaled(valid, heat), true), fitted_on=len(true))
    for split in (Split.TEST, Split.VALID):
        mean, true = mean_probabilities(table, split, labels)
        if len(true):
            ece = calibration(scaled(mean, found.temperature).astype(np.float32), true).ece
            errors = _errors(mean, true, labels)
            return found.model_copy(update={"calibration_error": ece, "measured_on": split, "errors": errors})
    return found


def _errors(probabilities: Probabilities, true: NDArray[np.int64], labels: tuple[str, ...]) -> dict[str, float]:
    """The share of each occurring label's utterances whose likeliest label is another. Shapes: (U, C), (U,)."""
    wrong = probabilities.argmax(1) != true
    return {label: float(wrong[true == code].mean()) for code, label in enumerate(labels) if (true == code).any()}


def measured(certainty: Trust, metrics: Metrics) -> dict[str, Any]:
    """What was measured of a model's answers, all seeds together: the fields of :class:`Origin` that say so."""
    answers = metrics.together or metrics
    errors = certainty.errors
    if errors is None and len(metrics.seeds) == 1:
        errors = {label: 1 - mean.recall for label, mean in metrics.per_class.items() if mean.support}
    return {
        "threshold": certainty.threshold,
        "scored": metrics.scored,
        "weighted_f1": answers.weighted_f1,
        "accuracy": answers.accuracy,
        "fitted_at_once": metrics.fitted_at_once,
        "averaged": metrics.together is None and len(metrics.seeds) > 1,
        "calibration_error": certainty.calibration_error,
        "errors": errors or {},
    }


def temperature(probabilities: Probabilities, true: NDArray[np.int64]) -> float:
    """The temperature that makes the true labels likeliest (Guo et al., 2017), from :data:`COLDEST` to :data:`HOTTEST`.

    Shapes: ``probabilities`` (U, C), ``true`` (U,).
    """
    rows = np.arange(len(true))

    def loss(log_heat: float) -> float:
        return float(-np.log(np.maximum(scaled(probabilities, float(np.exp(log_heat)))[rows, true], _LEAST)).mean())

    best = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(best.x))


def scaled(probabilities: Probabilities, heat: float) -> Probabilities:
    """Probabilities at another temperature: p^(1/T), made to sum to 1. The most probable label stays. Shape: (U, C)."""
    logits = np.log(np.maximum(probabilities, _LEAST)) / heat
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def threshold(probabilities: Probabilities, true: NDArray[np.int64]) -> float:
    """The probability below which it is better to say nothing (Chow, 1970): a wrong label costs two silences.

    Below it, more validation utterances get a wrong label than a right one, by the largest margin there is. Among equal
    margins the lowest threshold is taken. Shapes: (U, C), (U,).
    """
    confidence = probabilities.max(1)
    wrong = probabilities.argmax(1) != true
    order = np.argsort(confidence, kind="stable")
    gain = np.concatenate([[0], np.cumsum(np.where(wrong[order], 1, -1))])  # of silence about the first k
    levels = np.concatenate([confidence[order], [confidence.max() + 1e-6]])
    possible = np.concatenate([[True], np.diff(levels) > 0])  # equal probabilities are answered alike
    best = int(np.argmax(np.where(possible, gain, -len(true) - 1)))
    return 0.0 if best == 0 else float((levels[best - 1] + levels[best]) / 2)
