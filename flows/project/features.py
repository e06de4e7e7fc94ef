"""The features of a project: which there are, which a training reads, and the extractor of each."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from bigfusion.extractors.base import Extractor
from bigfusion.extractors.imported import ImportedExtractor
from bigfusion.flows.project.extractor_tables import FIRST
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.errors import SettingsError
from bigfusion.pipeline.feature_files.reader import feature_columns
from bigfusion.pipeline.nearest import did_you_mean
from bigfusion.pipeline.schema import FeatureName, Modality
from bigfusion.pipeline.settings import Settings


def features(project: Project) -> tuple[FeatureName, ...]:
    """The features that a training reads: those of ``model.modalities``, or of them those that ``model.features``
    names. They come in the schema's order of the modalities.

    Raises:
        SettingsError: ``model.features`` names one that is not there, or none of ``model.modalities``.
    """
    known = declared(project)
    wanted = project.model.features
    if wanted is None:
        chosen = [feature for feature in known if feature.modality in project.model.modalities]
    else:
        check_names(wanted, known)
        chosen = [feature for feature in project.model.chosen(known) if feature.modality in project.model.modalities]
    if not chosen:
        raise SettingsError(
            f"model.features: expected at least one of {', '.join(project.model.modalities)}, found"
            f" {', '.join(wanted or ())}; name another, or set model.modalities"
        )
    return tuple(feature for modality in Modality for feature in chosen if feature.modality is modality)


def declared(project: Project) -> tuple[FeatureName, ...]:
    """Every feature that the settings, or the corpus's feature file, could give."""
    if project.corpus.kind == "features":
        return (
            feature_columns(project.corpus.path) if project.corpus.path.exists() else tuple(map(FeatureName, Modality))
        )
    tables = {Modality.TEXT: project.text, Modality.AUDIO: project.audio, Modality.VISUAL: project.visual}
    return tuple(FeatureName.of(modality, name) for modality, table in tables.items() for name in ("", *table.named))


def check_names(wanted: Sequence[str], known: Sequence[FeatureName]) -> None:
    """Check that each name means exactly one feature.

    Raises:
        SettingsError: a name means none, or several.
    """
    for name in wanted:
        meant = [feature for feature in known if feature.is_called(name)]
        if len(meant) != 1:
            words = [word for feature in known for word in (feature, feature.name)]
            found = f"several: {', '.join(meant)}" if meant else f"{name!r}{did_you_mean(name, words)}"
            raise SettingsError(
                f"model.features: expected names among {', '.join(known)}, found {found};"
                " a name is that of a table like [audio.NAME]"
            )


def without(features: Sequence[FeatureName], left_out: Sequence[FeatureName]) -> str:
    """The assignment that trains with all of ``features`` but some, for an error's remedy."""
    kept = [feature for feature in features if feature not in left_out]
    if all(feature.is_first for feature in features):
        return f"model.modalities=[{_quoted(kept)}]"
    return f"model.features=[{_quoted(kept)}]"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def settings_of(project: Project, feature: FeatureName) -> Settings:
    """The settings of a feature's extractor."""
    table = getattr(project, feature.modality.value)
    if not feature.is_first:
        named: Settings = table.named[feature.name]
        return named
    own = FIRST[feature.modality]
    return own.model_construct(**{name: getattr(table, name) for name in own.model_fields})


def make(project: Project, feature: FeatureName) -> Extractor:
    """A feature's extractor under the project's settings."""
    sha256 = project.files.digests().one
    if project.corpus.kind == "features":
        _check_no_frames(project, feature)
        return ImportedExtractor(project.corpus.path, feature, sha256)
    settings: Any = settings_of(project, feature)
    maker: Extractor = import_module(type(settings).__module__).make(settings, sha256)
    return maker


def _check_no_frames(project: Project, feature: FeatureName) -> None:
    """Features that come from a file have no frames.

    Raises:
        SettingsError: the settings want some.
    """
    table = getattr(project, feature.modality.value)
    wanted = {feature.modality.value: table} | {f"{feature.modality}.{name}": one for name, one in table.named.items()}
    for name, one in wanted.items():
        if getattr(one, "level", "") == "frame":
            raise SettingsError(
                f"{name}.level: expected 'utterance', for features from a file have no frames, found 'frame'; leave it"
                " out"
            )
