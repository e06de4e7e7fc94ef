"""How much a trained run depends on each modality: its networks predict again without some modalities.

Nothing is trained again. The network reads its "absent" vector in place of a removed modality, as it does for a silent
clip or a missing face. So this shows what the trained network depends on. The vector is learned only if some training
utterance lacks the modality; a network without such vectors reads the training mean. What a network trained without the
modality would reach is another question: that is an ablation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bigfusion.model.data.batch import Dialogue
from bigfusion.model.data.dialogues import Data, true_labels
from bigfusion.model.networks.base import network_class
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.checkpoint import Checkpoint, CheckpointFacts
from bigfusion.model.runs.files import Record, read_record, write_record
from bigfusion.model.runs.folder import seed_folder
from bigfusion.model.scoring.metrics import scores
from bigfusion.model.scoring.predict import choose_device, predict
from bigfusion.model.scoring.results import Mean, Metrics, mean_of
from bigfusion.model.seed import deterministic
from bigfusion.pipeline.digests.code import code_digests
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.schema import FeatureName

MODALITIES = "modalities.json"

UNKNOWN = "is not known, for an earlier version trained the run"


class Without(Record):
    """Scores of a run that reads only ``modalities``."""

    modalities: tuple[str, ...]
    mean: Mean


class ModalityScores(Record):
    """The content of ``modalities.json``: first all modalities, then all except one, then each alone.

    ``metrics`` is the digest of the scores that it belongs to, and of the code that computed it: after another
    evaluation, or a change to that code, it is out of date. ``absent`` counts the training utterances that lack each
    modality; ``None``: that is not known. ``vectors``: whether the network has vectors that stand in for absent
    modalities.
    """

    metrics: str
    scored: str
    seeds: tuple[int, ...]
    rows: tuple[Without, ...]
    absent: dict[str, int] | None = None
    vectors: bool = True

    @property
    def note(self) -> str:
        """That some vectors were never learned, or that nobody knows. Empty if all were, or none is read."""
        left_out = self.rows[0].modalities if self.vectors and len(self.rows) > 1 else ()
        if self.absent is None:
            return f"whether the absent vectors were learned {UNKNOWN}" if left_out else ""
        never = [name for name in left_out if not self.absent.get(name)]
        return (
            f"no training utterance lacked {' or '.join(never)}, so its absent vector was never learned"
            if never
            else ""
        )


def modality_scores(
    run: Path,
    data: Data,
    metrics: Metrics,
    device: str = "auto",
    progress: Callable[[int], None] = lambda done: None,
    out: Path | None = None,
) -> ModalityScores:
    """Score an evaluated run's networks with all modalities, without each, and with each alone.

    Writes ``modalities.json`` into ``out``, or into the run's folder. ``progress(n)`` is called when n more
    predictions are done.

    Raises:
        TrainingError: a checkpoint is missing or damaged.
    """
    where = choose_device(device)
    networks = [checkpoint.load(seed_folder(run, seed.seed), where) for seed in metrics.seeds]
    result = ModalityScores(
        metrics=metrics_digest(metrics),
        scored=metrics.scored.value,
        seeds=tuple(seed.seed for seed in metrics.seeds),
        rows=tuple(_rows(networks, data[metrics.scored], len(data.labels), where, progress)),
        absent=networks[0].facts.absent,
        vectors=networks[0].network.absent_vectors,
    )
    write_record((out or run) / MODALITIES, result)
    return result


def _rows(
    networks: Sequence[Checkpoint],
    dialogues: Sequence[Dialogue],
    classes: int,
    device: torch.device,
    progress: Callable[[int], None],
) -> Iterator[Without]:
    """The scores of all modalities, without each, and of each alone."""
    true = true_labels(dialogues)
    for kept in subsets(networks[0].facts.model.modalities_of(networks[0].facts.widths)):
        found = []
        for chosen in networks:
            with deterministic(chosen.facts.train.threads):
                reduced = [only(dialogue, kept) for dialogue in dialogues]
                logits = predict(chosen.network, reduced, device, chosen.facts.train.batch_size)  # (U, C)
            found.append(scores(true, logits.argmax(1).numpy(), classes))
            progress(1)
        same = networks[0].facts.model.fitted_at_once  # for every seed
        yield Without(modalities=tuple(kept), mean=mean_of(found[:1] if same else found))


def stand_in(name: FeatureName, absent: Collection[str], facts: CheckpointFacts) -> str:
    """What every row is scored with in place of the feature ``name``. ``absent`` are all that every row lacks."""
    modality = name.modality.value
    if any(one.modality == modality and one not in absent for one in facts.model.chosen(facts.widths)):
        return f"every row is scored with the other {modality} features alone"
    if not network_class(facts.model.kind).absent_vectors:
        return "every row is scored with its training mean"
    if facts.absent is None:
        return f"every row is scored with its absent vector; whether that was learned {UNKNOWN}"
    if never_learned(name, absent, facts):
        return "every row is scored with an absent vector that was never learned, for no training utterance lacked it"
    return "every row is scored with the learned absent vector"


def never_learned(name: FeatureName, absent: Collection[str | FeatureName], facts: CheckpointFacts) -> bool:
    """Whether rows that lack the feature ``name``, and all of ``absent``, read a vector that training never taught.

    ``False`` if that is not known, for an earlier version trained the run.
    """
    modality = name.modality.value
    if any(one.modality == modality and one not in absent for one in facts.model.chosen(facts.widths)):
        return False
    return (
        network_class(facts.model.kind).absent_vectors and facts.absent is not None and not facts.absent.get(modality)
    )


def metrics_digest(metrics: Metrics) -> str:
    """SHA-256 of the scores of an evaluation, and of the code that scores without modalities."""
    return digest({"metrics": metrics.model_dump(mode="json"), "code": code_digests(f"{__name__}:_rows")})


def read_modality_scores(folder: Path, metrics: Metrics) -> ModalityScores | None:
    """The scores by modality that belong to these scores, if they were computed before.

    Raises:
        TrainingError: the file is damaged.
    """
    if not (folder / MODALITIES).exists():
        return None
    found = read_record(folder / MODALITIES, ModalityScores)
    return found if found.metrics == metrics_digest(metrics) else None


def subsets(modalities: Sequence[str]) -> list[list[str]]:
    """First all modalities, then all except one, then each alone. No set comes twice."""
    found = [list(modalities)]
    found += [[other for other in modalities if other != name] for name in modalities]
    found += [[name] for name in modalities]
    return [kept for index, kept in enumerate(found) if kept and kept not in found[:index]]


def only(dialogue: Dialogue, kept: Sequence[str]) -> Dialogue:
    """The dialogue with all modalities marked as absent, except ``kept``."""
    present = {
        name: rows if FeatureName(name).modality in kept else np.zeros_like(rows, dtype=np.bool_)
        for name, rows in dialogue.present.items()
    }
    return replace(dialogue, present=present)
