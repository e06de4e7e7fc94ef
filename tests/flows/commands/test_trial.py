"""Which options make a command a trial of other settings than the file's."""

import pytest

from bigfusion.flows.commands.common import Common
from bigfusion.flows.project import promotion
from bigfusion.flows.project.load import load
from bigfusion.flows.project.runs import Run


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
        ("promote.margin=2", "runner.kind=ray", "workspace.path=/elsewhere", "extract.chunk_size=8"),
    ],
)
def test_options_that_change_no_number_make_no_trial(config, assignments):
    assert Common(config, assignments=assignments).trial() == ""


@pytest.mark.parametrize("assignment", ["train.epochs=8", "model.kind=bigru", "text.context=2", "corpus.root=/other"])
def test_other_settings_than_the_files_make_a_trial(config, assignment):
    found = Common(config, assignments=("train.device=cpu", assignment)).trial()
    assert found == f"--set train.device=cpu --set {assignment}"


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
