import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigfusion.pipeline.digests.values import canonical
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.differences import difference
from bigfusion.pipeline.plan.fingerprints import WITH_SOUND, fingerprints, inputs
from bigfusion.pipeline.plan.plan import State, plan_cells
from bigfusion.pipeline.schema import FeatureName, Modality, Status
from bigfusion.pipeline.store.shards import Cell, Origin
from bigfusion.pipeline.store.store import Store

SHA = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("one", "two", "three")}
TEXT = {
    "name": "transformer",
    "settings": {"model": "m"},
    "weights": {},
    "engine": {},
    "code": {"extractors/text.py": "1"},
}
AUDIO = {"name": "opensmile", "settings": {"feature_set": "IS10"}, "weights": {}, "engine": {}, "code": {}}
VISUAL = {"name": "speaker_face", "settings": {"rate": 5}, "weights": {"w": "1"}, "engine": {}, "code": {}}
ALL = {Modality.TEXT: TEXT, Modality.AUDIO: AUDIO, Modality.VISUAL: VISUAL}


def manifest(texts=("Yes.", "No.", "Yes."), media=("one", "two", "three"), root="/data", **over) -> Manifest:
    n = len(texts)
    columns = {
        "utterance": [f"train/dia0_utt{k}" for k in range(n)], "split": ["train"] * n, "dialogue": ["train/dia0"] * n,
        "turn": list(range(n)), "speaker": ["A"] * n, "text": list(texts), "label": ["joy"] * n,
        "audio_path": [f"{name}.mp4" for name in media], "audio_sha256": [SHA.get(name, "") for name in media],
        "visual_path": [f"{name}.mp4" for name in media], "visual_sha256": [SHA.get(name, "") for name in media],
    }  # fmt: skip
    return Manifest.of("toy", Path(root), ("joy",), columns | over)


def run(store: Store, plan, extractors, created="2026-01-01") -> None:
    """Compute everything that is pending; a media file named ``three`` cannot be read."""
    for modality in plan.features:
        pending = plan.pending(modality)
        if pending:
            made = [
                Cell(c.fingerprint, c.utterance, Status.CORRUPT_MEDIA, c.input, None, "bad")
                if SHA["three"] in c.input and modality == Modality.AUDIO
                else Cell(c.fingerprint, c.utterance, Status.OK, c.input, np.ones(3, np.float32))
                for c in pending
            ]
            store.commit(Origin("toy", modality, extractors[modality], "r", created, 1.0), made)


@pytest.fixture
def done(tmp_path):
    store = Store(tmp_path)
    run(store, plan_cells(manifest(), ALL, store), ALL)
    return store


def test_a_chosen_sound_and_region_are_part_of_an_input_and_nothing_is_where_nothing_was_chosen():
    plain = manifest().table
    chosen = manifest(track=[2, np.nan, np.nan], channel=[np.nan, 4, np.nan], region=["0.5,0,1,1", "", ""]).table
    for modality in (Modality.AUDIO, Modality.VISUAL):
        for row, text in enumerate(inputs(chosen, modality, ALL[modality])):
            assert text.encode() == canonical(json.loads(text))
            same = text == list(inputs(plain, modality, ALL[modality]))[row]
            assert same == (row == 2 or (modality is Modality.VISUAL and row == 1))
    sound, pictures = (json.loads(next(inputs(chosen, m, ALL[m]))) for m in (Modality.AUDIO, Modality.VISUAL))
    assert sound["track"] == 2
    assert pictures["region"] == [0.5, 0.0, 1.0, 1.0]
    heard = VISUAL | {"reads": WITH_SOUND}
    assert json.loads(next(inputs(chosen, Modality.VISUAL, heard)))["audio"]["track"] == 2


def states(plan) -> dict[str, dict[str, int]]:
    return {name: {key: n for key, n in counts.items() if n} for name, counts in plan.counts().items()}


def test_the_fingerprint_is_the_digest_of_the_documented_json():
    table = manifest(visual_start=[1.5, np.nan, np.nan], crop=["left", "", ""]).table
    text, audio, visual = (fingerprints(table, m, ALL[m])[:32].hex() for m in ALL)

    def expected(extractor, input_):
        whole = json.dumps({"extractor": extractor, "input": input_}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(whole.encode()).hexdigest()

    assert text == expected(TEXT, {"text": hashlib.sha256(b"Yes.").hexdigest()})
    assert audio == expected(AUDIO, {"sha256": SHA["one"], "start": None, "end": None})
    assert visual == expected(VISUAL, {"sha256": SHA["one"], "start": 1.5, "end": None, "crop": "left"})


HEARING = {**VISUAL, "settings": {"rate": 5, "speaker": "talking"}, "reads": WITH_SOUND}


def test_pictures_that_are_read_with_the_sound_depend_on_it():
    over = {"audio_start": [0.5, np.nan, np.nan], "visual_start": [1.5, np.nan, np.nan], "crop": ["left", "", ""]}
    table = manifest(**over, audio_sha256=[SHA["two"], "", SHA["three"]]).table
    found = list(inputs(table, Modality.VISUAL, HEARING))
    assert [canonical(json.loads(text)).decode() for text in found] == found
    assert json.loads(found[0]) == {
        "audio": {"sha256": SHA["two"], "start": 0.5, "end": None},
        "sha256": SHA["one"], "start": 1.5, "end": None, "crop": "left",
    }  # fmt: skip
    assert json.loads(found[1])["audio"] is None
    assert list(inputs(table, Modality.VISUAL, HEARING, [2, 0])) == [found[2], found[0]]
    gone = manifest(media=("", "two", "three"), audio_sha256=[SHA["one"], "", ""]).table
    assert json.loads(next(inputs(gone, Modality.VISUAL, HEARING))) == {
        "missing": "visual", "utterance": "train/dia0_utt0"
    }  # fmt: skip


def test_another_sound_makes_the_pictures_stale_that_are_read_with_it(done):
    talking = ALL | {Modality.VISUAL: HEARING}
    plan = plan_cells(manifest(), talking, done)
    assert plan.reasons() == ["visual: setting speaker default -> talking (3 cells)"]
    run(done, plan, talking, "2026-01-02")
    other = manifest(audio_sha256=[SHA["one"], SHA["one"], SHA["three"]])
    assert plan_cells(other, ALL, done).pending_count == 0
    plan = plan_cells(other, talking, done)
    assert plan.reasons() == ["visual: 1 changed sound"]
    assert [cell.utterance for cell in plan.pending(Modality.VISUAL)] == ["train/dia0_utt1"]
    later = manifest(visual_start=[1.5, np.nan, np.nan], audio_start=[1.5, np.nan, np.nan])
    assert plan_cells(later, talking, done).reasons() == [
        "audio: 1 changed time span or crop",
        "visual: 1 changed time span or crop",
    ]


def test_everything_is_new_then_nothing_is_pending(tmp_path):
    store = Store(tmp_path)
    plan = plan_cells(manifest(), ALL, store)
    assert states(plan) == {"text": {"new": 3}, "audio": {"new": 3}, "visual": {"new": 3}}
    assert plan.reasons() == ["text: 3 new", "audio: 3 new", "visual: 3 new"]
    run(store, plan, ALL)
    again = plan_cells(manifest(), ALL, store)
    assert states(again) == {"text": {"done": 3}, "audio": {"done": 2, "failed": 1}, "visual": {"done": 3}}
    assert again.pending_count == 0
    assert again.reasons() == []


def test_a_changed_transcript_is_one_text_cell(done):
    plan = plan_cells(manifest(("Yes.", "Never!", "Yes.")), ALL, done)
    assert states(plan)["text"] == {"done": 2, "changed": 1, "orphaned": 1}
    assert plan.pending_count == 1
    assert plan.reasons() == ["text: 1 changed transcript"]


def test_one_of_two_equal_transcripts_changes(done):
    plan = plan_cells(manifest(("Yes.", "No.", "Hm.")), ALL, done)
    assert states(plan)["text"] == {"done": 2, "changed": 1}


def test_a_changed_clip_is_two_cells(done):
    plan = plan_cells(manifest(media=("one", "one", "three")), ALL, done)
    assert plan.pending_count == 0  # the bytes of another clip: they are in the store already
    sha = hashlib.sha256(b"new").hexdigest()
    changed = manifest(audio_sha256=[SHA["one"], sha, SHA["three"]], visual_sha256=[SHA["one"], sha, SHA["three"]])
    plan = plan_cells(changed, ALL, done)
    assert plan.reasons() == ["audio: 1 changed media file", "visual: 1 changed media file"]
    assert plan.pending_count == 2


def test_a_setting_weights_or_code_reach_that_modality_alone(done):
    for over, why in (
        ({"settings": {"feature_set": "IS13"}}, "audio: setting feature_set IS10 -> IS13 (3 cells)"),
        ({"weights": {"file": "ab"}}, "audio: weights file None -> ab (3 cells)"),
        ({"engine": {"opensmile": "3"}}, "audio: engine opensmile None -> 3 (3 cells)"),
        ({"code": {"read_audio": "2", "_frames": "3"}}, "audio: code changed: _frames, read_audio (3 cells)"),
    ):
        plan = plan_cells(manifest(), ALL | {Modality.AUDIO: AUDIO | over}, done)
        assert plan.reasons() == [why]
        assert plan.pending_count == 3


def test_media_that_appear_and_disappear_and_a_removed_transcript(done):
    gone = manifest(("Yes.", "", "Yes."), media=("one", "", "three"))
    plan = plan_cells(gone, ALL, done)
    assert plan.reasons() == [
        "text: 1 transcript removed",
        "audio: 1 media file removed",
        "visual: 1 media file removed",
    ]
    for modality, extractor in ALL.items():
        made = [Cell(c.fingerprint, c.utterance, Status.MISSING_MEDIA, c.input) for c in plan.pending(modality)]
        done.commit(Origin("toy", modality, extractor, "r2", "2026-02-01", 1.0), made)
    assert plan_cells(gone, ALL, done).pending_count == 0
    sha = hashlib.sha256(b"found").hexdigest()
    back = manifest(("Yes.", "So.", "Yes."), audio_sha256=[SHA["one"], sha, SHA["three"]])
    assert plan_cells(back, ALL, done).reasons() == ["text: 1 transcript added", "audio: 1 media file added"]


def test_failures_are_retried_only_on_request(done):
    plan = plan_cells(manifest(), ALL, done, retry_failed=True)
    assert plan.reasons() == ["audio: 1 retry of corrupt_media"]


def test_a_moved_corpus_folder_changes_nothing(done):
    assert plan_cells(manifest(root="/elsewhere"), ALL, done).pending_count == 0


def test_a_changed_span_or_crop_is_named(done):
    plan = plan_cells(manifest(crop=["left", "", ""]), ALL, done)
    assert plan.reasons() == ["visual: 1 changed time span or crop"]


def test_another_extractor_under_the_same_modality_is_named():
    other = TEXT | {"name": "imported"}
    assert difference(TEXT, {}, other, {}) == "extractor transformer -> imported"


def test_what_is_looked_up_by_utterance_is_never_shared_between_equal_transcripts(done):
    imported = TEXT | {"name": "imported", "reads": "utterance"}
    plan = plan_cells(manifest(), {Modality.TEXT: imported}, done)
    assert len(set(plan.fingerprints(Modality.TEXT))) == 3
    assert [json.loads(cell.input)["utterance"] for cell in plan.pending(Modality.TEXT)] == [
        "train/dia0_utt0", "train/dia0_utt1", "train/dia0_utt2",
    ]  # fmt: skip
    assert plan.reasons() == ["text: 3 taken from a feature file now"]


def test_orphans_are_counted(done):
    two = manifest(("Yes.", "No."), media=("one", "two"))
    assert plan_cells(two, ALL, done).counts()["visual"][State.ORPHANED] == 1


@pytest.mark.slow
@given(st.lists(st.text(min_size=1).filter(lambda t: "\x00" not in t), min_size=1, max_size=5))
def test_equal_fingerprints_mean_equal_transcripts(texts):
    columns = {
        name: manifest().table[name].iloc[[0] * len(texts)].tolist()
        for name in ("split", "dialogue", "speaker", "label")
    }
    table = Manifest.of(
        "toy", Path("/"), ("joy",),
        columns | {"utterance": [f"u{k}" for k in range(len(texts))], "turn": list(range(len(texts))), "text": texts},
    )  # fmt: skip
    keys = fingerprints(table.table, Modality.TEXT, TEXT)
    assert len({keys[at : at + 32] for at in range(0, len(keys), 32)}) == len(set(texts))


WAVLM = {"name": "transformer", "settings": {}, "weights": {"model": "wavlm"}, "engine": {}, "code": {}}
HUBERT = WAVLM | {"weights": {"model": "hubert"}}


def test_another_extractor_of_a_modality_recomputes_nothing_and_replaces_nothing(done):
    more = {FeatureName(name): extractor for name, extractor in ALL.items()} | {FeatureName("audio.wavlm"): WAVLM}
    plan = plan_cells(manifest(), more, done)
    assert states(plan) == {
        "text": {"done": 3}, "audio": {"done": 2, "failed": 1}, "visual": {"done": 3}, "audio.wavlm": {"new": 3},
    }  # fmt: skip
    assert plan.reasons() == ["audio.wavlm: 3 new"]
    assert {cell.feature for cell in plan.pending(FeatureName("audio.wavlm"))} == {"audio.wavlm"}
    assert plan.fingerprints(Modality.AUDIO) == plan_cells(manifest(), ALL, done).fingerprints(Modality.AUDIO)


def run_all(store: Store, extractors) -> None:
    plan = plan_cells(manifest(), extractors, store)
    for feature in plan.features:
        made = [
            Cell(c.fingerprint, c.utterance, Status.OK, c.input, np.ones(3, np.float32)) for c in plan.pending(feature)
        ]
        if made:
            store.commit(Origin("toy", feature.modality, extractors[feature], "r", "2026-01-02", 1.0), made)


def test_two_extractors_of_one_kind_are_told_apart(done):
    both = {FeatureName("audio.a"): WAVLM, FeatureName("audio.b"): HUBERT}
    run_all(done, {FeatureName("audio.a"): WAVLM})
    plan = plan_cells(manifest(), both, done)
    assert states(plan) == {"audio.a": {"done": 3, "orphaned": 3}, "audio.b": {"new": 3}}, (
        "not changed: a is still read"
    )
    changed = plan_cells(manifest(), {FeatureName("audio.a"): HUBERT}, done)
    assert changed.reasons() == ["audio.a: weights model wavlm -> hubert (3 cells)"]
    run_all(done, both)
    assert states(plan_cells(manifest(), both, done)) == {"audio.a": {"done": 3, "orphaned": 3}, "audio.b": {"done": 3}}
    renamed = {FeatureName("audio.c"): WAVLM}
    assert states(plan_cells(manifest(), renamed, done)) == {"audio.c": {"done": 3, "orphaned": 6}}, (
        "a name is no input"
    )
