"""Features that came along in a file of the user's own (a pickle of the field, a Parquet), as an extractor like others.

The file is read through :mod:`pipeline.importers`, never by running what a pickle can carry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from extractors.base import ExtractorSpec, Failure, Feature, Outcome
from pipeline.importers import ImportedFeatures, read_features
from pipeline.schema import Modality, Status, Utterance


class ImportedExtractor:
    """Hands out one modality of a feature file. Shape: (F,) float32 as stored there."""

    columns = None

    def __init__(self, path: Path, modality: Modality, sha256: Callable[[Path], str]) -> None:
        self._path = path
        self._modality = modality
        self._sha256 = sha256

    @cached_property
    def spec(self) -> ExtractorSpec:
        """The numbers depend on the file's bytes alone."""
        return ExtractorSpec(self._modality, "extractors.imported", {}, weights={"file": self._sha256(self._path)})

    @cached_property
    def _features(self) -> ImportedFeatures:
        return read_features(self._path)

    def extract(
        self, utterances: Sequence[Utterance], progress: Callable[[int], None] = lambda done: None
    ) -> list[Outcome]:
        """The stored row of each utterance; one without this modality is a typed failure."""
        raise AssertionError
