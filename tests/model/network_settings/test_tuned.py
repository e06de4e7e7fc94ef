"""Preset `tuned` of each network: searched, or else its released numbers with the training that all share."""

import pytest

from bigfusion.flows.project.load import load_learning, read_preset
from bigfusion.model.kinds import settings_classes
from bigfusion.model.network_settings import bigru, cogmen, dialogue_rnn
from bigfusion.model.settings import NETWORKS, TrainSettings, tuned

KINDS = list(settings_classes(NETWORKS))
OWN = {
    "joyful": {"learning_rate": 1e-4, "epochs": 20},
    "ga2mif": {"learning_rate": 3e-4, "epochs": 20},
    "cogmen": {"learning_rate": 3e-4, "epochs": 20},
    "mmgcn": {"epochs": 30},
    "dialogue_rnn": {"batch_size": 16, "epochs": 20},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_network_has_it(kind, caplog):
    caplog.set_level("INFO", "bigfusion")
    found, numbers = load_learning(None, "tuned", [f"model.kind={kind}"]), tuned(kind)
    assert found.model.kind == kind
    assert set(found.model.modalities) == {"text", "audio", "visual"}, "those are the caller's, whatever was released"
    if kind != "bigfusion":
        for name, value in numbers.table["model"].items():
            assert found.model.model_dump(mode="json")[name] == value
        if numbers.source != "searched":
            shared = read_preset("tuned")["train"] | numbers.table.get("train", {})
            assert found.train == TrainSettings.model_validate(shared)
            assert numbers.table.get("train", {}) == OWN.get(kind, {})
            assert f"nobody has searched for {kind} yet" in caplog.text
            assert ("but for learning_rate 0.0003 and epochs 20;" in caplog.text) == (kind in ("cogmen", "ga2mif"))


def test_released_numbers_are_the_corpuss():
    assert tuned("dialogue_rnn", "meld").table["model"]["party_width"] == 150
    assert "party_width" not in tuned("dialogue_rnn", "iemocap").table["model"], "the default is IEMOCAP's"
    assert "modalities" in dialogue_rnn.RELEASED["meld"]["model"]
    assert "modalities" not in tuned("dialogue_rnn", "meld").table["model"]
    assert tuned("dialogue_rnn").table["model"]["attention"] is False, "set by hand"
    assert (tuned("cogmen").source, tuned("bigru").source) == ("released", "default")


def test_what_a_search_has_found_lies_above_the_shared_training_and_below_the_users(monkeypatch, caplog):
    caplog.set_level("INFO", "bigfusion")
    searched = {"model": {"width": 64, "layers": 1}, "train": {"epochs": 17}}
    monkeypatch.setattr(bigru, "TUNED", searched, raising=False)
    assert tuned("bigru").source == "searched"
    found = load_learning(None, "tuned", ["model.kind=bigru", "model.layers=3"])
    assert (found.model.width, found.model.layers, found.train.epochs, found.train.average) == (64, 3, 17, 0.99)
    assert "nobody has searched" not in caplog.text
    assert load_learning(None, "tuned", ["model.kind=dag_erc"]).train.epochs == 10


def test_a_settings_file_that_names_the_network_gets_its_numbers(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('[model]\nkind = "cogmen"\nlayers = 3\n')
    found = load_learning(path, "tuned")
    assert (found.model.kind, found.model.layers, found.model.width) == ("cogmen", 3, cogmen.SETTINGS().width)


def test_best_is_tuned_with_centred_audio_and_the_vote_of_like_texts():
    searched, best = read_preset("tuned"), read_preset("best")
    assert best["model"].pop("centred") == ["audio"] and best["model"].pop("retrieval") == {"enabled": True}
    assert best == searched


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bigfusion"])
def test_under_best_the_other_networks_are_those_of_tuned(kind, caplog):
    caplog.set_level("INFO", "bigfusion")
    found, other = (load_learning(None, preset, [f"model.kind={kind}"]) for preset in ("best", "tuned"))
    assert found == other
    assert ("preset best: nobody has searched" in caplog.text) == (tuned(kind).source != "searched")
