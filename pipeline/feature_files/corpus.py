"""A corpus from a feature file that a user already has: utterances and labels, no media and perhaps no transcripts."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from bigfusion.pipeline.feature_files.reader import ImportedFeatures, read_features, read_target
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.settings import Settings
from bigfusion.pipeline.tables.numbers import TARGET, TASK, Target, Task, without_classes


class FeatureSettings(Settings):
    """``kind = "features"``: a file that :func:`read_features` reads.

    ``labels`` names the classes in the order of the file's codes, and ``name`` names the corpus; :func:`read_features`
    describes their defaults. ``label_map`` renames or merges labels or codes; ``""`` means that it is no label.
    """

    kind: Literal["features"]
    path: Path
    task: Task = Field(default="classes", description=TASK)
    labels: tuple[str, ...] = ()
    label_map: dict[str, str] = Field(default={}, description='renames or merges labels; "" makes one no label')
    target: Target = Field(default="label", description=TARGET)
    name: str = ""


def scan(settings: FeatureSettings) -> Manifest:
    """The manifest of a feature file. It raises what :func:`read` does."""
    return read(settings).manifest


def read(settings: FeatureSettings) -> ImportedFeatures:
    """The manifest and the features of a feature file.

    Raises:
        UnsafePickleError: a pickle asks for anything but plain containers, strings, numbers and NumPy arrays.
        CorpusError: the file is missing, of another layout, or its parts do not fit together.
    """
    regression = settings.task == "regression"
    if regression:
        without_classes(settings.labels, settings.label_map)
    if settings.target != "label":
        return read_target(
            settings.path, settings.target, settings.labels, settings.name, label_map=settings.label_map,
            regression=regression,
        )  # fmt: skip
    if regression:
        return read_features(settings.path, (), settings.name, regression=True)
    return read_features(settings.path, settings.labels, settings.name, label_map=settings.label_map)
