"""Every setting can be looked up, and what is listed is what settings files take."""

import json
import re

import pytest

from bigfusion.flows import cli
from bigfusion.flows.project.load import load
from bigfusion.flows.project.settings import Project
from tests.helpers.command_line import fails


@pytest.fixture
def listed(capsys):
    assert cli.main(["settings", "--json"]) == 0
    return {one["key"]: one for one in json.loads(capsys.readouterr().out)["settings"]}


def leaves(table, prefix=""):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_all_keys_of_a_project_are_listed_with_their_defaults(tmp_path, listed):
    (tmp_path / "bigfusion.toml").write_text('[corpus]\nkind = "meld"\nroot = "MELD.Raw"\n')
    project = load(tmp_path / "bigfusion.toml")
    assert isinstance(project, Project)
    given = {"corpus.kind", "corpus.root", "workspace.path"}
    for key, value in leaves(project.model_dump(mode="json")):
        if key not in given:
            said = listed[key]["default"]
            assert (None if said == "none" else json.loads(said)) == value, key


def test_choices_bounds_and_kinds_are_said(listed):
    kinds = listed["corpus.kind"]["meaning"].split(", ")
    assert (kinds[0], kinds[-1]) == ('"meld"', '"features"')
    assert {'"emodb"', '"table"'} < {*kinds}
    assert listed["corpus.media_root"]["meaning"].endswith('of "table"')
    assert '"cls", "mean"' in listed["text.pooling"]["meaning"]
    assert listed["finetune.layer_decay"]["meaning"].endswith("above 0 and at most 1")


def test_one_table_is_a_settings_file_but_for_what_no_file_can_say(capsys):
    assert cli.main(["settings", "model.graph"]) == 0
    shown = capsys.readouterr().out
    assert re.findall(r"^\[.*\]$", shown, re.MULTILINE) == ["[model.graph]", "[model.graph.neighbourhood]"]
    assert "text.model" not in shown


def test_an_unknown_table_is_one_line(capsys):
    assert cli.main(["settings", "colour"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "bigfusion: settings 'colour': expected a table or key, found none; `bigfusion settings` lists all"
    )


def test_options_that_the_list_does_not_show_are_refused_and_a_wrong_setting_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plain = "settings: --set has no effect here; --effective shows what a command with these options uses"
    wrong = "--set: train.epochs: expected a whole number, found 'abc'"
    assert plain in fails(capsys, "settings", "--set", "train.epochs=abc")
    assert wrong in fails(capsys, "settings", "--set", "train.epochs=abc", "--preset", "meld")
    (tmp_path / "bigfusion.toml").write_text('preset = "meld"\n')
    assert wrong in fails(capsys, "settings", "train", "--set", "train.epochs=abc")
    assert plain in fails(capsys, "settings", "--set", "train.epochs=3")
    assert "--preset has no effect here" in fails(capsys, "settings", "--preset", "tuned")


def test_what_a_command_would_use_and_where_each_value_comes_from(tmp_path, capsys):
    config = tmp_path / "bigfusion.toml"
    config.write_text('preset = "meld"\n[corpus]\nroot = "x"\n[train]\nepochs = 3\n')
    given = ["--config", str(config), "--set", "train.batch_size=2", "--set", "model.contrast={rho = [0.5, 0.5]}"]
    assert cli.main(["settings", "--effective", "--json", *given]) == 0
    found = {one["key"]: (one["value"], one["source"]) for one in json.loads(capsys.readouterr().out)["settings"]}
    assert found["train.epochs"] == (3, str(config))
    assert found["train.batch_size"] == (2, "--set")
    assert found["model.contrast.rho"] == ([0.5, 0.5], "--set")
    assert found["corpus.root"] == (str(tmp_path / "x"), str(config))
    assert found["corpus.kind"] == ("meld", "preset meld")
    assert found["extract.retries"] == (3, "default")
    assert cli.main(["settings", "train", "--effective", *given]) == 0
    shown = capsys.readouterr().out
    assert re.search(rf"^epochs = 3 +# {re.escape(str(config))}$", shown, re.MULTILINE)
    assert "[model" not in shown


def test_settings_of_a_network_that_was_replaced_have_no_source(tmp_path, capsys):
    """They are not taken: the other network has its defaults."""
    config = tmp_path / "bigfusion.toml"

    def sources(text: str, *more: str) -> dict[str, tuple[object, str]]:
        config.write_text(f'{text}[corpus]\nkind = "meld"\nroot = "/c"\n')
        assert cli.main(["settings", "--effective", "--json", "--config", str(config), *more]) == 0
        found = json.loads(capsys.readouterr().out)["settings"]
        return {row["key"]: (row["value"], row["source"]) for row in found}

    file = "[model]\nwidth = 76\ndropout = 0.33\n"
    kept = sources(file)
    assert (kept["model.width"], kept["model.dropout"]) == ((76, str(config)), (0.33, str(config)))
    other = sources(file, "--set", "model.kind=bigru", "--set", "model.layers=1")
    assert other["model.kind"] == ("bigru", "--set") and other["model.layers"] == (1, "--set")
    assert (other["model.width"], other["model.dropout"]) == ((128, "default"), (0.3, "default"))
    assert sources('preset = "meld"\n')["model.audio_width"][1] == "preset meld"
    changed = sources('preset = "meld"\n[model]\nkind = "bigru"\n')
    assert changed["model.audio_width"] == (None, "default") and changed["model.kind"] == ("bigru", str(config))


def test_effective_settings_are_those_that_load(tmp_path, capsys):
    assert cli.main(["settings", "--effective", "--json", "--preset", "iemocap", "--set", "corpus.root=/c"]) == 0
    told = {one["key"]: one["value"] for one in json.loads(capsys.readouterr().out)["settings"]}
    assert told == dict(leaves(load(None, "iemocap", ["corpus.root=/c"]).model_dump(mode="json")))


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["settings", "modle.graph"], "model.graph"),
        (["plan", "--preset", "mled"], "meld"),
        (["plan", "--preset", "meld", "--set", "train.epoch=3"], "train.epochs"),
        (["plan", "--preset", "meld", "--set", "corpus.rooot=x"], "corpus.root"),
    ],
)
def test_a_mistyped_word_is_told_the_one_that_is_meant(arguments, meant, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 1
    line = capsys.readouterr().err.strip()
    assert line.endswith(f"did you mean {meant!r}?")
    assert "\n" not in line
