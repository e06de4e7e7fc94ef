"""The Markdown pages: their links lead somewhere, and the files, modules and commands that they name exist."""

import argparse
import re
import shlex
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from bigfusion.flows.commands.parser import COMMANDS, parser
from bigfusion.flows.project.features import check_names, declared
from bigfusion.flows.project.load import load

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "extractors/weights").glob("*.md")])
HISTORY = ROOT / "CHANGELOG.md"  # names what was, too
ROOMS = ("pipeline", "extractors", "model", "flows", "tests", "docs", "docker", "bigfusion")

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
FILE = re.compile(rf"(?<![\w./-])((?:{'|'.join(ROOMS)})/[\w./-]*)")
TEST = re.compile(r"\b(test_\w+(?=\.py)|bench_\w+)")
MODULE = re.compile(r"\b((?:bigfusion|tests)(?:\.\w+)+)")
TARGET = re.compile(r"(?:^|[`;&] *)make ([a-z-]+)", re.MULTILINE)
EXTRA = re.compile(r"(?:bigfusion|\.)\[(\w+)\]")
OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]*)")


def code(page: Path) -> list[str]:
    """The lines of a page's blocks of code, and the code within its sentences, each on a line of its own."""
    text = page.read_text()
    lines = [line for block in FENCE.findall(text) for line in block.splitlines()]
    rest = FENCE.sub("", text)
    lines += re.findall(r"^    (\w.*)", rest, re.MULTILINE)
    return lines + [" ".join(span.split()) for span in SPAN.findall(rest)]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for target in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        place = (page.parent / file).resolve() if file else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != HISTORY], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_file_and_module_that_a_page_names_exists(page):
    lines = code(page)
    found = [name.rstrip(".") for line in lines for name in FILE.findall(line)]
    names = [name for name in found if "NAME" not in name and "MODALITY" not in name]  # a recipe's, yet to be written
    assert [name for name in names if not (ROOT / name).exists()] == []
    modules = {name for name in MODULE.findall(page.read_text()) if name.split(".")[1] in (*ROOMS, *_wings("tests"))}
    assert [name for name in modules if not _exists(name)] == []
    scripts = {name for line in lines for name in TEST.findall(line)} - {"test_NAME"}
    assert scripts <= {path.stem for path in (ROOT / "tests").rglob("*.py")}


def _wings(room: str) -> set[str]:
    return {path.name for path in (ROOT / room).iterdir() if path.is_dir()}


def _exists(name: str) -> bool:
    """Whether a dotted name is a module, or a name in one. Nothing is imported: some import torch."""
    path = ROOT.joinpath(*name.split("."))
    if path.is_dir() or path.with_suffix(".py").exists():
        return True
    module = next(one for one in (path.parent.with_suffix(".py"), path.parent / "__init__.py") if one.exists())
    return path.name in module.read_text()


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != HISTORY], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_command_that_a_page_names_is_understood(page, capsys):
    refused = {}
    for line in code(page):
        for arguments in commands(line):
            try:
                whole().parse_args(arguments)
            except SystemExit as stopped:
                said = capsys.readouterr().err
                if stopped.code and "the following arguments are required" not in said:
                    refused[line] = said
            if unknown := [word for word in arguments if OPTION.fullmatch(word) and word not in options(arguments[0])]:
                refused[line] = f"unknown: {unknown}"
    assert refused == {}


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != HISTORY], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_option_target_and_extra_that_a_page_names_exists(page):
    lines = code(page)
    scripts = {name for room in ("benchmarks", "helpers") for path in (ROOT / "tests" / room).glob("*.py")
               for name in OPTION.findall(path.read_text())}  # fmt: skip
    known = scripts.union(*map(options, COMMANDS))
    assert {name for line in lines if line.startswith("--") for name in OPTION.findall(line)} <= known
    rules = re.findall(r"^([a-z -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {name for line in lines for name in TARGET.findall(line)} <= set(" ".join(rules).split())
    extras = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    assert {name for line in lines for name in EXTRA.findall(line)} <= extras


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_settings_file_that_a_page_shows_is_accepted(page, tmp_path):
    for place, shown in enumerate(re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)):
        file = tmp_path / f"{place}.toml"
        file.write_text(shown if "[corpus]" in shown else f'{shown}\n[corpus]\nkind = "meld"\nroot = "MELD.Raw"\n')
        project = load(file)
        check_names(project.model.features or (), declared(project))


def commands(line: str) -> list[list[str]]:
    """The arguments of each `bigfusion` of a line of a shell; what stands for any value (N, LAYOUT) gets one."""
    line = re.sub(r"\[(--[^]]+)\]", r"\1", line)
    if not re.search(r"(?:^|[;&] *)bigfusion ", line):
        return []
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    found: list[list[str]] = []
    for word in [";", *words]:
        if set(word) <= set(";&|<>()"):
            found.append([])
        else:
            found[-1].append(word)
    return [_filled(one[1:]) for one in found if one[:1] == ["bigfusion"]]


def _filled(arguments: list[str]) -> list[str]:
    name, filled = arguments[0], [arguments[0]]
    for before, word in pairwise(arguments):
        action = options(name).get(before)
        values = [] if action is None or action.choices is None else [str(choice) for choice in action.choices]
        filled.append((values or ["1"])[0] if word.isupper() and (values or word == "N") else word)
    return filled


@cache
def whole() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    return parser()


@cache
def options(name: str) -> dict[str, argparse.Action]:
    """The options of a command, by name."""
    single = parser([name]) if name in COMMANDS else whole()
    parsers = next(action for action in single._actions if isinstance(action.choices, dict))
    one = parsers.choices[name] if name in COMMANDS else single
    return {option: action for action in one._actions for option in action.option_strings}


def test_the_index_of_the_decisions_names_every_entry():
    text = (ROOT / "DECISIONS.md").read_text()
    index = text.partition("\n## ")[0]
    entries = re.findall(r"^### (.+)$", text, re.MULTILINE)
    assert re.findall(r"\[([^]]+)\]\(#", index) == entries
    assert len(set(entries)) == len(entries)
