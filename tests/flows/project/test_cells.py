"""The order in which pending cells are computed, and what is said of a store that cannot be written."""

from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bigfusion.extractors.base import ExtractorSpec, Failure, Fault, Feature
from bigfusion.extractors.imported import ImportedExtractor
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


FETCHING = {
    "ADAPTER", "Checkpoint", "Checkpoint.cached", "Checkpoint.digests", "Checkpoint.fetched", "Checkpoint.notes",
    "COMMIT", "FETCHING", "INDEX", "NO_NUMBER", "OWN_CODE", "PACKAGE", "PROBE_SECONDS", "_auto_map", "_commit",
    "_fetch", "_first_line", "_indexed", "_recorded", "lacks", "locate", "not_had", "quiet", "read_json",
    "refuse_own_code", "refuse_unfit", "whole",
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "idle", "counted"),
    [
        (
            "audio.transformer",
            {"KERNELS", "SpeechEncoderExtractor._decoded", "SpeechEncoder._refused"},
            {"_turn", "_feature", "SpeechEncoder._layers", "pooled", "MODEL", "PREPARES", "read_audio"},
        ),
        ("audio.whisper", set(), {"_Encoder.frames", "PARTS", "read_audio", "pooled"}),
        ("text.transformer", {"_check_kind", "_check_places"}, {"_Model.encode", "load", "read", "MODES", "MODEL"}),
        ("visual.image_encoder", set(), {"_Encoder.encode", "PARTS", "_square", "read_frames"}),
    ],
)
def test_how_a_model_is_found_and_turns_are_kept_in_memory_makes_no_cell_stale(kind, idle, counted):
    """The digests of its files, or the hub's commit, are in the fingerprint."""
    module = import_module(f"bigfusion.extractors.{kind}")
    made = module.make(module.SETTINGS(model="owner/name", revision=40 * "0"), lambda path: "")
    code = set(cells.description(made)["code"])
    assert not code & (FETCHING | idle)
    assert counted <= code


def test_a_feature_files_labels_and_what_is_said_of_it_make_no_cell_stale(tmp_path):
    made = ImportedExtractor(tmp_path / "features.parquet", "text", lambda path: "")
    code = set(cells.description(made)["code"])
    assert not code & {"settle", "_misspelt", "_unlabelled", "_benchmark", "_falling", "_nameless", "_gaps"}
    assert {"ImportedExtractor._features", "read_features", "_ordered", "_complete"} <= code
