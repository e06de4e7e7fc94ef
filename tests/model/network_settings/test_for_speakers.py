"""How many speakers a network tells apart where nobody has said so: as many as the corpus has in a dialogue."""

import tomllib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from bigfusion.flows import cli
from bigfusion.flows.commands.common import Common
from bigfusion.flows.project.effective import OF_CORPUS, effective_settings
from bigfusion.flows.project.load import load_learning
from bigfusion.flows.project.settings_text import settings_text
from bigfusion.model.kinds import settings_classes
from bigfusion.model.network_settings.base import MOST_SPEAKERS
from bigfusion.model.runs import checkpoint
from bigfusion.model.settings import NETWORKS, TrainSettings, network_settings
from bigfusion.model.training.train import fitting, train
from tests.helpers import own_features
from tests.helpers.small_runs import small_data, small_training

KINDS = [kind for kind, settings in settings_classes(NETWORKS).items() if "speakers" in settings.model_fields]
CMCF = {"kind": "cmcf_srnet", "modalities": ["text", "audio"], "width": 8, "heads": 2, "window": 2, "graph_window": 3}


def data(speakers: int):
    """A corpus whose third dialogue has so many speakers, the others two."""
    some = small_data()
    crowd = replace(some.train[2], speakers=np.arange(len(some.train[2].speakers)) % speakers)
    assert len(np.unique(crowd.speakers)) == speakers
    return replace(some, train=[*some.train[:2], crowd, *some.train[3:]])


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_as_a_dialogue_has(kind):
    settings = network_settings({"kind": kind})
    default = settings.speakers
    assert settings.for_speakers(1) is settings and settings.for_speakers(2) is settings, "a release's own size"
    assert settings.for_speakers(5).speakers == max(default, 5)
    assert settings.for_speakers(40).speakers == MOST_SPEAKERS
    chosen = network_settings({"kind": kind, "speakers": 2})
    assert chosen.for_speakers(5) is chosen
    assert settings.for_speakers(5).for_speakers(7).speakers == max(default, 5), "decided once"


@pytest.mark.parametrize("kind", ["cogmen", "joyful"])
def test_relations_without_numbers_leave_the_runs_name_alone(kind):
    settings = network_settings({"kind": kind, "relations": "order"})
    assert settings.for_speakers(5) is settings


def test_to_set_the_default_is_a_trial_where_the_corpus_has_more(tmp_path):
    config = tmp_path / "bigfusion.toml"
    config.write_text('[corpus]\nkind = "table"\npath = "utterances.csv"\n[model]\nkind = "cogmen"\n')
    assert Common(config=config, assignments=("model.speakers=2",)).trial() == "--set model.speakers=2"
    assert Common(config=config, assignments=("train.device=cpu",)).trial() == ""


def test_what_the_corpus_decides_is_not_shown_as_if_it_were_decided():
    for assignments, source in (["model.kind=cogmen"], OF_CORPUS), (["model.kind=cogmen", "model.speakers=2"], "--set"):
        found = effective_settings(None, "iemocap", ["corpus.root=/c", *assignments])
        assert [one["source"] for one in found if one["key"] == "model.speakers"] == [source]
    assert network_settings({"kind": "mmgcn"}).left_to_corpus == frozenset(), "nine by default: no corpus raises it"


def test_a_training_decides_it_and_a_release_for_many_speakers_keeps_its_own(tmp_path):
    train(data(4), network_settings(CMCF), small_training(epochs=1), 0, tmp_path)
    assert checkpoint.load(tmp_path, torch.device("cpu")).facts.model.speakers == 4
    for corpus, told in (("meld", 9), ("", 4)):
        learning = load_learning(None, "tuned", ["model.kind=cmcf_srnet"], lambda corpus=corpus: corpus)
        assert fitting(data(4), learning.model).speakers == told


def test_settings_that_are_written_down_leave_it_to_the_next_corpus():
    model = network_settings(CMCF)
    written = tomllib.loads(settings_text(model, TrainSettings()))["model"]
    assert "speakers" not in written and fitting(data(3), network_settings(written)).speakers == 3
    chosen = tomllib.loads(settings_text(network_settings(CMCF | {"speakers": 2}), TrainSettings()))["model"]
    assert fitting(data(3), network_settings(chosen)).speakers == 2


def test_an_evaluation_on_a_file_with_more_speakers_says_that_some_count_as_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    own_features.features(tmp_path / "two.parquet")
    crowd = pd.read_parquet("two.parquet")
    crowd.assign(speaker=["A", "B", "C"] * 24).to_parquet("three.parquet")
    small = [part for one in ("width=8", "heads=2", "window=2", "graph_window=2") for part in ("--set", f"model.{one}")]
    asked = ["--network", "cmcf_srnet", "--features", "two.parquet", "--out", "run", "--seeds", "1"]
    assert cli.main(["train", *asked, *small, "--set", "train.epochs=1"]) == 0
    for name, more in ("two", False), ("three", True):
        capsys.readouterr()
        assert cli.main(["evaluate", "--features", f"{name}.parquet", "--run", "run"]) == 0
        shown = capsys.readouterr().err
        assert ("evaluate: model.speakers = 2: 2 of 2 dialogues have more speakers, up to 3" in shown) == more
