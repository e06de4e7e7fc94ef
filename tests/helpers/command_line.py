"""The command line, as tests call it."""

from bigfusion.flows import cli


def fails(capsys, *arguments) -> str:
    """The one line that a command fails with."""
    capsys.readouterr()
    assert cli.main(list(arguments)) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.strip().splitlines()
    assert "Traceback" not in shown.err
    assert lines[-1].startswith("bigfusion: ")
    return lines[-1]
