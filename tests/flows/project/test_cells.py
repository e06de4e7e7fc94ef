"""The order in which pending cells are computed, and what is said of a store that cannot be written."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bigfusion.extractors.base import ExtractorSpec, Failure, Fault, Feature
from bigfusion.extractors.text.encoder import TextSettings
from bigfusion.flows.project import cells
from bigfusion.flows.project.cells import by_length, writing
from bigfusion.pipeline.digests.files import FileDigests, file_sha256
from bigfusion.pipeline.errors import StoreError
from bigfusion.pipeline.plan.plan import PlannedCell, State
from bigfusion.pipeline.schema import FeatureName, MediaSpan, Modality, Status, Utterance

TEXTS = {"a": "No.", "b": "I never said that.", "c": "", "d": "Why?", "e": "I never said that!"}


def ordered(modality: Modality, **settings: int) -> list[str]:
    project = SimpleNamespace(text=TextSettings(**settings))
    manifest = SimpleNamespace(table=pd.DataFrame({"utterance": list(TEXTS), "text": list(TEXTS.values())}))
    pending = [PlannedCell(name, FeatureName(modality), name * 64, "", State.NEW, "new") for name in TEXTS]
    return [cell.utterance for cell in by_length(project, manifest, pending)]  # type: ignore[arg-type]


def test_text_from_the_longest_transcript_to_the_shortest():
    assert ordered(Modality.TEXT) == ["b", "e", "d", "a", "c"]


def test_what_is_read_of_a_dialogue_stays_together():
    for settings in ({"context": 2}, {"following": 1}):
        assert ordered(Modality.TEXT, **settings) == list(TEXTS)


def test_clips_keep_their_order():
    assert ordered(Modality.AUDIO) == ordered(Modality.VISUAL) == list(TEXTS)
    project, manifest = SimpleNamespace(text=TextSettings()), SimpleNamespace(table=None)
    assert by_length(project, manifest, []) == []  # type: ignore[arg-type]


def test_a_changed_sound_is_noticed_where_it_was_read_with_the_pictures(tmp_path, monkeypatch):
    clip, sound = tmp_path / "a.avi", tmp_path / "a.wav"
    clip.write_bytes(b"pictures")
    sound.write_bytes(b"sound")
    spans = [MediaSpan(path, file_sha256(path)) for path in (sound, clip)]
    turns = [Utterance("a", "", *spans), Utterance("deaf", "", None, spans[1]), Utterance("blind", "", spans[0])]
    project = SimpleNamespace(files=SimpleNamespace(digests=FileDigests))
    outcomes = [
        Feature(np.zeros(1, np.float32)),
        Feature(np.ones(1, np.float32)),
        Failure(Status.MISSING_MEDIA, "none"),
    ]

    def faults(**how: bool) -> list[bool]:
        spec = ExtractorSpec(Modality.VISUAL, "speaker_face", "bigfusion.extractors.visual.speaker_face", {}, **how)
        found = cells._changed(project, spec, turns, outcomes)  # type: ignore[arg-type]
        return [isinstance(outcome, Fault) for outcome in found]

    assert faults(hears=True) == faults() == [False, False, False]
    sound.write_bytes(b"another")
    assert faults(hears=True) == [True, False, False]
    assert faults() == [False, False, False]


@pytest.mark.parametrize(("error", "why"), [(OSError(28, "No space left"), "No space left"), (OSError("gone"), "gone")])
def test_a_store_that_cannot_be_written_says_why(error, why):
    with pytest.raises(StoreError) as found, writing("/srv/store"):
        raise error
    assert str(found.value) == f"/srv/store: the store cannot be written ({why})"
    assert found.value.__cause__ is error
