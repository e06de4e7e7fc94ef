"""The completion scripts, in real shells."""

import os
import shutil
import subprocess

import pytest

from bigfusion.flows import cli
from bigfusion.flows.commands.completion import SHELLS
from bigfusion.flows.commands.parser import COMMANDS
from bigfusion.flows.project.preset_names import LEARNING, PRESETS

BASH = """
source completion
complete -p bigfusion
COMP_WORDS=({words}) COMP_CWORD={at} COMPREPLY=()
_shtab_bigfusion bigfusion "${{COMP_WORDS[COMP_CWORD]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def script(tmp_path, capsys):
    def write(shell: str) -> str:
        assert cli.main(["completion", shell]) == 0
        (tmp_path / "completion").write_text(capsys.readouterr().out)
        return str(tmp_path / "completion")

    return write


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_takes_its_script(script, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    subprocess.run([shell, "-n", script(shell)], check=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("bigfusion ''", {*COMMANDS}),
        ("bigfusion ev", {"evaluate", "evaluate-faces"}),
        ("bigfusion plan --pre", {"--preset"}),
        ("bigfusion plan --preset ''", {*PRESETS, *LEARNING}),
        ("bigfusion store ''", {"info", "compact"}),
        ("bigfusion import mi", {"mine.parquet"}),
        ("bigfusion export mi", set()),
        ("bigfusion run --config proj", {"project"}),
    ],
)
def test_bash_completes(script, tmp_path, words, expected):
    script("bash")
    (tmp_path / "mine.parquet").touch()
    (tmp_path / "project").mkdir()
    text = BASH.format(words=words, at=len(words.split()) - 1)
    done = subprocess.run(["bash", "-c", text], cwd=tmp_path, capture_output=True, text=True, check=True)
    first, *found = done.stdout.splitlines()
    assert first.endswith("-F _shtab_bigfusion bigfusion")
    assert {word for word in found if word} == expected | ({"-h", "--help", "--version"} & set(found))


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not here")
def test_fish_completes(script, tmp_path):
    text = f"source {script('fish')}; complete -C 'bigfusion ev'; complete -C 'bigfusion plan --preset '"
    done = subprocess.run(
        ["fish", "--no-config", "-c", text], cwd=tmp_path, env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = {line.partition("\t")[0] for line in done.stdout.splitlines()}
    assert {"evaluate", "evaluate-faces", "meld", "tuned"} <= found
    assert "plan" not in found


def test_another_shell_is_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["completion", "tcsh"])
    assert stopped.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1
