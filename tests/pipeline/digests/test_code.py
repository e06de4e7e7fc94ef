import ast
import shutil
from pathlib import Path

import pytest

from bigfusion.pipeline.digests import code as d


@pytest.fixture
def project(tmp_path):
    """A copy of the project's real packages, to be edited."""
    for package in d.PACKAGES:
        shutil.copytree(d.PROJECT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def code(project: Path, module: str = "extractors.audio") -> dict[str, str]:
    d.code_digests.cache_clear()
    return d.code_digests(module, project)


def test_code_reaches_helpers_and_leaves_strangers_out(project):
    files = code(project)
    assert {"extractors/audio.py", "extractors/base.py", "pipeline/media.py", "pipeline/schema.py"} <= files.keys()
    assert not any(name.startswith(("flows/", "model/")) for name in files)


def test_comments_formatting_and_docstrings_change_nothing(project):
    before = code(project)
    media = project / "pipeline/media.py"
    lines = media.read_text().splitlines()
    media.write_text(
        '"""Another docstring."""\n# a comment\n\n\n'
        + "\n".join(f"{line}  # noted" if line.startswith("import ") else line for line in lines).split('"""', 2)[2]
    )
    assert code(project) == before


def test_a_changed_helper_is_seen_through_imports(project):
    before = code(project)
    errors = project / "pipeline/errors.py"  # extractors.audio -> pipeline.media -> pipeline.errors
    errors.write_text(errors.read_text() + "\nLIMIT = 3\n")
    after = code(project)
    assert [name for name in after if after[name] != before.get(name)] == ["pipeline/errors.py"]


def test_a_relative_import_and_a_package_are_followed(tmp_path):
    (tmp_path / "pipeline/deep").mkdir(parents=True)
    (tmp_path / "pipeline/__init__.py").write_text("")
    (tmp_path / "pipeline/deep/__init__.py").write_text("from .. import helper\n")
    (tmp_path / "pipeline/helper.py").write_text("x = 1\n")
    (tmp_path / "pipeline/deep/top.py").write_text("def f():\n    from . import side\n")
    (tmp_path / "pipeline/deep/side.py").write_text("")
    files = d.code_digests("pipeline.deep.top", tmp_path)
    assert list(files) == [
        "pipeline/__init__.py",
        "pipeline/deep/__init__.py",
        "pipeline/deep/side.py",
        "pipeline/deep/top.py",
        "pipeline/helper.py",
    ]


def test_an_unknown_module_is_refused(tmp_path):
    with pytest.raises(ModuleNotFoundError):
        d.code_digests("extractors.absent", tmp_path)


def test_every_file_written_anew_without_comments_and_with_other_docstrings_changes_nothing(project):
    """Each real file is parsed, gets another docstring everywhere, and is printed in another layout."""
    before = {name: code(project, name) for name in ("extractors.text", "extractors.visual", "model.train")}

    class Docstrings(ast.NodeTransformer):
        def generic_visit(self, node):
            super().generic_visit(node)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body[0] = ast.Expr(ast.Constant("Something else."))
            return node

    edited = 0
    for path in project.rglob("*.py"):
        source = path.read_text()
        tree = Docstrings().visit(ast.parse(source))
        path.write_text("# another first line\n\n\n" + ast.unparse(ast.fix_missing_locations(tree)) + "\n")
        edited += path.read_text() != source
    assert edited > 50
    assert {name: code(project, name) for name in before} == before


@pytest.mark.parametrize(
    ("top", "way"),
    [
        ("extractors.visual", ["extractors/faces.py", "extractors/compute.py"]),
        ("extractors.visual", ["pipeline/media.py", "pipeline/demux.py", "pipeline/errors.py"]),
        ("extractors.text", ["extractors/pretrained.py", "pipeline/digest.py"]),
        ("model.train", ["model/bigfusion.py", "model/graph.py", "model/seed.py"]),
    ],
)
def test_one_number_in_a_helper_far_away_is_seen(project, top, way):
    """The helper at the end of the chain, which the top does not import by itself."""
    before = code(project, top)
    reached = [name for name in way if name in before]
    assert reached
    helper = project / reached[-1]
    helper.write_text(helper.read_text() + "\n_MARGIN = 0.25\n")
    changed = code(project, top)
    assert [name for name in changed if changed[name] != before[name]] == [reached[-1]]
    helper.write_text(helper.read_text().replace("0.25", "0.250"))
    assert code(project, top) == changed
    helper.write_text(helper.read_text().replace("0.250", "0.26"))
    assert code(project, top) != changed


def test_a_helper_three_imports_away(tmp_path):
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/__init__.py").write_text("")
    for name, below in (("a", "b"), ("b", "c"), ("c", "d")):
        (tmp_path / f"pipeline/{name}.py").write_text(f"from pipeline.{below} import f\n")
    helper = tmp_path / "pipeline/d.py"
    helper.write_text("def f(x):\n    return x + 1\n")
    before = code(tmp_path, "pipeline.a")
    helper.write_text('def f(x):  # one more\n    """Add one."""\n\n    return (x + 1)\n')
    assert code(tmp_path, "pipeline.a") == before
    helper.write_text("def f(x):\n    return x + 2\n")
    assert [name for name, value in code(tmp_path, "pipeline.a").items() if value != before[name]] == ["pipeline/d.py"]


def test_a_parser_that_miscounts_other_threads_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPython's gh-106905, seen in a flow whose neighbours were parsing too."""
    calls, parse = [], ast.parse

    def miscounting(source: bytes) -> ast.Module:
        calls.append(source)
        if len(calls) == 1:
            raise SystemError("AST constructor recursion depth mismatch (before=48, after=76)")
        return parse(source)

    with monkeypatch.context() as patch:
        patch.setattr("bigfusion.pipeline.digests.code.ast.parse", miscounting)
        tree = d._parsed(b"x = 1")
    assert ast.unparse(tree) == "x = 1"
    assert calls == [b"x = 1"] * 2
