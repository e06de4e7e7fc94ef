"""Chunks of cells, as they are sent to other machines."""

from pathlib import Path
from types import SimpleNamespace

from bigfusion.flows.stages.chunks import _only
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.manifest.rows import content_digest


def test_a_part_of_a_manifest_holds_whole_dialogues_and_its_rows_once(monkeypatch):
    columns = {
        "utterance": ["a/0", "a/1", "b/0"],
        "split": ["train", "train", "test"],
        "dialogue": ["a", "a", "b"],
        "turn": [0, 1, 0],
        "speaker": ["A", "B", "A"],
        "text": ["yes", "no", "what"],
        "label": ["joy", "joy", "joy"],
    }
    whole = Manifest.of("small", Path("/data"), ["joy"], columns, notes=["a note"])
    monkeypatch.setattr("bigfusion.pipeline.manifest.manifest.check", None)  # the rows were checked before
    part = _only(whole, [SimpleNamespace(utterance="a/1")])
    assert part.notes == ()
    assert part.table["utterance"].tolist() == ["a/0", "a/1"]
    assert part.digest == content_digest(whole.arrow.slice(0, 2), ("joy",))
