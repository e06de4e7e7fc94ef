"""A published model says what its run says, to the byte; what is damaged, changed or foreign is one line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from bigfusion.flows.project import find_model
from bigfusion.flows.project import publish as publishing
from bigfusion.flows.project.publish import _copy, load, publish
from bigfusion.flows.project.published import CONFIG, TENSORS, read_published
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.folder import finished_seeds, seed_folder
from bigfusion.model.runs.tensors import read_tensors, write_tensors
from bigfusion.model.scoring.evaluate import evaluate
from bigfusion.model.scoring.predict import predict
from bigfusion.model.scoring.trust import measured
from bigfusion.model.training.train import train
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import BigFusionError, FormatError, SettingsError, TrainingError
from tests.helpers import trained_recordings
from tests.helpers.hub_server import hub_server
from tests.helpers.small_runs import small_data, small_model, small_run, small_training
from tests.helpers.tiny_encoder import save_roberta

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = small_run(tmp_path_factory.mktemp("run"), small_data(), epochs=2)
    evaluate(folder, small_data(), device="cpu")
    return folder


@pytest.fixture(scope="module")
def given(run, tmp_path_factory) -> Path:
    """The published folder. Not to be changed."""
    folder = tmp_path_factory.mktemp("given") / "small-model"
    publish(run, folder)
    return folder


@pytest.fixture
def changed(given, tmp_path) -> Path:
    shutil.copytree(given, tmp_path / "copy")
    return tmp_path / "copy"


def test_the_networks_come_back_and_predict_the_same_bytes(run, given):
    seeds = read_published(given, CPU).seeds

    assert sorted(path.name for path in given.iterdir()) == ["README.md", CONFIG, TENSORS]
    assert [seed.facts.seed for seed in seeds] == [0, 1]
    for seed, folder in zip(seeds, finished_seeds(run), strict=True):
        own = checkpoint.load(folder, CPU)
        assert seed.facts == own.facts
        again = predict(seed.network, small_data().test, CPU, 4)
        assert again.numpy().tobytes() == predict(own.network, small_data().test, CPU, 4).numpy().tobytes()


def test_the_folder_is_in_the_hubs_conventions(run, given):
    from huggingface_hub import ModelCard
    from safetensors import safe_open

    config = json.loads((given / CONFIG).read_text())
    assert config["id2label"] == {"0": "neutral", "1": "joy", "2": "anger"}
    assert config["label2id"] == {"neutral": 0, "joy": 1, "anger": 2}
    assert config["model_type"] == "bigfusion"
    with safe_open(given / TENSORS, framework="np") as file:
        assert {name.partition(".")[0] for name in file.keys()} == {"seed-0", "seed-1"}  # noqa: SIM118 (not a dict)
    card, scores = ModelCard.load(given / "README.md"), json.loads((run / "metrics.json").read_text())
    assert card.data.library_name == "bigfusion"
    assert card.data.license_name == "not-chosen-yet"
    assert card.data.eval_results[0].metric_value == pytest.approx(scores["weighted_f1"], abs=5e-5)
    for label, mean in scores["per_class"].items():
        assert f"| {label} | {100 * mean['f1']:.2f} |" in card.text
    assert f"| weighted F1 | {100 * scores['weighted_f1']:.2f} |" in card.text
    assert "12" in card.text  # dialogues of the training split
    assert str(Path.home()) not in card.text


def test_the_errors_that_it_names_are_of_its_answers_the_mean_of_the_seeds(run, given):
    table, labels = pd.read_parquet(run / "predictions.parquet"), small_data().labels
    test = table[(table["split"] == "test") & table["true"].notna()]
    mean = test.groupby("utterance", sort=False)[[f"p_{label}" for label in labels]].mean()
    wrong = np.array(labels)[mean.to_numpy().argmax(1)] != test.drop_duplicates("utterance")["true"].to_numpy()
    of_label = pd.Series(wrong).groupby(test.drop_duplicates("utterance")["true"].to_numpy()).mean()
    config = read_published(given, CPU).config
    found = measured(config.trust, config.scores)
    assert (
        not found["averaged"]
        and measured(config.trust, config.scores.model_copy(update={"together": None}))["averaged"]
    )
    assert found["errors"] == pytest.approx(of_label.to_dict())
    assert found["errors"] != pytest.approx({name: 1 - one.recall for name, one in config.scores.per_class.items()})
    assert found["accuracy"] == pytest.approx(1 - wrong.mean())
    assert (
        f"it gives {100 * of_label.max():.0f} % of the utterances of `{of_label.idxmax()}`"
        in (given / "README.md").read_text()
    )


def test_a_model_that_an_earlier_version_published_is_read_without_errors_by_label(changed):
    content = json.loads((changed / CONFIG).read_text())
    del content["trust"]["errors"], content["digest"]
    (changed / CONFIG).write_text(json.dumps(content | {"digest": digest(content)}))
    config = read_published(changed, CPU).config
    assert measured(config.trust, config.scores)["errors"] == {}
    one = config.scores.model_copy(update={"seeds": config.scores.seeds[:1]})
    assert set(measured(config.trust, one)["errors"]) == {"neutral", "joy", "anger"}, "a single seed's are the answers'"


def test_a_model_of_a_feature_file_is_given_away_but_predicts_no_recording(given):
    with pytest.raises(TrainingError, match="was trained on a feature file"):
        load(str(given), "cpu")


def test_a_model_whose_training_texts_vote_says_that_it_holds_them(tmp_path, caplog):
    data = small_data()
    run = tmp_path / "run"
    voting = small_model(retrieval={"enabled": True})
    train(data, voting, small_training(epochs=1), 0, seed_folder(run, 0))
    evaluate(run, data, device="cpu")
    publish(run, tmp_path / "given")
    assert "holds the text features and labels of the training utterances, which vote" in caplog.text
    card = (tmp_path / "given/README.md").read_text()
    assert "In this folder are the text features, as directions, and the labels" in card
    assert "no features of the corpus" not in card
    tensors, _, _ = read_tensors(tmp_path / "given" / TENSORS)
    assert [len(values) > 0 for name, values in tensors.items() if name.endswith("retrieval.texts")] == [True]


def test_publishing_twice_into_a_folder_and_publishing_an_unscored_run_are_refused(run, given, tmp_path):
    with pytest.raises(SettingsError, match="expected a folder that is empty"):
        publish(run, given)
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run/metrics.json").unlink()
    with pytest.raises(TrainingError, match="evaluate the run first"):
        publish(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_is_given_away_with_the_seeds_that_were_scored(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    evaluate(tmp_path / "run", small_data(), [1], "cpu")
    publish(tmp_path / "run", tmp_path / "out")
    config = read_published(tmp_path / "out", CPU).config
    assert [seed.seed for seed in config.seeds] == [seed.seed for seed in config.scores.seeds] == [1]


def test_a_run_on_a_feature_file_or_in_folds_is_refused_with_the_true_reason(run, tmp_path):
    """Its scores lie in `scores/`, or in its folds: to evaluate it again would not help."""
    for name, record, why in (
        ("file", {"inputs": {"data": "1" * 64}}, "was trained on a feature file .*; train a project on your media"),
        ("folds", {"inputs": {}, "folds": ["a", "b"]}, "found a cross-validation of 2 folds; name another run"),
    ):
        shutil.copytree(run, tmp_path / name)
        (tmp_path / name / "run.json").write_text(json.dumps({"run": name, **record}))
        (tmp_path / name / "metrics.json").unlink()
        with pytest.raises(TrainingError, match=why):
            publish(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [CONFIG, TENSORS])
def test_a_damaged_file_is_one_line_wherever_a_byte_is_changed(changed, name):
    content = (changed / name).read_bytes()
    for place in (0, 1, len(content) // 3, len(content) // 2, len(content) - 3):
        wrong = bytearray(content)
        wrong[place] ^= 0x11
        (changed / name).write_bytes(wrong)
        with pytest.raises(BigFusionError) as caught:
            read_published(changed, CPU)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "download it again" in str(caught.value)
    (changed / name).write_bytes(content[:-20])
    with pytest.raises(TrainingError, match="download it again"):
        read_published(changed, CPU)
    (changed / name).unlink()
    with pytest.raises(TrainingError, match="download it again"):
        read_published(changed, CPU)


def rewritten(folder: Path, **changes: object) -> None:
    """Change facts as somebody does who also renews the digest."""
    content = json.loads((folder / CONFIG).read_text()) | changes
    content.pop("digest")
    (folder / CONFIG).write_text(json.dumps(content | {"digest": digest(content)}))


def test_facts_that_do_not_belong_to_the_tensors_are_refused(changed):
    tensors, facts, _ = read_tensors(changed / TENSORS)
    first = next(iter(tensors))
    write_tensors(changed / TENSORS, tensors | {first: tensors[first] + 1}, facts)
    with pytest.raises(TrainingError, match=r"is not the one that config\.json was written for"):
        read_published(changed, CPU)


def test_no_name_in_the_facts_reaches_other_code(changed):
    seeds = json.loads((changed / CONFIG).read_text())["seeds"]
    for kind in ("os", "../networks/base", "base", ""):
        rewritten(changed, seeds=[seed | {"model": seed["model"] | {"kind": kind}} for seed in seeds])
        with pytest.raises(TrainingError, match="expected a kind among"):
            read_published(changed, CPU)
    rewritten(changed, seeds=[seed | {"widths": {"text": 7, "audio": 3}} for seed in seeds])
    with pytest.raises(TrainingError, match="does not fit the network"):
        read_published(changed, CPU)
    rewritten(changed, format=2)
    with pytest.raises(FormatError, match=r"expected format 1, .* found 2: a newer version wrote it"):
        read_published(changed, CPU)


def test_a_pickle_in_the_place_of_the_tensors_is_not_opened(changed):
    torch.save({"a": torch.zeros(1)}, changed / TENSORS)
    with pytest.raises(TrainingError, match="expected safetensors"):
        read_published(changed, CPU)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """The settings file of a trained project whose text encoder is its own. Not to be changed."""
    return trained_recordings.make(tmp_path_factory.mktemp("project"))


@pytest.mark.slow
def test_a_project_is_given_away_with_its_encoder_through_the_hub(project, tmp_path, monkeypatch, capsys):
    """Published by the command, uploaded to a stand-in for the hub, downloaded by another process, and used."""
    run = next((project.parent / "work/runs").iterdir())
    own = find_model.load(run, "cpu")
    recording = trained_recordings.new_recording(tmp_path)
    expected = own.predict(recording)
    with hub_server() as hub:
        environment = os.environ | {
            "HF_ENDPOINT": hub.address,
            "HF_TOKEN": "hf_of_this_test",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HOME": str(tmp_path / "hub"),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }
        command = ["publish", run.name, str(tmp_path / "model"), "--push-to-hub", "anna/emotions", "--json"]
        answer = json.loads(python(environment, "-m", "bigfusion.flows.cli", *command, "--config", str(project)))
        assert answer["address"] == f"{hub.address}/anna/emotions"
        assert hub.private == {"anna/emotions": True}
        assert hub.files["anna/emotions"].keys() == answer["files"].keys()
        for name, content in hub.files["anna/emotions"].items():
            assert content == (tmp_path / "model" / name).read_bytes()
        shutil.move(project.parent / "encoder", tmp_path / "gone")
        try:
            code = (
                "import sys, bigfusion; model = bigfusion.load('anna/emotions', device='cpu');"
                "model.predict(sys.argv[1]).to_json(sys.argv[2], double_precision=15)"
            )
            python(environment, "-c", code, str(recording), str(tmp_path / "found.json"))
        finally:
            shutil.move(tmp_path / "gone", project.parent / "encoder")
        refused = subprocess.run(
            [sys.executable, "-c", "import bigfusion; bigfusion.load('anna/nothing', device='cpu')"],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert "anna/nothing: expected a published model on the hub, found:" in refused.stderr.splitlines()[-1]
    found = json.loads((tmp_path / "found.json").read_text())
    for label in own.labels:
        column = next(name for name in expected.columns if name.endswith(label))
        assert [*found[column].values()] == pytest.approx(expected[column].tolist(), abs=1e-14)
    assert [*found["label"].values()] == expected["label"].tolist()
    given = load(str(tmp_path / "model"), "cpu")
    again = given.predict(recording)
    for column in expected.select_dtypes("number"):
        assert again[column].to_numpy().tobytes() == expected[column].to_numpy().tobytes()


def python(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_sentence_models_pooling_is_given_away_with_it(tmp_path):
    """It lies in a folder within the model's folder; without it the vectors would be others."""
    from bigfusion.extractors.files import sha256_of
    from bigfusion.extractors.text.transformer import SentenceExtractor, SentenceSettings

    source = save_roberta(tmp_path / "model")
    (source / "1_Pooling").mkdir()
    (source / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    types = ("Transformer", "Pooling")
    modules = [{"path": path, "type": kind} for path, kind in zip(("", "1_Pooling"), types, strict=True)]
    (source / "modules.json").write_text(json.dumps(modules))
    (source / "1_Pooling" / "own.py").write_text("raise SystemExit")
    _copy(source, tmp_path / "given")
    here, there = (
        SentenceExtractor(SentenceSettings(model=str(tmp_path / name)), sha256_of) for name in ("model", "given")
    )
    assert here.spec == there.spec
    assert not list((tmp_path / "given").rglob("*.py"))


def test_whispers_weights_are_given_away_and_a_folder_without_weights_is_refused(tmp_path):
    source = tmp_path / "whisper"
    source.mkdir()
    (source / "config.json").write_text("{}")
    (source / "model.bin").write_bytes(b"a pickle, for all we know")
    with pytest.raises(SettingsError, match="expected weights as safetensors"):
        publishing._copy(source, tmp_path / "refused")
    (source / "model.bin").write_bytes(b"\x06\x00\x00\x00\x0c\x00WhisperSpec\x00tensors")
    publishing._copy(source, tmp_path / "given")
    assert {path.name for path in (tmp_path / "given").iterdir()} == {"config.json", "model.bin"}
