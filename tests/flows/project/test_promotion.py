"""Which model is current: promoted, held back, rolled back; decided once."""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bigfusion.flows import cli
from bigfusion.flows.project import find_model, promotion, runs, standing
from bigfusion.flows.project.assemble import assemble
from bigfusion.flows.project.known_dialogues import known_dialogues, read_known, trained_on, write_known
from bigfusion.flows.project.load import load
from bigfusion.model.data.dialogues import Data
from bigfusion.model.runs.folder import seed_folder
from bigfusion.model.scoring.evaluate import evaluate
from bigfusion.model.scoring.rescore import validation_score
from bigfusion.model.training.train import train
from bigfusion.pipeline.errors import TrainingError
from tests.helpers.calm_run import extracted
from tests.helpers.small_runs import small_data


def present(project):
    """The kept manifest, its cells, and the run that they call for."""
    now = standing.load(project)
    return now.manifest, now.plan, now.run


def register(place) -> dict:
    return json.loads((place.folder / "work/current.json").read_text())


def spoil(place, run: str, score: float) -> None:
    """Write another validation score into a run's metrics."""
    path = place.folder / f"work/runs/{run}/metrics.json"
    metrics = json.loads(path.read_text())
    metrics["valid"]["weighted_f1"] = score
    path.write_text(json.dumps(metrics))


def epochs(place, number: int) -> None:
    """Write another number of epochs into the settings file."""
    text = re.sub(r"(?m)^epochs = .*$", f"epochs = {number}", place.config.read_text())
    place.config.write_text(text)


def retrain(place, *settings: str) -> str:
    place.capsys.readouterr()
    assert place.run("run", "--json", *settings) == 0
    return json.loads(place.capsys.readouterr().out)["run"]


def test_a_run_whose_record_is_damaged_is_listed_and_never_chosen(tmp_path, capsys):
    project = load(None, "meld", ["corpus.root=/data", f"workspace.path={tmp_path}"])
    whole = {"run": "a", "created": "2026-01-01", "inputs": {}, "seeds": [0]}
    for name, text in {"a": json.dumps(whole), "b": "{", "c": json.dumps({"run": "c"})}.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text(text)
        (tmp_path / "runs" / name / "metrics.json").write_text(json.dumps({"weighted_f1": 0.5, "seeds": []}))
    states = {found["run"]: found["state"] for found in runs.summaries(project)}
    assert states == {"a": "evaluated", "b": "damaged", "c": "damaged"}
    assert {found["run"] for found in promotion.models(project)} == {"a", "b", "c"}
    with pytest.raises(TrainingError, match="expected another evaluated run"):
        promotion.rollback(project, "b")
    settings = ("--preset", "meld", "--set", "corpus.root=/data", "--set", f"workspace.path={tmp_path}")
    assert cli.main(["status", *settings]) == 0
    assert "damaged" in capsys.readouterr().out


def test_no_cross_validation_becomes_the_current_model(tmp_path):
    """Not by hand either: it has a model a fold, and none to predict with."""
    project = load(None, "meld", ["corpus.root=/data", f"workspace.path={tmp_path}"])
    for name, created, more in (("one", "2026-01-01", {}), ("folds", "2026-01-02", {"folds": ["a", "b"]})):
        (tmp_path / "runs" / name).mkdir(parents=True)
        known = {"run": name, "created": created, "inputs": {"data": ""}, "seeds": [0], **more}
        (tmp_path / "runs" / name / "run.json").write_text(json.dumps(known))
        (tmp_path / "runs" / name / "metrics.json").write_text(json.dumps({"weighted_f1": 0.5, "seeds": []}))
    refused = "run folds: expected a run with a single model, found a cross-validation of 2 folds; name another run"
    with pytest.raises(TrainingError, match=refused):
        promotion.rollback(project, "folds")
    assert promotion.read(project).current is None
    for call in (lambda: find_model.current(project, "folds"), lambda: find_model.load(tmp_path / "runs" / "folds")):
        with pytest.raises(TrainingError, match=refused):
            call()
    with pytest.raises(TrainingError, match="runs/one: was trained on a feature file"):
        find_model.current(project)
    assert promotion.rollback(project, "one").decision == "restored"


def test_the_first_model_is_promoted(finished):
    (run,) = [path.name for path in (finished.folder / "work/runs").iterdir()]
    kept = register(finished)
    assert kept["current"] == run
    assert [decision["decision"] for decision in kept["decisions"]] == ["promoted"]


def test_a_worse_model_is_held_back_and_stays_so(place):
    first = register(place)["current"]
    spoil(place, first, 1.01)  # nothing reaches it
    epochs(place, 1)
    second = retrain(place)
    assert second != first
    assert register(place)["current"] == first
    assert register(place)["decisions"][-1]["decision"] == "held"
    decided = register(place)
    spoil(place, first, 0.0)
    assert retrain(place) == second
    assert register(place) == decided
    assert place.run("models") == 0
    shown = place.capsys.readouterr().out
    assert f"{first}  ->" in shown
    assert f"{second}: validation WF1" in shown
    assert "against 101.00" in shown


@pytest.mark.slow
def test_the_margin_is_the_settings(place):
    first = register(place)["current"]
    epochs(place, 1)
    second = retrain(place, "--set", "promote.margin=2")  # 200 points: all is promoted
    assert register(place)["current"] == second
    promoted = promotion.read(load(place.config))
    undecided = promoted.model_copy(update={"current": first, "decisions": promoted.decisions[:1]})
    spoil(place, first, 0.5)
    project = load(place.config)
    for fall, decision in ((0.0099, "promoted"), (0.0101, "held")):
        spoil(place, second, 0.5 - fall)
        (place.folder / "work/current.json").write_text(undecided.model_dump_json())
        assert promotion.settle(project, *present(project)).decision == decision


@pytest.mark.slow
def test_rollback_goes_back_and_the_nightly_run_does_not_undo_it(place):
    first = register(place)["current"]
    epochs(place, 1)
    second = retrain(place, "--set", "promote.margin=2")
    assert place.run("rollback") == 0
    assert register(place)["current"] == first
    assert retrain(place, "--set", "promote.margin=2") == second
    assert register(place)["current"] == first
    assert place.run("rollback") == 1  # nothing before the first; the second is withdrawn
    assert "found none" in place.capsys.readouterr().err
    assert place.run("rollback", second) == 0
    assert register(place)["current"] == second
    assert [decision["decision"] for decision in register(place)["decisions"]] == [
        "promoted", "promoted", "withdrawn", "restored", "withdrawn", "restored",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_run_that_the_inputs_call_for_again_is_judged_again(place):
    """Settings that were changed and changed back: the other settings' model does not stay the current one unasked."""
    first = register(place)["current"]
    epochs(place, 1)
    second = retrain(place, "--set", "promote.margin=2")
    spoil(place, second, 1.01)
    before = register(place)
    assert before["current"] == second
    epochs(place, 2)
    assert place.run("plan", "--json") == 2
    stage = json.loads(place.capsys.readouterr().out)["stages"]["promote"]
    assert stage["why"] == f"run {first}: promoted, but run {second} is the current one: to be judged again"
    for settings, decision, current in (([], "held", second), (["promote.margin=2"], "promoted", first)):
        (place.folder / "work/current.json").write_text(json.dumps(before))
        project = load(place.config, None, settings)
        now = present(project)
        assert promotion.settle(project, *now).decision == decision
        decided = register(place)
        assert decided["current"] == current
        assert f"of {second}" in decided["decisions"][-1]["why"]
        assert not promotion.stage(project, now[2]).pending
        promotion.settle(project, *now)
        assert register(place) == decided, "held, or promoted and current: decided"


@pytest.mark.slow
def test_a_trial_of_other_settings_is_never_promoted_by_itself(place):
    before = register(place)
    spoil(place, before["current"], 0.0)  # anything would be better
    assert place.run("run", "--json", "--set", "train.epochs=1", "--set", "train.device=cpu") == 0
    shown = place.capsys.readouterr()
    trial = json.loads(shown.out)["run"]
    assert trial != before["current"]
    assert register(place) == before
    line = f"run {trial} is a trial (--set train.epochs=1 --set train.device=cpu): never promoted by itself"
    assert f"{line}; make it the current model with `bigfusion rollback {trial}`" in shown.err
    assert place.run("plan", "--json", "--set", "train.epochs=1") == 0, "nothing is left to decide"
    assert place.run("rollback", trial) == 0
    assert register(place)["current"] == trial


@pytest.mark.slow
def test_the_files_settings_are_judged_though_they_were_tried_before(place):
    trial = retrain(place, "--set", "train.epochs=1")
    epochs(place, 1)
    assert retrain(place, "--set", "promote.margin=2", "--set", "train.threads=1") == trial
    assert register(place)["current"] == trial, "no trial: the options change no number"


@pytest.mark.parametrize("target", ["nonsense", "../..", None])
def test_rollback_refuses_what_is_not_another_run(place, target):
    before = register(place)
    project = load(place.config)
    with pytest.raises(TrainingError):
        promotion.rollback(project, target or before["current"])
    assert register(place) == before


@pytest.mark.slow
def test_a_grown_corpus_compares_on_the_same_dialogues(place):
    """One more validation line: the current model is scored anew on it, not by the score it was chosen with."""
    first = register(place)["current"]
    spoil(place, first, 1.01)  # the recorded score would hold back anything
    table = place.corpus / "dev_sent_emo.csv"
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    rows[-1][1] = "Something else entirely."
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    second = retrain(place, "--set", "promote.margin=2")
    assert second != first
    assert "on the same validation dialogues" in register(place)["decisions"][-1]["why"]
    assert "101.00" not in register(place)["decisions"][-1]["why"]


class Nightly:
    """A project on a feature file without a validation split, trained, scored and judged as `run` does it."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "bigfusion.toml"
        self.config.write_text(
            '[corpus]\nkind = "features"\npath = "f.parquet"\n[model]\nkind = "logistic"\nmodalities = ["text"]\n'
            "[train]\nseeds = [0]\nepochs = 2\nthreads = 1\n"
        )

    def night(self, dialogues: Sequence[int], scale: float = 1.0, *settings: str) -> tuple[promotion.Decision, Data]:
        random = np.random.default_rng(0)
        labels, vectors = random.integers(0, 2, (60, 3)), random.normal(size=(60, 3, 4))
        vectors[..., 0] += (2 * labels - 1) * np.linspace(2, 0, 60)[:, None]
        rows = [(number, turn) for number in dialogues for turn in range(3)]
        table = {
            "dialogue": [f"d{number}" for number, _ in rows],
            "utterance": [f"d{number}-{turn}" for number, turn in rows],
            "speaker": ["AB"[turn % 2] for _, turn in rows],
            "label": [("anger", "joy")[labels[row]] for row in rows],
            "text": [(scale * vectors[row]).tolist() for row in rows],
        }
        pd.DataFrame(table).to_parquet(self.config.with_name("f.parquet"))
        project = load(self.config, None, settings)
        manifest, planned = extracted(project)
        run, data = runs.run_of(project, manifest, planned), assemble(project, manifest, planned)
        run.begin(planned)
        write_known(run.folder, data)
        train(data, project.model, project.train, 0, seed_folder(run.folder, 0))
        evaluate(run.folder, data, [0], "cpu")
        run.report.touch()
        run.mark_evaluated()
        return promotion.settle(project, manifest, planned, run), data

    def recorded(self, decision: promotion.Decision) -> str:
        return f"{100 * decision.valid_weighted_f1:.2f} of {decision.run}"


def test_a_grown_feature_file_compares_on_the_same_dialogues(tmp_path):
    """Another file is no other extractor: only the corpus has changed."""
    nightly = Nightly(tmp_path)
    first, _ = nightly.night(range(40))
    second, data = nightly.night(range(60))
    anew = validation_score(load(nightly.config).files.runs / first.run, data, [0], "cpu")
    assert anew < first.valid_weighted_f1 - 0.01, "the later dialogues are harder"
    assert f"against {100 * anew:.2f} of {first.run} on the same validation dialogues, margin 1" in second.why


def test_other_vectors_in_the_feature_file_are_not_given_to_the_current_model(tmp_path):
    nightly = Nightly(tmp_path)
    first, _ = nightly.night(range(40))
    second, _ = nightly.night(range(40), -1.0)
    assert f"against {nightly.recorded(first)}, margin 1" in second.why, "the same dialogues and labels"


def test_the_current_model_is_never_scored_on_dialogues_that_it_was_trained_on(tmp_path):
    """Without a validation split the last tenth validates: if recordings are withdrawn, others move into it."""
    nightly = Nightly(tmp_path)
    first, _ = nightly.night(range(40))
    second, data = nightly.night(range(28))
    assert [dialogue.id for dialogue in data.valid] == ["d25", "d26", "d27"]
    on = "recorded on other validation dialogues or labels: it was trained on 3 of the present 3"
    assert f"against {nightly.recorded(first)}, {on}, margin 1" in second.why


def test_a_run_of_an_earlier_version_is_compared_by_its_recorded_score(tmp_path):
    """It does not say what it was trained on."""
    nightly = Nightly(tmp_path)
    first, _ = nightly.night(range(40))
    folder = load(nightly.config).files.runs / first.run
    (folder / "dialogues.json").unlink()
    second, _ = nightly.night(range(60))
    assert f"against {nightly.recorded(first)}, recorded on other validation dialogues or labels, margin" in second.why
    current = promotion.read(load(nightly.config)).current
    (folder.with_name(current) / "predictions.parquet").unlink()
    third, _ = nightly.night(range(60), 1.0, "train.epochs=1")
    assert f"of {current}, recorded on validation dialogues that are not known, margin 1" in third.why


def test_a_current_model_that_lost_its_scores_is_scored_anew_or_stays(tmp_path):
    nightly = Nightly(tmp_path)
    first, _ = nightly.night(range(40))
    folder = load(nightly.config).files.runs / first.run
    (folder / "metrics.json").unlink()
    second, _ = nightly.night(range(60))
    assert f"of {first.run} on the same validation dialogues" in second.why
    third, _ = nightly.night(range(60), 1.0, "train.epochs=1")
    assert promotion.read(load(nightly.config)).current == first.run
    assert (third.decision, third.why) == ("held", f"run {first.run} has no validation score to compare with")


def test_a_dialogue_is_known_by_its_name_and_by_its_features():
    data = small_data()
    known = known_dialogues(data)
    renamed = [replace(data.train[0], id="other"), replace(data.valid[0], id="another")]
    edited = replace(data.train[1], features={**data.train[1].features, "text": data.train[1].features["text"] + 1})
    copy = replace(data.train[0], id=data.valid[0].id)

    def seen(known, one, train=()):
        return trained_on(known, Data(data.labels, list(train), [one], []))

    assert [seen(known, one) for one in (*renamed, edited, copy, data.valid[0])] == [1, 0, 1, 1, 0]
    twin = Data(data.labels, data.train, [copy], [])
    assert seen(known_dialogues(twin), copy) == 0, "it validated, though a dialogue of training is equal to it"
    assert seen(known, renamed[0], data.train) == 0, "two equal messages: the one is trained on now as before"


def test_a_run_records_the_dialogues_that_it_was_trained_on(finished):
    project = load(finished.config)
    manifest, planned, run = present(project)
    assert read_known(run.folder) == known_dialogues(assemble(project, manifest, planned))


def test_a_kill_leaves_the_old_pointer_or_the_new(place, monkeypatch):
    before = register(place)
    project = load(place.config)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    run = before["current"]
    kept = promotion.read(project)
    with pytest.raises(KeyboardInterrupt):
        promotion._write(project, kept, kept.decisions[0], run)
    assert register(place) == before


def test_a_damaged_register_says_so(place):
    (place.folder / "work/current.json").write_text('{"decisions": 2}')
    place.capsys.readouterr()
    assert place.run("models") == 1
    assert "expected the register of promoted models" in place.capsys.readouterr().err
