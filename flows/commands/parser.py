"""The grammar of the command line: the commands in their groups, and the parser of each.

Only the file of the given command is imported. `bigfusion --help` and `bigfusion completion` import all of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import NoReturn, Protocol, cast

from bigfusion.flows.commands.common import Answer, add_common
from bigfusion.flows.version import version
from bigfusion.pipeline.nearest import did_you_mean

GROUPS = {
    "make a project": ("demo", "init", "import", "settings"),
    "run it": ("run", "plan", "ingest", "extract", "train", "evaluate"),
    "use it": ("predict", "app", "publish"),
    "look at it": ("status", "report", "models", "compare", "explain", "quarantine", "reproduce"),
    "store": ("store", "export", "fsck", "gc"),
    "production": ("serve", "deploy", "rollback"),
    "search": ("tune",),
    "encoders": ("finetune-text", "train-faces", "evaluate-faces"),
    "your shell": ("completion",),
}
COMMANDS = tuple(name for names in GROUPS.values() for name in names)

_FILES = {"import": "import_features"}
"""The files of commands whose names are keywords of Python."""


class Command(Protocol):
    """What a command's file defines. ``run`` takes the common options, then those of `add_arguments` by name."""

    HELP: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[..., Answer]


def command(name: str) -> Command:
    """The module of a command."""
    return cast(Command, import_module(f"bigfusion.flows.commands.{_FILES.get(name, name.replace('-', '_'))}"))


class Parser(argparse.ArgumentParser):
    """A parser whose usage errors look like other errors: one line, exit code 1 (2 means pending work)."""

    def error(self, message: str) -> NoReturn:
        """Print the error in one line, and exit."""
        print(f"{self.prog}: {message}; see `{self.prog} --help`", file=sys.stderr)
        raise SystemExit(1)


class _Whole(Parser):
    """The parser of the whole command line. Its help lists the commands in their groups."""

    def format_help(self) -> str:
        """The help text."""
        wide = max(map(len, COMMANDS))
        lines = [f"{self.description}\n", "usage: bigfusion COMMAND [OPTION ...]; `bigfusion COMMAND --help` says more"]
        for title, names in GROUPS.items():
            lines += ["", f"{title}:", *(f"    {name:<{wide}}  {command(name).HELP}" for name in names)]
        return "\n".join([*lines, "", str(self.epilog), ""])


def parser(names: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """The parser of some commands."""
    whole = _Whole(
        prog="bigfusion",
        description="From raw conversations to an honestly scored BIG-FUSION model; reruns only what changed.",
        epilog="Begin with `bigfusion demo`, or with `bigfusion init my-meld --preset meld`.",
    )
    whole.add_argument("--version", action="version", version=f"bigfusion {version()}")
    parsers = whole.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for name in names:
        found = command(name)
        description = found.HELP[0].upper() + found.HELP[1:] + "."
        added = parsers.add_parser(name, help=found.HELP, description=description)
        found.add_arguments(added)
        add_common(added)
    return whole


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line. A usage error ends the program with one line and exit code 1.

    Without a command the help is printed too.
    """
    name = arguments[0] if arguments else ""
    if name in COMMANDS:
        known, others = parser([name]).parse_known_args(arguments)
        if others:
            Parser(prog=f"bigfusion {name}").error(f"unrecognized arguments: {' '.join(others)}")
        return known
    whole = parser(())
    if not arguments:
        whole.print_help()
        whole.error("expected a command, found none")
    if name and not name.startswith("-"):
        whole.error(f"no command {name!r}{did_you_mean(name, COMMANDS)}")
    return whole.parse_args(arguments)
