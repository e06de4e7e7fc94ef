"""Give a trained model away: as a folder in the hub's conventions, or on the hub; and load one that was given away."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from bigfusion.flows.project import makers, runs
from bigfusion.flows.project.earlier_versions import say_if_earlier
from bigfusion.flows.project.makers import Makers
from bigfusion.flows.project.model_card import card
from bigfusion.flows.project.published import CARD, CONFIG, EXTRACTORS, TENSORS, read_published, write_published
from bigfusion.flows.project.trained import Model, origin_of, own_place
from bigfusion.model.network_notes import keeps_texts
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.folder import finished_seeds
from bigfusion.model.scoring.predict import choose_device
from bigfusion.model.scoring.results import read_metrics
from bigfusion.model.scoring.trust import trust
from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.errors import SettingsError, TrainingError
from bigfusion.pipeline.schema import Modality

log = logging.getLogger("bigfusion")

HERE = "published:"
"""What a path inside the published folder begins with, in ``config.json``."""
FILES = (CONFIG, TENSORS, CARD, f"{EXTRACTORS}/**")
_HUB = re.compile(r"[\w.-]+/[\w.-]+")
_OWN = ("model", "weights")
"""Settings of an extractor that may name files of this machine: they are given away with the model."""
_MODULES = "[0-9]_*/*"
"""Where sentence-transformers keeps what stands behind an encoder: pooling, dense layers."""
_HARMLESS = (".safetensors", ".json", ".txt", ".model", ".spm", ".codes")


def publish(run: Path, folder: Path) -> list[Path]:
    """Write a run's model, the seeds that were scored, into a new folder. Returns the files.

    Raises:
        SettingsError: the folder is not empty, or a setting names a file that cannot be given away.
        TrainingError: the run is unfinished, was not evaluated, or learned from a feature file or in folds.
    """
    if folder.exists() and any(folder.iterdir()):
        raise SettingsError(f"{folder}: expected a folder that is empty or not there yet; name another")
    runs.require_one_model(run)
    record = runs.record(run)
    of_file = "data" in record.get("inputs", {})
    known = makers.recorded(run) if of_file or (run / makers.MAKERS).exists() else None
    cpu = choose_device("cpu")
    seeds = tuple(checkpoint.load(path, cpu) for path in finished_seeds(run, runs.scored_seeds(run) or None))
    if keeps_texts(seeds[0].facts.model):
        log.warning(
            "%s: holds the text features and labels of the training utterances, which vote (model.retrieval): give it"
            " away only if those may be",
            folder,
        )
    scores, certainty = read_metrics(run), trust(run, seeds[0].facts.labels)
    config = write_published(
        folder,
        seeds,
        str(record.get("run", run.name)),
        str(record.get("created", "")),
        trust=certainty,
        scores=scores,
        makers=None if known is None else _with_own_files(known, folder / EXTRACTORS),
    )
    write_whole(folder / CARD, card(config, folder.absolute().name).encode())
    return sorted(path for path in folder.rglob("*") if path.is_file())


def load(where: str, device: str = "auto") -> Model:
    """A published model: of a folder, or of the hub's ``owner/name``.

    Raises:
        TrainingError: it is not there, damaged or changed, or says nothing about how its features are made.
    """
    folder = Path(where)
    if not folder.exists() and _HUB.fullmatch(where):
        folder = _downloaded(where)
    chosen = choose_device(device)
    published = read_published(folder, chosen)
    config = published.config
    if config.makers is None:
        raise TrainingError(
            f"{where}: was trained on a feature file, so nothing says how to compute its features for a new recording; "
            "publish a run of a project on media"
        )
    known = _unpacked(config.makers, folder.absolute())
    say_if_earlier(config.run, published.seeds[0].facts)
    origin = origin_of(config.run, known, published.seeds, config.trust, config.scores)
    return Model(config.run, known, published.seeds, config.trust, origin, own_place(), chosen, folder)


def push(folder: Path, name: str) -> str:
    """Upload a published folder as the hub's model ``owner/name``, private if it is new. Returns its address.

    Raises:
        TrainingError: the hub cannot be reached, or refuses it.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.errors import HTTPError as AnyHTTPError  # type: ignore[attr-defined]  # of its HTTP library

    hub = HfApi()
    try:
        address = str(hub.create_repo(name, private=True, exist_ok=True))
        hub.upload_folder(repo_id=name, folder_path=folder, commit_message="Publish with bigfusion")
    except (AnyHTTPError, HFValidationError, OSError, ValueError) as error:
        raise TrainingError(
            f"{name}: expected to upload {folder} to the hub, found: {_first_line(error)}; the folder is complete: log "
            "in with `hf auth login` and publish again, or upload it by hand"
        ) from None
    return address


def _downloaded(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.errors import HTTPError as AnyHTTPError  # type: ignore[attr-defined]  # of its HTTP library

    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except (AnyHTTPError, HFValidationError, OSError, ValueError) as error:
        raise TrainingError(
            f"{name}: expected a published model on the hub, found: {_first_line(error)}; correct the name, or "
            "download it on a connected machine and name its folder"
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _with_own_files(known: Makers, folder: Path) -> Makers:
    """The same, with the files of this machine that it names copied into ``folder``."""
    content = known.model_dump(mode="json")
    for name, table in _tables(content):
        for key, value in table.items():
            path = Path(value).expanduser() if isinstance(value, str) else None
            if path is None or not path.is_absolute() or not path.exists():
                continue
            if key not in _OWN:
                raise SettingsError(
                    f"{name}.{key} {path}: expected nothing that only this machine has, found a file of it; train with "
                    "one that a package brings"
                )
            inside = f"{EXTRACTORS}/{name}{path.suffix if path.is_file() else ''}"
            _copy(path, folder.parent / inside)
            _replace(content, table, key, f"{HERE}{inside}")
    return Makers.model_validate(content)


def _tables(content: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The settings of each extractor, with its name: ``[text]``, and ``[text.NAME]`` if there are several."""
    for modality in Modality:
        table = content["settings"].get(modality.value) or {}
        yield modality.value, table
        yield from ((f"{modality}-{name}", inner) for name, inner in table.items() if isinstance(inner, dict))


def _copy(source: Path, target: Path) -> None:
    """Copy a file of tensors, or a folder's tensors, settings and vocabularies. Nothing of it can run."""
    if source.is_dir():
        paths = [path for path in (*source.iterdir(), *source.glob(_MODULES)) if path.is_file()]
        given = [path for path in paths if path.suffix in _HARMLESS or _is_whisper(path)]
        if not any(path.suffix == ".safetensors" or _is_whisper(path) for path in given):
            raise SettingsError(
                f"{source}: expected weights as safetensors (or CTranslate2's of Whisper) to publish, found none; "
                "convert them"
            )
        for path in given:
            there = target / path.relative_to(source)
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, there)
    elif source.suffix == ".safetensors":
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    else:
        raise SettingsError(f"{source}: expected weights as safetensors to publish, found another format; convert them")


def _is_whisper(path: Path) -> bool:
    """Whether a file holds CTranslate2's tensors of a Whisper: a version, a length, then the name of what they are."""
    if path.name != "model.bin":
        return False
    with path.open("rb") as file:
        return file.read(17)[6:] == b"WhisperSpec"


def _unpacked(known: Makers, folder: Path) -> Makers:
    """The same, with the paths of the folder that it was downloaded to."""
    content = known.model_dump(mode="json")
    for name, table in _tables(content):
        for key, value in table.items():
            if isinstance(value, str) and value.startswith(HERE):
                inside = PurePosixPath(value.removeprefix(HERE))
                path = folder / inside
                if inside.is_absolute() or ".." in inside.parts or not path.exists():
                    raise TrainingError(f"{path}: expected the files of {name}.{key}, found none; download it again")
                _replace(content, table, key, str(path))
    return Makers.model_validate(content)


def _replace(content: dict[str, Any], table: dict[str, Any], key: str, value: str) -> None:
    """Set a path in the settings, and in the extractors' descriptions, which say what the features depend on."""
    before, table[key] = table[key], value
    for description in content["extractors"].values():
        if description.get("settings", {}).get(key) == before:
            description["settings"][key] = value
