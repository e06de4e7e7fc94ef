"""A look before the leap: what a run over the pending cells lacks, found in seconds and before the first cell.

Missing files of detectors and weights are found earlier still: the plan takes their digests.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from bigfusion.extractors.checkpoints import Checkpoint
from bigfusion.extractors.download import model_bytes
from bigfusion.extractors.text.encoder import TextSettings
from bigfusion.extractors.text.transformer import SentenceSettings
from bigfusion.flows.project.features import make, settings_of, without
from bigfusion.flows.project.leaks import leaks
from bigfusion.flows.project.rates import INDEX_BYTES, RATES
from bigfusion.flows.project.runs import trained_model
from bigfusion.flows.project.settings import Project
from bigfusion.model.data.batch import Dialogue
from bigfusion.model.data.dialogues import Data
from bigfusion.model.settings import TrainSettings
from bigfusion.pipeline.corpora.archives import packed as packed_in
from bigfusion.pipeline.corpora.archives import unpack
from bigfusion.pipeline.errors import BigFusionError, ExtractionError, TrainingError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.plan import CellPlan
from bigfusion.pipeline.schema import FeatureName, Modality

log = logging.getLogger("bigfusion")

_SOUND = (".wav", ".flac", ".mp3", ".opus", ".m4a", ".aac", ".wma", ".amr", ".sph", ".aif", ".aiff")
"""Endings of files that hold sound alone. Of .ogg nobody knows: it may hold Theora's pictures."""

_INPUT = {Modality.TEXT: "text", Modality.AUDIO: "audio_sha256", Modality.VISUAL: "visual_sha256"}
"""The manifest's columns that are empty if an utterance has no input for the modality."""


class PreflightError(BigFusionError):
    """A run lacks something; each thing has a line of its own."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


@dataclass(frozen=True)
class Preflight:
    """What stops a run, and what a user should know before one: a line each.

    ``models`` says of each pending feature's pretrained model whether it is on this machine.
    """

    stops: tuple[str, ...]
    warnings: tuple[str, ...]
    models: tuple[str, ...] = ()


def free_bytes(folder: Path) -> int:
    """What the file system that holds ``folder`` (or will) has left."""
    folder = folder.absolute()
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free


def preflight(
    project: Project,
    planned: CellPlan,
    training: bool = True,
    free: Callable[[Path], int] = free_bytes,
    recordings: bool = False,
) -> Preflight:
    """Look for what the pending cells of ``planned`` need on this machine; ``free`` says how much a folder can take.

    ``recordings``: the utterances are of new recordings. Then no media are missed: a sound file has no picture.
    Where workers compute, only the corpus and the settings are looked at: encoders, devices and disks are theirs.
    """
    pending = {feature: part.pending for feature, part in planned.parts.items() if part.pending}
    trained_here = training and project.runner.kind != "workers"
    stops = [said for check in _OF_TRAINING for said in check(project, planned.manifest)] if training else []
    if not pending or project.corpus.kind == "features":
        return Preflight((*stops, *(preflight_training(project.train).stops if trained_here else ())), ())
    warnings: list[str] = []
    models: list[str] = []
    packed = [] if recordings else list(packed_in(planned.manifest.root))
    empty = [] if recordings else [feature for feature in pending if _hopeless(planned, feature)]
    if empty:
        line = _nothing_to_compute(planned, empty, packed)
        (stops if training else warnings).append(line)
    elif packed and _lacks_media(planned.manifest):
        warnings.append(f"{planned.manifest.root}: media are missing, and archives are still packed; {unpack(packed)}")
    if project.runner.kind == "ray" and find_spec("prefect_ray") is None:
        stops.append("runner.kind 'ray': expected the package prefect-ray, found none; pip install 'bigfusion[ray]'")
    if project.runner.kind == "local":
        downloads: dict[str, int] = {}
        for feature in pending:
            try:
                sizes = _to_download(project, feature)
            except ExtractionError as error:
                stops.append(str(error))
                continue
            downloads |= {model: size for model, size in sizes.items() if size}
            models += [f"{model}: on this machine" for model, size in sizes.items() if not size]
        stops += _devices(project, [*pending])
        stops += preflight_training(project.train).stops if trained_here else ()
        cells = {feature: len(rows) for feature, rows in pending.items()}
        warnings += _disks(project, cells, sum(downloads.values()), free)
        warnings += _downloads(downloads)
    return Preflight(tuple(stops), tuple(warnings), tuple(models))


def for_classes_only(project: Project, manifest: Manifest) -> list[str]:
    """A line for the first setting that exists for classes only, if the manifest's labels are numbers."""
    if not manifest.has_values:
        return []
    if (manifest.table["fold"] != "").any():
        return [
            'corpus.folds: exists for classes only, found numbers (corpus.task = "regression"); deal splits by'
            " corpus.split_by instead"
        ]
    from bigfusion.model.data.regression import check_regression
    from bigfusion.model.networks.base import network_class

    none = np.zeros(0, np.int64)
    some = Dialogue("", (), {}, {}, speakers=none, labels=none, values=none.astype(np.float32))
    regresses = network_class(project.model.kind).regresses
    try:
        check_regression(Data(("value",), [some], [], []), regresses, project.model, project.train)
    except TrainingError as error:
        return [str(error)]
    return []


def _untrainable(project: Project, manifest: Manifest) -> list[str]:
    """A line if the network cannot learn the corpus's classes, or not by several processes."""
    try:
        model = trained_model(project, manifest)
        if project.train.processes > 1:
            from bigfusion.model.training.train import check_processes

            check_processes(model, project.train)
    except TrainingError as error:
        return [str(error)]
    return []


_OF_TRAINING = (leaks, for_classes_only, _untrainable)


def preflight_training(train: TrainSettings) -> Preflight:
    """Look for what a training needs on this machine."""
    if train.device in ("auto", "cpu"):
        return Preflight((), ())
    from bigfusion.model.scoring.predict import choose_device

    try:
        choose_device(train.device)
    except TrainingError as error:
        return Preflight((f"train.device {train.device!r}: {error}",), ())
    return Preflight((), ())


def preflight_finetuning(project: Project, folder: Path, free: Callable[[Path], int] = free_bytes) -> Preflight:
    """Look for what fine-tuning the text encoder into ``folder`` needs on this machine."""
    stops: list[str] = []
    warnings: list[str] = []
    downloads: dict[str, int] = {}
    try:
        sizes = _to_download(project, FeatureName(Modality.TEXT))
        downloads = {model: size for model, size in sizes.items() if size}
    except ExtractionError as error:
        stops.append(str(error))
    stops += _device("finetune", project.finetune.device)
    if downloads:
        warnings += _downloads(downloads)
        warnings += _room(folder, sum(downloads.values()), "--out", free)
    return Preflight(tuple(stops), tuple(warnings))


def require(found: Preflight) -> None:
    """Log the warnings, and raise all that stops a run, a line each.

    Raises:
        PreflightError: something does.
    """
    for line in found.warnings:
        log.warning("%s", line)
    if found.stops:
        raise PreflightError(found.stops)


def _hopeless(planned: CellPlan, feature: FeatureName) -> bool:
    """Whether no cell of a feature can come to anything: none is stored, and no utterance has an input for one."""
    table = planned.manifest.table
    there = table[_INPUT[feature.modality]] != ""
    if feature.modality is Modality.VISUAL:
        there &= ~table["visual_path"].str.lower().str.endswith(_SOUND)
    return not planned.counts()[feature]["done"] and not there.any()


def _lacks_media(manifest: Manifest) -> bool:
    return bool((manifest.table[["audio_sha256", "visual_sha256"]] == "").to_numpy().any())


def _nothing_to_compute(planned: CellPlan, empty: list[FeatureName], packed: list[Path]) -> str:
    remedy = "put the files where they should be"
    if len(empty) < len(planned.features):
        remedy = f"train without (for good: in the settings file): --set '{without(planned.features, empty)}'"
    return (
        f"{planned.manifest.corpus}: expected files for {' and '.join(empty)}, found none for any of "
        f"{len(planned.manifest)} utterances; {unpack(packed) if packed else remedy}"
    )


def _to_download(project: Project, feature: FeatureName) -> dict[str, int]:
    """The bytes that loading a feature's model would download, by the setting that names it; 0: it is here.

    Empty if no setting names a model.

    Raises:
        ExtractionError: it is neither here nor can it be downloaded; the error names the setting and the remedy.
    """
    from bigfusion.extractors.text.download import download_bytes, refuse_decoder
    from bigfusion.extractors.text.pretrained import locate

    settings = settings_of(project, feature)
    if isinstance(settings, TextSettings):
        size = download_bytes(locate(settings.model, settings.revision), settings.pooling)
        return {f"{feature}.model {settings.model!r}": size}
    checkpoint = getattr(make(project, feature), "checkpoint", None)
    if not isinstance(checkpoint, Checkpoint):
        return {}
    setting = f"{feature}.model"
    size = model_bytes(checkpoint, setting)
    if isinstance(settings, SentenceSettings) and settings.pooling == "cls":
        here = checkpoint.folder or checkpoint.cached()  # fetched() may ask the hub
        if here is not None:
            refuse_decoder(here, setting, checkpoint.name)
    return {f"{setting} {checkpoint.name!r}": size}


def _downloads(sizes: dict[str, int]) -> list[str]:
    return [f"{model}: {_size(size)} will be downloaded first" for model, size in sizes.items()]


def _devices(project: Project, pending: list[FeatureName]) -> Iterator[str]:
    """A device that is named and not there. ``auto`` and ``cpu`` always are; only another name imports torch."""
    for feature in pending:
        yield from _device(str(feature), getattr(settings_of(project, feature), "device", "auto"))


def _device(section: str, device: str) -> Iterator[str]:
    if device not in ("auto", "cpu"):
        from bigfusion.extractors.compute import device_named

        try:
            device_named(device)
        except ExtractionError as error:
            yield f"{section}.device {device!r}: {error}"


def _disks(
    project: Project, pending: dict[FeatureName, int], fetched: int, free: Callable[[Path], int]
) -> Iterator[str]:
    """Folders that cannot take what is planned for them."""
    index = INDEX_BYTES * sum(pending.values())
    shards = round(sum(RATES[feature.modality].bytes * number for feature, number in pending.items()))
    wanted = [(project.files.cache, index, "workspace.cache")]
    if isinstance(project.store, Path):
        wanted.append((project.store, shards + index, "workspace.store"))
    if fetched:
        from huggingface_hub import constants

        wanted.append((Path(constants.HF_HUB_CACHE), fetched, "HF_HOME"))
    for folder, needed, setting in wanted:
        yield from _room(folder, needed, setting, free)


def _room(folder: Path, needed: int, setting: str, free: Callable[[Path], int]) -> Iterator[str]:
    left = free(folder)
    if needed > left:
        yield (
            f"{folder}: expected room for about {_size(needed)}, found {_size(left)} free; make room or set "
            f"{setting} to another disk"
        )


def _size(number: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"
