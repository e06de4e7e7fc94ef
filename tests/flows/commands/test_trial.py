"""Which options make a command a trial of other settings than the file's."""

import pytest

from bigfusion.flows.commands.common import Common
from bigfusion.flows.project import promotion
from bigfusion.flows.project.extractor_tables import kinds
from bigfusion.flows.project.load import load
from bigfusion.flows.project.runs import Run
from bigfusion.flows.project.settings import _MACHINE
from bigfusion.pipeline.schema import Modality


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "bigfusion.toml"
    path.write_text('preset = "meld"\n[corpus]\nroot = "/data"\n[train]\nepochs = 7\n')
    return path


@pytest.mark.parametrize(
    "assignments",
    [
        (),
        ("train.epochs=7",),
        ("train.device=cpu", "train.threads=2", "train.seeds=[1]", "train.log=[]"),
        ("text.device=cpu", "text.token_budget=9", "audio.threads=2", "audio.timeout_seconds=9", "visual.batch_size=2"),
        ("promote.margin=2", "runner.kind=ray", "workspace.path=/elsewhere", "extract.chunk_size=8"),
    ],
)
def test_options_that_change_no_number_make_no_trial(config, assignments):
    assert Common(config, assignments=assignments).trial() == ""


@pytest.mark.parametrize(
    "assignment",
    [
        "train.epochs=8",
        "model.kind=bigru",
        "text.context=2",
        "text.model=other",
        "text.revision=abc",
        "visual.weights=/other.safetensors",
        "visual.detector_path=/other.onnx",
        "corpus.root=/other",
    ],
)
def test_other_settings_than_the_files_make_a_trial(config, assignment):
    found = Common(config, assignments=("train.device=cpu", assignment)).trial()
    assert found == f"--set train.device=cpu --set {assignment}"


@pytest.mark.parametrize(
    ("assignment", "trial"),
    [
        ("audio.wavlm.model=other", True),
        ("audio.wavlm.revision=abc", True),
        ("audio.wavlm.layers=last4", True),
        ("audio.third.kind=opensmile", True),
        ("audio.wavlm.device=cpu", False),
        ("audio.wavlm.seconds_budget=9", False),
    ],
)
def test_settings_of_a_named_extractor_are_a_trial_as_those_of_the_first(config, assignment, trial):
    with config.open("a") as file:
        file.write('[audio.wavlm]\nkind = "transformer"\nmodel = "wavlm"\n')
    assert bool(Common(config, assignments=(assignment,)).trial()) == trial


def test_what_counts_as_the_machines_is_run_only_in_every_extractor():
    settings = [one for modality in Modality for one in kinds(modality).values()]
    assert all(_MACHINE & one.model_fields.keys() <= one.run_only for one in settings)
    assert {name for one in settings for name in one.model_fields} >= _MACHINE


def test_another_preset_makes_a_trial(config):
    config.write_text('preset = "meld"\n[corpus]\nkind = "meld"\nroot = "/data"\n')
    assert Common(config, preset="paper", assignments=('model.modalities=["text"]',)).trial() == (
        "--preset paper --set 'model.modalities=[\"text\"]'"
    )


def test_without_a_file_there_is_nothing_else_to_try(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Common(preset="meld", assignments=("corpus.root=/data", "train.epochs=3")).trial() == ""


def test_what_the_file_leaves_open_makes_no_trial(tmp_path):
    path = tmp_path / "bigfusion.toml"
    path.write_text('[corpus]\nkind = "meld"\n')
    assert Common(path, assignments=("corpus.root=/data",)).trial() == ""
    assert "train.epochs=3" in Common(path, assignments=("corpus.root=/data", "train.epochs=3")).trial()


def test_a_trial_awaits_no_decision(config, tmp_path):
    project = load(config)
    run = Run(project.files.runs / "abc", {}, (0,))
    assert promotion.stage(project, run).pending
    stage = promotion.stage(project, run, "--set train.epochs=8")
    assert not stage.pending
    assert "never promoted by itself; make it the current model with `bigfusion rollback abc`" in stage.why
