"""Dialogues whose split changed are found by their media, or by their utterances' ids."""

from pathlib import Path

from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.manifest.moved import moved


def manifest(*rows: tuple[str, str, str]) -> Manifest:
    """Of dialogues of one utterance: name, split, and a letter that stands for the file (none: text alone)."""
    names, splits, files = zip(*rows, strict=True)
    columns = {
        "utterance": [f"{name}/0" for name in names],
        "split": splits,
        "dialogue": names,
        "turn": [0] * len(rows),
        "audio_sha256": [file * 64 for file in files],
    }
    return Manifest.of("talks", Path("/talks"), (), columns)


def test_a_dialogue_is_known_by_its_file_under_another_name_and_by_its_id_without_a_file():
    before = manifest(("one", "train", "a"), ("two", "test", "b"), ("three", "valid", ""))
    assert moved(before, before) == []
    assert moved(before, manifest(("x/one", "train", "a"), ("x/two", "test", "b"), ("new", "train", "c"))) == []
    (note,) = moved(before, manifest(("x/one", "train", "a"), ("x/two", "train", "b"), ("three", "valid", "")))
    assert note.startswith(
        "1 of 3 dialogues that were here before are in another split now (the first: two was in test,"
        " x/two is in train), so earlier runs may have trained on what is tested now"
    )
    assert "names changed" in note
    (note,) = moved(before, manifest(("one", "train", "a"), ("three", "test", "")))
    assert note.startswith("1 of 2 dialogues")
    assert note.endswith("compare no scores with theirs")


def test_a_file_of_several_dialogues_tells_nothing():
    assert moved(manifest(("one", "train", "a"), ("two", "test", "a")), manifest(("one", "test", "a"))) == []
