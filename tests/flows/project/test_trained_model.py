"""Which network a project's run trains, and whose code names it."""

import pandas as pd

from bigfusion.flows.project.load import load_project
from bigfusion.flows.project.runs import trained_model, training_code
from bigfusion.flows.project.settings import Project
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.settings import TrainSettings


def test_the_code_of_a_run_on_single_utterances_is_that_of_the_analysis_and_of_conversations_is_not():
    named = BigFusionSettings()
    conversation = training_code(named, TrainSettings())
    single = training_code(named.for_single_utterances(), TrainSettings())
    assert not any("iscriminant" in name for name in conversation)
    assert any("Discriminant.forward" in name for name in single)


def test_numbers_and_conversations_keep_the_network():
    class Some:
        model = BigFusionSettings()

    class Manifest:
        labels = ("calm", "loud")
        has_values = False
        table = {"dialogue": pd.Series(["a", "b"])}

    assert trained_model(Some, Manifest).kind == "discriminant"
    Manifest.table = {"dialogue": pd.Series(["a", "a"])}
    assert trained_model(Some, Manifest) is Some.model
    Manifest.table = {"dialogue": pd.Series(["a", "b"])}
    Manifest.has_values = True
    assert trained_model(Some, Manifest) is Some.model


def test_as_many_speakers_as_the_corpus_has_in_a_dialogue_also_in_a_worker(tmp_path):
    class Manifest:
        labels = ("calm", "loud")
        has_values = False
        table = pd.DataFrame({"dialogue": list("aaaabb"), "speaker": ["Ann", "Ben", "Cai", "Ann", "Ann", "Dee"]})

    (tmp_path / "bigfusion.toml").write_text('[corpus]\nkind = "table"\npath = "utterances.csv"\n')
    for assignments, told in ([], 3), (["model.speakers=2"], 2):
        project = load_project(tmp_path / "bigfusion.toml", assignments=["model.kind=cogmen", *assignments])
        assert trained_model(project, Manifest).speakers == told
        there = Project.model_validate(project.parameters())
        assert trained_model(there, Manifest).numbers() == trained_model(project, Manifest).numbers()
