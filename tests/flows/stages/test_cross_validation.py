"""The plain commands on a corpus with folds, and on one whose labels are numbers."""

import csv
import json

import pytest

from bigfusion.flows import cli
from tests.helpers.command_line import fails
from tests.helpers.spoken_tree import write_emodb
from tests.helpers.tiny_media import write_wav


@pytest.mark.slow
def test_init_run_evaluate_leave_one_speaker_out(tmp_path, capsys):
    folder = tmp_path / "my"
    corpus = write_emodb(tmp_path / "EmoDB")
    assert cli.main(["init", str(folder), "--preset", "emodb", "--root", str(corpus)]) == 0
    config = ["--config", str(folder / "bigfusion.toml"), "--seeds", "2"]
    assert cli.main(["run", *config]) == 0
    shown = capsys.readouterr()
    assert "cross-validation, 3 folds pooled: 12 dialogues, 12 labelled utterances" in shown.out
    assert "12 labelled utterances; 2 seeds, the same fit for each; points" in shown.out
    assert "fold 14, seed 1: validation WF1" in shown.err
    assert cli.main(["evaluate", *config, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert [fold["name"] for fold in metrics["folds"]] == ["03", "08", "14"]
    assert metrics["accuracy"] > 0.9, "a high tone is angry, a low one sad, whoever hums it"
    run = folder / "work/runs" / metrics["run"]
    assert {path.name for path in run.glob("fold-*")} == {"fold-03", "fold-08", "fold-14"}
    assert (run / "report.html").exists()
    assert (run / "fold-08/report.html").exists()
    stamps = {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")}
    assert cli.main(["run", *config]) == 0
    shown = capsys.readouterr()
    assert "nothing to do: 0 cells to extract, model up to date" in shown.err
    assert "a cross-validation, of which no model becomes the current one" in shown.err
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert "found a cross-validation" in fails(capsys, "evaluate", *config, "--modalities")
    assert "report --media: expected a single model" in fails(capsys, "report", *config, "--media")
    assert cli.main(["run", *config, "--set", "corpus.folds=2", "--json"]) == 0
    shown = capsys.readouterr()
    assert "0 cells to extract" in shown.err, "cells do not depend on folds"
    assert [fold["name"] for fold in json.loads(shown.out)["folds"]] == ["1", "2"]


REGRESSION = """
[corpus]
kind = "table"
path = "t.csv"
task = "regression"

[model]
kind = "bigru"
width = 16
modalities = ["audio"]

[train]
seeds = [0]
epochs = 20
device = "cpu"
"""


@pytest.mark.slow
def test_numbers_are_predicted_scored_and_promoted(tmp_path, capsys):
    with (tmp_path / "t.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("dialogue", "turn", "speaker", "text", "label", "media"))
        for number in range(30):
            value = -3 + number * 7 % 30 / 5
            write_wav(tmp_path / f"{number}.wav", 0.4, 200 + 100 * (value + 3))
            rows.writerow((f"d{number}", 0, "s", "", value, f"{number}.wav"))
    (tmp_path / "bigfusion.toml").write_text(REGRESSION)
    config = ["--config", str(tmp_path / "bigfusion.toml")]
    assert cli.main(["run", *config]) == 0
    shown = capsys.readouterr()
    assert "MAE" in shown.out
    assert "promoted: the first model" in shown.err
    assert cli.main(["evaluate", *config, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["task"] == "regression"
    assert metrics["mae"] < metrics["mean_of_training"]["mae"]
    assert "exists for classes only" in fails(capsys, "run", *config, "--set", "corpus.folds=3")
    assert "report --media: exists for classes only" in fails(capsys, "report", *config, "--media")
