"""What counts of the code, on small projects written down here: each change by itself, and what it makes stale."""

import ast
import textwrap
from pathlib import Path

import pytest

from bigfusion.pipeline.digests import definitions
from bigfusion.pipeline.digests.code import PROJECT, Walk
from bigfusion.pipeline.digests.sources import Sources

SETTINGS = "from pydantic import BaseModel\nclass Settings(BaseModel):\n    pass\n"


def project(folder: Path, **modules: str) -> Path:
    """A project of one package whose modules are given by name; ``a__b`` is ``a/b.py``."""
    for name, text in modules.items():
        path = folder / "bigfusion" / f"{name.replace('__', '/')}.py"
        for package in [path.parent, *path.parent.parents]:
            if folder in package.parents:
                package.mkdir(parents=True, exist_ok=True)
                (package / "__init__.py").touch()
        path.write_text(textwrap.dedent(text))
    return folder


def code(root: Path, *entries: str, stop: tuple[str, ...] = ()) -> dict[str, str]:
    entries = tuple(f"bigfusion.{entry}" for entry in entries or ("top",))
    return Walk(Sources(root, root / "memory"), [f"bigfusion.{name}" for name in stop]).digests(entries)


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]


TOP = """
    import logging
    import numpy as np
    from bigfusion.low import halve, UNUSED
    from bigfusion import errors

    log = logging.getLogger("x")
    LIMIT = 3

    def top(values: list[float], limit: int = LIMIT) -> float:
        '''What it does.'''
        if len(values) > limit:
            raise errors.TooMany(f"{len(values)}: too many", 7)
        log.info("%d values", len(values))
        total: float = np.sum(values)
        return halve(total)
"""
LOW = """
    from bigfusion.lowest import FACTOR
    UNUSED = 1

    def halve(value):
        return value * FACTOR

    def other(value):
        return value
"""
PARTS = {"top": TOP, "low": LOW, "lowest": "FACTOR = 0.5\n", "errors": "class TooMany(ValueError):\n    pass\n"}


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    return project(tmp_path, **PARTS)


def edit(root: Path, name: str, old: str, new: str) -> None:
    path = root / "bigfusion" / f"{name}.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_is_named_counts_and_nothing_else(parts: Path) -> None:
    assert set(code(parts)) == {"top", "LIMIT", "halve", "FACTOR"}
    assert set(code(parts, "low:halve")) == {"halve", "FACTOR"}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("top", "'''What it does.'''", "'''Something else.'''  # noted"),
        ("top", "    '''What it does.'''\n", ""),
        ("top", "too many", "far too many"),
        ("top", 'f"{len(values)}: too many"', '"too many: %d" % len(values)'),
        ("top", '"%d values"', '"there are %d values"'),
        ("top", '    log.info("%d values", len(values))\n', ""),
        ("top", "limit: int", "limit: int | None"),
        ("top", "total: float = ", "total = "),
        ("top", ") -> float:", "):"),
        ("top", "values: list[float]", "values"),
        ("top", "import numpy as np", "import numpy as np, json"),
        ("top", "return halve(total)", "return (halve(\n        total))"),
        ("top", "    total: float", "    if limit:\n        log.debug('long')\n    total: float"),
        ("low", "return value\n", "return -value\n"),
        ("low", "UNUSED = 1", "UNUSED = 2"),
        ("errors", "    pass", "    code = 3"),
        ("errors", "class", "class Another(RuntimeError):\n    pass\n\nclass"),
    ],
)
def test_what_changes_no_number_changes_no_digest(parts: Path, name: str, old: str, new: str) -> None:
    before = code(parts)
    edit(parts, name, old, new)
    assert code(parts) == before


@pytest.mark.parametrize(
    ("name", "old", "new", "which"),
    [
        ("lowest", "0.5", "0.25", ["FACTOR"]),
        ("low", "value * FACTOR", "value / FACTOR", ["halve"]),
        ("top", "LIMIT = 3", "LIMIT = 4", ["LIMIT"]),
        ("top", "limit: int = LIMIT", "limit: int = 3", ["top"]),
        ("top", 'too many", 7', 'too many", 8', ["top"]),
        ("top", "np.sum", "np.mean", ["top"]),
        ("top", "import numpy as np", "import torch as np", ["top"]),
        ("top", "import halve, UNUSED", "import other as halve, UNUSED", ["FACTOR", "halve", "other", "top"]),
    ],
)
def test_what_can_change_a_number_is_named(parts: Path, name: str, old: str, new: str, which: list[str]) -> None:
    """The definition itself, and not those that call it."""
    before = code(parts)
    edit(parts, name, old, new)
    assert changed(before, code(parts)) == which


def test_a_moved_and_renamed_module_changes_nothing(parts: Path) -> None:
    before = code(parts)
    project(parts, deep__down__floor=LOW)
    (parts / "bigfusion/low.py").unlink()
    edit(parts, "top", "from bigfusion.low import halve, UNUSED", "from bigfusion.deep.down import floor")
    edit(parts, "top", "halve(total)", "floor.halve(total)")
    assert code(parts) == before


@pytest.mark.parametrize(
    "imports",
    [
        "from . import low\nfrom .low import halve as half",
        "import bigfusion.low\nhalf = bigfusion.low.halve",
        "from bigfusion.again import halve as half",
        "from bigfusion import again\nhalf = again.low.halve",
        "try:\n    from bigfusion.low import halve as half\nexcept ImportError:\n    half = None",
        "def half(x):\n    from bigfusion.low import halve\n    return halve(x)",
        "def half(x):\n    from bigfusion import low as l\n    return l.halve(x)",
        "import bigfusion.low as l\ndef half(x):\n    return l.halve(x)",
        "import bigfusion.low as l\nclass half:\n    run = staticmethod(l.halve)",
        "import bigfusion.low as l\nclass half(l.Base):\n    pass",
        "from bigfusion.low import Base\n@Base.wrap\ndef half(x): pass",
        "from bigfusion.low import Base\ndef half(x=Base): pass",
        "from bigfusion.low import Base\ndef half(x: Base): return x.halved()",
        "import bigfusion.low as l\nhalf = [l]",
        "from bigfusion.low import *\ndef half(x): return halve(x)",
        "import importlib\ndef half(x): return importlib.import_module('bigfusion.low').halve(x)",
    ],
)
def test_every_way_to_a_helper_is_followed(tmp_path: Path, imports: str) -> None:
    low = "def halve(x):\n    return x / 2\nclass Base:\n    def halved(self):\n        return halve(self)\n"
    project(tmp_path, low=low, again="from bigfusion import low\nfrom bigfusion.low import halve\n")
    project(tmp_path, top=f"{imports}\n\ndef top(x):\n    return half(x)\n".replace("\n", "\n"))
    before = code(tmp_path)
    edit(tmp_path, "low", "x / 2", "x / 3")
    assert changed(before, code(tmp_path)) == ["halve"]


def test_a_local_variable_is_no_import_of_its_name(tmp_path: Path) -> None:
    project(tmp_path, low="def count(x):\n    return 1\n")
    project(tmp_path, top="from bigfusion.low import count\ndef top(x):\n    count = len(x)\n    return count\n")
    assert set(code(tmp_path, "top:top")) == {"top"}
    project(tmp_path, top="from bigfusion.low import count\ndef top(x):\n    return [count(y) for y in x]\n")
    assert set(code(tmp_path, "top:top")) == {"top", "count"}


def test_helpers_of_two_modules_that_change_places_are_seen(tmp_path: Path) -> None:
    text = "from bigfusion import a, b\ndef top(x):\n    return a.f(x) - b.f(x)\n"
    project(tmp_path, a="def f(x):\n    return x + 1\n", b="def f(x):\n    return x + 2\n", top=text)
    before = code(tmp_path)
    project(tmp_path, top=text.replace("a.f(x) - b.f(x)", "b.f(x) - a.f(x)"))
    assert changed(before, code(tmp_path)) == ["top"]


def test_statements_that_an_import_runs_count(tmp_path: Path) -> None:
    project(tmp_path, side="import torch\ntorch.set_x(1)\n", low="from bigfusion import side\ndef f(): pass\n")
    project(tmp_path, top="from bigfusion.low import f\ndef top():\n    return 1\n")
    before = code(tmp_path, "top:top")
    edit(tmp_path, "side", "set_x(1)", "set_x(2)")
    assert changed(before, code(tmp_path, "top:top")) == ["(statement)"]


def test_settings_count_by_their_methods_and_not_by_their_fields(tmp_path: Path) -> None:
    text = """
    from typing import ClassVar
    from pydantic import model_validator
    from bigfusion.settings import Settings

    class Mine(Settings):
        run_only: ClassVar = frozenset({"threads"})
        HALF: ClassVar[float] = 0.5
        width: int = 3

        @property
        def half(self):
            return self.width * self.HALF

        @model_validator(mode="after")
        def check(self):
            return self

    def top(settings):
        return Mine.of(settings).half
    """
    project(tmp_path, settings=SETTINGS, top=text)
    before = code(tmp_path)
    assert set(before) == {"Mine", "Mine.half", "top"}
    edit(tmp_path, "top", "width: int = 3", "width: int = 4\n    depth: int = 1")
    edit(tmp_path, "top", '"threads"', '"threads", "device"')
    edit(tmp_path, "top", "        return self\n", "        assert self.width\n        return self\n")
    assert code(tmp_path) == before
    edit(tmp_path, "top", "0.5", "0.25")
    assert changed(before, code(tmp_path)) == ["Mine"]
    edit(tmp_path, "top", "self.width * self", "self.width + self")
    assert changed(before, code(tmp_path)) == ["Mine", "Mine.half"]


def test_another_settings_class_in_a_union_changes_nothing(tmp_path: Path) -> None:
    union = "from bigfusion.kinds import A, B\nEither = A | B\n"
    kinds = "from bigfusion.settings import Settings\n" + "".join(
        f"class {name}(Settings):\n    def width(self):\n        return 1\n" for name in "ABC"
    )
    project(tmp_path, settings=SETTINGS, kinds=kinds, union=union, made="def union(): pass\n")
    project(tmp_path, top="from bigfusion.union import Either\ndef top(x: Either):\n    return x.width()\n")
    before = code(tmp_path)
    assert set(before) == {"top"}
    project(tmp_path, union=union.replace("B\n", "B, C\n", 1).replace("A | B", "A | B | C"))
    assert code(tmp_path) == before
    assert set(code(tmp_path, "top", "kinds:A")) == {"A.width", "top"}
    found = "from bigfusion.made import union\nif TYPE_CHECKING:\n    Either = int\nelse:\n    Either = union()\n"
    project(tmp_path, union=found)
    assert code(tmp_path) == before
    assert set(code(tmp_path, "union")) == {"Either", "union"}


def test_settings_that_an_annotation_names_count_by_their_methods(tmp_path: Path) -> None:
    kinds = "from bigfusion.settings import Settings\nclass A(Settings):\n    def width(self):\n        return 1\n"
    project(tmp_path, settings=SETTINGS, kinds=kinds)
    project(tmp_path, top="from bigfusion.kinds import A\ndef top(x: A):\n    return x.width()\n")
    assert set(code(tmp_path)) == {"A.width", "top"}


def test_a_method_may_be_an_entry_and_what_is_named_as_stop_ends_the_way(tmp_path: Path) -> None:
    text = "def f(): pass\ndef g(): pass\nclass C:\n    def a(self):\n        f()\n    def b(self):\n        g()\n"
    project(tmp_path, top=text)
    assert set(code(tmp_path, "top:C.a")) == {"C.a", "f"}
    assert set(code(tmp_path, "top:C")) == {"C", "C.a", "C.b", "f", "g"}
    assert set(code(tmp_path, "top:C", stop=("top:C.b", "top:f"))) == {"C", "C.a"}


@pytest.mark.parametrize("entry", ["absent", "top:absent", "top:C.absent", "top.C"])
def test_an_entry_that_is_not_there_is_refused(tmp_path: Path, entry: str) -> None:
    project(tmp_path, top="class C:\n    pass\n")
    with pytest.raises(LookupError):
        code(tmp_path, entry)


def test_a_circle_of_imports_ends(tmp_path: Path) -> None:
    project(tmp_path, top="from bigfusion.b import f, gone\ndef top(): f(); gone()\n")
    project(tmp_path, b="from bigfusion.top import top, gone\ndef f(): top()\n")
    assert set(code(tmp_path)) == {"top", "f"}


def test_a_parser_that_miscounts_other_threads_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPython's gh-106905, seen in a flow whose neighbours were parsing too."""
    calls, parse = [], ast.parse

    def miscounting(source: bytes) -> ast.Module:
        calls.append(source)
        if len(calls) == 1:
            raise SystemError("AST constructor recursion depth mismatch (before=48, after=76)")
        return parse(source)

    with monkeypatch.context() as patch:
        patch.setattr("bigfusion.pipeline.digests.definitions.ast.parse", miscounting)
        tree = definitions.parsed(b"x = 1")
    assert ast.unparse(tree) == "x = 1"
    assert calls == [b"x = 1"] * 2


def test_the_project_has_no_star_imports() -> None:
    """They are followed as whole modules: more than need be would become stale."""
    assert not [path for path in (PROJECT / "bigfusion").rglob("*.py") if "import *" in path.read_text()]
