"""What is remembered of the project's modules between processes, and when it is not believed."""

import json
import os
import time
from pathlib import Path

import pytest

from bigfusion.pipeline.digests import code, definitions, sources
from bigfusion.pipeline.digests.definitions import Module
from bigfusion.pipeline.digests.sources import Sources


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two modules that were written an hour ago."""
    package = tmp_path / "root/bigfusion"
    package.mkdir(parents=True)
    for name, text in (
        ("__init__", ""),
        ("top", "from bigfusion.low import f\ndef top(x: int):\n    return f(x)\n"),
        ("low", "class Base:\n    size = 3\n\ndef f(x):\n    return Base()\n"),
    ):
        write(package / f"{name}.py", text)
    return package.parent


def write(path: Path, text: str) -> None:
    path.write_text(text)
    os.utime(path, ns=(hour := time.time_ns() - 3600 * 10**9, hour))


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modules that were taken apart, which is what costs time."""
    names: list[str] = []
    take_apart = sources.take_apart

    def counting(source: bytes, package: list[str], module: str) -> Module:
        names.append(module)
        return take_apart(source, package, module)

    monkeypatch.setattr(sources, "take_apart", counting)
    return names


def asked(root: Path, memory: Path) -> dict[str, str]:
    """As a process of its own would: with nothing but what lies in ``memory``."""
    return code._digests.__wrapped__(Sources(root, memory), ("bigfusion.top",), ())


def test_a_second_process_takes_nothing_apart(root: Path, tmp_path: Path, taken: list[str]) -> None:
    first = asked(root, tmp_path / "memory")
    assert set(taken) == {"bigfusion", "bigfusion.top", "bigfusion.low"}
    taken.clear()
    assert asked(root, tmp_path / "memory") == first
    assert taken == []
    write(root / "bigfusion/low.py", "class Base:\n    size = 4\n\ndef f(x):\n    return Base()\n")
    second = asked(root, tmp_path / "memory")
    assert taken == ["bigfusion.low"], "the others are still known"
    assert [name for name in first if first[name] != second[name]] == ["Base"]


def test_what_was_taken_apart_is_the_same_after_its_way_through_the_file(root: Path) -> None:
    for path in (root / "bigfusion/low.py", Path(definitions.__file__), Path(code.__file__)):
        module = definitions.take_apart(path.read_bytes(), ["bigfusion"], "bigfusion.low")
        assert Module.of_plain(json.loads(json.dumps(module.plain()))) == module


def test_a_module_that_comes_or_goes_is_noticed(root: Path, tmp_path: Path) -> None:
    """A name that was a package's module becomes a definition of the package itself."""
    first = asked(root, tmp_path / "memory")
    (root / "bigfusion/low").mkdir()
    (root / "bigfusion/low.py").rename(root / "bigfusion/low/__init__.py")
    assert asked(root, tmp_path / "memory") == first
    (root / "bigfusion/low/__init__.py").unlink()
    assert set(asked(root, tmp_path / "memory")) == {"top"}


def test_a_file_that_was_just_written_is_not_remembered(root: Path, tmp_path: Path, taken: list[str]) -> None:
    """It may change again within the same timestamp."""
    (root / "bigfusion/low.py").touch()
    asked(root, tmp_path / "memory")
    assert not (tmp_path / "memory").exists()
    taken.clear()
    asked(root, tmp_path / "memory")
    assert "bigfusion.low" in taken


@pytest.mark.parametrize("name", ["answers.json", "modules.json"])
@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"version": 1}', "other", "emptied"])
def test_a_damaged_memory_is_begun_anew(root: Path, tmp_path: Path, name: str, damage: str, taken: list[str]) -> None:
    memory = tmp_path / "memory"
    first = asked(root, memory)
    kept = json.loads((memory / name).read_text())
    if damage == "other":  # the right form around something else
        kept[name.removesuffix(".json")] = dict.fromkeys(kept[name.removesuffix(".json")], 3)
        damage = json.dumps(kept)
    elif damage == "emptied":
        inner = {"bigfusion/top.py": {"stat": Sources(root, memory)._stat("bigfusion/top.py"), "module": {}}}
        damage = json.dumps(kept | {name.removesuffix(".json"): inner})
    (memory / name).write_text(damage)
    if name == "modules.json":
        (memory / "answers.json").unlink()
    assert asked(root, memory) == first
    taken.clear()
    assert asked(root, memory) == first
    assert taken == []


def test_a_memory_that_cannot_be_written_is_done_without(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    first = asked(root, tmp_path / "memory")
    assert asked(root, tmp_path / "file/memory") == first


def test_memory_of_another_version_of_the_digests_is_not_believed(
    root: Path, tmp_path: Path, taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(root, tmp_path / "memory")
    taken.clear()
    monkeypatch.setattr(sources, "_version", lambda: "another")
    asked(root, tmp_path / "memory")
    assert "bigfusion.top" in taken
