"""A finished project in a place that refuses writes, a colleague's for instance: every command that reads works."""

import json
from pathlib import Path

import pandas as pd
import pytest

from bigfusion.flows import cli
from bigfusion.pipeline import readonly
from tests.helpers.command_line import fails
from tests.helpers.read_only import read_only


@pytest.fixture
def colleagues(place):
    """A copy of the finished project that refuses writes."""
    readonly._say.cache_clear()
    before = _state(place.folder)
    with read_only(place.folder):
        yield place
    assert _state(place.folder) == before


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def _data(place, *command: str) -> dict:
    place.capsys.readouterr()
    assert place.run(*command, "--json") == 0
    shown = place.capsys.readouterr()
    assert len([line for line in shown.err.splitlines() if "cannot be written" in line]) <= 1
    return json.loads(shown.out)


@pytest.mark.slow
def test_a_read_only_project_is_shown_explained_compared_and_exported(colleagues, tmp_path):
    plan = _data(colleagues, "plan")
    assert (plan["pending"], plan["cells"]["text"]["done"]) == (0, 39)
    run = plan["run"]
    status = _data(colleagues, "status")
    assert [found["run"] for found in status["runs"]] == [run]
    assert status["store"]["cells"] == 117
    assert _data(colleagues, "report")["run"] == run
    assert _data(colleagues, "models")["current"] == run
    explained = _data(colleagues, "explain", "test/dia0_utt0")
    assert {cell["state"] for cell in explained["cells"].values()} <= {"done", "failed"}
    assert _data(colleagues, "compare", run, run)["weighted_f1"]["difference"] == 0
    assert sum(_data(colleagues, "export", str(tmp_path / "out"))["files"].values()) == 39
    quarantined = _data(colleagues, "quarantine")
    assert quarantined["page"] is None
    assert len(quarantined["cells"]) == sum(status["failures"].values())
    named = _data(colleagues, "quarantine", "--out", str(tmp_path / "listed"))
    assert len(pd.read_csv(named["csv"])) == len(quarantined["cells"])
    assert colleagues.run("run") == 0
    assert "nothing to do" in colleagues.capsys.readouterr().err


def test_what_has_to_write_there_says_so_in_one_line(colleagues):
    for command in (["run", "--set", "train.epochs=1"], ["ingest"], ["fsck"], ["gc"], ["store", "compact"]):
        line = fails(colleagues.capsys, *command, "--config", str(colleagues.config))
        assert line.startswith(f"bigfusion: {colleagues.folder}/work: cannot be written (")
        assert line.endswith("; name a folder that can: --set workspace.path=FOLDER")


def test_a_project_without_a_workspace_is_looked_at_where_none_can_be_made(tmp_path, finished, capsys):
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "bigfusion.toml").write_text(f'preset = "demo"\n[corpus]\nroot = "{finished.corpus}"\n')
    readonly._say.cache_clear()
    with read_only(folder):
        assert cli.main(["plan", "--config", str(folder / "bigfusion.toml")]) == 2
        assert cli.main(["status", "--config", str(folder / "bigfusion.toml")]) == 0
    assert [path.name for path in folder.iterdir()] == ["bigfusion.toml"]
