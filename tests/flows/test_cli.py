"""The command line as a stranger meets it: settings, JSON, errors in one line."""

import csv
import json
import pickle
import re
import signal
import subprocess
import sys

import pandas as pd
import pytest

from bigfusion.flows import cli
from bigfusion.flows.project.load import load, load_learning
from bigfusion.flows.project.preset_names import LEARNING, PRESETS
from bigfusion.pipeline.errors import SettingsError
from bigfusion.pipeline.manifest.manifest import Manifest
from tests.helpers.command_line import fails
from tests.helpers.own_features import separable
from tests.helpers.tiny_media import write_wav

FOLDERS = {"table": "media_root"}
"""What `init --root` sets, where it is not `corpus.root`."""


def test_a_pipe_that_breaks_inside_a_command_is_one_line(monkeypatch, capsys):
    """Not the one that the answer is written to: what the command itself talks to is gone."""

    def broken(*_, **__):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("bigfusion.flows.commands.report.run", broken)
    assert "Broken pipe" in fails(capsys, "report")


@pytest.mark.parametrize("preset", PRESETS)
def test_init_writes_settings_that_load_and_are_the_presets(tmp_path, preset, capsys):
    assert cli.main(["init", str(tmp_path / "p"), "--preset", preset, "--root", "/data/corpus"]) == 0
    written = tmp_path / "p/bigfusion.toml"
    assert "#" in written.read_text()
    project = load(written)
    folder = FOLDERS.get(preset, "root")
    assert str(getattr(project.corpus, folder)) == "/data/corpus"
    alone = load(None, preset, [f"corpus.{folder}=/data/corpus"])
    assert project.model == alone.model
    assert project.train == alone.train
    assert project.work == tmp_path / "p/work"
    assert "exists already" in fails(capsys, "init", str(tmp_path / "p"), "--preset", preset)


@pytest.mark.parametrize("learning", LEARNING)
@pytest.mark.parametrize("preset", PRESETS)
def test_init_takes_the_network_and_its_training_of_another_preset(tmp_path, preset, learning):
    assert cli.main(["init", str(tmp_path), "--preset", preset, "--learning", learning, "--root", "/corpus"]) == 0
    project = load(tmp_path / "bigfusion.toml")
    own = load(None, preset, [f"corpus.{FOLDERS.get(preset, 'root')}=/corpus"])
    widths = {"iemocap": 1582, "demo": 16} | dict.fromkeys(("meld", "table", "m3ed", "mosei", "ch_sims"), 300)
    stated = widths.get(preset) if learning == "paper" else None
    assignments = [f"model.modalities={json.dumps(own.model.model_dump(mode='json')['modalities'])}"]
    if own.model.kind == "bigfusion":
        window, rho = own.model.graph.window, list(own.model.contrast.rho)
        assignments += [f"model.graph.window={window}", f"model.contrast.rho={rho}"]
    assignments += [f"model.audio_width={stated}"] if stated else []
    assert (project.model, project.train) == tuple(dict(load_learning(None, learning, assignments)).values())
    rest = {"preset": True, "model": True, "train": True, "workspace": True, "corpus": {"path"}}  # beside the file
    assert project.model_dump(exclude=rest) == own.model_dump(exclude=rest)


def test_a_table_s_skeleton_ingests_once_it_is_filled_in(tmp_path, capsys):
    folder = tmp_path / "mine"
    assert cli.main(["init", str(folder), "--preset", "table"]) == 0
    assert f"fill {folder / 'utterances.csv'} with a row for each utterance" in capsys.readouterr().out
    config, skeleton = folder / "bigfusion.toml", folder / "utterances.csv"
    assert skeleton.read_bytes().startswith(b"\xef\xbb\xbf"), "or Excel takes UTF-8 for cp1252"
    assert "expected at least one row below the header" in fails(capsys, "ingest", "--config", str(config))
    write_wav(folder / "é.wav", seconds=2)
    with skeleton.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [
                ["d1", 0, "Zoë", "Ça va ?", "joie", "é.wav", "0:00.5", "00:00:01,500"],
                ["d2", 0, "Ann", "", "", "", "", ""],
            ]
        )
    assert cli.main(["ingest", "--config", str(config), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert sum(counts["joie"] for counts in data["labels"].values()) == 1
    assert sum(data["unlabelled"].values()) == 1
    assert [item["status"] for item in data["incomplete"]] == ["missing_transcript"]
    row = Manifest.read(folder / "work/manifest.parquet").table.set_index("dialogue").loc["d1"]
    assert (row["speaker"], row["audio_start"], row["audio_end"]) == ("Zoë", 0.5, 1.5)
    filled = skeleton.read_bytes()
    config.unlink()
    assert cli.main(["init", str(folder), "--preset", "table"]) == 0
    assert skeleton.read_bytes() == filled, "a table is never overwritten"


@pytest.mark.parametrize("read", [load, load_learning])
def test_a_preset_that_the_file_would_hide_is_refused(tmp_path, read):
    """A silent mixture otherwise: what `init` has written lies above the preset of the command line."""
    assert cli.main(["init", str(tmp_path), "--preset", "meld"]) == 0
    config = tmp_path / "bigfusion.toml"
    with pytest.raises(
        SettingsError, match=r"names preset meld, and its own train.batch_size.* init my-tuned"
    ) as error:
        read(config, "tuned", [])
    assert "--preset meld --learning tuned" in str(error.value)
    assert "\n" not in str(error.value)
    assert read(config, "meld", []).train.epochs == read(config, None, []).train.epochs == 30
    config.write_text('preset = "meld"\n[corpus]\nkind = "meld"\nroot = "x"\n')
    assert read(config, "tuned", []).train.epochs == 10, "nothing is hidden"


@pytest.mark.parametrize("root", ["~/MELD.Raw", '/tmp/😀/é \\ "x"', "relative/MELD.Raw"])
def test_any_root_comes_back_as_it_was_meant(tmp_path, monkeypatch, root):
    """A relative one from where it was typed, although folders in the file are meant from the file's own."""
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "p", "--preset", "meld", "--root", root]) == 0
    expected = tmp_path / root.replace("~", "/home/somebody")
    assert load(tmp_path / "p/bigfusion.toml").corpus.root == expected


def test_a_root_is_written_without_dots_unless_a_link_makes_that_another_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "far/away").mkdir(parents=True)
    (tmp_path / "here/link").symlink_to(tmp_path / "far/away")
    monkeypatch.chdir(tmp_path / "here")
    for name, root, written in (("one", "../EmoDB", "EmoDB"), ("two", "link/../EmoDB", "here/link/../EmoDB")):
        assert cli.main(["init", name, "--preset", "emodb", "--root", root]) == 0
        assert f'\nroot = "{tmp_path}/{written}"' in (tmp_path / "here" / name / "bigfusion.toml").read_text()


def test_a_root_that_no_toml_can_hold_is_refused(tmp_path, capsys):
    assert "printable characters" in fails(capsys, "init", str(tmp_path), "--preset", "meld", "--root", "/x\udcff")


def test_layers_of_settings(tmp_path):
    config = tmp_path / "bigfusion.toml"
    config.write_text('preset = "meld"\n[corpus]\nroot = "x"\n[train]\nepochs = 3\n')
    project = load(config, None, ["train.batch_size=2", "model.graph.window=9", "text.model=some/name"])
    assert (project.train.epochs, project.train.batch_size, project.model.graph.window) == (3, 2, 9)
    assert project.model.contrast.rho == (0.6, 0.3)
    assert project.corpus.root == tmp_path / "x"
    assert project.text.model == "some/name"


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("train.epoch=3", "unknown key train.epoch"),
        ("train.epochs=many", "train.epochs: .* found 'many'"),
        ("train.seeds=[-1]", "train.seeds.0: .* found -1"),
        ("train.seeds=[1099511627776]", "train.seeds.0: "),
        ("train.seeds=[0, 0, 0]", "seeds must name each seed once"),
        ("corpus.root='~nobody-has-this-name/x'", "expected a user who has a home folder"),
        ("train.epochs", "expected key=value"),
        ("model.heads=3", "width must be a multiple of heads"),
        ("workspace=w", "workspace"),
        ("corpus.kind=savee", "corpus"),
    ],
)
def test_wrong_settings_name_key_and_value(tmp_path, assignment, expected):
    config = tmp_path / "bigfusion.toml"
    config.write_text('preset = "meld"\n')
    with pytest.raises(SettingsError, match=expected):
        load(config, None, [assignment])


def test_errors_are_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no such settings file; make one with `bigfusion init" in fails(capsys, "plan")
    (tmp_path / "broken.toml").write_text("[corpus\n")
    assert "expected TOML" in fails(capsys, "plan", "--config", "broken.toml")
    (tmp_path / "bigfusion.toml").write_text('preset = "meld"\n[corpus]\nroot = "nowhere"\n')
    assert "no such folder; set corpus.root" in fails(capsys, "ingest")
    assert "no such folder; set corpus.root" in fails(capsys, "run")
    (tmp_path / "nowhere").mkdir()
    assert "train_sent_emo.csv" in fails(capsys, "ingest")
    assert "run `bigfusion ingest`" in fails(capsys, "train")
    assert "expected one of meld" in fails(capsys, "plan", "--preset", "savee")


@pytest.mark.parametrize("arguments", [[], ["dance"], ["explain"], ["plan", "--nonsense"]])
def test_usage_errors_are_one_line_and_code_1(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(SettingsError):
        cli.main(["plan", "--config", str(tmp_path / "absent.toml"), "--debug"])


STOPPED = """
import os, sys, time
from bigfusion.flows import cli
from bigfusion.flows.commands import status
def stopped(common):
    try:
        os.kill(os.getpid(), int(sys.argv[1]))
        time.sleep(60)
    finally:
        print("unwound")
status.run = stopped
raise SystemExit(cli.main(["status"]))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_unwinds_the_command(number, code):
    """In a process of its own: one that was stopped ends soon, whatever it still does."""
    command = [sys.executable, "-c", STOPPED, str(int(number))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (code, "unwound\n")
    assert "what is finished is kept" in done.stderr


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ImportError("libGL.so.1: cannot open shared object file"), "apt install libgl1"),
        (ModuleNotFoundError("No module named 'cv2'", name="cv2"), "install the project's dependencies"),
    ],
)
def test_a_library_that_is_not_there_is_one_line(capsys, monkeypatch, error, expected):
    def lacking(common):
        raise error

    monkeypatch.setattr("bigfusion.flows.commands.status.run", lacking)
    assert expected in fails(capsys, "status")


def test_a_wrong_import_of_our_own_is_a_bug(monkeypatch):
    def wrong(common):
        raise ImportError("cannot import name 'x' from 'flows.cells'")

    monkeypatch.setattr("bigfusion.flows.commands.status.run", wrong)
    with pytest.raises(ImportError):
        cli.main(["status"])


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    for command in [
        "init",
        "ingest",
        "plan",
        "extract",
        "train",
        "evaluate",
        "run",
        "report",
        "explain",
        "demo",
        "import",
        "status",
        "models",
        "rollback",
        "deploy",
        "serve",
        "compare",
        "reproduce",
    ]:
        assert re.search(rf"^    {command} ", shown, re.MULTILINE)


def table(folder, rows: int = 12) -> None:
    frame = pd.DataFrame(
        {
            "dialogue": [f"d{k // 3}" for k in range(rows)],
            "turn": [k % 3 for k in range(rows)],
            "speaker": ["A", "B", "A"] * (rows // 3),
            "text": [f"This is line {k}." for k in range(rows)],
            "label": ["calm", "angry"] * (rows // 2),
            "media": [f"{k}.mp4" for k in range(rows)],
            "split": (["train"] * 6 + ["valid"] * 3 + ["test"] * 3),
        }
    )
    frame.to_csv(folder / "table.csv", index=False)
    (folder / "bigfusion.toml").write_text('[corpus]\nkind = "table"\npath = "table.csv"\n')


def test_ingest_of_a_table_without_its_media(tmp_path, capsys):
    table(tmp_path)
    assert cli.main(["ingest", "--config", str(tmp_path / "bigfusion.toml"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["dialogues"] == {"train": 2, "valid": 1, "test": 1}
    assert data["utterances"] == {"train": 6, "valid": 3, "test": 3}
    assert data["labels"]["train"] == {"angry": 3, "calm": 3}
    assert [item["status"] for item in data["incomplete"]] == ["missing_media"] * 12
    assert data["skipped"] == []
    assert (tmp_path / "work/manifest.parquet").exists()


def test_status_of_an_empty_workspace(tmp_path, capsys):
    table(tmp_path)
    assert cli.main(["status", "--config", str(tmp_path / "bigfusion.toml"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["store"]["path"] == str(tmp_path / "work/store")
    assert data["store"]["cells"] == 0
    assert data["manifest"] is None
    assert data["runs"] == []
    assert cli.main(["status", "--config", str(tmp_path / "bigfusion.toml")]) == 0
    assert "none yet" in capsys.readouterr().out


def test_status_without_the_weights_still_says_what_is_there(tmp_path, capsys):
    table(tmp_path)
    config = ["--config", str(tmp_path / "bigfusion.toml")]
    assert cli.main(["ingest", *config]) == 0
    capsys.readouterr()
    for setting in ("visual.weights=absent.safetensors", "text.model=/no/such/folder"):
        assert cli.main(["status", "--json", "--set", setting, *config]) == 0
        shown = capsys.readouterr()
        data = json.loads(shown.out)
        assert data["manifest"]["utterances"]["train"] == 6
        assert data["failures"] is None
        assert "failures are not known" in shown.err
        assert cli.main(["status", "--set", setting, *config]) == 0
        assert "failures   not known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["init", "p", "--preset", "meld", "--set", "train.epochs=3"], "--set"),
        (["init", "p", "--preset", "meld", "--config", "x.toml"], "--config"),
        (["demo", "p", "--config", "x.toml"], "--config"),
        (["demo", "p", "--preset", "meld"], "--preset"),
        (["import", "x.pkl", "p", "--config", "x.toml"], "--config"),
        (["evaluate", "--features", "x.parquet", "--run", "p", "--seeds", "2"], "--seeds"),
        (["plan", "--preset", "demo", "--set", "preset=meld"], "--set preset"),
    ],
)
def test_an_option_without_an_effect_is_refused(tmp_path, capsys, monkeypatch, arguments, option):
    monkeypatch.chdir(tmp_path)
    assert option in fails(capsys, *arguments)
    assert not list(tmp_path.iterdir())


def test_explain_and_status_of_a_finished_project(place):
    assert place.run("explain", "train/dia0_utt0", "--json") == 0
    data = json.loads(place.capsys.readouterr().out)
    assert data["cells"]["audio"]["state"] == "done"
    assert data["cells"]["audio"]["stored"]["versions"]["opensmile"]
    assert "read_frames" in data["cells"]["visual"]["extractor"]["code"]
    assert place.run("explain", "train/dia0_utt5") == 0
    assert "missing_media" in place.capsys.readouterr().out
    assert place.run("explain", "train/dia99_utt0") == 1
    assert "not in the manifest" in place.capsys.readouterr().err
    assert place.run("status", "--json") == 0
    data = json.loads(place.capsys.readouterr().out)
    assert data["failures"]["no_face"] == 1
    assert data["runs"][0]["state"] == "evaluated"
    assert data["working"] is None
    assert place.run("report") == 0
    assert place.capsys.readouterr().out.strip().endswith("report.html")


def test_commands_take_the_ids_that_models_prints(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert place.run("models", "--json") == 0
    (model,) = json.loads(place.capsys.readouterr().out)["models"]
    name = model["run"]
    assert place.run("report", "--run", name) == 0
    assert place.capsys.readouterr().out.strip().endswith(f"runs/{name}/report.html")
    assert place.run("report", "--run", name[:6]) == 0, "the beginning is enough"
    place.capsys.readouterr()
    assert place.run("compare", name, name, "--json") == 0
    compared = json.loads(place.capsys.readouterr().out)
    assert compared["first"] == compared["second"] == str(place.folder / "work/runs" / name)
    assert place.run("report", "--run", "0000") == 1
    assert "no such report; `bigfusion models` lists the runs" in place.capsys.readouterr().err


def test_an_id_names_the_trained_run_of_evaluate(place, tmp_path, monkeypatch):
    """The file does not fit the run's features: the message is about them, so the run was found."""
    monkeypatch.chdir(tmp_path)
    separable(tmp_path / "mine.parquet")
    assert place.run("models", "--json") == 0
    (model,) = json.loads(place.capsys.readouterr().out)["models"]
    assert place.run("evaluate", "--features", "mine.parquet", "--run", model["run"]) == 1
    shown = place.capsys.readouterr().err
    assert "labels" in shown or "modalit" in shown or "wid" in shown
    assert "no such" not in shown


def test_the_beginning_of_several_ids_is_refused(tmp_path, capsys):
    table(tmp_path)
    for name in ("aa01", "aa02"):
        (tmp_path / "work/runs" / name).mkdir(parents=True)
    line = fails(capsys, "report", "--run", "aa", "--config", str(tmp_path / "bigfusion.toml"))
    assert "found aa01, aa02; write more of it" in line


def test_a_mistyped_utterance_is_told_the_one_that_is_meant(place):
    assert place.run("explain", "train/dia0_ut0") == 1
    assert place.capsys.readouterr().err.strip().endswith("did you mean 'train/dia0_utt0'?")


@pytest.mark.parametrize("command", ["evaluate", "train", "reproduce"])
def test_features_that_are_not_there_are_spoken_of_as_the_option(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    others = {"evaluate": ["--run", "r"], "train": ["--out", "r"], "reproduce": ["--table", "4"]}[command]
    assert fails(capsys, command, "--features", "nope", *others).startswith("bigfusion: --features nope: no such file")


@pytest.mark.parametrize(
    ("preset", "layout", "expected"),
    [
        ("meld", None, "no such folder; set corpus.root"),
        ("meld", "Session1", "no train_sent_emo.csv"),
        ("iemocap", "train_splits", "expected the folders Session1 to Session5"),
        ("iemocap", "Session1", ""),
    ],
)
def test_init_looks_at_the_root(tmp_path, capsys, preset, layout, expected):
    """A warning: the corpus may be unpacked later."""
    root = tmp_path / "corpus"
    if layout:
        (root / layout).mkdir(parents=True)
    assert cli.main(["init", str(tmp_path / "p"), "--preset", preset, "--root", str(root)]) == 0
    warned = capsys.readouterr().err
    assert expected in warned
    assert bool(warned) == bool(expected)


@pytest.mark.slow
def test_import_then_train_on_features_of_ones_own(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    separable(tmp_path / "mine.parquet")
    settings = ["--set", "model.modalities=['text', 'audio']", "--set", "model.width=16", "--set", "train.seeds=[0]"]
    assert cli.main(["import", "mine.parquet", "--json", *settings]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["utterances"] == {"train": 48, "valid": 12, "test": 12}
    config = ["--config", "mine/bigfusion.toml", *settings]
    assert cli.main(["plan", "--json", *config]) == 2
    plan = json.loads(capsys.readouterr().out)
    assert (plan["pending"], plan["pending_cells"]) == (2, 0), "train and evaluate; a --set trial is not promoted"
    assert plan["cells"]["audio"]["failed"] == 1
    assert cli.main(["run", "--json", *config]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["weighted_f1"] > 0.8
    assert metrics["demo"] is False


class Payload:
    def __reduce__(self):
        return (print, ("ran",))


def test_import_refuses_a_pickle_with_a_payload(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps((Payload(), {})))
    line = fails(capsys, "import", "evil.pkl")
    assert "builtins.print" in line
    assert "ran" not in line.replace("ranged", "")
    assert not (tmp_path / "evil/work").exists()
