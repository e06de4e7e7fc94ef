"""Cells of a project: their extractors, what they depend on, and how a chunk of them is computed and stored."""

from __future__ import annotations

import logging
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib import import_module, metadata
from typing import Any

from bigfusion.extractors.base import Extractor, ExtractorSpec, Failure, Fault, Outcome
from bigfusion.extractors.compute import give_back
from bigfusion.extractors.frames import FramedFeature
from bigfusion.extractors.text.download import complete, refuse_decoder, refuse_unfit
from bigfusion.extractors.text.encoder import TextSettings
from bigfusion.extractors.text.pretrained import locate
from bigfusion.extractors.text.transformer import SentenceExtractor, SentenceSettings
from bigfusion.flows.project.features import features, make, settings_of
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.digests.code import code_digests
from bigfusion.pipeline.errors import ExtractionError, StoreError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.explain import explain_cell
from bigfusion.pipeline.plan.fingerprints import BY_UTTERANCE, WITH_SOUND
from bigfusion.pipeline.plan.plan import CellPlan, PlannedCell, plan_cells
from bigfusion.pipeline.schema import ALONE, FeatureName, MediaSpan, Modality, Status, Utterance
from bigfusion.pipeline.sequences import Frames
from bigfusion.pipeline.store.folder import Place, ShardFolder
from bigfusion.pipeline.store.frames import pieces
from bigfusion.pipeline.store.shards import Cell, Origin
from bigfusion.pipeline.store.store import Store

log = logging.getLogger("bigfusion")

_PROVENANCE = ("numpy", "torch", "torchvision", "transformers", "timm", "opensmile", "opencv-python", "av")


@dataclass(frozen=True)
class ChunkResult:
    """The result of one chunk. It is small, because Prefect stores and sends it as a task's result.

    ``left`` are the fingerprints of cells that another run is computing. ``faults`` has a line for each cell that could
    not be computed and is not stored.
    """

    feature: str
    shard: str
    statuses: dict[str, int]
    seconds: float
    left: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


TOGETHER = " + "
"""Stands between the names of features that share a look at the media."""
_kept: dict[tuple[str, FeatureName], Extractor] = {}
_DECLARED = ("SETTINGS", "make")
"""What the file of an extractor holds for the settings to find it. No number depends on it."""
_AT_ONCE = {Modality.TEXT: 64, Modality.AUDIO: 32, Modality.VISUAL: 32}
"""Cells whose frames are in memory at once. They are stored before the next are computed."""


def extractor(project: Project, feature: FeatureName | Modality) -> Extractor:
    """The extractor of a feature under the project's settings.

    It is made once in a process. If a plan finds that a file which the extractor reads has changed, it is made again.

    Raises:
        ExtractionError: its weights or its engine are missing.
    """
    name = FeatureName(feature)
    key = (_settings(project), name)
    if key not in _kept:
        _kept[key] = make(project, name)
    return _kept[key]


def _renewed(project: Project, feature: FeatureName) -> Extractor:
    made = make(project, feature)
    try:
        if extractor(project, feature).spec != made.spec:
            _kept[_settings(project), feature] = made
    except ExtractionError as error:
        if feature.is_first:
            raise
        raise ExtractionError(f"[{feature}] {error}") from None
    return extractor(project, feature)


def _settings(project: Project) -> str:
    """The settings that extractors depend on. The corpus is among them only if it brings the features itself."""
    return project.model_dump_json(exclude=None if project.corpus.kind == "features" else {"corpus"})


def description(maker: Extractor) -> dict[str, Any]:
    """The part of an extractor that enters fingerprints: name, settings, weights, engine, and digests of its code."""
    spec = maker.spec
    return {
        "name": spec.name,
        "settings": spec.settings,
        "weights": spec.weights,
        "engine": spec.engine,
        "code": code_digests(
            spec.module,
            stop=[name if ":" in name else f"{spec.module}:{name}" for name in (*spec.idle, *_declared(spec.module))],
        ),
        **({"reads": BY_UTTERANCE} if spec.by_utterance else {}),
        **({"reads": spec.window._asdict()} if any(spec.window) else {}),
        **({"reads": WITH_SOUND} if spec.hears else {}),
    }


def _declared(module: str) -> tuple[str, ...]:
    return tuple(name for name in _DECLARED if hasattr(import_module(module), name))


def notes(project: Project) -> list[str]:
    """Notes on the features that a reader of a score should know, for instance untrained weights."""
    return [note for feature in features(project) for note in extractor(project, feature).spec.notes]


def plan(
    project: Project, manifest: Manifest, retry_failed: bool = False, only: Sequence[FeatureName] = ()
) -> CellPlan:
    """Which cells of ``manifest`` are done, failed, new or changed under the project's extractors.

    ``only`` names the features to plan, by default those that a training reads.
    """
    descriptions = {feature: description(_renewed(project, feature)) for feature in only or features(project)}
    with project.files.store() as store:
        return plan_cells(manifest, descriptions, store, retry_failed)


def joined(project: Project, planned: CellPlan) -> list[tuple[FeatureName, ...]]:
    """The features that have pending cells. Those that are computed in one look at the media stand together."""
    groups: dict[object, list[FeatureName]] = {}
    for feature in planned.features:
        if planned.parts[feature].pending:
            maker = extractor(project, feature)
            groups.setdefault(getattr(maker, "sampling", feature), []).append(feature)
    return [tuple(group) for group in groups.values()]


def chunks(pending: Sequence[PlannedCell], size: int) -> Iterator[list[PlannedCell]]:
    """Cut ``pending`` into chunks of about ``size`` cells.

    An utterance's cells stay together, and so do cells with one fingerprint (equal transcripts).
    """
    features = len({cell.feature for cell in pending})
    first: dict[str, str] = {}
    groups: dict[str, list[PlannedCell]] = {}
    for cell in pending:
        groups.setdefault(first.setdefault(cell.utterance, cell.fingerprint), []).append(cell)
    together = list(groups.values())
    step = max(size // max(features, 1), 1)
    for start in range(0, len(together), step):
        yield [cell for group in together[start : start + step] for cell in group]


def by_length(project: Project, manifest: Manifest, pending: Sequence[PlannedCell]) -> list[PlannedCell]:
    """Sort ``pending`` cells of text from the longest transcript to the shortest, so that batches need little padding.

    Other cells keep their order, and so does text with context (``text.context``): it is best computed dialogue by
    dialogue.
    """
    if not pending or pending[0].feature.modality is not Modality.TEXT:
        return list(pending)
    if any(getattr(settings_of(project, pending[0].feature), "window", ALONE)):
        return list(pending)
    lengths = dict(zip(manifest.table["utterance"], manifest.table["text"].str.len(), strict=True))
    return sorted(pending, key=lambda cell: -lengths[cell.utterance])


def extract_chunk(
    project: Project,
    manifest: Manifest,
    cells: Sequence[PlannedCell],
    run: str,
    progress: Callable[[int], None] = lambda done: None,
) -> list[ChunkResult]:
    """Compute ``cells`` and commit those of each feature as one shard. Equal fingerprints are computed once.

    The cells are of one feature, or of several that share a look at the media (:func:`joined`). Cells with frames are
    committed as several shards, so that only the frames of a few are in memory. Returns a result for each feature.

    If an error concerns a single cell, this cell is left out and named in the result's ``faults``. Cells that another
    run on the same shards is computing are left to that run. Cells that it has stored since the plan was made count as
    done.

    Raises:
        ExtractionError: the extractor cannot run.
        OSError: the machine or a media file made the extractor fail.
        StoreError: the shard cannot be written. No part of it is visible.
    """
    with ExitStack() as hold:
        with writing(project.store):
            claims = hold.enter_context(closing(ShardFolder(project.store).claims()))
            mine = hold.enter_context(claims.take(cell.fingerprint for cell in cells))
            store = project.files.store()  # opened after the claims: the index has all cells stored earlier
            hold.callback(store.close, settle=False)  # the next chunk writes again, and the next plan seals it
            stored = store.statuses(mine)
        todo = [cell for cell in cells if cell.fingerprint in mine and not _done(cell, stored)]
        progress(sum(cell.fingerprint in mine for cell in cells) - len(todo))
        done = {feature: _Done() for feature in _by_feature(cells)}
        for part in _parts(project, todo):
            for feature, made in _compute(project, manifest, part, run, progress).items():
                with writing(project.store):
                    done[feature].add(made, _commit(store, made))
    return [
        done[feature].result(feature, sorted({cell.fingerprint for cell in of_feature} - mine))
        for feature, of_feature in _by_feature(cells).items()
    ]


@dataclass
class _Done:
    """What has been computed and stored of one feature's cells."""

    shard: str = ""
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, made: _Made, shard: str) -> None:
        """Count what was made and stored as ``shard`` (empty: nothing)."""
        self.shard = shard or self.shard
        self.seconds += made.origin.seconds
        self.counts.update(cell.status.value for cell in made.cells)
        self.faults += made.faults

    def result(self, feature: FeatureName, left: Sequence[str]) -> ChunkResult:
        """The chunk's result. ``left`` are the fingerprints of cells that another run is computing."""
        statuses = dict(self.counts) | ({"error": len(self.faults)} if self.faults else {})
        return ChunkResult(feature, self.shard, statuses, round(self.seconds, 3), tuple(left), tuple(self.faults))


def _by_feature(cells: Sequence[PlannedCell]) -> dict[FeatureName, list[PlannedCell]]:
    found: dict[FeatureName, list[PlannedCell]] = {}
    for cell in cells:
        found.setdefault(cell.feature, []).append(cell)
    return found


def _parts(project: Project, cells: Sequence[PlannedCell]) -> Iterator[Sequence[PlannedCell]]:
    """The cells that are computed and stored together: all of them, or a few if they have frames."""
    if not cells:
        return iter([])
    if any(extractor(project, feature).spec.settings.get("level") == "frame" for feature in _by_feature(cells)):
        return chunks(cells, _AT_ONCE[cells[0].feature.modality])
    return iter([cells])


def _commit(store: Store, made: _Made) -> str:
    """Store computed cells. Returns the name of a shard, empty if there is none."""
    if not made.frames:
        return store.commit(made.origin, made.cells) if made.cells else ""
    groups: dict[str, list[Cell]] = {}
    for cell in made.cells:
        groups.setdefault(cell.fingerprint, []).append(cell)
    keys, name = list(groups), ""
    for part in pieces([made.frames[key].values.nbytes if key in made.frames else 0 for key in keys]):
        named = [keys[place] for place in part]
        cells = [cell for key in named for cell in groups[key]]
        origin = replace(made.origin, seconds=round(made.origin.seconds * len(cells) / len(made.cells), 3))
        name = store.commit_framed(origin, cells, {key: made.frames[key] for key in named if key in made.frames})
    return name


@contextmanager
def writing(store: Place) -> Iterator[None]:
    """A block that claims cells of the store or writes to it. An OSError in it becomes a :class:`StoreError`."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{store}: the store cannot be written ({error.strerror or error})") from error


def _done(cell: PlannedCell, stored: Mapping[str, Status]) -> bool:
    status = stored.get(cell.fingerprint)
    return status is Status.OK or (status is not None and not cell.why.startswith("retry"))


@dataclass(frozen=True)
class _Made:
    """Computed cells, the frames of some by fingerprint, and a line for each that could not be computed."""

    origin: Origin
    cells: list[Cell]
    frames: dict[str, Frames]
    faults: list[str]


def _compute(
    project: Project, manifest: Manifest, cells: Sequence[PlannedCell], run: str, progress: Callable[[int], None]
) -> dict[FeatureName, _Made]:
    """Compute cells, feature by feature or in one look at the media."""
    several = _by_feature(cells)
    makers = {feature: extractor(project, feature) for feature in several}
    first = {
        feature: {cell.fingerprint: cell.utterance for cell in reversed(of_feature)}
        for feature, of_feature in several.items()
    }
    utterances: dict[FeatureName, Sequence[Utterance]] = {}
    for feature, maker in makers.items():
        _check_encoder(project, feature, maker)
        utterances[feature] = manifest.utterances(list(first[feature].values()), maker.spec.window)
    outcomes, seconds = _outcomes(makers, utterances, progress)
    give_back()
    progress(len(cells) - sum(map(len, first.values())))
    made = {}
    for feature, maker in makers.items():
        found = _changed(project, maker.spec, utterances[feature], outcomes[feature])
        named = dict(zip(first[feature], found, strict=True))
        made[feature] = _made(manifest, feature, maker, several[feature], named, run, seconds[feature])
    return made


def _outcomes(
    makers: Mapping[FeatureName, Extractor],
    utterances: Mapping[FeatureName, Sequence[Utterance]],
    progress: Callable[[int], None],
) -> tuple[Mapping[FeatureName, list[Outcome]], Mapping[FeatureName, float]]:
    """The outcomes of each feature's utterances, and the seconds that each feature took."""
    if len(makers) > 1:
        from bigfusion.flows.project.viewed import outcomes

        return outcomes(makers, utterances, progress)
    started = time.perf_counter()
    found = {feature: maker.extract(utterances[feature], progress) for feature, maker in makers.items()}
    return found, dict.fromkeys(makers, time.perf_counter() - started)


def _made(
    manifest: Manifest,
    feature: FeatureName,
    maker: Extractor,
    cells: Sequence[PlannedCell],
    outcomes: Mapping[str, Outcome],
    run: str,
    seconds: float,
) -> _Made:
    """The outcomes of one feature, by fingerprint, as cells."""
    stored, faults, frames = [], [], {}
    for cell in cells:
        outcome = outcomes[cell.fingerprint]
        if isinstance(outcome, Fault):
            faults.append(f"{feature} of {cell.utterance}: {outcome.reason}")
            continue
        if isinstance(outcome, Failure):
            kept = Cell(cell.fingerprint, cell.utterance, outcome.status, cell.input, None, outcome.reason)
        else:
            kept = Cell(cell.fingerprint, cell.utterance, Status.OK, cell.input, outcome.vector, outcome.note)
            if isinstance(outcome, FramedFeature):
                frames[cell.fingerprint] = outcome.frames
        stored.append(kept)
    origin = Origin(
        corpus=manifest.corpus,
        modality=feature.modality,
        extractor=description(maker),
        run=run,
        created=datetime.now(UTC).isoformat(timespec="microseconds"),
        seconds=round(seconds, 3),
        versions=versions(),
        columns=tuple(maker.columns or ()),
    )
    return _Made(origin, stored, frames, faults)


def _check_encoder(project: Project, feature: FeatureName, maker: Extractor) -> None:
    """Refuse a text encoder that is not read as it is meant, and complete one that the hub's cache holds in part.

    Not in the extractor, whose code is in the fingerprints.

    Raises:
        ExtractionError: it is refused, or cannot be completed.
    """
    settings = settings_of(project, feature) if project.corpus.kind != "features" else None
    if isinstance(settings, TextSettings):
        reference = locate(settings.model, settings.revision)
        refuse_unfit(reference, settings.pooling)
        complete(reference)
    if isinstance(maker, SentenceExtractor) and isinstance(settings, SentenceSettings) and settings.pooling == "cls":
        refuse_decoder(maker.checkpoint.fetched(), f"{feature}.model", settings.model)


def _changed(
    project: Project, spec: ExtractorSpec, utterances: Sequence[Utterance], outcomes: Sequence[Outcome]
) -> list[Outcome]:
    """``outcomes``, with a fault for each utterance whose file has changed since its fingerprint was made."""
    read = [_spans(spec, utterance) for utterance in utterances]
    found = project.files.digests().of(span.path for spans in read for span in spans)
    changed = [next((span.path for span in spans if found.get(span.path) != span.sha256), None) for spans in read]
    return [
        outcome
        if path is None or isinstance(outcome, Fault)
        else Fault(f"{path}: expected the file that ingest found, found it changed since; run the same command again")
        for path, outcome in zip(changed, outcomes, strict=True)
    ]


def _spans(spec: ExtractorSpec, utterance: Utterance) -> list[MediaSpan]:
    """The media of an utterance that an extractor reads."""
    heard = spec.modality is Modality.AUDIO or (spec.hears and utterance.visual is not None)
    seen = spec.modality is Modality.VISUAL
    return [span for span in (utterance.audio if heard else None, utterance.visual if seen else None) if span]


def explain(project: Project, manifest: Manifest, utterance: str) -> dict[str, Any]:
    """Each cell of an utterance: its fingerprint, components, what differs from the stored cell, and its origin."""
    (row,) = manifest.table[manifest.table["utterance"] == utterance].to_dict("records")
    descriptions = {feature: description(_renewed(project, feature)) for feature in features(project)}
    found = {}
    with project.files.store() as store:
        for feature, whole in descriptions.items():
            others = [
                other for name, other in descriptions.items() if name.modality is feature.modality and name != feature
            ]
            found[str(feature)] = explain_cell(manifest, feature, whole, store, utterance, others)
    return {key: row[key] for key in ("utterance", "split", "dialogue", "speaker", "label", "text")} | {"cells": found}


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that compute numbers. They are provenance, not part of a fingerprint."""
    found = {"python": platform.python_version()}
    for name in _PROVENANCE:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # an optional extra that is not installed here
            continue
    return found


def summary(results: Sequence[ChunkResult]) -> dict[str, dict[str, int]]:
    """Cells by feature and status over several chunks."""
    total: dict[str, Counter[str]] = {}
    for result in results:
        total.setdefault(result.feature, Counter()).update(result.statuses)
    return {feature: dict(counts) for feature, counts in total.items()}
