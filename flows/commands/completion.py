"""``bigfusion completion``: a script with which a shell completes commands, options, presets and files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bigfusion.flows.commands.common import Answer, Common
from bigfusion.flows.project.preset_names import LEARNING, PRESETS

HELP = "print the completion of a shell, for its settings: bash, zsh or fish"

SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `completion` takes."""
    parser.add_argument("shell", choices=SHELLS)


def run(common: Common, shell: str) -> Answer:
    """The shell's completion script. It is static: no Python starts when the user presses the key."""
    import shtab  # argcomplete would start Python at every press of the key

    from bigfusion.flows.commands.parser import parser

    whole = parser()
    for command in _commands(whole):
        for action in command._actions:
            if action.dest == "preset":
                action.choices = (*PRESETS, *LEARNING)
            elif action.type is Path or action.metavar in ("FILE", "PATH"):
                folder = action.metavar in ("DIR", "RUN", "PATH")
                vars(action)["complete"] = shtab.DIR if folder else shtab.FILE  # the attribute that shtab reads
    script = shtab.complete(whole, shell)
    return Answer(script, {"shell": shell, "script": script})


def _commands(whole: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    found: Any = next(action for action in whole._actions if action.dest == "command").choices
    return [*found.values()]
