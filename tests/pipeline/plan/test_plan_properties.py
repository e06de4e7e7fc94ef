"""Ids, fingerprints and plans under whatever a corpus may hold."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigfusion.pipeline.digests.values import canonical
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.fingerprints import fingerprints, inputs
from bigfusion.pipeline.plan.plan import plan_cells
from bigfusion.pipeline.schema import Modality, Status
from bigfusion.pipeline.store.shards import Cell, Origin, is_shard
from bigfusion.pipeline.store.store import Store

MAKER = {"name": "extractors.audio", "settings": {"rate": 5}, "weights": {}, "engine": {}, "code": {}}
SECONDS = st.none() | st.floats(0, 1e4).map(lambda value: round(value, 3))


def manifest(rows: list[dict]) -> Manifest:
    n = len(rows)
    columns = {
        "utterance": [row.get("id", f"u{k}") for k, row in enumerate(rows)],
        "split": ["train"] * n,
        "dialogue": ["d"] * n,
        "turn": list(range(n)),
        "speaker": ["A"] * n,
        "text": [row.get("text", "") for row in rows],
        "label": ["joy"] * n,
    }
    for kind in ("audio", "visual"):
        columns[f"{kind}_path"] = [f"{k}.mp4" for k in range(n)]
        columns[f"{kind}_sha256"] = [row.get("sha256", "") for row in rows]
        columns[f"{kind}_start"] = [row.get("start") for row in rows]
        columns[f"{kind}_end"] = [None] * n
    columns["crop"] = [row.get("crop", "") for row in rows]
    return Manifest.of("toy", Path("/data"), ("joy",), columns)


ROW = st.fixed_dictionaries(
    {
        "text": st.text(max_size=8).filter(lambda text: "\x00" not in text),
        "sha256": st.sampled_from(["", *(hashlib.sha256(bytes([k])).hexdigest() for k in range(3))]),
        "start": SECONDS,
        "crop": st.sampled_from(["", "left", "right"]),
    }
)
ROWS = st.lists(ROW, min_size=1, max_size=6)
HOSTILE = ["..", "../up", "a/../b", "/etc/passwd", "a//b", "a\\b", "a\x00b", "a\nb", "", ".", "a/", "\x1b[2J"]


@pytest.mark.parametrize("name", HOSTILE)
def test_an_id_that_could_be_a_path_or_worse_is_refused_and_named(name):
    with pytest.raises(CorpusError, match="expected an id without"):
        manifest([{"id": name}])


ODD = ["-rf", "--help", "-", "~", "$HOME", "con", "a b", "%s", "'; DROP TABLE cells"]


@pytest.mark.slow
@given(st.text(max_size=12) | st.sampled_from(ODD))
def test_no_id_ever_becomes_a_path(tmp_path_factory, name):
    """An id is refused, or it is stored and read as it is; no file is named after it."""
    try:
        made = manifest([{"id": name, "text": "x"}])
    except CorpusError:
        return
    folder = tmp_path_factory.mktemp("ids")
    store = Store(folder)
    finish(store, made)
    assert store.record(plan_cells(made, ALL, store).fingerprints(Modality.TEXT)[0]).utterance == name
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert all(is_shard(name) or name.startswith("index.sqlite") for name in names)


@given(ROWS, st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=3))
def test_inputs_are_canonical_and_fingerprints_differ_exactly_where_extractor_or_input_do(rows, settings):
    """The fast writer against the documented form, JSON of what the extractor reads; and the keys made of it."""
    made = manifest(rows)
    for modality in Modality:
        texts = list(inputs(made.table, modality, MAKER))
        for row, text in zip(rows, texts, strict=True):
            value = json.loads(text)
            assert canonical(value).decode() == text
            if modality is Modality.TEXT and row["text"]:
                assert value == {"text": hashlib.sha256(row["text"].encode()).hexdigest()}
            elif modality is not Modality.TEXT and row["sha256"]:
                expected = {"sha256": row["sha256"], "start": row["start"], "end": None}
                assert value == expected | ({"crop": row["crop"]} if modality is Modality.VISUAL else {})
        one = fingerprints(made.table, modality, MAKER)
        other = fingerprints(made.table, modality, MAKER | {"settings": settings})
        keys = [one[at : at + 32] for at in range(0, len(one), 32)]
        assert len(set(zip(keys, texts, strict=True))) == len(set(keys)) == len(set(texts))
        assert not set(keys) & {other[at : at + 32] for at in range(0, len(other), 32)}


ALL = {modality: MAKER | {"name": f"extractors.{modality}"} for modality in Modality}


def finish(store: Store, made: Manifest) -> int:
    """Compute what is pending; every third cell is a failure. Returns how many there were."""
    plan, count = plan_cells(made, ALL, store), 0
    for modality in plan.features:
        cells = [
            Cell(cell.fingerprint, cell.utterance, Status.SILENT, cell.input, None, "flat")
            if int(cell.fingerprint, 16) % 3 == 0
            else Cell(cell.fingerprint, cell.utterance, Status.OK, cell.input, np.ones(2, np.float32))
            for cell in plan.pending(modality)
        ]
        if cells:
            store.commit(Origin("toy", modality, ALL[modality], "r", "2026-01-01", 1.0), cells)
        count += len(cells)
    return count


@pytest.mark.slow
@given(st.lists(ROWS, min_size=1, max_size=3))
def test_a_plan_is_pending_exactly_where_the_store_has_nothing_and_a_kept_plan_is_the_same(tmp_path_factory, versions):
    folder = tmp_path_factory.mktemp("plans")
    store = Store(folder / "s", folder / "one.sqlite")
    stored = set()
    for rows in versions:
        made = manifest(rows)
        plan = plan_cells(made, ALL, store)
        for modality in Modality:
            keys = plan.fingerprints(modality)
            assert {cell.fingerprint for cell in plan.pending(modality)} == set(keys) - stored
            assert [cell.utterance for cell in plan.pending(modality)] == [
                name for name, key in zip(made.table["utterance"], keys, strict=True) if key not in stored
            ]
            counts = plan.counts()[modality]
            assert sum(counts.values()) - counts["orphaned"] == len(rows)
            stored |= set(keys)
        finish(store, made)
        kept = [plan_cells(made, ALL, store) for _ in range(2)]
        fresh = plan_cells(made, ALL, Store(folder / "s", folder / f"{len(stored)}-{id(rows)}.sqlite"))
        for plan in (*kept, fresh):
            assert plan.pending_count == 0
            assert plan.parts == kept[0].parts
        retried = plan_cells(made, ALL, store, retry_failed=True)
        assert retried.pending_count == sum(sum(part.failures.values()) for part in fresh.parts.values())


def test_a_kept_plan_does_not_outlive_what_it_depends_on(tmp_path):
    store = Store(tmp_path)
    one, other = manifest([{"text": "Yes."}]), manifest([{"text": "No."}])
    finish(store, one)
    assert plan_cells(one, ALL, store).pending_count == 0
    assert plan_cells(one, ALL, store).pending_count == 0  # kept now
    assert plan_cells(other, ALL, store).pending_count == 1
    changed = ALL | {Modality.AUDIO: MAKER | {"code": {"pipeline/media.py": "2"}}}
    assert plan_cells(one, changed, store).pending_count == 1
    for path in tmp_path.glob("text/*.parquet"):
        path.unlink()
    store.refresh()
    assert plan_cells(one, ALL, store).pending_count == 1
    finish(store, one)
    assert plan_cells(one, ALL, store).pending_count == 0


def test_a_damaged_kept_plan_is_worked_out_again(tmp_path):
    store = Store(tmp_path)
    made = manifest([{"text": "Yes."}])
    finish(store, made)
    right = plan_cells(made, ALL, store).counts()
    (content,) = store.index.query("SELECT content FROM plans LIMIT 1")[0]
    assert re.search('"done": 1', content)
    store.index.query("UPDATE plans SET content = replace(content, '\"done\": 1', '\"done\": 9')")
    assert plan_cells(made, ALL, store).counts() == right
