"""A trained network as two files: its tensors (safetensors), and the facts needed to rebuild it (JSON)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bigfusion.model.data.batch import Dialogue
from bigfusion.model.data.dialogues import Data
from bigfusion.model.networks.base import Network, build
from bigfusion.model.runs.files import Record, read_record, write_record
from bigfusion.model.runs.folder import CHECKPOINT
from bigfusion.model.runs.sizes import SplitSize, split_size
from bigfusion.model.runs.tensors import read_tensors, write_tensors
from bigfusion.model.settings import ModelSettings, TrainSettings
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.schema import FeatureName, Split

FORMAT = 1
TENSORS, FACTS = CHECKPOINT


class DataFacts(Record):
    """The facts about a run's training data that scores and reports need."""

    digest: str
    splits: dict[Split, SplitSize]


class CheckpointFacts(Record):
    """Everything about a checkpoint except its tensors. ``tensors`` is their checksum, which ties the two files.

    ``absent`` counts the training utterances that lack each modality: where none does, no vector in its place is
    learned. ``None``: an earlier version did not count them.
    """

    format: int
    seed: int
    epoch: int
    valid_weighted_f1: float
    labels: tuple[str, ...]
    widths: dict[str, int]
    model: ModelSettings
    train: TrainSettings
    data: DataFacts
    versions: dict[str, str]
    tensors: str
    task: Literal["classes", "regression"] = "classes"
    absent: dict[str, int] | None = None


@dataclass(frozen=True)
class Checkpoint:
    """The chosen network, in evaluation mode, and its facts."""

    network: Network
    facts: CheckpointFacts


def data_facts(data: Data) -> DataFacts:
    """Digest and sizes of ``data``."""
    return DataFacts(digest=data.digest(), splits={split: split_size(data, split) for split in Split})


def absent_rows(dialogues: Sequence[Dialogue], features: Sequence[FeatureName]) -> dict[str, int]:
    """Utterances that lack each modality of ``features``: all of its features."""
    found: dict[str, int] = {}
    for modality in dict.fromkeys(name.modality.value for name in features):
        own = [str(name) for name in features if name.modality == modality]
        found[modality] = sum(
            int((~np.any([dialogue.present[name] for name in own], axis=0)).sum()) for dialogue in dialogues
        )
    return found


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a run's numbers may depend on."""
    found = {}
    for name in ("bigfusion", "torch", "torch-geometric", "numpy", "safetensors"):
        with suppress(PackageNotFoundError):  # bigfusion itself, when it runs from a source tree
            found[name] = version(name)
    return found


def save(folder: Path, network: Network, facts: CheckpointFacts) -> None:
    """Write ``checkpoint.safetensors`` and, tied to it by its checksum, ``checkpoint.json``."""
    state = {name: tensor for name, tensor in network.state_dict().items() if not _for_training(network, name)}
    checksum = write_tensors(folder / TENSORS, state, {"format": FORMAT})
    write_record(folder / FACTS, facts.model_copy(update={"tensors": checksum}))


def load(folder: Path, device: torch.device, task: Literal["classes", "regression"] | None = "classes") -> Checkpoint:
    """Rebuild a network from its folder alone. ``task`` is what the caller can make of its outputs; ``None``: either.

    Raises:
        TrainingError: a file is missing or damaged, or it does not fit the other file or this version of the network.
    """
    facts = read_record(folder / FACTS, CheckpointFacts)
    if facts.format != FORMAT:
        raise TrainingError(
            f"{folder / FACTS}: expected format {FORMAT}, found {facts.format}: another version of bigfusion wrote it;"
            " use that version, or train again with this one"
        )
    if task is not None and facts.task != task:
        raise TrainingError(
            f"{folder}: expected a network of {task}, found one of {facts.task}; such a run is scored by its own "
            "project's `bigfusion evaluate` alone"
        )
    tensors, _, checksum = read_tensors(folder / TENSORS)
    if checksum != facts.tensors:
        raise TrainingError(f"{folder}: {TENSORS} is not the one that {FACTS} was written for; train the run again")
    return rebuilt(facts, tensors, device, folder / TENSORS)


def rebuilt(facts: CheckpointFacts, tensors: Mapping[str, Tensor], device: torch.device, origin: Path) -> Checkpoint:
    """The network of these facts with these tensors, which were read from ``origin``.

    Raises:
        TrainingError: they do not fit each other, or this version of the network.
    """
    network = build(facts.model, facts.widths, len(facts.labels))
    try:
        fresh = {name: tensor for name, tensor in network.state_dict().items() if _for_training(network, name)}
        network.load_state_dict(fresh | dict(tensors))
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise TrainingError(f"{origin}: does not fit the network of {FACTS}: {first} train again") from None
    return Checkpoint(network.to(device).eval(), facts)


def _for_training(network: Network, name: str) -> bool:
    return name.partition(".")[0] in network.training_only
