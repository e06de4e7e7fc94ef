"""What was decided on the way to a cell is stored with it, counted by kind, and changes neither digest nor number."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.explain import explain_cell
from bigfusion.pipeline.plan.notes import kinds, note_of
from bigfusion.pipeline.plan.plan import plan_cells
from bigfusion.pipeline.schema import Modality, Status
from bigfusion.pipeline.store.store import Store
from tests.helpers import toy_store

AUDIO = {Modality.AUDIO: {"name": "opensmile", "settings": {}, "weights": {}, "engine": {}, "code": {}}}


def stored(tmp_path, manifest) -> Store:
    """Three cells: one with two notes, one with one, one with none."""
    store = Store(tmp_path)
    pending = plan_cells(manifest, AUDIO, store).pending(Modality.AUDIO)
    notes = [note_of(["gap filled 1.2 s", "scaled"]), "gap filled 3.4 s", ""]
    made = [
        replace(
            toy_store.cell(c.utterance), fingerprint=c.fingerprint, utterance=c.utterance, input=c.input, reason=note
        )
        for c, note in zip(pending, notes, strict=True)
    ]
    store.commit(toy_store.origin(extractor=AUDIO[Modality.AUDIO]), made)
    return store


def table():
    sha = [character * 64 for character in "abc"]
    columns = {
        "utterance": ["d/0", "d/1", "d/2"], "split": ["train"] * 3, "dialogue": ["d"] * 3, "turn": [0, 1, 2],
        "label": ["joy"] * 3, "audio_path": ["a", "b", "c"], "audio_sha256": sha,
    }  # fmt: skip
    return Manifest.of("toy", Path("/data"), ("joy",), columns)


def test_notes_are_counted_by_kind() -> None:
    assert kinds(["gap filled 1.2 s", "scaled; gap filled 30.0 s", "2 tracks, first taken"]) == {
        "gap filled N s": 2,
        "scaled": 1,
        "2 tracks, first taken": 1,
    }


def test_a_plan_counts_the_notes_of_its_cells_and_keeps_them(tmp_path) -> None:
    store = stored(tmp_path, table())
    for _ in range(2):  # worked out, and as it was kept
        plan = plan_cells(table(), AUDIO, store)
        assert plan.notes() == {"audio": {"gap filled N s": 2, "scaled": 1}}
        assert plan.counts()["audio"]["done"] == 3
    store.rebuild("test")
    assert plan_cells(table(), AUDIO, store).notes() == {"audio": {"gap filled N s": 2, "scaled": 1}}


def test_a_cell_with_a_note_is_explained_and_is_no_failure(tmp_path) -> None:
    store = stored(tmp_path, table())
    cell = explain_cell(table(), Modality.AUDIO, AUDIO[Modality.AUDIO], store, "d/0")["stored"]
    assert cell["note"] == "gap filled 1.2 s; scaled"
    assert cell["reason"] == ""
    assert cell["status"] is Status.OK
    keys = plan_cells(table(), AUDIO, store).fingerprints(Modality.AUDIO)
    assert store.failures(keys) == {}
    features = store.read(Modality.AUDIO, keys)
    np.testing.assert_array_equal(features.values, np.tile([1, 2, 3], (3, 1)).astype("f4"))


def test_cells_of_before_have_no_note(tmp_path) -> None:
    store = Store(tmp_path)
    toy_store.fill(store)
    assert store.notes(Modality.AUDIO) == {}


def test_two_parts_of_one_kind_in_one_note_are_one_cell_and_neither_number_stands_for_both():
    twice = note_of(["gap filled 1.2 s", "gap filled 9 s", "scaled"])
    assert kinds([twice]) == {"gap filled N s": 1, "scaled": 1}
    assert kinds([twice, "gap filled 9 s"]) == {"gap filled N s": 2, "scaled": 1}
    assert kinds([note_of(["gap filled 9 s", "gap filled 9 s"])]) == {"gap filled 9 s": 1}
