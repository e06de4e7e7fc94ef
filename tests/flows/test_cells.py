"""The order in which pending cells are computed, and what is said of a store that cannot be written."""

from types import SimpleNamespace

import pandas as pd
import pytest

from extractors.text import TextSettings
from flows.cells import by_length, writing
from pipeline.errors import StoreError
from pipeline.plan import PlannedCell, State
from pipeline.schema import Modality

TEXTS = {"a": "No.", "b": "I never said that.", "c": "", "d": "Why?", "e": "I never said that!"}


def ordered(modality: Modality, **settings: int) -> list[str]:
    project = SimpleNamespace(text=TextSettings(**settings))
    manifest = SimpleNamespace(table=pd.DataFrame({"utterance": list(TEXTS), "text": list(TEXTS.values())}))
    pending = [PlannedCell(name, modality, name * 64, "", State.NEW, "new") for name in TEXTS]
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


@pytest.mark.parametrize(("error", "why"), [(OSError(28, "No space left"), "No space left"), (OSError("gone"), "gone")])
def test_a_store_that_cannot_be_written_says_why(error, why):
    with pytest.raises(StoreError) as found, writing("/srv/store"):
        raise error
    assert str(found.value) == f"/srv/store: the store cannot be written ({why})"
    assert found.value.__cause__ is error
