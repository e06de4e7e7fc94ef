"""fsck, gc, store, export and the estimate on the command line, on a project of imported features: no model runs."""

import json
import os
import shutil
import socket
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bigfusion.flows import cli
from bigfusion.flows.project import cells, corpus, garbage, runs
from bigfusion.flows.project import needs as needed
from bigfusion.flows.project.load import load
from bigfusion.flows.stages.extract import extract
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import StoreError
from bigfusion.pipeline.schema import Modality
from bigfusion.pipeline.store.folder import ShardFolder
from bigfusion.pipeline.store.needs import decode_reach, encode_reach
from tests.helpers.own_features import features

SETTINGS = ["--set", "model.modalities=['text', 'audio']", "--set", "extract.chunk_size=20"]


class Place:
    """A project on imported features, and the command line on it."""

    def __init__(self, folder: Path, capsys) -> None:
        self.folder, self.capsys = folder, capsys
        self.config = folder / "mine/bigfusion.toml"

    def answer(self, *command: str, code: int = 0, settings=()):
        self.capsys.readouterr()
        assert cli.main([*command, "--config", str(self.config), "--json", *SETTINGS, *settings]) == code
        return json.loads(self.capsys.readouterr().out)

    def shards(self) -> list[Path]:
        return sorted(path for path in (self.folder / "mine/work/store").glob("[atv]*/*.parquet"))

    def project(self, *assignments: str):
        return load(self.config, None, [SETTINGS[1], SETTINGS[3], *assignments])


@pytest.fixture
def place(tmp_path, capsys, monkeypatch) -> Place:
    monkeypatch.chdir(tmp_path)
    features(tmp_path / "mine.parquet")
    assert cli.main(["import", "mine.parquet", *SETTINGS]) == 0
    return Place(tmp_path, capsys)


def test_fsck_finds_repairs_and_the_plan_shows_exactly_those_cells(place):
    assert place.answer("fsck")["findings"] == []
    victim = place.shards()[3]
    held = pd.read_parquet(victim, columns=["fingerprint"])["fingerprint"].nunique()
    payload = bytearray(victim.read_bytes())
    payload[len(payload) // 2] ^= 1
    victim.write_bytes(payload)
    found = place.answer("fsck", code=3)
    assert [finding["item"] for finding in found["findings"]] == [victim.name]
    assert place.answer("plan", code=2)["pending_cells"] == 0  # its index still knows what it held
    assert place.answer("fsck", "--repair", code=3)["repaired"]
    plan = place.answer("plan", code=2)
    assert plan["cells"][victim.name.split("-")[0]]["new"] == plan["pending_cells"] == held
    sampled = place.answer("fsck", "--sample", "50%")
    assert (sampled["shards"], sampled["checked"], sampled["findings"]) == (7, 4, [])


def test_compaction_and_gc_leave_the_same_features(place):
    before = exported(place, "before")
    assert place.answer("store", "info")["shards"] == 8
    compacted = place.answer("store", "compact")
    assert (compacted["small"], len(compacted["written"])) == (8, 2)
    assert place.answer("gc")["items"] == []
    dry = place.answer("gc", "--grace", "0")
    assert (len(dry["items"]), dry["applied"], len(place.shards())) == (8, False, 10)
    assert place.answer("gc", "--grace", "0", "--apply")["applied"]
    assert sorted(path.name for path in place.shards()) == sorted(compacted["written"])
    assert place.answer("store", "info")["duplicates"] == 0
    pd.testing.assert_frame_equal(exported(place, "after"), before)


def exported(place: Place, name: str) -> pd.DataFrame:
    place.answer("export", name)
    return pd.concat(
        [pd.read_parquet(place.folder / name / f"data/{split}.parquet") for split in ("train", "validation", "test")]
    )


def test_export_is_what_was_imported_with_a_card(place):
    frame, source = exported(place, "out"), pd.read_parquet(place.folder / "mine.parquet")
    assert frame["utterance"].tolist() == source["utterance"].tolist()
    np.testing.assert_array_equal(np.stack(frame["text"]), np.stack(source["text"]))
    assert frame["audio"].isna().tolist() == [k == 5 for k in range(72)]
    np.testing.assert_array_equal(np.stack(frame["audio"].dropna()), np.stack(source["audio"].drop(5)))
    assert frame["audio_status"].value_counts().to_dict() == {"ok": 71, "missing_media": 1}
    card = (place.folder / "out/README.md").read_text()
    for part in ("license: other", "path: data/validation.parquet", "| `audio` | 3 | 71 | 1 missing_media |", "owner"):
        assert part in card
    assert "`ImportedExtractor" in card
    facts = json.loads((place.folder / "out/croissant.json").read_text())
    for file in facts["distribution"]:
        assert sha256((place.folder / "out" / file["contentUrl"]).read_bytes()).hexdigest() == file["sha256"]
    place.capsys.readouterr()
    assert cli.main(["export", "out", "--config", str(place.config), *SETTINGS]) == 1
    assert "expected a folder that is empty" in place.capsys.readouterr().err


@pytest.mark.slow
def test_an_export_is_loaded_by_datasets_as_it_stands(place, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    frame = exported(place, "out")

    loaded = datasets.load_dataset(str(place.folder / "out"), cache_dir=str(place.folder / "cache"))

    assert list(loaded) == ["train", "validation", "test"]
    again = pd.concat([split.to_pandas() for split in loaded.values()])
    pd.testing.assert_frame_equal(again, frame)
    assert str(loaded["train"].features["text"].feature.dtype) == "float32"


@pytest.mark.slow
def test_an_exports_croissant_is_valid_and_gives_its_rows(place):
    croissant = pytest.importorskip("mlcroissant")
    frame = exported(place, "out")

    dataset = croissant.Dataset(jsonld=place.folder / "out/croissant.json")

    assert not dataset.metadata.ctx.issues.errors
    assert not dataset.metadata.ctx.issues.warnings
    assert [records.id for records in dataset.metadata.record_sets] == ["train", "validation", "test"]
    rows = list(dataset.records("validation"))
    wanted = pd.read_parquet(place.folder / "out/data/validation.parquet")
    assert [row["validation/utterance"].decode() for row in rows] == wanted["utterance"].tolist()
    assert [row["validation/turn"] for row in rows] == wanted["turn"].tolist()
    np.testing.assert_array_equal(np.stack([row["validation/text"] for row in rows]), np.stack(wanted["text"]))
    assert {field.name for field in dataset.metadata.record_sets[0].fields} == set(frame.columns)


def test_gc_keeps_what_runs_and_other_workspaces_need(place):
    """The features change: the old cells stay while a run, or another workspace on the same shards, needs them."""
    project = place.project()
    planned = cells.plan(project, corpus.kept(project))
    run = runs.run_of(project, corpus.kept(project), planned)
    run.begin(planned)
    before = place.shards()
    features(place.folder / "mine.parquet", shift=1.0)
    assert cli.main(["import", "mine.parquet", *SETTINGS]) == 0
    assert len(place.shards()) == 2 * len(before)
    assert place.answer("gc", "--grace", "0")["items"] == []
    (run.folder / runs.CELLS).write_bytes(b"PAR1")
    place.capsys.readouterr()
    assert cli.main(["gc", "--grace", "0", "--apply", "--config", str(place.config), *SETTINGS]) == 1
    assert "nothing was removed" in place.capsys.readouterr().err
    for path in run.folder.iterdir():
        path.unlink()
    other = ["workspace.path=other", f"workspace.store={place.folder / 'mine/work/store'}"]
    elsewhere = place.project(*other)
    corpus.ingest(elsewhere)
    needed.publish_needs(elsewhere)
    assert len(list(ShardFolder(project.store).needs())) == 2
    assert {Path(item["path"]) for item in place.answer("gc", "--grace", "0")["items"]} == set(before)
    assert place.answer("gc", "--grace", "0", "--apply")["applied"]
    assert not set(before) & set(place.shards())
    assert place.answer("plan", code=2)["pending_cells"] == 0


def test_a_second_machine_leaves_to_the_first_what_it_is_at(place):
    """Cells that another run holds are not computed twice; once it is dead or done they are seen to."""
    project = place.project("workspace.path=other", f"workspace.store={place.folder / 'shared'}")
    manifest = corpus.ingest(project).manifest
    part = cells.plan(project, manifest).pending(Modality.TEXT)[:10]
    claims = ShardFolder(project.store).claims()
    with claims.take(cell.fingerprint for cell in part[:4]):
        (first,) = cells.extract_chunk(project, manifest, part, "second")
        assert set(first.left) == {cell.fingerprint for cell in part[:4]}
        assert first.statuses == {"ok": 6}
    (second,), (third,) = (cells.extract_chunk(project, manifest, part, "second") for _ in range(2))
    assert (second.statuses, third.statuses) == ({"ok": 4}, {})
    extract(project)
    assert project.files.store().info()["duplicates"] == 0


def test_the_estimate_goes_by_what_was_recorded(place):
    project = place.project()
    store = project.files.store()
    store.index.query("UPDATE origins SET seconds = 5.0")  # twenty cells a chunk, the last two of them twelve
    store.close()
    features(place.folder / "mine.parquet", shift=2.0)
    estimate = place.answer("plan", code=2)["estimate"]
    assert estimate["extract"] == {"text": pytest.approx(5.0 * 4), "audio": pytest.approx(5.0 * 4)}
    assert estimate["train"] == {"seconds": None}


def test_an_explanation_shows_what_differs(place):
    assert place.answer("explain", "u3")["cells"]["text"]["differences"] == []
    features(place.folder / "mine.parquet", shift=3.0)
    found = place.answer("explain", "u3")["cells"]["text"]
    assert found["state"] == "changed"
    assert [part["component"] for part in found["differences"]] == ["weights.file"]
    assert found["stored"]["run"] == "import"
    assert found["stored"]["versions"]["numpy"]


def test_an_unreadable_store_is_one_line(place):
    with pytest.raises(StoreError, match="expected the list"):
        needed.read_reach(place.folder / "none.parquet")
    for arguments in (["fsck", "--sample", "0"], ["gc", "--grace", "-1"], ["store", "dance"]):
        with pytest.raises(SystemExit):
            cli.main(arguments)


def test_an_import_says_at_once_what_it_needs(place):
    """Or gc of another workspace on the same shards would remove it."""
    project = place.project()
    other = load(place.config, None, [SETTINGS[1], "workspace.path=other", f"workspace.store={project.store}"])
    corpus.ingest(other)
    ((_, mine),) = ShardFolder(project.store).needs()
    planned = cells.plan(project, corpus.kept(project))
    assert {key.hex() for key in decode_reach(mine, "")} == set(runs.reached(planned))
    features(place.folder / "mine.parquet", shift=1.0)
    corpus.ingest(other)
    needed.publish_needs(other)  # and what it found done already, it needs too
    assert garbage.collect_garbage(other, grace=0, apply=True).items == []
    assert len(list(ShardFolder(project.store).needs())) == 2


def needs(place: Place) -> dict[str, set[str]]:
    """The published lists by name: fingerprints, hexadecimal."""
    lists = ShardFolder(place.project().store).needs()
    return {Path(name).name: {key.hex() for key in decode_reach(payload, name)} for name, payload in lists}


def test_what_somebody_comes_to_need_while_gc_looks_stays(place, monkeypatch):
    store = place.project().store
    before = place.shards()
    features(place.folder / "mine.parquet", shift=1.0)
    assert cli.main(["import", "mine.parquet", *SETTINGS]) == 0
    find, kept = garbage.find_garbage, before[0]
    (wanted, *_) = pd.read_parquet(kept, columns=["fingerprint"])["fingerprint"]

    def slowly(*arguments):
        found = find(*arguments)
        ShardFolder(store).publish("another", encode_reach([wanted if isinstance(wanted, str) else wanted.hex()]))
        return found

    monkeypatch.setattr(garbage, "find_garbage", slowly)
    removed = {Path(item["path"]) for item in place.answer("gc", "--grace", "0", "--apply")["items"]}
    assert removed == set(before[1:])
    assert kept.exists()
    assert not removed & set(place.shards())


def test_a_workspace_is_told_from_others_by_what_lies_in_it(place, monkeypatch):
    """Its list keeps its name on a machine of another name; a copied workspace has a list of its own."""
    (name,) = needs(place)
    project, work = place.project(), place.folder / "mine/work"
    monkeypatch.setattr(socket, "gethostname", lambda: "another pod")
    needed.publish_needs(project, anew=True)
    assert needs(place).keys() == {name}
    shutil.copytree(work, place.folder / "copy")
    needed.publish_needs(place.project(f"workspace.path={place.folder / 'copy'}", f"workspace.store={project.store}"))
    assert len(needs(place)) == 2
    work.rename(place.folder / "moved")
    os.symlink(place.folder / "moved", work)  # noqa: PTH211
    needed.publish_needs(project, anew=True)
    assert len(needs(place)) == 2


def test_a_list_of_the_former_name_is_left(place):
    project = place.project()
    (name,) = needs(place)
    former = digest([socket.gethostname(), str(project.work.resolve())])[:16] + ".cells"
    lists = project.store / "reach"
    (lists / name).rename(lists / former)
    (project.work / "id").unlink()
    before = needs(place)[former]
    features(place.folder / "mine.parquet", shift=1.0)
    assert cli.main(["import", "mine.parquet", *SETTINGS]) == 0
    assert needs(place).keys() > {former}
    assert needs(place)[former] == before
    assert place.answer("gc", "--grace", "0")["items"] == []


def test_a_variant_leaves_the_plain_settings_what_they_need(place):
    """Until gc, which goes by the settings that it is called with."""
    ((name, plain),) = needs(place).items()
    text = set(cells.plan(place.project(), corpus.kept(place.project())).fingerprints(Modality.TEXT))
    assert text < plain
    variant = ["--set", "model.modalities=['text']"]
    place.answer("extract", settings=variant)
    assert needs(place) == {name: plain}
    assert len(place.answer("gc", "--grace", "0", settings=variant)["items"]) == 4
    assert needs(place) == {name: plain}  # it has only looked
    place.answer("gc", "--apply", settings=variant)
    assert needs(place) == {name: text}
    place.answer("extract")
    assert needs(place) == {name: plain}


def test_cells_of_a_former_manifest_are_not_kept_for_ever(place):
    (first,) = needs(place).values()
    frame = pd.read_parquet(place.folder / "mine.parquet")
    frame["label"] = 1 - frame["label"]
    frame.to_parquet(place.folder / "mine.parquet")
    assert cli.main(["import", "mine.parquet", *SETTINGS]) == 0
    (second,) = needs(place).values()
    assert second == set(runs.reached(cells.plan(place.project(), corpus.kept(place.project()))))
    assert first != second


def test_a_store_that_is_gone_is_one_line(place):
    commands = ("fsck", "fsck --repair", "gc", "gc --apply", "store info", "store compact", "plan", "explain u3",
                "export out", "status")  # fmt: skip
    store = place.project().store
    for replace in (lambda: None, lambda: store.write_text("a file")):
        store.rename(store.with_name("elsewhere"))
        replace()
        for command in commands:
            place.capsys.readouterr()
            assert cli.main([*command.split(), "--config", str(place.config), *SETTINGS]) == 1, command
            error = place.capsys.readouterr().err.strip()
            assert len(error.splitlines()) == 1, command
            assert "mount it" in error or "Not a directory" in error, command
        store.unlink(missing_ok=True)
        store.with_name("elsewhere").rename(store)
        assert place.answer("fsck")["findings"] == []
