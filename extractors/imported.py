"""An extractor for features that the user already has in a file (a pickle of the field, or Parquet).

The file is read through :mod:`feature_files.reader`, which never runs the code that a pickle may contain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from bigfusion.extractors.base import ExtractorSpec, Failure, Feature, Outcome
from bigfusion.extractors.files import Sha256, sha256_of
from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.feature_files.layouts import companions
from bigfusion.pipeline.feature_files.reader import PICKLES, ImportedFeatures, read_features
from bigfusion.pipeline.schema import FeatureName, Modality, Status, Utterance

_ABSENT = {
    Modality.TEXT: Status.MISSING_TRANSCRIPT,
    Modality.AUDIO: Status.MISSING_MEDIA,
    Modality.VISUAL: Status.MISSING_MEDIA,
}


_READER = "bigfusion.pipeline.feature_files.reader"
NO_NUMBER = (
    "NO_NUMBER",
    "_READER",
    *(f"{_READER}:{name}" for name in ("_known", "_classes", "_labels", "_falling", "_nameless", "_gaps")),
)
"""A file's labels, which are not read here, and what is said of the file. No vector depends on them."""


class ImportedExtractor:
    """Returns one feature of a feature file. Shape: (F,) float32 as stored in the file."""

    columns = None

    def __init__(self, path: Path, feature: str, sha256: Sha256 = sha256_of) -> None:
        self._path = path
        self._feature = FeatureName(feature)
        self._sha256 = sha256

    @cached_property
    def spec(self) -> ExtractorSpec:
        """The numbers depend on the bytes of the file and of those read with it, the column and the utterance's id: two
        "Yeah." have different features.
        """
        weights = self._weights()
        settings = {"modality": str(self._feature)}
        return ExtractorSpec(
            self._feature.modality, "imported", __name__, settings, weights, idle=NO_NUMBER, by_utterance=True
        )

    def _weights(self) -> dict[str, str]:
        beside = companions(self._path) if self._path.suffix.lower() in PICKLES else []
        return {"file": self._sha256(self._path)} | {file.name: self._sha256(file) for file in beside}

    @cached_property
    def _features(self) -> ImportedFeatures:
        found = read_features(self._path, labelled=False)
        if self._weights() != self.spec.weights:
            raise ExtractionError(f"{self._path}: expected the file that was planned, found it changed; run again")
        return found

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self._features.manifest.table["utterance"])}

    def extract(
        self, utterances: Sequence[Utterance], progress: Callable[[int], None] = lambda done: None
    ) -> list[Outcome]:
        """The stored row of each utterance. An utterance without this feature is a typed failure.

        Raises:
            UnsafePickleError: the pickle asks for more than plain data.
            CorpusError: the file is not a feature file.
        """
        outcomes: list[Outcome] = []
        present = self._features.present.get(self._feature)
        for utterance in utterances:
            row = self._rows[utterance.id]
            if present is None or not present[row]:
                reason = f"{utterance.id}: expected {self._feature} features, found none in {self._path.name}"
                outcomes.append(Failure(_ABSENT[self._feature.modality], reason))
            else:
                outcomes.append(Feature(self._features.features[self._feature][row]))
        progress(len(utterances))
        return outcomes
