"""Every setting can be looked up, and what is listed is what settings files take."""

import json
import re

import pytest

from bigfusion.flows import cli
from bigfusion.flows.project.load import load
from bigfusion.flows.project.settings import Project


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
    assert listed["corpus.kind"]["meaning"] == '"meld", "iemocap", "table", "features"'
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
