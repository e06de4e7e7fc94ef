"""The committed workspace of release 0.1.0: this version reads it, and refuses one that a newer version has changed."""

import json
import re
import shutil
import sqlite3

import pytest

from bigfusion.flows.project.promotion import FORMAT
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.schema import Modality, Split
from bigfusion.pipeline.store.fsck import fsck
from bigfusion.pipeline.store.store import Store
from tests.helpers.release_workspace import FOLDER
from tests.helpers.small_project import Place

RUN = json.loads((FOLDER / "work/current.json").read_bytes())["current"]
READERS = (("plan",), ("report", "--run", RUN), ("status",), ("models",), ("fsck",))


@pytest.fixture
def released(tmp_path, capsys) -> Place:
    shutil.copytree(FOLDER, tmp_path / "released")
    return Place(tmp_path / "released", capsys)


def files(place: Place) -> dict[str, bytes]:
    """What must not change when a newer workspace is refused. (The index keeps plans; it is looked at by itself.)"""
    folder = place.folder / "work"
    kept = [path for name in ("store", "runs") for path in (folder / name).rglob("*") if path.is_file()]
    kept += [folder / name for name in ("manifest.parquet", "current.json")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def test_every_command_reads_it_and_none_speaks_of_formats(released):
    for command in READERS:
        code = released.run(*command)
        said = released.capsys.readouterr()
        assert code in ((0, 2) if command == ("plan",) else (0,)), said.err
        for word in ("format", "version", "damaged", "rebuilt", "built again"):
            assert word not in said.out + said.err, f"{command}: {said}"


def test_its_model_is_the_current_one_and_its_scores_are_those_that_were_written(released):
    assert released.run("models", "--json") == 0
    (model,) = json.loads(released.capsys.readouterr().out)["models"]
    written = json.loads((FOLDER / f"work/runs/{RUN}/metrics.json").read_bytes())
    assert (model["run"], model["current"], model["state"]) == (RUN, True, "promoted")
    assert model["weighted_f1"] == written["weighted_f1"]
    assert released.run("status") == 0
    assert re.search(rf"^{RUN} .* promoted ", released.capsys.readouterr().out, re.MULTILINE), "the word of `models`"


def test_status_shows_the_rest_where_the_register_is_damaged(released):
    (released.folder / "work/current.json").write_text("{")
    assert released.run("status") == 0
    said = released.capsys.readouterr()
    assert "what was decided on the runs is not known: " in said.err and "restore it from a back-up" in said.err
    assert re.search(rf"^{RUN} .* evaluated ", said.out, re.MULTILINE)


def test_its_shards_verify(released):
    work = released.folder / "work"
    report = fsck(work / "store", work / "index.sqlite")
    assert (report.findings, report.checked, report.cells) == ([], 1, 24)


@pytest.mark.slow
def test_its_run_predicts_as_it_did(released):
    """The checkpoint is read by the present code; the predictions were written by the code of then."""
    import numpy as np
    import pandas as pd
    import torch

    from bigfusion.flows.project.assemble import dialogues
    from bigfusion.model.runs import checkpoint
    from bigfusion.model.scoring.predict import predict

    work = released.folder / "work"
    manifest = Manifest.read(work / "manifest.parquet")
    names = manifest.table["utterance"].tolist()
    with Store(work / "store") as store:
        known = store.records(manifest.corpus, names, Modality.TEXT)
        values, present = store.read(Modality.TEXT, [known[name].fingerprint for name in names])
    scored = dialogues(manifest, {"text": (values, present)})[Split.TEST]
    loaded = checkpoint.load(work / f"runs/{RUN}/seed-0", torch.device("cpu"))
    logits = torch.cat([predict(loaded.network, [one], torch.device("cpu"), 1) for one in scored])
    written = pd.read_parquet(work / f"runs/{RUN}/predictions.parquet").query("split == 'test'")
    assert [loaded.facts.labels[n] for n in logits.argmax(1).tolist()] == written["predicted"].tolist()
    probabilities = written[[f"p_{label}" for label in loaded.facts.labels]].to_numpy()
    np.testing.assert_allclose(logits.softmax(1).numpy(), probabilities, atol=1e-5)


def _shard(place: Place) -> str:
    from bigfusion.pipeline.store import shards
    from bigfusion.pipeline.store.folder import ShardFolder

    folder = place.folder / "work/store"
    (path,) = folder.rglob("text-*.parquet")
    old = shards.decode(path.name, path.read_bytes())
    before, shards.FORMAT = shards.FORMAT, shards.FORMAT + 1
    try:
        name, payload = shards.encode(old.origins, old.cells()[:3])
    finally:
        shards.FORMAT = before
    ShardFolder(folder).write(name, payload)
    return name


def _index(place: Place) -> str:
    path = place.folder / "work/index.sqlite"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    return "index.sqlite"


def _json(name: str):
    def changed(place: Place) -> str:
        path = place.folder / "work" / name
        path.write_text(json.dumps(json.loads(path.read_bytes()) | {"format": FORMAT + 1, "unheard": {"of": 1}}))
        return path.name

    return changed


def _manifest(place: Place) -> str:
    from bigfusion.pipeline.manifest import manifest as module

    path = place.folder / "work/manifest.parquet"
    manifest = module.Manifest.read(path)
    before, module.FORMAT = module.FORMAT, module.FORMAT + 1
    try:
        manifest.write(path)
    finally:
        module.FORMAT = before
    return path.name


@pytest.mark.parametrize(
    ("change", "commands"),
    [
        (_shard, ("plan", "status", "fsck")),
        (_index, ("plan", "status", "fsck")),
        (_manifest, ("plan", "status")),
        (_json(f"runs/{RUN}/run.json"), ("plan", "models", "status")),
        (_json("current.json"), ("plan", "models", "status")),
    ],
    ids=["store", "index", "manifest", "run", "current"],
)
def test_an_older_program_refuses_what_a_newer_one_wrote_in_one_line_and_changes_nothing(released, change, commands):
    item = change(released)
    index = released.folder / "work/index.sqlite"
    before, indexed = files(released), index.read_bytes()
    for command in commands:
        assert released.run(command) == 1, command
        said = released.capsys.readouterr()
        (line,) = said.err.strip().splitlines()
        assert line.startswith("bigfusion: "), line
        for part in (item, "expected format", "found", "a newer version wrote it; use that version"):
            assert part in line, (command, line)
    assert files(released) == before
    if change is _index:
        assert index.read_bytes() == indexed
