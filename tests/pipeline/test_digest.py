import ast
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import digest as d

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_key_order_does_not_matter(value):
    assert d.digest(value) == d.digest(dict(reversed(list(value.items()))))


@given(JSON, JSON)
def test_different_values_have_different_text(left, right):
    if d.canonical(left) == d.canonical(right):
        assert left == right


def test_a_known_digest():
    # printf '{"a":[1,"\xc3\xa9"],"b":null}' | sha256sum
    import hashlib

    assert d.digest({"b": None, "a": [1, "é"]}) == hashlib.sha256(b'{"a":[1,"\xc3\xa9"],"b":null}').hexdigest()


def test_nan_is_refused():
    with pytest.raises(ValueError, match="JSON compliant"):
        d.digest({"x": float("nan")})


@pytest.fixture
def counted(monkeypatch):
    read = []
    monkeypatch.setattr(d, "file_sha256", lambda path, real=d.file_sha256: (read.append(path), real(path))[1])
    return read


def settle(path: Path, seconds: float = 60) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_files_are_read_once_and_touch_changes_no_digest(tmp_path, counted):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"one")
    settle(clip)
    cache = tmp_path / "cache.sqlite"
    first = d.FileDigests(cache).of([clip, tmp_path / "absent", tmp_path])
    assert list(first) == [clip]
    assert d.FileDigests(cache).one(clip) == first[clip]
    assert counted == [clip]
    settle(clip, 120)  # a touch
    assert d.FileDigests(cache).one(clip) == first[clip]
    assert counted == [clip, clip]


def test_a_changed_byte_of_equal_size_and_mtime_is_seen(tmp_path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"one")
    settle(clip)
    digests = d.FileDigests(tmp_path / "cache.sqlite")
    before, stat = digests.one(clip), clip.stat()
    clip.write_bytes(b"two")
    os.utime(clip, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # ctime still tells
    assert digests.one(clip) != before


def test_a_file_that_was_just_written_is_not_trusted_to_stay(tmp_path, counted):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"one")
    digests = d.FileDigests(tmp_path / "cache.sqlite")
    digests.one(clip)
    digests.one(clip)
    assert counted == [clip, clip]


@pytest.mark.parametrize("content", [b"not a database" * 100, b"", b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_damaged_cache_is_begun_anew(tmp_path, counted, content):
    clip, cache = tmp_path / "clip.mp4", tmp_path / "cache.sqlite"
    clip.write_bytes(b"one")
    settle(clip)
    cache.write_bytes(content)
    first = d.FileDigests(cache).one(clip)
    assert d.FileDigests(cache).one(clip) == first
    assert counted == [clip]


def test_a_cache_that_turns_out_to_be_damaged_in_use(tmp_path, caplog):
    clip, cache = tmp_path / "clip.mp4", tmp_path / "cache.sqlite"
    clip.write_bytes(b"one")
    settle(clip)
    digests = d.FileDigests(cache)
    digests._database.execute("DROP TABLE files")
    assert digests.one(clip) == d.FileDigests(cache).one(clip)
    assert "not a readable cache" in caplog.text


def test_a_cache_that_cannot_be_used_is_done_without(tmp_path, caplog):
    clip, cache = tmp_path / "clip.mp4", tmp_path / "cache.sqlite"
    clip.write_bytes(b"one")
    cache.mkdir()
    assert d.FileDigests(cache).one(clip) == d.FileDigests().one(clip)
    assert "cannot be used (unable to open" in caplog.text


def test_what_was_hashed_before_an_interrupt_is_remembered(tmp_path, counted):
    paths = [tmp_path / f"{number}" for number in range(50)]
    for path in paths:
        path.write_text(path.name)
        settle(path)
    seen = []

    def interrupt(done: int) -> None:
        seen.append(done)
        if sum(seen) == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        d.FileDigests(tmp_path / "cache.sqlite").of(paths, interrupt)
    counted.clear()
    d.FileDigests(tmp_path / "cache.sqlite").of(paths)
    assert set(counted) == {*paths[20:]}


def test_what_was_hashed_before_a_kill_is_remembered_but_for_the_last_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(d, "_REMEMBER_SECONDS", -1.0)
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"one")
    settle(clip)
    kept = []
    digests, other = d.FileDigests(tmp_path / "cache.sqlite"), d.FileDigests(tmp_path / "cache.sqlite")
    digests.of([clip], lambda done: kept.append(other._remembered({clip: clip.stat()})))
    assert list(kept[-1]) == [clip]


def test_many_files(tmp_path, counted):
    paths = [tmp_path / f"{number}" for number in range(600)]
    for path in paths:
        path.write_text(path.name)
        settle(path)
    digests = d.FileDigests(tmp_path / "cache.sqlite")
    seen = []
    assert digests.of(paths, seen.append) == digests.of(paths)
    assert sum(seen) == 600
    assert len(counted) == 600


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError):
        d.FileDigests().one(tmp_path / "absent")


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
        patch.setattr("pipeline.digest.ast.parse", miscounting)
        tree = d._parsed(b"x = 1")
    assert ast.unparse(tree) == "x = 1"
    assert calls == [b"x = 1"] * 2
