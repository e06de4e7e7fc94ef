"""Cells that read the utterances around them: what they depend on, and which of them a change reaches."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigfusion.pipeline.digests.values import canonical
from bigfusion.pipeline.manifest.context import neighbours
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.explain import explain_cell
from bigfusion.pipeline.plan.fingerprints import fingerprints, inputs
from bigfusion.pipeline.plan.plan import plan_cells
from bigfusion.pipeline.schema import Context, Line, Modality, Status, Window
from bigfusion.pipeline.store.shards import Cell, Origin
from bigfusion.pipeline.store.store import Store

SIZES = (5, 3, 1)
SPEAKERS = ["Ross", "Rachel", "Ross", "Joey", "Rachel", "Monica", "Ross", "Monica", "Joey"]
TEXTS = ["One.", "Two.", "Three.", "", "Five.", "Six.", "Seven.", "Eight.", "Nine."]
TURNS = [turn for size in SIZES for turn in range(size)]


def manifest(texts=TEXTS, speakers=SPEAKERS) -> Manifest:
    dialogues = [f"train/dia{at}" for at, size in enumerate(SIZES) for _ in range(size)]
    columns = {
        "utterance": [f"{dialogue}_utt{turn}" for dialogue, turn in zip(dialogues, TURNS, strict=True)],
        "split": ["train"] * len(TURNS), "dialogue": dialogues, "turn": TURNS, "speaker": list(speakers),
        "text": list(texts), "label": ["joy"] * len(TURNS),
    }  # fmt: skip
    return Manifest.of("toy", Path("/data"), ("joy",), columns)


def reading(before: int, after: int) -> dict:
    window = Window(before, after)
    settings = {"context": before, "following": after}
    reads = {"reads": window._asdict()} if any(window) else {}
    return {"name": "extractors.text", "settings": settings, "weights": {}, "engine": {}, "code": {}} | reads


def finish(store: Store, made: Manifest, extractor: dict, created: str = "2026-01-01") -> None:
    plan = plan_cells(made, {Modality.TEXT: extractor}, store)
    cells = [
        Cell(c.fingerprint, c.utterance, Status.OK, c.input, np.ones(2, np.float32))
        if "text" in json.loads(c.input)
        else Cell(c.fingerprint, c.utterance, Status.MISSING_TRANSCRIPT, c.input, None, "none")
        for c in plan.pending(Modality.TEXT)
    ]
    store.commit(Origin("toy", Modality.TEXT, extractor, "r", created, 1.0), cells)
    assert plan_cells(made, {Modality.TEXT: extractor}, store).pending_count == 0


def stale(store: Store, made: Manifest, extractor: dict) -> dict[str, str]:
    return {
        cell.utterance.removeprefix("train/"): cell.why
        for cell in plan_cells(made, {Modality.TEXT: extractor}, store).pending(Modality.TEXT)
    }


@given(st.integers(0, 6), st.integers(0, 6))
def test_neighbours_are_those_of_the_dialogue_in_the_window(before, after):
    dialogues = [at for at, size in enumerate(SIZES) for _ in range(size)]
    for row in range(len(TURNS)):
        left, right = neighbours(TURNS, row, Window(before, after))
        inside = [other for other, dialogue in enumerate(dialogues) if dialogue == dialogues[row]]
        assert list(left) == [other for other in inside if row - before <= other < row]
        assert list(right) == [other for other in inside if row < other <= row + after]


def test_contexts_as_extractors_see_them():
    window = Window(2, 1)
    first, last = manifest().utterances(["train/dia0_utt2", "train/dia1_utt0"], window)
    assert first.context == Context("Ross", (Line("Ross", "One."), Line("Rachel", "Two.")), (Line("Joey", ""),))
    assert last.context == Context("Monica", (), (Line("Ross", "Seven."),))
    assert {utterance.context for utterance in manifest().utterances()} == {None}


def test_the_input_is_the_documented_json():
    def sha256(value) -> str:
        return hashlib.sha256(value.encode()).hexdigest()

    def line(speaker: str, text: str) -> str:
        return sha256(json.dumps([speaker, text], separators=(",", ":")))

    found = [json.loads(text) for text in inputs(manifest().table, Modality.TEXT, reading(2, 1))]
    assert found[2] == {
        "-2": line("Ross", "One."), "-1": line("Rachel", "Two."), "+1": line("Joey", ""),
        "speaker": sha256("Ross"), "text": sha256("Three."),
    }  # fmt: skip
    assert found[3] == {"missing": "text", "utterance": "train/dia0_utt3"}
    assert found[8] == {"speaker": sha256("Joey"), "text": sha256("Nine.")}


@given(st.integers(0, 14), st.integers(0, 14))
def test_the_input_is_canonical(before, after):
    """Beyond nine lines "-10" sorts between "-1" and "-2"."""
    n = 15
    columns = {
        "utterance": [f"u{k}" for k in range(n)], "split": ["train"] * n, "dialogue": ["d"] * n, "turn": range(n),
        "speaker": ['"A"', "B\\"] * 7 + [""], "text": [f"Line {k}." for k in range(n)], "label": ["joy"] * n,
    }  # fmt: skip
    table = Manifest.of("toy", Path("/"), ("joy",), columns).table
    for text in inputs(table, Modality.TEXT, reading(before, after)):
        assert canonical(json.loads(text)).decode() == text


@pytest.mark.parametrize("window", [(0, 0), (1, 0), (2, 3), (9, 9)])
def test_some_rows_have_the_fingerprints_that_they_have_among_all(window):
    table, extractor = manifest().table, reading(*window)
    whole = fingerprints(table, Modality.TEXT, extractor)
    rows = [6, 0, 3, 8]
    assert fingerprints(table, Modality.TEXT, extractor, rows) == b"".join(whole[32 * r : 32 * r + 32] for r in rows)


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ((0, 0), {"dia0_utt1": "changed transcript"}),
        ((1, 0), {"dia0_utt1": "changed transcript", "dia0_utt2": "changed context"}),
        # dia0_utt3 has no words: its cell depends on nothing around it
        ((3, 0), {"dia0_utt1": "changed transcript", "dia0_utt2": "changed context", "dia0_utt4": "changed context"}),
        (
            (1, 1),
            {"dia0_utt0": "changed context", "dia0_utt1": "changed transcript", "dia0_utt2": "changed context"},
        ),
    ],
)
def test_a_changed_transcript_makes_exactly_the_cells_stale_that_read_it(tmp_path, window, expected):
    store, extractor = Store(tmp_path), reading(*window)
    finish(store, manifest(), extractor)
    changed = manifest([text if text != "Two." else "Two!" for text in TEXTS])
    assert stale(store, changed, extractor) == expected
    finish(store, changed, extractor)
    assert stale(store, manifest(), extractor) == {}  # the cells of before are still there


def test_another_speaker_is_another_context_where_one_is_read(tmp_path):
    speakers = ["Phoebe", *SPEAKERS[1:]]
    store = Store(tmp_path)
    for window, expected in (((0, 0), {}), ((1, 0), {"dia0_utt0": "changed context", "dia0_utt1": "changed context"})):
        finish(store, manifest(), reading(*window))
        assert stale(store, manifest(speakers=speakers), reading(*window)) == expected


def test_reading_more_is_a_changed_setting_not_a_changed_corpus(tmp_path):
    store = Store(tmp_path)
    finish(store, manifest(), reading(0, 0))
    more = plan_cells(manifest(), {Modality.TEXT: reading(2, 0)}, store)
    assert more.reasons() == ["text: setting context 0 -> 2 (9 cells)"]
    finish(store, manifest(), reading(2, 0), "2026-01-02")
    assert plan_cells(manifest(), {Modality.TEXT: reading(2, 1)}, store).reasons() == [
        "text: setting following 0 -> 1 (9 cells)"
    ]


def test_explain_names_the_neighbour(tmp_path):
    store, extractor = Store(tmp_path), reading(2, 0)
    finish(store, manifest(), extractor)
    changed = manifest(["One?", *TEXTS[1:]])
    found = explain_cell(changed, Modality.TEXT, extractor, store, "train/dia0_utt2")
    assert (found["state"], found["why"]) == ("changed", "changed context")
    assert [item["component"] for item in found["differences"]] == ["input.-2"]
    assert explain_cell(changed, Modality.TEXT, extractor, store, "train/dia0_utt4")["state"] == "done"
