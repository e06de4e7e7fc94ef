"""The command line's grammar: light to import, one file a command, whose parser and function agree."""

import inspect
import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from bigfusion.flows import commands
from bigfusion.flows.commands.common import Common
from bigfusion.flows.commands.parser import COMMANDS, command, parse, parser

HEAVY = {
    "numpy",
    "pandas",
    "pyarrow",
    "torch",
    "transformers",
    "prefect",
    "pydantic",
    "rich",
    "scipy",
    "sklearn",
    "cv2",
}
SHARED = {"common", "parser", "show", "flow", "results", "schedule", "reproduce_tables"}


def imported(*arguments: str) -> set[str]:
    """The top-level modules in a process that was given this command line."""
    script = (
        "import json, sys\n"
        "from bigfusion.flows.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], [], ["plam"], ["plan", "--nonsense"]], ids=" ".join)
def test_what_needs_no_project_imports_nothing_heavy(arguments):
    assert not imported(*arguments) & HEAVY


def test_no_commands_help_imports_anything_heavy():
    """In one process: what any of them imported would be seen."""
    script = (
        "import sys\n"
        "from bigfusion.flows.cli import main\n"
        f"for name in {COMMANDS!r}:\n"
        "    try:\n        main([name, '--help'])\n"
        "    except SystemExit as stopped:\n        assert stopped.code == 0\n"
        f"assert not set(sys.modules) & {HEAVY!r}, set(sys.modules) & {HEAVY!r}\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)


def test_a_command_imports_no_other_commands_file():
    script = (
        "import sys; from bigfusion.flows.commands.parser import parse; parse(['gc']); print('\\n'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    files = {name.rpartition(".")[2] for name in done.stdout.split() if name.startswith("bigfusion.flows.commands.")}
    assert files - SHARED == {"gc"}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_function_takes_what_its_parser_gives(name):
    (group,) = [action for action in parser([name])._actions if action.dest == "command"]
    given = {action.dest for action in group.choices[name]._actions if action.dest != "help"}
    own = given - {field.name for field in fields(Common)}
    taken = list(inspect.signature(command(name).run).parameters)
    assert (taken[0], set(taken[1:])) == ("common", own)


def test_every_file_is_a_command_and_in_one_group_of_the_help():
    folder = Path(commands.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - SHARED - {"__init__"}
    assert files == {Path(inspect.getfile(command(name).run)).stem for name in COMMANDS}
    assert len(set(COMMANDS)) == len(COMMANDS)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("plam", "plan"), ("evalute", "evaluate"), ("model", "models"), ("finetune_text", "finetune-text")],
)
def test_a_mistyped_command_is_told_the_one_that_is_meant(typed, meant, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse([typed])
    assert stopped.value.code == 1
    assert (
        capsys.readouterr().err == f"bigfusion: no command {typed!r}; did you mean {meant!r}?; see `bigfusion --help`\n"
    )


@pytest.mark.parametrize("arguments", [["demo", "--seeds", "3"], ["store", "info", "--seeds"]])
def test_an_option_that_a_command_lacks_names_that_commands_help(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(arguments)
    name = f"bigfusion {arguments[0]}"
    assert stopped.value.code == 1
    assert capsys.readouterr().err == f"{name}: unrecognized arguments: --seeds; see `{name} --help`\n"


def test_without_a_command_the_commands_are_listed_in_their_groups(capsys):
    with pytest.raises(SystemExit) as stopped:
        parse([])
    shown = capsys.readouterr()
    assert (stopped.value.code, shown.err) == (1, "bigfusion: expected a command, found none; see `bigfusion --help`\n")
    assert "\nmake a project:\n    demo " in shown.out


def test_nothing_is_guessed_for_a_word_like_no_command(capsys):
    with pytest.raises(SystemExit):
        parse(["dance"])
    assert capsys.readouterr().err == "bigfusion: no command 'dance'; see `bigfusion --help`\n"
