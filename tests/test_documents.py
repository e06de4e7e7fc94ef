"""The Markdown pages: their links lead somewhere, and the files, modules and commands that they name exist."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "extractors/weights").glob("*.md")])
HISTORY = ROOT / "CHANGELOG.md"  # names what was, too
ROOMS = ("pipeline", "extractors", "model", "flows", "tests", "docs", "docker", "bigfusion")

LINK = re.compile(r"\]\(([^)\s]+)\)")
FILE = re.compile(rf"`((?:{'|'.join(ROOMS)})/[\w./-]*)")
MODULE = re.compile(r"\b(bigfusion(?:\.\w+)+)")
COMMAND = re.compile(r"^(?:bigfusion|.*`bigfusion) ([a-z][a-z-]*)", re.MULTILINE)


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
    text = page.read_text()
    names = [name for name in FILE.findall(text) if "NAME" not in name]  # NAME: a recipe's file, yet to be written
    missing = [name for name in names if not (ROOT / name).exists()]
    modules = {name for name in MODULE.findall(text) if name.split(".")[1] in ROOMS}
    assert not missing
    assert [name for name in modules if not _exists(name)] == []


def _exists(name: str) -> bool:
    """Whether a dotted name is a module, or a name in one."""
    parent, _, last = name.rpartition(".")
    try:
        if find_spec(name) is not None:
            return True
    except ModuleNotFoundError:
        pass
    found = find_spec(parent)
    return found is not None and found.origin is not None and last in Path(found.origin).read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_names_exists(page, capsys):
    from bigfusion.flows import cli

    with pytest.raises(SystemExit):
        cli.main(["--help"])
    known = set(re.findall(r"^    ([a-z][a-z-]*)", capsys.readouterr().out, re.MULTILINE))
    assert {"run", "fsck"} <= known
    assert set(COMMAND.findall(page.read_text())) <= known


def test_the_index_of_the_decisions_names_every_entry():
    text = (ROOT / "DECISIONS.md").read_text()
    index = text.partition("\n## ")[0]
    entries = re.findall(r"^### (.+)$", text, re.MULTILINE)
    assert re.findall(r"\[([^]]+)\]\(#", index) == entries
    assert len(set(entries)) == len(entries)
