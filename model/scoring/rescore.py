"""Score an older run on present validation data, so that a newer run can be compared with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bigfusion.model.data.dialogues import Data, true_labels, true_values
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.folder import finished_seeds
from bigfusion.model.scoring.metrics import scores
from bigfusion.model.scoring.predict import choose_device, predict
from bigfusion.model.scoring.regression_scores import number_scores
from bigfusion.model.seed import deterministic
from bigfusion.pipeline.errors import TrainingError


def validation_score(run: Path, data: Data, seeds: Sequence[int], device: str = "auto") -> float:
    """Mean weighted F1 (a fraction) of a run's chosen checkpoints on the validation split of ``data``.

    For numbers it is the F1 of the sign (has 0).

    Raises:
        TrainingError: a seed is missing, or its checkpoint does not fit the data's labels or features.
    """
    where, found = choose_device(device), []
    for folder in finished_seeds(run, seeds):
        chosen = checkpoint.load(folder, where, "regression" if data.regression else "classes")
        facts = chosen.facts
        expected = {str(name): facts.widths[name] for name in facts.model.chosen(facts.widths)}
        widths = {name: data.widths.get(name) for name in expected}
        if facts.labels != data.labels or widths != expected:
            raise TrainingError(
                f"{folder}: was trained on labels {', '.join(facts.labels)} and widths {expected}, found"
                f" {', '.join(data.labels)} and {widths}; score it on the corpus that it was trained on"
            )
        with deterministic(facts.train.threads):
            logits = predict(chosen.network, data.valid, where, facts.train.batch_size)  # (U, C)
        if data.regression:
            found.append(number_scores(true_values(data.valid), logits[:, 0].numpy()).f1_has0)
            continue
        found.append(scores(true_labels(data.valid), logits.argmax(1).numpy(), len(data.labels)).weighted_f1)
    return float(np.mean(found))
