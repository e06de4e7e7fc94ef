"""What a message tells a user to type can be typed: every command parses, and those of common errors are run."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import bigfusion
from bigfusion.flows import cli
from bigfusion.flows.commands.parser import COMMANDS, command, parse
from bigfusion.flows.project.load import load
from tests.helpers.command_line import fails
from tests.helpers.meld_tree import write_meld
from tests.helpers.own_features import separable
from tests.helpers.tiny_encoder import save_roberta

HOUSE = Path(bigfusion.__file__).parent
COMMAND = re.compile(r"`((?:cd [^`]* && )?bigfusion [^`]*)`")
PLACEHOLDER = re.compile(r"\b[A-Z]{2,}\b")
WRITTEN = "x1"
"""Stands for what a message fills in."""


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """The strings of a module that a user may read: all but docstrings, f-strings with their values filled in."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    skipped = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            parts = (part.value if isinstance(part, ast.Constant) else WRITTEN for part in node.values)
            yield node.lineno, "".join(map(str, parts))
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


def printed() -> dict[str, str]:
    """Every command in backticks that some message prints, by where it stands."""
    found = {}
    for wing in ("flows", "model", "extractors", "pipeline"):
        for path in sorted((HOUSE / wing).rglob("*.py")):
            if "bigfusion " not in path.read_text():  # to take the others apart takes two seconds
                continue
            for line, text in strings(path):
                for written in COMMAND.findall(text):
                    found[f"{wing}/{path.relative_to(HOUSE / wing)}:{line} {written}"] = written
    return found


def test_every_command_in_a_message_is_one_that_the_parser_takes(subtests, capsys):
    found = printed()
    assert len(set(found.values())) > 20
    assert "bigfusion extract" in found.values()
    assert any(written.startswith("cd x1 && bigfusion plan") for written in found.values())
    for place, whole in found.items():
        written = whole.rpartition("&& ")[2]
        if "COMMAND" in written:  # the usage line, in which the user chooses
            assert shlex.split(written)[1] == "COMMAND"
            continue
        with subtests.test(place):
            assert not PLACEHOLDER.search(written), "nothing is to be filled in"
            try:
                parse(shlex.split(written)[1:])
            except SystemExit as end:
                assert end.code == 0, capsys.readouterr().err  # --help


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_help_shows_no_command_that_the_parser_refuses(name, capsys):
    with pytest.raises(SystemExit):
        parse([name, "--help"])
    for written in COMMAND.findall(" ".join(capsys.readouterr().out.split())):
        assert parse(shlex.split(written)[1:]).command
    assert command(name).HELP


def run(written: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a command as it was printed, with a leading ``cd``."""
    first, _, rest = written.rpartition(" && ")
    if first:
        (word, folder) = shlex.split(first)
        assert word == "cd"
        monkeypatch.chdir(folder)
    words = shlex.split(rest)
    assert words[0] == "bigfusion"
    return cli.main(words[1:])


def remedies(text: str) -> list[str]:
    return COMMAND.findall(text)


def test_what_init_and_import_tell_to_do_next_works_in_a_folder_with_spaces(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_meld(tmp_path / "my corpus")
    root = str(tmp_path / "my corpus")
    assert cli.main(["init", "my proj", "--preset", "meld", "--root", root]) == 0
    (plan, _) = remedies(capsys.readouterr().out)
    assert plan == "cd 'my proj' && bigfusion plan"
    assert run(f"{plan} --set 'model.modalities=[\"audio\"]'", monkeypatch) == 2
    monkeypatch.chdir(tmp_path)
    separable(tmp_path / "my features.parquet")
    assert cli.main(["import", "my features.parquet", "my own"]) == 0
    told = capsys.readouterr().out.rpartition("next: ")[2].strip()
    assert told == "cd 'my own' && bigfusion run"
    assert run(told.replace("run", "status"), monkeypatch) == 0


def test_the_command_for_a_folder_that_is_taken_makes_another(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a b.parquet", "c d.parquet"):
        separable(tmp_path / name)
    assert cli.main(["import", "a b.parquet", "my own"]) == 0
    (remedy,) = remedies(fails(capsys, "import", "c d.parquet", "my own"))
    assert run(remedy, monkeypatch) == 0
    assert load(tmp_path / "my own-2/bigfusion.toml").corpus.path.name == "c d.parquet"


def test_without_settings_the_printed_command_makes_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (remedy,) = remedies(fails(capsys, "status"))
    assert run(remedy, monkeypatch) == 0
    assert (tmp_path / "my-meld/bigfusion.toml").exists()


def test_the_printed_command_writes_settings_of_the_other_preset(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "one", "--preset", "meld"]) == 0
    for preset in ("iemocap", "paper"):
        line = fails(capsys, "plan", "--config", "one/bigfusion.toml", "--preset", preset)
        (remedy,) = remedies(line)
        assert run(remedy, monkeypatch) == 0


@pytest.mark.slow
def test_the_setting_that_trains_without_a_modality_can_be_pasted(tmp_path, monkeypatch, capsys):
    write_meld(tmp_path / "MELD.Raw", media=False)
    save_roberta(tmp_path / "encoder", layers=1)
    (tmp_path / "bigfusion.toml").write_text(
        '[corpus]\nkind = "meld"\nroot = "MELD.Raw"\n[text]\nmodel = "encoder"\n'
        '[model]\nmodalities = ["audio", "text"]\n'
    )
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run"]) == 1
    line = next(line for line in capsys.readouterr().err.splitlines() if "expected files for audio" in line)
    pasted = shlex.split(line.partition("settings file): ")[2])
    assert load(None, None, pasted[1:]).model.modalities == ("text",)


def test_all_wrong_settings_are_named_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    wrong = ("train.epohs=3", "train.batch_size=0", "text.bogus=1")
    line = fails(capsys, "plan", "--preset", "meld", *(word for one in wrong for word in ("--set", one)))
    assert "unknown key train.epohs" in line
    assert "did you mean 'train.epochs'?" in line
    assert "train.batch_size: expected a number greater than or equal to 1, found 0" in line
    assert "unknown key text.bogus" in line


def test_an_error_of_the_system_names_the_file_that_was_to_be_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    write_meld(tmp_path / "MELD.Raw")
    config = tmp_path / "bigfusion.toml"
    config.write_text('[corpus]\nkind = "meld"\nroot = "MELD.Raw"\n[model]\nmodalities = ["audio"]\n')
    assert cli.main(["ingest", "--config", str(config)]) == 0
    line = fails(capsys, "quarantine", "--out", str(tmp_path / "file" / "out"), "--config", str(config))
    assert line == f"bigfusion: {tmp_path}/file/out: Not a directory; name another place"
