"""Table 2 trains what `train --network` trains."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bigfusion.flows import cli
from bigfusion.flows.commands.common import Common
from bigfusion.flows.commands.reproduce_tables import (
    Asked,
    _facts,
    _shown,
    _with_speakers,
    base_of,
    with_origin,
    without_released,
)
from bigfusion.flows.project.load import load_learning, load_project
from bigfusion.flows.project.write import write_config
from bigfusion.model.data.batch import Dialogue
from bigfusion.model.data.dialogues import Data
from bigfusion.model.kinds import settings_classes
from bigfusion.model.network_settings import bigru
from bigfusion.model.reproduce import ranking
from bigfusion.model.reproduce.systems import System, networks
from bigfusion.model.settings import NETWORKS
from bigfusion.pipeline.errors import SettingsError, TrainingError
from bigfusion.pipeline.tables.labels import MELD
from tests.helpers import own_features
from tests.helpers.command_line import fails

KINDS = list(settings_classes(NETWORKS))
FOUND = {"model": {"width": 64, "layers": 1}, "train": {"epochs": 17, "learning_rate": 2e-3}}


def rows(common: Common, corpus: str | None = "iemocap") -> dict[str, System]:
    given = load_learning(common.config, common.preset, common.settings())
    asked = Asked(2, None, "given", None, released=False, on_file=True)
    return {row.key: row for row in networks(base_of(asked, common, corpus, given.model, given.train))}


@pytest.mark.parametrize("corpus", ["iemocap", "meld", None])
@pytest.mark.parametrize("preset", ["tuned", "best", None])
def test_on_a_file_each_row_is_what_train_would_train(preset, corpus, monkeypatch):
    monkeypatch.setattr(bigru, "TUNED", FOUND, raising=False)
    common = Common(preset=preset, assignments=("train.batch_size=3",))
    made = rows(common, corpus)
    for kind in KINDS:
        alone = load_learning(None, preset, [*common.settings(), f"model.kind={kind}"], lambda: corpus or "")
        assert (made[kind].model, made[kind].train) == (alone.model, alone.train), kind
    assert (made["bigru"].train.epochs, made["bigru"].train.batch_size, made["bigru"].model.width) == (17, 3, 64)


def test_meld_s_classes_in_a_file_bring_the_sizes_that_were_released_for_meld():
    """They were IEMOCAP's, with two speakers: all of a dialogue's others counted as the second."""
    found = {corpus: rows(Common(), corpus)["ga2mif"].model.numbers() for corpus in ("iemocap", "meld", None)}
    assert found["meld"] == {"speakers": 9, "class_weights": 0.0} | found["iemocap"] | {
        "speakers": 9,
        "class_weights": 0.0,
    }
    assert found[None] == found["iemocap"] != found["meld"]


def test_a_row_says_how_many_speakers_its_network_tells_apart_and_no_class_name_stops_the_table():
    crowd = [Dialogue(str(number), tuple("abcdefghijk"), {}, {}, np.arange(11) % number, np.zeros(11, np.int64))
             for number in (3, 11)]  # fmt: skip
    made = rows(Common(), None)
    for speakers, told in ((crowd[:1], 3), (crowd, 9)):
        data = Data(("calm", "loud"), speakers, [], [])
        found = _with_speakers(made["cogmen"], data)
        assert found.model.speakers == told
        assert ("model.speakers = 9: 1 of 2 dialogues have more" in found.note) == (told == 9)
        assert _with_speakers(made["graphsmile"], data).model == made["graphsmile"].model


def test_the_other_tables_train_one_network_with_its_own_numbers():
    common = Common(preset="tuned", assignments=("model.kind=joyful",))
    given = load_learning(None, "tuned", common.settings())
    asked = Asked("features", None, "given", None, released=False, on_file=True)
    base = base_of(asked, common, "iemocap", given.model, given.train)
    assert (base.model, base.train, base.train.learning_rate) == (given.model, given.train, 1e-4)


def test_a_settings_file_lies_above_what_a_search_has_found(monkeypatch, tmp_path):
    monkeypatch.setattr(bigru, "TUNED", FOUND, raising=False)
    path = tmp_path / "own.toml"
    path.write_text("[train]\nepochs = 4\n")
    made = rows(Common(config=path))["bigru"]
    assert (made.train.epochs, made.train.learning_rate) == (4, 2e-3)


def test_preset_paper_gives_no_network_tuned_numbers(monkeypatch):
    monkeypatch.setattr(bigru, "TUNED", FOUND, raising=False)
    made = rows(Common(preset="paper"))
    assert made["bigru"].train == made["bigfusion"].train
    assert made["bigru"].model.width == bigru.SETTINGS().width


def test_in_a_project_only_preset_tuned_gives_them(monkeypatch, tmp_path):
    monkeypatch.setattr(bigru, "TUNED", FOUND, raising=False)
    corpus = '[corpus]\nkind = "meld"\nroot = "."\n'
    for preset, epochs in (("tuned", 17), ("meld", load_project(None, "meld").train.epochs)):
        path: Path = tmp_path / f"{preset}.toml"
        path.write_text(f'preset = "{preset}"\n{corpus}')
        project = load_project(path)
        asked = Asked(2, None, "given", None, released=False, on_file=False)
        base = base_of(asked, Common(config=path), "meld", project.model, project.train)
        made = {row.key: row for row in networks(base)}
        alone = load_project(path, None, ["model.kind=bigru"])
        assert (made["bigru"].train, made["bigru"].train.epochs) == (alone.train, epochs)
        alone = load_project(path, None, ["model.kind=dialogue_rnn"])
        assert made["dialogue_rnn"].model.numbers() == alone.model.numbers()


def test_under_released_a_project_s_training_is_no_rivals(tmp_path):
    write_config(tmp_path / "bigfusion.toml", "iemocap", None, "tuned")
    common = Common(config=tmp_path / "bigfusion.toml", preset="released", assignments=("train.clip=3",))
    asked = asked_for(common, features=None)
    common, _ = without_released(common, None)
    project = load_project(common.config, None, common.settings())
    rows = networks(base_of(asked, common, "iemocap", project.model, project.train))
    made = {row.key: row.train for row in rows}
    assert (made["bigfusion"].smoothing, made["bigfusion"].average) == (0.1, 0.99)
    assert (made["sdt"].smoothing, made["sdt"].average, made["sdt"].clip, made["sdt"].epochs) == (0, 0, 3, 150)
    assert made["cmcf_srnet"].patience == 10
    caveat = _facts(asked, None, Data(("calm", "loud"), [], [], []), ["given"], rows, {"rows": []})["caveats"][0]
    assert caveat.startswith("Trained with own settings: ") and "train.smoothing = 0.1, " in caveat
    assert caveat.endswith(
        " A network with released numbers learns by these alone, but for what --set changes of train."
    )


def asked_for(common: Common, table: int | str = 2, features: Path | None = Path("f.parquet")) -> Asked:
    common, released = without_released(common, features)
    return with_origin(Asked(table, None, "given", None, released, on_file=features is not None), common)


def test_a_table_says_what_it_was_trained_under_and_overwrites_no_other():
    """It said `tuned` whatever was trained, and the files of preset `tuned` were written over."""
    plain, paper = asked_for(Common()), asked_for(Common(preset="paper"))
    assert (plain.name, plain.own) == ("table-2-tuned", {})
    assert asked_for(Common(preset="best")).name == "table-2-best"
    assert (paper.preset, paper.name) == ("paper", "table-2-paper")
    assert asked_for(Common(assignments=("train.seeds=[4]", "train.threads=2"))) == plain, "they change no number"
    few, more = (asked_for(Common(assignments=(f"train.epochs={number}",))) for number in (2, 3))
    assert (few.preset, few.own) == ("tuned", {"train.epochs": 2})
    assert len({plain.name, few.name, more.name, paper.name}) == 4
    assert few.name.startswith("table-2-tuned-")
    released = asked_for(Common(preset="released", assignments=("model.width=64",)))
    assert (released.preset, released.own) == ("released", {"model.width": 64})


def test_a_value_of_the_preset_is_a_setting_of_ones_own_where_it_lies_above_a_networks(tmp_path):
    """COGMEN has a rate of its own under `tuned`, which the shared rate above it replaces."""
    common = Common(assignments=("train.learning_rate=1e-3", "model.feature_dropout=0.3"))
    assert asked_for(common).own == {"train.learning_rate": 1e-3}
    assert asked_for(common, 3).own == {}
    assert asked_for(Common(preset="tuned", assignments=("model.kind=joyful",)), "features").own == {
        "model.kind": "joyful"
    }


def test_a_project_s_table_is_called_by_the_project_s_preset(tmp_path):
    path = tmp_path / "bigfusion.toml"
    for preset, found in (("meld", "meld"), ("tuned", "tuned"), (None, "")):
        line = f'preset = "{preset}"\n' if preset else ""
        path.write_text(f'{line}[corpus]\nkind = "meld"\nroot = "."\n[train]\nseeds = [1]\n')
        made = asked_for(Common(config=path), features=None)
        assert (made.preset, made.own, made.name) == (found, {}, f"table-2-{found or 'defaults'}")
    write_config(tmp_path / "whole" / "bigfusion.toml", "meld", None)
    common = Common(config=tmp_path / "whole" / "bigfusion.toml")
    assert asked_for(common, features=None).name == "table-2-meld", "the file repeats the preset's values"
    released = asked_for(replace(common, preset="released"), features=None)
    assert (released.preset, released.own["preset"]) == ("released", "meld"), "BIG-FUSION's"


def test_a_setting_that_no_row_reads_is_refused(tmp_path, capsys):
    """It trained MMGCN with its 64 layers, whatever was asked for."""
    own_features.features(tmp_path / "f.parquet")
    asked = ["reproduce", "--table", "2", "--features", str(tmp_path / "f.parquet"), "--out", str(tmp_path / "out")]
    line = fails(capsys, *asked, "--rows", "mmgcn", "--set", "model.layers=4")
    assert "--set model.layers: expected a setting that a row reads" in line
    assert "`bigfusion train --network mmgcn --set model.layers=...`" in line
    assert not list(tmp_path.glob("out/runs/*"))


@pytest.mark.parametrize(("name", "title"), [("own", "own data"), ("meld", "MELD")])
def test_the_papers_figures_stand_only_beside_a_corpus_that_is_known(name, title, tmp_path, capsys, monkeypatch):
    """A corpus of one's own with the seven usual emotions got MELD's title, and the paper's figures without a word."""
    path = tmp_path / f"{name}.parquet"
    own_features.features(path)
    table = pd.read_parquet(path)
    table.assign(label=[MELD[row % 7] for row in range(len(table))]).to_parquet(path)
    monkeypatch.setattr(ranking, "_row", lambda *_: (_ for _ in ()).throw(TrainingError("not trained here")))
    monkeypatch.setattr(ranking, "_costs", lambda _, systems, __: {system.key: "" for system in systems})
    asked = ["reproduce", "--table", "2", "--features", str(path), "--out", str(tmp_path / "out"), "--json"]
    assert cli.main([*asked, "--rows", "logistic,cogmen", "--set", "train.epochs=4"]) == 1
    found = json.loads(capsys.readouterr().out)
    figures = {row["key"]: row["paper"] and row["paper"]["weighted_f1"] for row in found["rows"]}
    assert found["title"] == f"Table 2: systems on {title}"
    assert figures == {"logistic": None, "cogmen": 58.66 if name == "meld" else None}
    assert found["caveats"][0] == "Trained with own settings, above preset tuned: train.epochs = 4."
    assert ("the paper's figures are left out" in " ".join(found["caveats"])) == (name == "own")


@pytest.mark.parametrize("rows", ["bigfusion,mm_dfn", "bigfusion"])
def test_a_setting_of_one_row_alone_is_not_told_of_the_others(rows, tmp_path, capsys, monkeypatch):
    """The table said that all was trained with it."""
    own_features.features(tmp_path / "f.parquet")
    monkeypatch.setattr(ranking, "_row", lambda *_: (_ for _ in ()).throw(TrainingError("not trained here")))
    monkeypatch.setattr(ranking, "_costs", lambda _, systems, __: {system.key: "" for system in systems})
    asked = ["reproduce", "--table", "2", "--features", str(tmp_path / "f.parquet"), "--out", str(tmp_path / "out")]
    model = ["--set", 'model.centred=["audio"]', "--set", 'model.modalities=["text"]']
    assert cli.main([*asked, "--json", "--rows", rows, "--set", "train.epochs=4", *model]) == 1
    said = capsys.readouterr()
    alone = "No row but BIG-FUSION's has model.centred; the other networks keep their own."
    found = json.loads(said.out)["caveats"][0]
    assert found.startswith("Trained with own settings, above preset tuned: ")
    assert ('model.centred = ["audio"]' in found, alone in found, f"reproduce: {alone}" in said.err) == (
        (True, True, True) if rows != "bigfusion" else (True, False, False)
    )


def test_another_network_as_the_reference_is_refused():
    with pytest.raises(SettingsError, match="choose networks with --rows"):
        rows(Common(assignments=("model.kind=bigru",)))


def test_the_terminal_shows_all_but_the_classes():
    failed = {"name": "biGRU", "paper": {"weighted_f1": 61.0}, "failed": "for this reason"}
    shown = _shown({"labels": ["calm", "loud"], "references": [], "rows": [failed]})
    head, row = shown.splitlines()[:2]
    for name in ("system", "weighted F1", "paper", "accuracy", "parameters", "s / epoch", "MiB", "test-picked"):
        assert name in head
    assert "calm" not in head and "loud" not in head and row.split() == ["biGRU", "failed", "61.00"]
