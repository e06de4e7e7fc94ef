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

from bigfusion.flows.project.rates import INDEX_BYTES, RATES
from bigfusion.flows.project.settings import Project
from bigfusion.model.settings import TrainSettings
from bigfusion.pipeline.corpora.archives import packed as packed_in
from bigfusion.pipeline.corpora.archives import unpack
from bigfusion.pipeline.errors import BigFusionError, ExtractionError, TrainingError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.plan import CellPlan
from bigfusion.pipeline.schema import Modality

log = logging.getLogger("bigfusion")

_INPUT = {Modality.TEXT: "text", Modality.AUDIO: "audio_sha256", Modality.VISUAL: "visual_sha256"}
"""The manifest's columns that are empty if an utterance has no input for the modality."""


class PreflightError(BigFusionError):
    """A run lacks something; each thing has a line of its own."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


@dataclass(frozen=True)
class Preflight:
    """What stops a run, and what a user should know before one: a line each."""

    stops: tuple[str, ...]
    warnings: tuple[str, ...]


def free_bytes(folder: Path) -> int:
    """What the file system that holds ``folder`` (or will) has left."""
    folder = folder.absolute()
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free


def preflight(
    project: Project, planned: CellPlan, training: bool = True, free: Callable[[Path], int] = free_bytes
) -> Preflight:
    """Look for what the pending cells of ``planned`` need on this machine; ``free`` says how much a folder can take.

    Where workers compute, only the corpus is looked at: encoders, devices and disks are theirs.
    """
    pending = {modality: part.pending for modality, part in planned.parts.items() if part.pending}
    trained_here = training and project.runner.kind != "workers"
    if not pending or project.corpus.kind == "features":
        return preflight_training(project.train) if trained_here else Preflight((), ())
    stops: list[str] = []
    warnings: list[str] = []
    packed = list(packed_in(planned.manifest.root))
    empty = [modality for modality in pending if _hopeless(planned, modality)]
    if empty:
        line = _nothing_to_compute(planned, empty, packed)
        (stops if training else warnings).append(line)
    elif packed and _lacks_media(planned.manifest):
        warnings.append(f"{planned.manifest.root}: media are missing, and archives are still packed; {unpack(packed)}")
    if project.runner.kind == "ray" and find_spec("prefect_ray") is None:
        stops.append("runner.kind 'ray': expected the package prefect-ray, found none; pip install 'bigfusion[ray]'")
    if project.runner.kind == "local":
        fetched = 0
        try:
            fetched = _to_download(project) if Modality.TEXT in pending else 0
        except ExtractionError as error:
            stops.append(str(error))
        stops += _devices(project, [*pending])
        stops += preflight_training(project.train).stops if trained_here else ()
        warnings += _disks(project, {modality: len(rows) for modality, rows in pending.items()}, fetched, free)
        if fetched:
            warnings.append(f"text.model {project.text.model!r}: {_size(fetched)} will be downloaded first")
    return Preflight(tuple(stops), tuple(warnings))


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
    try:
        fetched = _to_download(project)
    except ExtractionError as error:
        stops.append(str(error))
        fetched = 0
    stops += _device("finetune", project.finetune.device)
    if fetched:
        warnings.append(f"text.model {project.text.model!r}: {_size(fetched)} will be downloaded first")
        warnings += _room(folder, fetched, "--out", free)
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


def _hopeless(planned: CellPlan, modality: Modality) -> bool:
    """Whether no cell of a modality can come to anything: none is stored, and no utterance has an input for one."""
    return not planned.counts()[modality.value]["done"] and not (planned.manifest.table[_INPUT[modality]] != "").any()


def _lacks_media(manifest: Manifest) -> bool:
    return bool((manifest.table[["audio_sha256", "visual_sha256"]] == "").to_numpy().any())


def _nothing_to_compute(planned: CellPlan, empty: list[Modality], packed: list[Path]) -> str:
    others = ", ".join(f'"{other.value}"' for other in planned.modalities if other not in empty)
    remedy = f"train without: --set 'model.modalities=[{others}]'" if others else "put the files where they should be"
    return (
        f"{planned.manifest.corpus}: expected files for {' and '.join(empty)}, found none for any of "
        f"{len(planned.manifest)} utterances; {unpack(packed) if packed else remedy}"
    )


def _to_download(project: Project) -> int:
    from bigfusion.extractors.text.download import download_bytes
    from bigfusion.extractors.text.pretrained import locate

    return download_bytes(locate(project.text.model, project.text.revision))


def _devices(project: Project, pending: list[Modality]) -> Iterator[str]:
    """A device that is named and not there. ``auto`` and ``cpu`` always are; only another name imports torch."""
    for section, device in {"text": project.text.device, "visual": project.visual.device}.items():
        if Modality(section) in pending:
            yield from _device(section, device)


def _device(section: str, device: str) -> Iterator[str]:
    if device not in ("auto", "cpu"):
        from bigfusion.extractors.compute import device_named

        try:
            device_named(device)
        except ExtractionError as error:
            yield f"{section}.device {device!r}: {error}"


def _disks(project: Project, pending: dict[Modality, int], fetched: int, free: Callable[[Path], int]) -> Iterator[str]:
    """Folders that cannot take what is planned for them."""
    index = INDEX_BYTES * sum(pending.values())
    shards = round(sum(RATES[modality].bytes * number for modality, number in pending.items()))
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
