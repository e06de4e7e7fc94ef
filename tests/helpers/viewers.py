"""What a visual extractor sees of a clip on its way to a vector."""

from typing import Any

from bigfusion.extractors.visual.speaker_face import SpeakerViewer, VisualExtractor
from bigfusion.extractors.visual.viewing import view
from bigfusion.pipeline.schema import Utterance


def followed(extractor: VisualExtractor, utterance: Utterance) -> SpeakerViewer:
    """The viewer that has followed the faces of the utterance's clip."""
    keeping: Any = _Keeping(extractor)
    view([(utterance, [keeping])])
    viewer: SpeakerViewer = keeping.kept
    return viewer


class _Keeping:
    def __init__(self, extractor: VisualExtractor) -> None:
        self._extractor = extractor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._extractor, name)

    def viewer(self, utterance: Utterance) -> SpeakerViewer:
        self.kept = self._extractor.viewer(utterance)
        return self.kept
