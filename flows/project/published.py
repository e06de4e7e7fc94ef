"""The folder of a published model: everything that predicting with it needs, and nothing that runs.

::

    DIR/config.json         networks, labels, calibration, scores, and how the features are made
    DIR/model.safetensors   the tensors of all seeds, ``seed-0.NAME``
    DIR/extractors/         the encoder's files if the model's own: no package or hub has them
    DIR/README.md           the model card

``config.json`` holds the checksum of the tensors, and its own digest: a changed or damaged file is noticed. That is no
signature: whoever writes both files can write any model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, ValidationError

from bigfusion.flows.project.makers import Makers
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.checkpoint import Checkpoint, CheckpointFacts
from bigfusion.model.runs.files import Record, write_json
from bigfusion.model.runs.tensors import read_tensors, write_tensors
from bigfusion.model.scoring.results import Metrics
from bigfusion.model.scoring.trust import Trust
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.formats import check_format

FORMAT = 1
CONFIG, TENSORS, CARD, EXTRACTORS = "config.json", "model.safetensors", "README.md", "extractors"
REMEDY = "download it again, or ask whoever published it"


class Config(Record):
    """The content of ``config.json``. ``tensors`` is the checksum of ``model.safetensors``.

    ``makers`` is None if the model was trained on a feature file: nothing says how its features are made.
    """

    format: int = Field(default=FORMAT, ge=1)
    library_name: Literal["bigfusion"] = "bigfusion"
    model_type: str
    run: str
    created: str
    id2label: dict[int, str]
    label2id: dict[str, int]
    seeds: tuple[CheckpointFacts, ...]
    trust: Trust
    scores: Metrics
    makers: Makers | None
    tensors: str


@dataclass(frozen=True)
class Published:
    """A published model: the network of each seed, and everything that is known about it."""

    folder: Path
    config: Config
    seeds: tuple[Checkpoint, ...]


def write_published(folder: Path, seeds: Sequence[Checkpoint], run: str, created: str, **known: Any) -> Config:
    """Write the tensors and ``config.json``. ``known`` are the other fields of :class:`Config`.

    Raises:
        TrainingError: the folder cannot be written.
    """
    tensors = {
        f"seed-{seed.facts.seed}.{name}": tensor
        for seed in seeds
        for name, tensor in seed.network.state_dict().items()
        if name.partition(".")[0] not in seed.network.training_only
    }
    labels = seeds[0].facts.labels
    config = Config(
        model_type=seeds[0].facts.model.kind,
        run=run,
        created=created,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        seeds=tuple(seed.facts for seed in seeds),
        tensors=write_tensors(folder / TENSORS, tensors, {"format": FORMAT}),
        **known,
    )
    content = config.model_dump(mode="json")
    write_json(folder / CONFIG, content | {"digest": digest(content)})
    return config


def read_published(folder: Path, device: torch.device) -> Published:
    """A published model, verified to the last byte of its two files.

    Raises:
        TrainingError: a file is missing, damaged or changed.
        FormatError: a newer version of bigfusion wrote it.
    """
    config = _config(folder / CONFIG)
    try:
        tensors, _, checksum = read_tensors(folder / TENSORS)
        if checksum != config.tensors:
            raise TrainingError(f"{folder / TENSORS}: is not the one that {CONFIG} was written for; {REMEDY}")
        seeds = []
        for facts in config.seeds:
            prefix = f"seed-{facts.seed}."
            own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            seeds.append(checkpoint.rebuilt(facts, own, device, folder / TENSORS))
    except TrainingError as error:  # the remedy of a run, to train it again, is none here
        raise TrainingError(f"{str(error).rpartition(';')[0] or error}; {REMEDY}") from None
    return Published(folder, config, tuple(seeds))


def _config(path: Path) -> Config:
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("no table at the top")
        check_format(path, content.get("format"), FORMAT)
        said = content.pop("digest", None)
        config = Config.model_validate(content)
        found = digest(content)  # refuses a number that is none, such as 1e999
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "(top level)"
        raise TrainingError(
            f"{path}: expected a model that this version of bigfusion publishes, found {key}: {first['msg']}; {REMEDY}"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TrainingError(f"{path}: expected a published model's facts, found: {reason}; {REMEDY}") from None
    if found != said:
        raise TrainingError(f"{path}: its content differs from its digest (changed or damaged); {REMEDY}")
    if not config.seeds:
        raise TrainingError(f"{path}: expected at least one seed, found none; {REMEDY}")
    return config
