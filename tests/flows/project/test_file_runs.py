"""Training and scoring on feature files, from any folder, as somebody does who has nothing but the two files."""

import json
import re
import shutil
import subprocess
import sys
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigfusion.flows import cli
from bigfusion.flows.project.load import load_learning
from bigfusion.model.scoring.modalities import read_modality_scores
from bigfusion.model.scoring.results import read_metrics
from bigfusion.pipeline.errors import SettingsError
from tests.helpers.command_line import fails

CLASSES = ("hap", "sad", "neu", "ang", "exc", "fru")
SHORT = ["--set", "model.width=16", "--set", "train.learning_rate=0.03", "--set", "train.epochs=1"]
SMALL = [*SHORT, "--set", "train.epochs=3"]
"""Enough to learn something."""


def frame(dialogues: int, seed: int, first: int = 1) -> pd.DataFrame:
    """Dialogues of two speakers whose text carries the label; a pitch is now and then missing, a row wholly absent."""
    random = np.random.default_rng(seed)
    centres = 2 * np.random.default_rng(99).normal(size=(6, 8))
    rows = []
    for number in range(first, first + dialogues):
        name = f"Ses0{1 + number % 4}F_impro{number:02}"
        for turn in range(int(random.integers(4, 9))):
            label = int(random.choice(6, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.1]))
            audio = random.normal(size=3).astype(np.float32)
            audio[2] = np.nan if random.random() < 0.2 else audio[2]
            rows.append(
                {
                    "dialogue": name,
                    "utterance": f"{name}_{'FM'[turn % 2]}{turn:03}",
                    "speaker": "FM"[turn % 2],
                    "label": label,
                    "text": (centres[label] + random.normal(size=8)).astype(np.float16),
                    "audio": np.full(3, np.nan, np.float32) if random.random() < 0.1 else audio,
                }
            )
    table = pd.DataFrame(rows)
    table["label"] = table["label"].astype("int8")
    return table


def write(path, table: pd.DataFrame):
    columns = {}
    for name in table:
        if name in ("text", "audio", "visual"):
            kind = pa.float16() if name == "text" else pa.float32()
            flat = pa.array(np.concatenate(table[name].to_numpy()), kind)
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, len(table[name].iloc[0]))
        else:
            columns[name] = pa.array(table[name].tolist())
    pq.write_table(pa.table(columns), path)
    return path


def call(capsys, *arguments) -> dict:
    """What a command prints as JSON."""
    capsys.readouterr()
    assert cli.main([*map(str, arguments), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def train(*arguments) -> int:
    return cli.main(["train", *map(str, arguments), *SHORT])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two seeds trained on a file, and another file of other dialogues. Not to be changed."""
    folder = tmp_path_factory.mktemp("files")
    write(folder / "train.parquet", frame(20, 0))
    write(folder / "test.parquet", frame(8, 1, first=50))
    command = ["train", "--features", folder / "train.parquet", "--preset", "tuned", "--seeds", 2, *SMALL]
    assert cli.main([*map(str, command), "--out", str(folder / "run")]) == 0
    return folder


@pytest.fixture(scope="module")
def plain(place) -> dict:
    """What `evaluate` says of the other file as it is. Its scores are not to be changed."""
    words = ["evaluate", "--json", "--features", place / "test.parquet", "--run", place / "run"]
    with redirect_stdout(StringIO()) as answer:
        assert cli.main([*map(str, words)]) == 0
    return json.loads(answer.getvalue())


def test_training_says_if_validation_hears_the_sessions_that_it_learns_from(tmp_path, capsys):
    table = frame(8, 0)
    split = {name: "valid" if name.startswith("Ses04") else "train" for name in table["dialogue"].unique()}
    apart = write(tmp_path / "apart.parquet", table.assign(split=table["dialogue"].map(split)))
    mixed = write(tmp_path / "mixed.parquet", table)
    for path, said in ((apart, False), (mixed, True)):
        capsys.readouterr()
        asked = ["--network", "logistic", "--features", path, "--seeds", 1, "--set", "train.epochs=1"]
        assert cli.main(["train", *map(str, asked), "--out", str(tmp_path / path.stem)]) == 0
        told = capsys.readouterr().err
        assert ("share sessions" in told) is said
        assert ("reproduce --table 2 --rows logistic --scheme sessions" in told) is said


def test_scores_are_means_deviations_and_values(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = call(capsys, "evaluate", "--features", place / "test.parquet", "--run", place / "run")
    for name in ("weighted_f1", "accuracy", "macro_f1", "ece"):
        score = data[name]
        assert len(score["values"]) == 2
        assert score["mean"] == pytest.approx(np.mean(score["values"]))
        assert score["std"] == pytest.approx(np.std(score["values"], ddof=1))
    assert 0.3 < data["weighted_f1"]["mean"] <= 1
    test = frame(8, 1, first=50)
    assert {name: row["support"] for name, row in data["per_class"].items()} == {
        name: int((test["label"] == code).sum()) for code, name in enumerate(CLASSES)
    }
    assert np.sum(data["confusion"]["counts"]) == pytest.approx(len(test))
    assert [seed["seed"] for seed in data["seeds"]] == [0, 1]
    assert (data["dialogues"], data["seen_in_training"]) == (8, 0)
    assert not list(tmp_path.iterdir())
    predictions = pd.read_parquet(f"{data['paths']['scores']}/predictions.parquet")
    assert predictions["utterance"].tolist() == 2 * test["utterance"].tolist()


def test_each_modality_is_left_out_and_alone_where_it_is_asked(place, tmp_path, capsys):
    shutil.copytree(place / "run", tmp_path / "run")
    asked = ("evaluate", "--features", place / "test.parquet", "--run", tmp_path / "run", "--modalities")
    data = call(capsys, *asked)
    folder = Path(data["paths"]["scores"])
    found = read_modality_scores(folder, read_metrics(folder))
    assert found.rows[0].mean.weighted_f1 == pytest.approx(data["weighted_f1"]["mean"])
    names = found.rows[0].modalities
    assert [row.modalities for row in found.rows[1 : 1 + len(names)]] == [
        tuple(other for other in names if other != name) for name in names
    ]
    assert "<h2>Modalities</h2>" in Path(data["paths"]["report"]).read_text()
    assert [row["modalities"] for row in data["modalities"]] == [list(row.modalities) for row in found.rows]
    assert [row["weighted_f1"] for row in data["modalities"]] == [row.mean.weighted_f1 for row in found.rows]
    assert cli.main([str(word) for word in asked]) == 0
    shown = capsys.readouterr().out
    for row in found.rows:
        assert re.search(rf"^{re.escape(' + '.join(row.modalities))} +{100 * row.mean.weighted_f1:.2f}", shown, re.M)


def test_two_runs_are_compared_on_the_dialogues_they_scored(plain, tmp_path, capsys):
    assert "expected a scored run, found none" in fails(capsys, "compare", str(tmp_path), str(tmp_path))
    found = call(capsys, "compare", plain["paths"]["scores"], plain["paths"]["scores"])
    assert found["weighted_f1"]["first"] == pytest.approx(plain["weighted_f1"]["mean"])
    assert (found["weighted_f1"]["difference"], found["weighted_f1"]["p"], found["dialogues"]) == (0, 1, 8)
    assert cli.main(["compare", plain["paths"]["scores"], plain["paths"]["scores"]]) == 0
    shown = capsys.readouterr().out
    assert "paired bootstrap" in shown
    assert "validation" not in shown


def test_two_runs_that_were_scored_on_validation_say_so(plain, tmp_path, capsys):
    rows = pd.read_parquet(f"{plain['paths']['scores']}/predictions.parquet")
    rows.assign(split="valid").to_parquet(tmp_path / "predictions.parquet")
    assert cli.main(["compare", str(tmp_path), str(tmp_path)]) == 0
    assert "first and second: scored on validation, on which each epoch was chosen" in capsys.readouterr().out
    assert cli.main(["compare", plain["paths"]["scores"], str(tmp_path)]) == 0
    assert "\nnote: second: scored on validation" in capsys.readouterr().out
    (tmp_path / "metrics.json").write_text('{"fitted_at_once": true}')
    assert cli.main(["compare", plain["paths"]["scores"], str(tmp_path)]) == 0
    assert "scored on validation" not in capsys.readouterr().out


def test_a_comparison_names_what_was_scored_and_says_if_the_files_differ(place, tmp_path, capsys):
    """The ids and labels of a noisy copy are equal; a difference then is not that of the networks."""
    for name in ("one", "two"):
        shutil.copytree(place / "run", tmp_path / name, ignore=shutil.ignore_patterns("scores"))
    table = frame(8, 1, first=50)
    noisy = write(tmp_path / "noisy.parquet", table.assign(text=[-row for row in table["text"]]))
    first, second = tmp_path / "one", tmp_path / "two"
    one = call(capsys, "evaluate", "--features", place / "test.parquet", "--run", first)["paths"]["scores"]
    other = call(capsys, "evaluate", "--features", noisy, "--run", second)["paths"]["scores"]
    found = call(capsys, "compare", first, second)
    assert (found["first"], found["second"]) == (one, other)
    note, few = found["notes"]
    assert few.startswith("8 dialogues are few")
    assert note.startswith("the first run scored test.parquet, the second noisy.parquet")
    assert cli.main(["compare", str(first), str(second)]) == 0
    shown = capsys.readouterr().out
    assert f"note: {note}" in shown and one in shown and other in shown
    (Path(other) / "scored-file.json").unlink()
    note, _ = call(capsys, "compare", first, second)["notes"]
    assert note.startswith(f"{Path(other).name}: of which file is not known"), "scores of an earlier version"
    shutil.rmtree(other)
    call(capsys, "evaluate", "--features", place / "test.parquet", "--run", second)
    assert call(capsys, "compare", first, second)["notes"] == [few]
    known = call(capsys, "evaluate", "--features", place / "train.parquet", "--run", first)["paths"]["scores"]
    assert call(capsys, "compare", known, known)["notes"] == [
        f"the {one} run: 20 of 20 dialogues were trained or validated on: no test" for one in ("first", "second")
    ]


def test_a_run_is_scored_where_it_is_asked_for_and_by_its_own_settings(place, monkeypatch, capsys):
    scoring = ("evaluate", "--features", str(place / "test.parquet"), "--run", str(place / "run"))
    assert "nowhere" in fails(capsys, *scoring, "--set", "train.device=nowhere")
    assert call(capsys, *scoring, "--set", "train.device=cpu")["dialogues"] == 8
    for option in (("--set", "model.width=8"), ("--preset", "paper"), ("--config", str(place / "absent.toml"))):
        for command in (scoring, ("compare", str(place / "run"), str(place / "run"))):
            assert f"{option[0]} has no effect here" in fails(capsys, *command, *option)
    assert "--set has no effect here" in fails(capsys, "compare", "a", "b", "--set", "train.device=cpu")


def test_relative_paths_and_the_table_for_people(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert cli.main(["evaluate", "--features", "test.parquet", "--run", "run"]) == 0
    shown = capsys.readouterr().out
    assert "test split: 8 dialogues" in shown
    assert "weighted F1" in shown
    assert "report.html" in shown


def variants() -> dict[str, pd.DataFrame]:
    """The same dialogues, said in other ways."""
    plain = frame(8, 1, first=50)
    return {
        "columns turned round": plain[plain.columns[::-1]],
        "names as labels": plain.assign(label=[CLASSES[code] for code in plain["label"]]),
        "codes as text": plain.assign(label=plain["label"].astype(str)),
        "codes as floats": plain.assign(label=plain["label"].astype(float)),
        "more columns": plain.assign(note="x", visual=[np.zeros(4, np.float32)] * len(plain)),
        "numbers as utterances": plain.assign(utterance=range(len(plain))),
        "utterances numbered anew": plain.assign(utterance=plain.groupby("dialogue").cumcount()),
        "dialogues interleaved": plain.assign(turn=plain.groupby("dialogue").cumcount())
        .sort_values("turn", kind="stable")
        .drop(columns="turn"),
    }


@pytest.mark.parametrize("variant", variants())
def test_the_same_dialogues_said_in_another_way_score_the_same(place, plain, tmp_path, capsys, variant):
    path = write(tmp_path / "other.parquet", variants()[variant])
    found = call(capsys, "evaluate", "--features", path, "--run", place / "run")
    for name in ("weighted_f1", "accuracy", "per_class", "confusion", "emotion_shift"):
        assert found[name] == plain[name], name


def test_a_class_that_does_not_occur_and_turns_without_a_label(place, tmp_path, capsys):
    table = frame(8, 1, first=50)
    kept = table[table["label"] < 5].reset_index(drop=True)
    kept = kept.assign(label=[None if row == 3 else int(code) for row, code in enumerate(kept["label"])])
    data = call(capsys, "evaluate", "--features", write(tmp_path / "t.parquet", kept), "--run", place / "run")
    assert data["per_class"]["fru"]["support"] == 0
    assert sum(row["support"] for row in data["per_class"].values()) == len(kept) - 1
    assert data["labels"] == list(CLASSES)
    names = kept.assign(label=["" if np.isnan(code) else CLASSES[int(code)] for code in kept["label"]])
    named = call(capsys, "evaluate", "--features", write(tmp_path / "n.parquet", names), "--run", place / "run")
    assert (named["labels"], named["per_class"]) == (data["labels"], data["per_class"])


def test_missing_numbers_take_the_training_mean_not_the_files(place, tmp_path, capsys):
    """A turn is predicted the same whatever stands in the file's other dialogues."""
    table = frame(8, 1, first=50)
    alone = table[table["dialogue"] == table["dialogue"].iloc[-1]]
    assert any(np.isnan(row).any() and not np.isnan(row).all() for row in alone["audio"])
    rows = []
    for name, part in (("all", table), ("alone", alone)):
        data = call(capsys, "evaluate", "--features", write(tmp_path / f"{name}.parquet", part), "--run", place / "run")
        found = pd.read_parquet(f"{data['paths']['scores']}/predictions.parquet").set_index(["seed", "utterance"])
        rows.append(found.loc[[(0, utterance) for utterance in alone["utterance"]], "p_hap"].to_numpy())
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)


def without_audio(form: str, table: pd.DataFrame) -> pa.Table:
    """The dialogues without their audio, said in several ways."""
    columns = {name: pa.array(table[name].tolist()) for name in ("dialogue", "utterance", "speaker", "label", "text")}
    rows = len(table)
    columns |= {
        "no column": {},
        "nulls": {"audio": pa.nulls(rows)},
        "null lists": {"audio": pa.nulls(rows, pa.list_(pa.float32()))},
        "null lists of a width": {"audio": pa.nulls(rows, pa.list_(pa.float32(), 3))},
    }[form]
    return pa.table(columns)


def test_a_file_without_a_modality_is_scored_as_if_each_row_were_absent(place, plain, tmp_path, capsys):
    table = frame(8, 1, first=50)
    write(tmp_path / "marked.parquet", table.assign(audio=[np.full(3, np.nan, np.float32)] * len(table)))
    forms = ("no column", "nulls", "null lists", "null lists of a width")
    for form in forms:
        pq.write_table(without_audio(form, table), tmp_path / f"{form}.parquet")
    numbers = {}
    for name in ("marked", *forms):
        path = tmp_path / f"{name}.parquet"
        assert cli.main(["evaluate", "--json", "--features", str(path), "--run", str(place / "run")]) == 0
        shown = capsys.readouterr()
        data = json.loads(shown.out)
        said = "every row is scored with the learned absent vector"
        assert f"{path.name}: no audio: the run was trained on it; {said}\n" in shown.err
        assert (data["absent"], data["seen_in_training"]) == (["audio"], None)
        assert f"No audio in the file: {said}." in Path(data["paths"]["report"]).read_text()
        numbers[name] = pd.read_parquet(f"{data['paths']['scores']}/predictions.parquet")["p_hap"].to_numpy()
        assert np.array_equal(numbers[name], numbers["marked"]), name
    read = pd.read_parquet(f"{plain['paths']['scores']}/predictions.parquet")["p_hap"].to_numpy()
    assert not np.allclose(numbers["marked"], read), "the audio says something to this network"
    zeros = write(tmp_path / "zeros.parquet", table.assign(audio=[np.zeros(3, np.float32)] * len(table)))
    silent = call(capsys, "evaluate", "--features", zeros, "--run", place / "run")
    read = pd.read_parquet(f"{silent['paths']['scores']}/predictions.parquet")["p_hap"].to_numpy()
    assert not np.allclose(numbers["marked"], read), "absent is not a row of zeros"


def test_an_absent_vector_that_was_never_learned_is_called_so(place, tmp_path, capsys):
    """Every training utterance has its text: gradients never reached the vector that stands in for it."""
    run = tmp_path / "run"
    shutil.copytree(place / "run", run, ignore=shutil.ignore_patterns("scores"))
    table = frame(8, 1, first=50)
    file = write(tmp_path / "file.parquet", table.assign(text=[np.full(8, np.nan, np.float16)] * len(table)))

    def scored(*more: str) -> tuple[dict, str, str]:
        assert cli.main(["evaluate", "--json", "--features", str(file), "--run", str(run), *more]) == 0
        shown = capsys.readouterr()
        data = json.loads(shown.out)
        return data, shown.err, Path(data["paths"]["report"]).read_text()

    data, err, page = scored("--modalities")
    assert (data["absent"], data["absent_in_training"]["text"]) == (["text"], 0)
    assert data["absent_in_training"]["audio"] > 0
    said = "every row is scored with an absent vector that was never learned, for no training utterance lacked it"
    assert f"file.parquet: no text: the run was trained on it; {said}\n" in err and f"in the file: {said}." in page
    noted = "no training utterance lacked text, so its absent vector was never learned"
    assert f"evaluate: {noted}\n" in err and f"But {noted}." in page
    write(file, table.assign(text=[np.full(8, np.nan, np.float16)] * 3 + list(table["text"])[3:]))
    data, err, page = scored()
    some = f"3 of {len(table)} utterances lack text: they are scored with an absent vector that was never learned"
    assert data["absent"] == [] and f"file.parquet: {some}," in err and f"{some}, for no training" in page
    write(file, table.assign(text=[np.full(8, np.nan, np.float16)] * len(table)))
    for facts in run.glob("seed-*/checkpoint.json"):  # as an earlier version wrote them
        older = json.loads(facts.read_text())
        del older["absent"]
        facts.write_text(json.dumps(older))
    shutil.rmtree(run / "scores")
    data, err, page = scored("--modalities")
    unknown = "learned is not known, for an earlier version trained the run"
    assert data["absent_in_training"] is None
    assert err.count(unknown) == page.count(unknown) == 2


def test_a_modality_that_the_run_was_not_trained_on_is_not_read(place, tmp_path, capsys):
    more = frame(8, 1, first=50).assign(visual=[np.ones(4, np.float32)] * len(frame(8, 1, first=50)))
    file = write(tmp_path / "more.parquet", more)
    assert cli.main(["evaluate", "--json", "--features", str(file), "--run", str(place / "run")]) == 0
    assert "more.parquet: visual is not read: the run was trained on text, audio" in capsys.readouterr().err


def test_dialogues_that_were_trained_on_are_counted(place, capsys):
    data = call(capsys, "evaluate", "--features", place / "train.parquet", "--run", place / "run")
    assert data["seen_in_training"] == data["dialogues"] == 20
    table = frame(20, 0)
    renamed = write(place / "renamed.parquet", table.assign(dialogue="x" + table["dialogue"]))
    assert call(capsys, "evaluate", "--features", renamed, "--run", place / "run")["seen_in_training"] == 20
    halves = table.groupby("dialogue").cumcount().mod(2).map({0: "a", 1: "b"})
    cut = write(place / "cut.parquet", table.assign(dialogue=table["dialogue"] + halves))
    found = call(capsys, "evaluate", "--features", cut, "--run", place / "run")
    assert found["seen_in_training"] == found["dialogues"] == 40, "cut otherwise, they are the same utterances"
    fresh = write(place / "fresh.parquet", frame(20, 7))  # of the same names
    assert call(capsys, "evaluate", "--features", fresh, "--run", place / "run")["seen_in_training"] == 0


def test_of_a_run_that_kept_names_alone_it_cannot_be_told(place, tmp_path, capsys):
    shutil.copytree(place / "run", tmp_path / "run")
    record = json.loads((tmp_path / "run/run.json").read_text())
    record["dialogues"] = {split: list(names) for split, names in record["dialogues"].items()}
    (tmp_path / "run/run.json").write_text(json.dumps(record))
    data = call(capsys, "evaluate", "--features", place / "test.parquet", "--run", tmp_path / "run")
    assert data["seen_in_training"] is None
    assert "cannot be told" in Path(data["paths"]["report"]).read_text()


def test_what_is_wrong_is_one_line(place, tmp_path, capsys):
    table = frame(4, 2, first=80)

    def refused(part: pd.DataFrame, run="run") -> str:
        write(tmp_path / "x.parquet", part)
        return fails(capsys, "evaluate", "--features", str(tmp_path / "x.parquet"), "--run", str(place / run))

    assert "found text of width 7" in refused(
        table.assign(text=[row[:7] for row in table["text"]]).drop(columns="audio")
    )
    visual = table.drop(columns=["text", "audio"]).assign(visual=[np.zeros(4, np.float32)] * len(table))
    assert "expected text of width 8, audio of width 3, as" in refused(visual)
    assert "expected features in text or audio, found rows without any" in refused(
        table.assign(text=[row * np.nan for row in table["text"]]).drop(columns="audio")
    )
    assert "found text of width 8, audio of width 2" in refused(table.assign(audio=[row[:2] for row in table["audio"]]))
    assert "expected rows with dialogue, utterance, speaker, label" in refused(table.drop(columns="label"))
    assert "expected labelled utterances to score" in refused(table.assign(label=-1))
    assert "expected label codes below 6" in refused(table.assign(label=7))
    assert "expected one of hap, sad, neu, ang, exc, fru, found joy" in refused(table.assign(label="joy"))
    assert "expected the folder of a trained run, found none" in refused(table, run="nowhere")
    assert "no such file" in fails(capsys, "evaluate", "--features", "absent.parquet", "--run", str(place / "run"))
    assert "--features and --run go together" in fails(capsys, "evaluate", "--run", str(place / "run"))
    assert "--features and --out go together" in fails(capsys, "train", "--features", str(place / "train.parquet"))
    (tmp_path / "empty").mkdir()
    assert "expected trained seeds" in refused(table, run=tmp_path / "empty")


@pytest.mark.parametrize("seeds", ["0", "-1", "five"])
def test_seeds_are_a_number(seeds, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["train", "--seeds", seeds])
    assert stopped.value.code == 1
    assert "expected how many seeds" in capsys.readouterr().err


def test_a_folder_holds_one_run_and_takes_more_seeds(place, tmp_path, capsys):
    arguments = ["--features", place / "train.parquet", "--out", tmp_path / "run"]
    assert train(*arguments, "--seeds", 1) == 0
    assert "train: to do: 1 seed\n" in capsys.readouterr().err
    weights = (tmp_path / "run/seed-0/checkpoint.safetensors").read_bytes()
    line = fails(capsys, "train", *map(str, arguments), *SHORT, "--set", "train.learning_rate=0.5")
    assert "a run with other train learning_rate 0.03 -> 0.5; name another folder with --out" in line
    other = write(tmp_path / "other.parquet", frame(9, 3))
    assert "a run with other data" in fails(capsys, "train", "--features", str(other), *map(str, arguments[2:]), *SHORT)
    assert train(*arguments, "--seeds", 2) == 0
    assert "train: to do: 1 seed\n" in capsys.readouterr().err
    assert (tmp_path / "run/seed-0/checkpoint.safetensors").read_bytes() == weights
    assert json.loads((tmp_path / "run/run.json").read_text())["seeds"] == [0, 1]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").touch()
    line = fails(capsys, "train", *map(str, arguments[:2]), "--out", str(tmp_path / "mine"))
    assert "found thesis.tex; name another folder" in line
    line = fails(capsys, "train", *map(str, arguments[:2]), "--out", str(other))
    assert "cannot be written" in line


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_networks(place, tmp_path):
    """A real SIGKILL in the second seed, then the same command again."""
    command = [
        sys.executable, "-m", "bigfusion.flows.cli", "train", "--features", str(place / "train.parquet"),
        "--preset", "tuned", "--seeds", "2", "--out", str(tmp_path / "run"), *SMALL,
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    limit = time.monotonic() + 120
    while not (tmp_path / "run/seed-1/history.jsonl").exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < limit
        time.sleep(0.005)
    process.kill()
    process.wait()
    subprocess.run(command, check=True, capture_output=True)
    for seed in (0, 1):
        name = f"seed-{seed}/checkpoint.safetensors"
        assert (tmp_path / "run" / name).read_bytes() == (place / "run" / name).read_bytes()


def test_an_interrupted_run_is_not_scored_in_part(place, tmp_path, capsys):
    shutil.copytree(place / "run", tmp_path / "run")
    (tmp_path / "run/seed-1/trained.json").unlink()
    line = fails(capsys, "evaluate", "--features", str(place / "test.parquet"), "--run", str(tmp_path / "run"))
    assert "seed-1: expected a finished seed" in line


def test_a_file_with_splits_keeps_them(tmp_path, capsys):
    table = frame(12, 0)
    split = {
        name: "test" if place > 8 else "valid" if place > 6 else "train"
        for place, name in enumerate(table["dialogue"].unique())
    }
    path = write(tmp_path / "f.parquet", table.assign(split=table["dialogue"].map(split)))
    assert train("--features", path, "--out", tmp_path / "run", "--seeds", 1) == 0
    data = call(capsys, "evaluate", "--features", path, "--run", tmp_path / "run")
    assert (data["dialogues"], data["seen_in_training"]) == (3, 0)
    assert data["test_picking"] is not None, "the run saw these test dialogues, unscored, at every epoch"
    assert data["weighted_f1"]["std"] is None


def test_a_pick_of_the_test_epoch_is_of_the_very_test_split_that_training_predicted(tmp_path, capsys):
    """Training keeps each epoch's predictions of its test split. They say nothing of other features or labels."""
    table = frame(12, 0)
    split = {
        name: "test" if place > 8 else "valid" if place > 6 else "train"
        for place, name in enumerate(table["dialogue"].unique())
    }
    table["split"] = table["dialogue"].map(split)
    test = table[table["split"] == "test"].reset_index(drop=True)
    random = np.random.default_rng(5)
    noisy = test.assign(text=[random.normal(size=8).astype(np.float16) for _ in range(len(test))])
    run = ("--features", write(tmp_path / "all.parquet", table), "--out", tmp_path / "run", "--seeds", 1)
    assert train(*run) == 0

    def picked(part: pd.DataFrame) -> bool:
        data = call(capsys, "evaluate", "--features", write(tmp_path / "f.parquet", part), "--run", tmp_path / "run")
        kept = read_metrics(Path(data["paths"]["scores"]))
        assert (kept.test_picking is None) is (data["test_picking"] is None)
        assert [seed.picked_on_test is None for seed in kept.seeds] == [data["test_picking"] is None]
        shown = "would have shown" in Path(data["paths"]["report"]).read_text()
        assert shown is (data["test_picking"] is not None)
        return shown

    assert picked(table) and picked(test), "the very test split, alone or beside the others"
    assert not picked(noisy)
    assert not picked(test.assign(label=(test["label"] + 1) % 6)), "labels corrected after the training"
    record = json.loads((tmp_path / "run/run.json").read_text())
    earlier = {key: value for key, value in record.items() if key != "test"}
    (tmp_path / "run/run.json").write_text(json.dumps(earlier))
    assert not picked(test), "a run of an earlier version does not say what its test split was"
    assert train(*run) == 0
    assert json.loads((tmp_path / "run/run.json").read_text()) == record, "the same command adds it"
    assert picked(test)


def test_the_presets_of_the_network_say_nothing_of_a_corpus(tmp_path, capsys):
    paper = load_learning(None, "paper")
    assert (paper.train.learning_rate, paper.train.weight_decay, paper.train.batch_size) == (3e-5, 1e-8, 32)
    assert (paper.model.attention.window, paper.model.graph.window) == (5, 6)
    assert (paper.model.contrast.weight, paper.model.contrast.temperature) == (0.5, 1.0)
    assert paper.model.contrast.rho == (0.4, 0.2)
    assert load_learning(None, None) == load_learning(None, "tuned")
    assert load_learning(None, "meld").model.graph.window == 4
    with pytest.raises(SettingsError, match="unknown key text"):
        load_learning(None, "tuned", ["text.model=x"])
    assert "says nothing of a corpus" in fails(capsys, "init", str(tmp_path / "p"), "--preset", "tuned")


def test_the_report_prints_the_papers_figures_only_beside_a_benchmark(place, tmp_path, capsys):
    """A file of six classes of one's own was called IEMOCAP, with the paper's figures in its report."""
    shutil.copytree(place / "run", tmp_path / "run")
    table = frame(8, 1, first=50)
    own = write(tmp_path / "calls.parquet", table.assign(dialogue="call " + table["dialogue"]))
    for path, known in ((place / "test.parquet", True), (own, False)):
        data = call(capsys, "evaluate", "--features", path, "--run", tmp_path / "run")
        page = Path(data["paths"]["report"]).read_text()
        assert ("Paper&#x27;s F1" in page or "Paper's F1" in page) is known
        assert ("the paper's figures are left out" in page.replace("&#x27;", "'")) is not known


def test_reproduce_says_what_it_can_make(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = str(place / "train.parquet")
    assert "expected one of --table 2, 3, 4 or features, --figure 3" in fails(capsys, "reproduce", "--features", file)
    assert "expected one of" in fails(capsys, "reproduce", "--features", file, "--table", "4", "--figure", "3")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["reproduce", "--features", file, "--table", "5"])
    assert stopped.value.code == 1
    other = ("--table", "4", "--rows", "bigru")
    assert "are of --table 2 and --table 3" in fails(capsys, "reproduce", "--features", file, *other)
    unknown = ("--table", "2", "--rows", "bigruu")
    assert "did you mean 'bigru'" in fails(capsys, "reproduce", "--features", file, *unknown)


def test_reproduce_writes_pictures_and_data(place, tmp_path, capsys):
    folder = tmp_path / "reproduction"
    small = [*SMALL[:2], "--set", "train.epochs=1", "--seeds", "1"]
    data = call(capsys, "reproduce", "--figure", 4, "--features", place / "train.parquet", "--out", folder, *small)
    assert {path.name for path in folder.glob("figure-4.*")} == {
        f"figure-4.{end}" for end in ("json", "csv", "svg", "png")
    }
    assert data["scored"] == "valid", "the file has no test split"
    table = pd.read_csv(folder / "figure-4.csv")
    assert table["utterance"].tolist() == [turn["utterance"] for turn in data["turns"]]
    assert table["complete"].tolist() == [turn["predicted"]["complete"] for turn in data["turns"]]
    again = ["reproduce", "--figure", 4, "--features", place / "train.parquet", "--out", folder, *small]
    assert cli.main([str(word) for word in again]) == 0
    assert "no test labels: scored on validation, on which each epoch was chosen" in capsys.readouterr().out


@pytest.mark.slow
def test_reproduce_ranks_networks_by_session(place, tmp_path, capsys):
    folder = tmp_path / "reproduction"
    asked = ["--table", 2, "--rows", "logistic,bigfusion", "--scheme", "sessions", "--preset", "released"]
    small = ["--features", place / "train.parquet", "--out", folder, "--set", "train.epochs=1", "--seeds", 1]
    data = call(capsys, "reproduce", *asked, *small)
    assert {path.suffix for path in folder.glob("table-2-released-*-sessions.*")} == {
        ".json",
        ".parquet",
        ".md",
        ".html",
    }
    assert data["own"] == {"train.epochs": 1}
    assert data["folds"] == ["Ses01", "Ses02", "Ses03", "Ses04"]
    assert [row["key"] for row in data["rows"]] == ["logistic", "bigfusion"]
    assert data["rows"][1]["train"]["learning_rate"] == 3e-5, "of BIG-FUSION's own paper"
    assert data["rows"][0]["scored"] == "test", "a session that nobody trained on"
    assert data["rows"][0]["utterances"] == len(pd.read_parquet(place / "train.parquet"))
    kept = pd.read_parquet(*folder.glob("table-2-released-*-sessions.parquet"))
    assert kept["weighted_f1"].tolist() == [row["weighted_f1"]["mean"] for row in data["rows"]]


def test_train_takes_another_network_by_its_name(place, tmp_path, capsys):
    file, run = place / "train.parquet", tmp_path / "run"
    assert "did you mean 'bigru'" in fails(capsys, "train", "--network", "bigur", "--features", str(file), "--out", "r")
    assert train("--features", file, "--out", run, "--network", "biGRU", "--seeds", 1) == 0
    facts = json.loads((run / "seed-0" / "checkpoint.json").read_text())
    assert (facts["model"]["kind"], facts["model"]["width"]) == ("bigru", 16), "--set lies above --network"
