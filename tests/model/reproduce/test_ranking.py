"""Tables 2 and 3: their rows, their folds, their figures, and that nothing is done twice."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

from bigfusion.model.data.batch import UNLABELLED, Dialogue
from bigfusion.model.data.dialogues import Data, true_labels
from bigfusion.model.kinds import settings_classes
from bigfusion.model.network_settings import bigru
from bigfusion.model.network_settings.bigfusion import CONTRASTS
from bigfusion.model.network_settings.logistic import LogisticSettings
from bigfusion.model.networks.logistic import Logistic
from bigfusion.model.report.paper import TABLE_2, TABLE_3, figures_of
from bigfusion.model.reproduce import ranking as ranking_module
from bigfusion.model.reproduce.cost import Cost, _measured, _two_epochs
from bigfusion.model.reproduce.ranking import COST, Ranking, _per_class, _row, _scores, _seconds, rank
from bigfusion.model.reproduce.ranking_page import _broken, _columns, page
from bigfusion.model.reproduce.ranking_tables import cells, difference, frame, headings, markdown, notes
from bigfusion.model.reproduce.schemes import as_given, four_classes, sessions
from bigfusion.model.reproduce.systems import Base, System, chosen, contrasts, networks
from bigfusion.model.runs.folder import PREDICTIONS, Epoch
from bigfusion.model.scoring.compare import compare
from bigfusion.model.settings import NETWORKS, TrainSettings
from bigfusion.model.training.curriculum import curriculum
from bigfusion.pipeline.errors import SettingsError, TrainingError
from bigfusion.pipeline.tables.labels import IEMOCAP, MELD
from tests.helpers.small_runs import LABELS, dialogue, small_data, small_model, small_training


def base(**changes: object) -> Base:
    given = Base(small_model(), small_training(seeds=(0, 1), epochs=2), None, released=False, own={})
    return replace(given, **changes)


def in_sessions() -> Data:
    """Nine dialogues in sessions 1, 2 and 3; one of session 4 without a label."""
    several = [dialogue(f"train/Ses{1 + k % 3:02}F_impro{k:02}", 4 + k % 3, k) for k in range(9)]
    silent = dialogue("train/Ses04M_script01", 3, 77, unlabelled=(0, 1, 2))
    return Data(LABELS, several[:6], several[6:], [silent])


def two(given: Base) -> list[System]:
    return chosen(networks(given), ["bigru", "bigfusion"])


def made(ranking: Ranking, systems: list[System], epochs: list[Epoch] | None = None) -> dict:
    told: list[str] = []
    found = rank(ranking, systems, [].append if epochs is None else epochs.append, told.append)
    assert len([line for line in told if re.search(r" \(. of .\): WF1 |: failed: ", line)]) == len(systems), told
    around = {"table": 2, "title": "Table 2", "lead": "Lead.", "caveats": ["A caveat."], "labels": list(LABELS)}
    return around | {"seeds": [0, 1], "folds": ["given"], "preset": "tuned", "own": {}} | found


@pytest.fixture
def measured_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row's cost is measured in this process; a new one, as the table of ``place`` has it, takes five seconds."""
    monkeypatch.setattr(ranking_module, "measure", _measured)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a table of two rows was made."""
    folder = tmp_path_factory.mktemp("ranking")
    made(Ranking.of(folder, as_given(small_data()), ["bigfusion"]), two(base()))
    return folder


@pytest.mark.usefixtures("measured_here")
def test_what_a_table_will_take_is_said_before_its_first_row(tmp_path: Path) -> None:
    ranking, told = Ranking.of(tmp_path, as_given(small_data()), ["bigfusion"]), []
    system = two(base(train=small_training(seeds=(0,), epochs=2)))[0]
    rank(ranking, [system], [].append, told.append)
    assert told[0] == "two epochs of 1 system are trained first, to measure their cost"
    (path,) = tmp_path.glob(f"runs/*/{COST}")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seconds": 45.0}))
    told.clear()
    more = replace(system, train=small_training(seeds=(0, 1, 2), epochs=2))
    rank(ranking, [more], [].append, told.append)
    assert told[0] == "at most 3 min of training", "two more seeds of two epochs"
    told.clear()
    rank(ranking, [more], [].append, told.append)
    assert len(told) == 1, "all of it is there"


def test_every_network_and_every_contrast_is_a_row() -> None:
    rows = networks(base())
    assert {system.key for system in rows} - {"hcl"} == set(settings_classes(NETWORKS))
    assert rows[-1].key == "bigfusion"
    assert rows[-1].model == small_model()
    assert all(system.model.modalities == ("text", "audio") for system in rows)
    methods = contrasts(base())
    assert {system.key for system in methods} == {*settings_classes(CONTRASTS), "none"}
    by_key = {system.key: system.model for system in methods}
    assert by_key["none"].contrast.enabled is False
    assert by_key["dual_importance"] == small_model()
    assert by_key["supervised"].contrast.positives == "label", "it fixes what the others take from the caller"
    assert len({model.model_dump_json() for model in by_key.values()}) == len(by_key)
    batch = {one.key: one for one in contrasts(base(model=small_model(contrast={"negatives": "batch"})))}
    assert batch["graphcl"].model.contrast.negatives == "batch"
    assert batch["vma"].model.contrast.negatives == "batch"
    stronger = {one.key: one.model for one in contrasts(base(model=small_model(contrast={"weight": 0.25})))}
    assert {model.contrast.weight for model in stronger.values()} == {0.25}
    for changes in ({"graph": {"enabled": False}}, {"contrast": {"weight": 0, "enabled": False}}):
        with pytest.raises(SettingsError, match=r"table-3: .* found model\.(graph|contrast)\.(enabled|weight) = "):
            contrasts(base(model=small_model(**changes)))
    with pytest.raises(SettingsError, match=r"expected model\.kind bigfusion"):
        contrasts(base(model=bigru.BiGRUSettings()))


def test_a_tuned_row_has_its_networks_own_numbers_above_the_shared_training(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = {"model": {"width": 64}, "train": {"epochs": 17, "learning_rate": 0.25}}
    monkeypatch.setattr(bigru, "TUNED", searched, raising=False)
    given = base(tuned="", own={"train": {"epochs": 3}})
    rows = {system.key: system for system in networks(given)}
    row = rows["bigru"]
    assert (row.model.width, row.model.modalities) == (64, ("text", "audio"))
    assert (row.train.learning_rate, row.train.epochs, row.train.seeds) == (0.25, 3, (0, 1)), "by hand lies above"
    assert (row.note, rows["cogmen"].note) == ("", "not searched: its released sizes")
    assert rows["dialogue_rnn"].note == "not searched: its released sizes, but attention = false"
    assert rows["logistic"].train == rows["bigfusion"].train, "what one network's search has found is no other's"
    assert (rows["bigfusion"].model, rows["bigfusion"].note) == (small_model(), "")
    meld = {system.key: system for system in networks(replace(given, tuned="meld"))}
    assert (rows["dialogue_rnn"].model.party_width, meld["dialogue_rnn"].model.party_width) != (150, 150)
    assert meld["dialogue_rnn"].model.party_width == 150


def test_a_row_says_what_its_training_never_comes_to() -> None:
    """AMB-DSGDN was trained for ten epochs; its modality dropout begins in the 61st."""
    ten = base(tuned="", own={"train": {"epochs": 10}})
    rows = {system.key: system.note for system in networks(ten)}
    late = "without its modality dropout, which begins in epoch 61, after the last (10)"
    assert rows["amb_dsgdn"] == f'not searched: its released sizes, but centred = ["audio"]; {late}'
    assert [key for key, note in rows.items() if "after the last" in note] == ["amb_dsgdn"]
    assert "dropout" not in chosen(networks(replace(ten, tuned="meld")), ["amb_dsgdn"])[0].note, "from the first on"
    assert "dropout" not in chosen(networks(base(released=True, corpus="iemocap")), ["amb_dsgdn"])[0].note


def test_rows_are_chosen_by_name() -> None:
    assert [system.key for system in chosen(networks(base()), ["bigfusion", " BiGRU"])] == ["bigru", "bigfusion"]
    with pytest.raises(SettingsError, match="did you mean 'bigru'"):
        chosen(networks(base()), ["bigrue"])


def test_a_released_network_has_its_own_settings_below_what_was_assigned(monkeypatch: pytest.MonkeyPatch) -> None:
    released = {
        "iemocap": {"model": {"width": 6, "modalities": ["text"]}, "train": {"learning_rate": 0.5, "epochs": 9}},
        "meld": {"model": {"width": 4, "modalities": ["visual"]}, "train": {"epochs": 7}},
    }
    monkeypatch.setattr(bigru, "RELEASED", released, raising=False)
    monkeypatch.setattr(bigru, "NOTE", "a floor", raising=False)
    monkeypatch.setattr(bigru, "PRINTED_NAME", "biGRU", raising=False)
    given = base(released=True, corpus="iemocap", own={"train": {"epochs": 2}})
    row = chosen(networks(given), ["bigru"])[0]
    assert (row.name, row.note, row.model.width, row.model.modalities) == ("biGRU", "a floor", 6, ("text",))
    assert (row.train.learning_rate, row.train.epochs, row.train.seeds) == (0.5, 2, (0, 1))
    meld = chosen(networks(replace(given, corpus="meld", own={})), ["bigru"])[0]
    assert (meld.model.width, meld.train.epochs) == (4, 7)
    assert meld.model.modalities == ("text", "audio"), "what the data lack is not asked for"
    tuned = chosen(networks(replace(given, released=False)), ["bigru"])[0]
    assert (tuned.model.width, tuned.train) == (128, given.train)


def test_a_released_network_learns_nothing_from_the_callers_training() -> None:
    """In a project under preset `tuned` every rival was trained on smoothed labels, and its averaged weights scored."""
    released = [kind for kind in settings_classes(NETWORKS) if hasattr(import_module(f"{NETWORKS}.{kind}"), "RELEASED")]
    shared = {"seeds": (3,), "threads": 2, "log": (), "holdout": 0.3, "precision": "bfloat16"}
    learning = {
        "smoothing": 0.1,
        "average": 0.99,
        "learning_rate": 0.7,
        "clip": 0.7,
        "patience": 7,
        "schedule": "linear",
    }
    learning |= {"curriculum": "hcl", "hcl": {"buckets": 7}, "warmup": 0.7, "weight_decay": 0.7, "epochs": 7}
    plain, odd = (TrainSettings.model_validate(shared | more) for more in ({}, learning))
    for corpus in ("iemocap", "meld"):
        rows, others = (
            {row.key: row for row in networks(base(released=True, corpus=corpus, train=train))}
            for train in (odd, plain)
        )
        for kind in released:
            assert rows[kind].train == others[kind].train, kind
            assert rows[kind].train.model_dump(include=set(shared)) == shared, kind
            assert (rows[kind].train.smoothing, rows[kind].train.average) == (0, 0), kind
        assert rows["hcl"].train == others["hcl"].train
        assert rows["bigru"].train == rows["bigfusion"].train == odd, "nothing is released of them"


def test_the_papers_rows_are_printed_as_they_stand_in_it() -> None:
    paper = Path(__file__).parents[4] / "shared" / "paper" / "big-fusion.txt"
    if not paper.exists():
        pytest.skip("the paper's text is not here")
    text = re.sub(r"</?u>", "", paper.read_text(encoding="utf-8"))
    lines = text[text.index("Methods\tIEMOCAP") : text.index("Table 3:")].splitlines()
    rows = [line.split("\t") for line in lines if re.match(r"\S+\t[\d-]", line)]
    printed = [*TABLE_2.values(), *TABLE_3.values()]
    assert len(rows) == len(printed) == 19
    for row, (_, *values) in zip(printed, rows, strict=True):
        found = [*row.figures["iemocap"].per_class.values(), row.figures["iemocap"].weighted_f1]
        found += [*row.figures["meld"].per_class.values(), row.figures["meld"].weighted_f1]
        assert found == [float(value) for value in values if value != "-"], row.name
    assert set(TABLE_2["bigfusion"].figures["iemocap"].per_class) == set(IEMOCAP)
    assert set(TABLE_2["bigfusion"].figures["meld"].per_class) < set(MELD)
    assert figures_of("bigfusion", "meld").accuracy == 68.24
    assert figures_of("cogmen", "iemocap").weighted_f1 == 67.63
    assert figures_of("bigru", "iemocap") is None


def test_each_session_is_scored_once_by_a_network_that_never_saw_it() -> None:
    data = in_sessions()
    folds = sessions(data, holdout=0.2)
    assert [fold.name for fold in folds] == ["Ses01", "Ses02", "Ses03"], "nobody can score the fourth"
    for fold in folds:
        seen = [one.id for one in (*fold.data.train, *fold.data.valid)]
        assert all(fold.name in one.id for one in fold.data.test)
        assert not any(fold.name in name for name in seen)
        assert [one.id for one in data if one.id in seen] == seen, "in corpus order, the last held out"
        assert (len(fold.data.train), len(fold.data.valid), len(fold.data.test)) == (5, 1, 3)
    with pytest.raises(TrainingError, match="expected an id that names its session"):
        sessions(small_data(), 0.1)


def test_four_classes_merge_happy_and_excited_and_keep_frustrated_as_context() -> None:
    one = dialogue("a", 7, 0)
    six = Data(IEMOCAP, [replace(one, labels=np.array([0, 1, 2, 3, 4, 5, UNLABELLED]))], [], [])
    four = four_classes(six)
    assert four.labels == ("hap", "sad", "neu", "ang")
    assert four.train[0].labels.tolist() == [0, 1, 2, 3, 0, UNLABELLED, UNLABELLED]
    assert len(four.train[0]) == 7
    with pytest.raises(TrainingError, match="expected IEMOCAP's labels"):
        four_classes(small_data())


@pytest.mark.slow
def test_the_figures_of_a_row_are_those_of_its_predictions(place: Path) -> None:
    ranking, systems = Ranking.of(place, as_given(small_data()), ["bigfusion"]), two(base())
    found = made(ranking, systems)
    floor, reference = found["rows"]
    table = pd.read_parquet(ranking.pooled(systems[0]) / PREDICTIONS)
    table = table[table["true"].notna()]
    weighted, right, joy = [], [], []
    for _, seed in table.groupby("seed"):
        weighted.append(f1_score(seed["true"], seed["predicted"], average="weighted"))
        right.append(accuracy_score(seed["true"], seed["predicted"]))
        joy.append(f1_score(seed["true"], seed["predicted"], labels=["joy"], average="macro", zero_division=0))
    assert floor["weighted_f1"]["values"] == pytest.approx(weighted)
    assert floor["weighted_f1"]["std"] == pytest.approx(np.std(weighted, ddof=1))
    assert floor["accuracy"]["mean"] == pytest.approx(np.mean(right))
    assert floor["per_class"]["joy"]["values"] == pytest.approx(joy)
    assert floor["test_picking"]["mean"] >= floor["weighted_f1"]["mean"]
    expected = compare(ranking.pooled(systems[1]), ranking.pooled(systems[0]))
    assert floor["against"]["bigfusion"] == expected.model_dump(mode="json")
    assert reference["against"] == {}
    cost = floor["cost"]
    assert cost["peak_mib"] > cost["idle_mib"] > 10
    assert 0 < cost["cpu_seconds"] < 60


@pytest.mark.slow
def test_a_table_resumes_by_row_and_by_seed(place: Path) -> None:
    ranking = Ranking.of(place, as_given(small_data()), ["bigfusion"])
    costs = {path: path.stat().st_mtime_ns for path in place.glob(f"runs/*/{COST}")}
    epochs: list[Epoch] = []
    made(ranking, two(base()), epochs)
    assert epochs == []
    assert len(costs) == 2
    assert {path: path.stat().st_mtime_ns for path in costs} == costs
    more = base(train=small_training(seeds=(0, 1, 2), epochs=2))
    found = made(ranking, two(more)[:1], epochs)
    assert len(epochs) == 2, "one seed of one row"
    assert len(found["rows"][0]["weighted_f1"]["values"]) == 3


@pytest.mark.usefixtures("measured_here")
def test_classes_that_one_network_cannot_learn_stop_no_other(tmp_path: Path) -> None:
    data = replace(small_data(), labels=("humming", *LABELS[1:]))
    systems = chosen(networks(base(train=small_training(seeds=(0,), epochs=1))), ["graphsmile", "bigru"])
    found = made(Ranking.of(tmp_path, as_given(data), ["bigru"]), systems)
    rows = {row["key"]: row for row in found["rows"]}
    assert "whose sentiment is known" in rows["graphsmile"]["failed"]
    assert rows["bigru"]["weighted_f1"]["mean"] > 0


@pytest.mark.slow
@pytest.mark.usefixtures("measured_here")
def test_folds_are_pooled_by_seed_and_a_row_that_fails_stops_no_other(tmp_path: Path) -> None:
    folds = sessions(in_sessions(), 0.2)
    ranking = Ranking.of(tmp_path, folds, ["bigfusion"])
    row = two(base(train=small_training(seeds=(0, 1), epochs=1)))[0]
    broken = replace(row, key="broken", name="Broken", model=bigru.BiGRUSettings(modalities=("visual",)))
    found = made(ranking, [broken, row])
    assert "expected features" in found["rows"][0]["failed"]
    table = pd.read_parquet(ranking.pooled(row) / PREDICTIONS)
    every = sum((true_labels(fold.data.test) != UNLABELLED).sum() for fold in folds)
    assert found["rows"][1]["utterances"] == every == 45
    assert len(table) == 2 * every
    assert not table.duplicated(["seed", "dialogue", "utterance"]).any()
    assert found["rows"][1]["test_picking"]["values"] == found["rows"][1]["weighted_f1"]["values"], "of a single epoch"
    assert frame(found)["failed"].notna().tolist() == [True, False]
    found["rows"][1]["paper"] = {"weighted_f1": 58.66, "per_class": {LABELS[0]: 75.31}}
    scores = frame(found).loc[1, ["weighted_f1", "paper_weighted_f1", f"paper_f1_{LABELS[0]}"]]
    assert scores.tolist() == pytest.approx([found["rows"][1]["weighted_f1"]["mean"], 0.5866, 0.7531])
    assert "Broken failed" in markdown(found)
    assert "Broken" in page(found)


@pytest.mark.slow
def test_the_scores_differences_and_costs_stand_before_the_classes_each_under_its_heading(place: Path) -> None:
    """With seven classes in front the very columns of the table lay beyond the right edge of its page."""
    found = made(Ranking.of(place, as_given(small_data()), ["bigfusion"]), two(base()))
    costs = ["parameters", "s / epoch", "MiB", "test-picked"]
    assert headings(found) == ["system", "weighted F1", "paper", "less bigfusion", "accuracy", *costs, *LABELS]
    for exact, row in zip(frame(found).to_dict("records"), found["rows"], strict=True):
        for head, column, cell in zip(headings(found)[1:], _columns(found), cells(row, found)[1:], strict=True):
            shown = float(cell.split()[0].replace(",", "")) if cell not in ("", "–") else None
            scale = 1 if head in costs[:3] else 100
            assert shown is None or shown == pytest.approx(scale * exact[column], abs=0.51 if head == "MiB" else 0.006)
    failed = cells({"key": "x", "name": "X", "paper": None, "failed": "diverged"}, found)
    assert dict(zip(headings(found), failed, strict=True))["weighted F1"] == "failed"


def test_a_cell_breaks_before_its_deviation_or_interval_alone() -> None:
    assert [_broken(cell).split(" ") for cell in ("68.50 ± 0.91", "−1.20 [−2.31, 0.04]", "1,574,910")] == [
        ["68.50", "±\N{NO-BREAK SPACE}0.91"], ["−1.20", "[−2.31,\N{NO-BREAK SPACE}0.04]"], ["1,574,910"],
    ]  # fmt: skip


def test_a_single_dialogue_gives_differences_without_intervals() -> None:
    nothing = dict.fromkeys(("low", "high", "p"))
    against = {"dialogues": 1, "weighted_f1": {"first": 0.5, "second": 0.52, "difference": 0.02, **nothing}}
    row = {"key": "a", "name": "A", "note": "", "against": {"b": against}}
    assert difference(row, "b") == "+2.00"
    told = "\n".join(notes({"caveats": [], "rows": [row], "references": ["b"]}))
    assert "Differences: one dialogue cannot be drawn again" in told
    against["dialogues"] = 10
    assert "dialogues are few" not in "\n".join(notes({"caveats": [], "rows": [row], "references": ["b"]}))


def test_the_page_says_that_settings_lie_above_the_preset_and_what_a_second_includes() -> None:
    table = {"title": "T", "lead": "L", "caveats": [], "labels": [], "rows": [], "references": [], "table": 2}
    table |= {"seeds": [0], "folds": ["given"], "preset": "tuned", "own": {"train.epochs": 4}}
    assert "tuned and own settings" in page(table)
    assert "own settings" not in page(table | {"own": {}})
    assert "seconds an epoch the median on this machine, with the predictions for validation and test" in markdown(
        table
    )


def test_values_have_the_order_of_the_seeds() -> None:
    """They were sorted by seed; the test-picked ones beside them were not."""
    rows = [(1, "joy"), (1, "joy"), (2, "anger"), (2, "anger"), (3, "joy"), (3, "anger")]
    table = pd.DataFrame(rows, columns=["seed", "predicted"]).assign(true="joy")
    found = _scores(table, LABELS, (3, 1, 2))
    assert [one.accuracy for one in found] == [0.5, 1, 0]


def test_a_class_that_does_not_occur_has_no_f1_and_one_that_is_only_predicted_has_0() -> None:
    """0.00 ± 0.00 stood for both, and macro F1 was no mean of the row."""
    rows = [(1, "neutral"), (1, "neutral"), (2, "joy"), (2, "neutral")]
    seeds = _scores(pd.DataFrame(rows, columns=["seed", "predicted"]).assign(true="neutral"), LABELS, (1, 2))
    found = _per_class(seeds, LABELS)
    assert {label: score and score["values"] for label, score in found.items()} == {
        "neutral": [1, pytest.approx(2 / 3)],
        "joy": [0, 0],
        "anger": None,
    }
    table = {"caveats": [], "labels": LABELS, "references": [], "rows": [row_of(found, [2, 0, 0])]}
    assert any(
        note.startswith("No scored utterance is joy or anger: F1 is 0 if one was called") for note in notes(table)
    )
    assert not any("No scored" in note for note in notes(table | {"rows": [row_of(found, [1, 1, 1])]}))
    assert cells(table["rows"][0], table)[-3:] == ["83.33 ± 23.57", "0.00 ± 0.00", "–"]
    assert frame(table)["f1_anger"].isna().all() and frame(table)["f1_joy"].tolist() == [0]


def test_a_row_that_is_fitted_at_once_has_no_deviation_over_seeds_and_says_why(tmp_path: Path) -> None:
    rows = chosen(networks(base()), ["logistic"])
    cost = Cost(parameters=1, cpu_seconds=1, seconds=2, idle_mib=1, peak_mib=1)
    row = _row(Ranking.of(tmp_path, as_given(small_data()), []), rows[0], cost, lambda epoch: None) | {"against": {}}
    assert row["weighted_f1"]["std"] is row["per_class"]["joy"]["std"] is row["test_picking"] is None
    assert len({*row["weighted_f1"]["values"]}) == 1
    told = notes({"caveats": [], "labels": LABELS, "references": [], "rows": [row]})
    assert "Logistic regression: fitted at once, the same for every seed; no epoch is chosen." in told


def row_of(per_class: dict, support: list[int]) -> dict:
    """A finished row of a table with these scores by class."""
    score = {"mean": 0.5, "std": None, "values": [0.5]}
    return {
        "key": "a", "name": "A", "note": "", "modalities": ["text"], "paper": None, "against": {}, "test_picking": None,
        "per_class": per_class, "support": dict(zip(LABELS, support, strict=True)), "seconds_per_epoch": 1.0,
        "cost": {"parameters": 1, "cpu_seconds": 1.0, "peak_mib": 1.0}, "epochs": 1.0, "seconds": 1.0,
        **dict.fromkeys(("weighted_f1", "accuracy", "macro_f1"), score),
    }  # fmt: skip


def test_the_cost_of_a_curriculum_is_that_of_an_epoch_on_all_dialogues() -> None:
    """Its second epoch trains on two buckets of five, so HCL looked three times as cheap as DAG-ERC."""
    dialogues = [dialogue(str(number), 4 + number, number) for number in range(10)]
    given = small_training(curriculum="hcl", epochs=9, hcl={"decay": 0.5})
    two = _two_epochs(given)
    assert (two.epochs, two.curriculum, two.hcl.decay) == (2, "hcl", 0.5)
    assert [len(curriculum(one, dialogues, LABELS).lesson(2).dialogues) for one in (given, two)] == [4, 10]


def test_the_cost_of_a_network_that_is_fitted_at_once_is_that_of_its_second_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was that of the process's first calls, nine times the fit."""
    now, fits = [0.0], [100.0, 7.0]
    prepare = Logistic.prepare

    def slow(self: Logistic, *splits: list[Dialogue]) -> None:
        now[0] += fits.pop(0)
        prepare(self, *splits)

    monkeypatch.setattr(Logistic, "prepare", slow)
    clock = SimpleNamespace(process_time=lambda: now[0], perf_counter=lambda: now[0])
    monkeypatch.setattr("bigfusion.model.reproduce.cost.time", clock)
    cost = _measured(small_data(), LogisticSettings(modalities=("text", "audio")), small_training())
    assert (cost.cpu_seconds, cost.seconds, fits) == (7, 7, [])


def test_a_network_that_is_fitted_at_once_is_awaited_for_one_epoch(tmp_path: Path) -> None:
    ranking = Ranking.of(tmp_path, as_given(small_data()), [])
    cost = Cost(parameters=1, cpu_seconds=1, seconds=2, idle_mib=1, peak_mib=1)
    rows = {system.key: system for system in networks(base(train=small_training(seeds=(0, 1), epochs=9)))}
    assert _seconds(ranking, rows["logistic"], cost) == 2 * 2
    assert _seconds(ranking, rows["bigru"], cost) == 2 * 2 * 9


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str | None] = []
        self.addresses: list[str] = []
        self.titles: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "br", "input"}:
            self.open.append(tag)
        given = dict(attrs)
        if "data-value" in given:
            self.cells.append(given["data-value"])
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "title":
            self.titles.append(data)


@pytest.mark.slow
def test_the_page_is_whole_asks_for_nothing_and_draws_what_compare_says(place: Path) -> None:
    ranking, systems = Ranking.of(place, as_given(small_data()), ["bigfusion"]), two(base())
    found = made(ranking, systems)
    parser = _Page()
    parser.feed(page(found))
    parser.close()
    assert parser.open == []
    assert parser.addresses == []
    one = compare(ranking.pooled(systems[1]), ranking.pooled(systems[0])).weighted_f1
    shown = f"biGRU: {100 * one.difference:+.2f} [{100 * one.low:+.2f}, {100 * one.high:+.2f}], p {one.p:.4f}"
    assert parser.titles.count(shown) == 2, "once for a screen, once for a phone"
    table = frame(found)
    assert f"{table['weighted_f1'][0]:.6g}" in parser.cells
    json.dumps(found, allow_nan=False)
    lines = markdown(found).splitlines()
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    assert any(line.startswith("| biGRU") and f"{100 * one.difference:+.2f}" in line for line in lines)
