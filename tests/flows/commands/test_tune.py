"""`bigfusion tune` on a feature file, and training with what it found."""

import json

import numpy as np
import pandas as pd
import pytest

from bigfusion.flows import cli
from bigfusion.flows.commands.tune import with_values
from bigfusion.flows.project.load import load_learning
from bigfusion.flows.project.settings_text import settings_text
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.network_settings.cogmen import COGMENSettings
from bigfusion.model.settings import TrainSettings
from bigfusion.model.tuning.search import Search
from tests.helpers.command_line import fails


def sessions(path, speakers="FM"):
    """Eight dialogues in four sessions whose text carries the label, and one of a fifth that is the test split."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(9):
        session = 5 if number == 8 else 1 + number % 4
        for turn in range(6):
            label = int(random.integers(3))
            text = (2 * label + random.normal(size=4)).astype(np.float32)
            name = f"Ses0{session}F_impro{number:02}"
            split = "test" if session == 5 else "train"
            rows.append((name, f"{name}_{turn}", speakers[turn % len(speakers)], label, text, split))
    pd.DataFrame(rows, columns=["dialogue", "utterance", "speaker", "label", "text", "split"]).to_parquet(path)
    return path


@pytest.mark.parametrize("model", [BigFusionSettings(width=64, relative=("audio",)), COGMENSettings(layers=3)])
def test_a_settings_file_means_the_settings_that_were_written(model, tmp_path):
    train = TrainSettings(epochs=17, learning_rate=1e-5, curriculum="hcl")
    path = tmp_path / "found.toml"
    path.write_text(settings_text(model, train))
    found = load_learning(path, None)
    assert found.model.model_dump() == model.model_dump()
    assert found.train.numbers() == train.numbers()


def test_a_trials_values_lie_above_the_settings():
    model, train = with_values(
        BigFusionSettings(width=64), TrainSettings(epochs=9), {"model.contrast.weight": 0.3, "train.batch_size": 2}
    )
    assert (model.width, model.contrast.weight, train.epochs, train.batch_size) == (64, 0.3, 9, 2)


def test_a_search_depends_on_the_code_of_training_and_of_the_score(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    searches = []
    monkeypatch.setattr(Search, "run", lambda search, *_: searches.append(search) or [])
    file = str(sessions(tmp_path / "f.parquet"))
    for network in ("bigru", "logistic"):
        assert "expected a trial" in fails(capsys, "tune", "--network", network, "--features", file)
    one, other = ({*search.facts["code"]} for search in searches)
    assert {"train", "scores"} <= one & other
    assert "BiGRU" in one - other
    assert "calibration" not in one | other, "a metric that no trial is chosen by"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "small"),
    [
        ("graphsmile", ["model.width=8", "model.layers=1", "model.window=2", "model.block=4"]),
        ("cogmen", ["model.width=8", "model.heads=2", "model.layers=1", "model.inner=8"]),
    ],
)
def test_a_network_of_which_the_corpus_decides_something_is_searched(tmp_path, capsys, monkeypatch, network, small):
    """It was refused: a corpus of single utterances trains graphsmile in place of graphsmile."""
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    file = sessions(tmp_path / "f.parquet", "FMX")
    named = pd.read_parquet(file)
    named["label"] = np.array(["neutral", "joy", "anger"])[named["label"]]
    named.to_parquet(file)
    settings = [part for one in small for part in ("--set", one)]
    asked = ("--network", network, "--features", str(file), *settings)
    assert cli.main(["tune", *asked, "--trials", "1", "--scheme", "given", "--set", "train.epochs=1"]) == 0
    found = load_learning(tmp_path / f"tuning/{network}.toml", None).model
    assert "speakers" not in found.model_fields_set, "the next corpus decides it"


@pytest.mark.slow
def test_tune_searches_resumes_and_says_what_it_found(tmp_path, capsys, monkeypatch):
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    file = str(sessions(tmp_path / "f.parquet"))
    asked = ("tune", "--network", "logistic", "--features", file)
    assert cli.main([*asked, "--trials", "2", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["trials"], data["scheme"], set(data["values"])) == (2, "sessions", {"model.penalty"})
    assert cli.main([*asked, "--trials", "3"]) == 0
    shown = capsys.readouterr()
    assert "model.penalty" in shown.out and "next: bigfusion train --config tuning/logistic.toml" in shown.out
    assert "trial 3 of 3" in shown.err and "trial 2 of 3" not in shown.err, "two trials were there"
    trials = pd.read_csv("tuning/logistic.csv")
    assert len(trials) == 3 and trials["weighted_f1"].max() == pytest.approx(json.loads(
        (tmp_path / "tuning/logistic.json").read_text())["weighted_f1"])  # fmt: skip
    assert not list((tmp_path / "tuning").rglob("*.safetensors")), "scores are kept, networks are not"
    assert (
        cli.main(["train", "--config", "tuning/logistic.toml", "--features", file, "--out", "run", "--seeds", "1"]) == 0
    )
    facts = json.loads((tmp_path / "run/seed-0/checkpoint.json").read_text())
    best = trials.loc[trials["weighted_f1"].idxmax(), "model.penalty"]
    assert facts["model"]["penalty"] == pytest.approx(best)
    assert "found one with other data, scheme" in fails(capsys, *asked, "--scheme", "given")
    assert "did you mean 'bigru'" in fails(capsys, "tune", "--network", "bigur", "--features", file)
