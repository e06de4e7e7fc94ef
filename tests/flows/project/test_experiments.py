"""The runs of a project or a folder as a table of experiments."""

import csv
import io
import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from bigfusion.flows import cli
from bigfusion.flows.project import reporting, runs
from bigfusion.flows.project.estimate import estimate
from bigfusion.flows.project.experiments import differing, in_order, whole
from bigfusion.flows.project.load import load
from bigfusion.flows.project.scored_files import write_scored_file
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.network_settings.bigru import BiGRUSettings
from bigfusion.model.network_settings.logistic import LogisticSettings
from bigfusion.model.settings import TrainSettings
from bigfusion.pipeline.errors import SettingsError
from tests.helpers.command_line import fails
from tests.helpers.small_runs import LABELS, small_data, small_model, small_run


def record(folder: Path, model=None, train=None, **inputs) -> Path:
    """A run's record as training writes it, without networks."""
    folder.mkdir(parents=True)
    numbers = {"model": (model or BigFusionSettings()).numbers(), "train": (train or TrainSettings()).numbers()}
    known = {"run": folder.name, "created": f"2026-01-0{len(list(folder.parent.iterdir()))}", "seeds": [0]}
    (folder / "run.json").write_text(json.dumps(known | {"inputs": {**numbers, "code": {}, **inputs}}))
    return folder


def scores(folder: Path, test: float, valid: float, **more) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    known = {"weighted_f1": test, "accuracy": test, "macro_f1": test, "valid": {"weighted_f1": valid}, "std": None}
    known |= more
    (folder / "metrics.json").write_text(json.dumps(known))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with three runs, the second of another network."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bigfusion.toml").write_text('preset = "meld"\n[corpus]\nroot = "/data"\n')
    runs = load().files.runs
    scores(record(runs / "aaaa", BigFusionSettings(width=64)), 0.61, 0.7)
    scores(record(runs / "aabb", BiGRUSettings(width=32), TrainSettings(learning_rate=0.01)), 0.65, 0.6)
    record(runs / "cccc", BigFusionSettings(), TrainSettings(learning_rate=0.1))
    return runs


def table(capsys, *arguments: str) -> list[dict]:
    capsys.readouterr()
    assert cli.main(["models", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)["models"]


def test_only_what_is_not_equal_among_the_runs_is_shown(project, capsys):
    differs = {row["run"]: row["differs"] for row in table(capsys)}
    assert differs == {
        "aaaa": {"model.kind": "bigfusion", "model.width": 64, "train.learning_rate": 0.001},
        "aabb": {"model.kind": "bigru", "model.width": 32, "train.learning_rate": 0.01},
        "cccc": {"model.kind": "bigfusion", "model.width": 128, "train.learning_rate": 0.1},
    }, "no key of BIG-FUSION alone: its two runs agree in all of them"


def test_data_and_code_differ_by_their_digests(tmp_path):
    one = record(tmp_path / "a", labels="1" * 64, cells={"text": "5" * 64}, code={"x": "1"})
    two = record(tmp_path / "b", labels="2" * 64, cells={"text": "5" * 64}, code={"x": "2"})
    other = record(tmp_path / "c", BiGRUSettings(), labels="2" * 64, cells={"text": "5" * 64}, code={"y": "3"})
    assert [row["labels"] for row in differing([one, two, other])] == ["1" * 8, "2" * 8, "2" * 8]
    assert ["code" in row for row in differing([one, two, other])] == [True, True, False]
    assert differing([two, other])[0].keys() == {"model.kind"}, "of two networks the code always differs"
    assert differing([one]) == [{}]


def test_a_default_that_was_changed_later_is_told_from_the_first(monkeypatch):
    """A run's record leaves out first defaults, so that is what a missing key means."""
    from bigfusion.flows.project import experiments

    monkeypatch.setattr(experiments, "first_defaults", lambda: {"TrainSettings.epochs": 77})
    assert whole(TrainSettings(), {"batch_size": 2})["epochs"] == 77
    assert whole(TrainSettings(batch_size=2), {"batch_size": 2})["batch_size"] == 2


def test_a_report_lists_of_the_current_model_what_differs_and_no_default(project):
    """The records leave out first defaults, and what changes no number."""
    record(project / "dddd", BigFusionSettings(), TrainSettings(learning_rate=0.1, seeds=(7,), device="cpu"))
    here = load()
    here.files.current.write_text(json.dumps({"current": "cccc"}))
    same = reporting.current_model(here, runs.named(here, "dddd"))
    assert same.run == "cccc" and same.settings == same.own
    assert (same.own["model"]["dropout"], same.own["train"]["learning_rate"]) == (0.3, 0.1)
    other = reporting.current_model(here, runs.named(here, "aaaa"))
    differ = [
        key
        for part in ("model", "train")
        for key in other.own[part]
        if other.own[part][key] != other.settings[part][key]
    ]
    assert differ == ["width", "learning_rate"]
    assert reporting.current_model(here, runs.named(here, "cccc")) is None
    (project / "cccc" / "run.json").unlink()
    assert reporting.current_model(here, runs.named(here, "dddd")) is None


def test_the_table_is_sorted_by_any_column(project, capsys):
    by = {name: [row["run"] for row in table(capsys, "--sort", name)] for name in ("weighted_f1", "valid_weighted_f1")}
    assert by == {"weighted_f1": ["aabb", "aaaa", "cccc"], "valid_weighted_f1": ["aaaa", "aabb", "cccc"]}
    assert [row["run"] for row in table(capsys, "--sort", "model.width")] == ["aabb", "aaaa", "cccc"]
    assert [row["run"] for row in table(capsys, "--sort", "train.learning_rate")] == ["aaaa", "aabb", "cccc"]
    assert "did you mean 'weighted_f1'" in fails(capsys, "models", "--sort", "weighted_f")
    with pytest.raises(SettingsError, match="--sort nope: expected one of run, created"):
        in_order([{"run": "a", "created": "", "differs": {}}], "nope")


def test_scores_that_are_no_test_are_marked(tmp_path, capsys):
    """On dialogues of the training, on validation, or of an earlier version that did not say what was scored."""
    file = tmp_path / "f.parquet"
    file.write_bytes(b"features")
    for name, seen in (("fresh-1", 0), ("half-2", 6), ("untold-3", None), ("earlier-4", ...)):
        folder = record(tmp_path / name) / "scores" / name
        scores(folder, 0.9, 0.7, scored="test")
        if seen is not ...:
            write_scored_file(folder, file, 12, seen)
    scores(record(tmp_path / "valid-5"), 0.8, 0.8, scored="valid")
    assert {row["run"]: row["no_test"] for row in table(capsys, str(tmp_path))} == {
        "fresh-1": "",
        "half-2": "6 of 12 dialogues were trained or validated on: no test",
        "untold-3": "whether these dialogues were trained or validated on cannot be told",
        "earlier-4": "whether these dialogues were trained or validated on is not known; evaluate again",
        "valid-5": "these are scores on validation, since no test label is there",
    }
    assert cli.main(["models", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["90.00*" in line for line in lines if line.startswith(("fresh", "half", "untold", "earlier"))] == [
        False, True, True, True,
    ]  # fmt: skip
    assert "* half-2 half-2: 6 of 12 dialogues were trained or validated on: no test" in lines
    (tmp_path / "half-2/scores/half-2/scored-file.json").write_text("{")
    assert "not known" in table(capsys, str(tmp_path))[1]["no_test"], "a damaged record hides no run"


def test_the_seeds_of_a_row_are_those_of_its_scores(project, capsys):
    """Five are trained and one is scored, or the reverse: the score's seeds are shown."""
    for name, scored in (("aaaa", [3]), ("aabb", [0, 1])):
        scores(project / name, 0.6, 0.6, seeds=[{"seed": seed} for seed in scored])
    assert [row["seeds"] for row in table(capsys)] == [1, 2, 1]


def test_the_f1_of_a_sign_is_called_so(tmp_path, capsys):
    scores(record(tmp_path / "numbers") / "scores" / "f", 0.43, 0.33, scored="test", task="regression", mae=1.594)
    scores(record(tmp_path / "classes") / "scores" / "f", 0.5, 0.4, scored="test")
    assert [(row["run"], row["mae"]) for row in table(capsys, str(tmp_path))] == [("numbers", 1.594), ("classes", None)]
    assert cli.main(["models", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "numbers: predicts numbers, MAE 1.594; its WF1 is the F1 of the sign" in shown
    assert shown.count("predicts numbers") == 1


def test_files_beside_the_runs_are_passed_over(tmp_path, capsys):
    record(tmp_path / "RUN")
    (tmp_path / "train.parquet").write_bytes(b"features")
    assert [row["run"] for row in table(capsys, str(tmp_path))] == ["RUN"]


def test_csv_holds_what_json_does(project, capsys):
    rows = table(capsys)
    assert cli.main(["models", "--csv"]) == 0
    kept = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["run"] for row in kept] == ["aaaa", "aabb", "cccc"]
    assert [float(row["weighted_f1"] or 0) for row in kept] == [row["weighted_f1"] or 0 for row in rows]
    assert [float(row["train.learning_rate"]) for row in kept] == [0.001, 0.01, 0.1]


def test_a_run_is_named_annotated_and_found_by_its_name(project, capsys):
    assert cli.main(["models", "--run", "aab", "--name", "narrow GRU", "--note", "half the width"]) == 0
    assert cli.main(["models", "--run", "narrow GRU", "--note", "a quarter"]) == 0
    rows = {row["run"]: (row["name"], row["note"]) for row in table(capsys)}
    assert rows == {"aaaa": ("", ""), "aabb": ("narrow GRU", "a quarter"), "cccc": ("", "")}
    assert cli.main(["models"]) == 0
    shown = capsys.readouterr().out
    assert "narrow GRU" in shown and "aabb: note: a quarter" in shown
    assert cli.main(["models", "--run", "aabb", "--name", ""]) == 0
    assert table(capsys)[1]["name"] == ""
    assert "expected one run, found aaaa, aabb" in fails(capsys, "models", "--run", "aa", "--name", "x")
    assert "run zz: expected a run, found none" in fails(capsys, "models", "--run", "zz", "--name", "x")
    assert "without / and without spaces" in fails(capsys, "models", "--run", "aaaa", "--name", "a/b")
    assert "--run goes with --name or --note" in fails(capsys, "models", "--name", "x")


def test_a_run_costs_what_its_epochs_took(tmp_path, capsys, monkeypatch):
    """On the runs of a folder, as `train --features` leaves them."""
    run = small_run(tmp_path / "one", small_data(), seeds=(0, 1), epochs=2)
    (run / "run.json").write_text(
        json.dumps({"created": "2026", "seeds": [0, 1], "inputs": {"model": small_model().numbers(), "train": {}}})
    )
    lines = [
        json.loads(line) for seed in (0, 1) for line in (run / f"seed-{seed}/history.jsonl").read_text().splitlines()
    ]
    (row,) = table(capsys, str(tmp_path))
    assert row["epochs"] == len(lines) == 4
    assert row["hours"] == pytest.approx(sum(line["seconds"] for line in lines) / 3600)
    assert "threads" in row["machine"] and row["state"] == "trained" and row["seeds"] == 2
    (run / "seed-1" / "history.jsonl").write_text("{")
    assert table(capsys, str(tmp_path))[0]["epochs"] < len(lines), "a damaged file hides no run"
    (tmp_path / "empty").mkdir()
    assert "expected folders of runs" in fails(capsys, "models", str(tmp_path / "empty"))


def test_a_cross_validation_costs_what_all_folds_took_and_is_estimated_so(project, capsys):
    here, folds = load(), ("one", "number two")
    record(project / "dddd")
    known = json.loads((project / "dddd" / "run.json").read_text())
    (project / "dddd" / "run.json").write_text(json.dumps(known | {"folds": folds, "seeds": [0, 1], "created": "2027"}))
    for part in ("fold-one", "fold-number-two"):
        small_run(project / "dddd" / part, small_data(), seeds=(0, 1), epochs=2)
    row = table(capsys)[-1]
    times = [
        json.loads(line)["seconds"]
        for path in (project / "dddd").glob("fold-*/seed-*/history.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert (row["run"], row["epochs"], len(times)) == ("dddd", 8, 8)
    assert row["hours"] == pytest.approx(sum(times) / 3600) and "threads" in row["machine"]
    for names in (["", ""], ["1", "2", "3"]):
        rows = pd.DataFrame({"fold": names, "dialogue": "a", "speaker": "b"})
        planned = SimpleNamespace(parts={}, manifest=SimpleNamespace(table=rows, has_values=False, labels=LABELS))
        trainings = len({*names}) * len(here.train.seeds)
        fitted = here.model_copy(update={"model": LogisticSettings()})
        for each, epochs in ((here, here.train.epochs), (fitted, 1)):
            assert estimate(each, planned, training=True)["train"]["seconds"] == pytest.approx(
                trainings * epochs * sum(times) / len(times)
            )
