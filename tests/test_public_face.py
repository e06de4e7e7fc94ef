"""``import bigfusion`` in Python: its names, what importing it costs, and the examples in its docstring."""

import ast
import doctest
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

import bigfusion
from bigfusion.flows.project.write import write_config
from tests.helpers import trained_recordings
from tests.helpers.small_runs import LABELS, dialogue
from tests.helpers.trained_recordings import new_recording

HEAVY = {"torch", "pandas", "numpy", "pyarrow", "pydantic", "prefect", "transformers"}


def imported(code: str) -> set[str]:
    """The top-level modules that a new interpreter has imported after ``code``."""
    command = f"import sys; {code}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_bigfusion_alone_imports_nothing_heavy():
    assert not imported("import bigfusion; dir(bigfusion)") & HEAVY


def test_reading_features_imports_neither_torch_nor_prefect():
    names = imported("import bigfusion; bigfusion.read_features")
    assert "pyarrow" in names
    assert not names & {"torch", "prefect"}


@pytest.mark.parametrize("name", bigfusion.__all__)
def test_a_public_name_is_the_function_itself(name):
    assert getattr(bigfusion, name) is getattr(import_module(bigfusion._HOMES[name]), name)
    assert name in dir(bigfusion)
    assert f"``{name}``" in bigfusion.__doc__


def test_the_stub_the_list_and_the_table_of_names_agree():
    tree = ast.parse(Path(bigfusion.__file__).with_suffix(".pyi").read_text())
    stub = {node.names[0].name: node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert stub == bigfusion._HOMES
    assert bigfusion.__all__ == sorted(stub)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'predict_everything'"):
        _ = bigfusion.predict_everything


def write_features(path: Path, dialogues: int, seed: int) -> None:
    """``dialogues`` dialogues of six turns each, with text of width 6 and audio of width 3, as a feature file."""
    rows = [
        {
            "dialogue": f"d{seed + number}",
            "utterance": turn,
            "speaker": str(one.speakers[turn]),
            "label": LABELS[one.labels[turn]],
            "text": one.features["text"][turn],
            "audio": one.features["audio"][turn],
        }
        for number in range(dialogues)
        for one in [dialogue(f"d{seed + number}", 6, seed + number)]
        for turn in range(6)
    ]
    pd.DataFrame(rows).to_parquet(path)


def test_the_examples_in_the_docstring_do_what_they_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained_recordings.make(tmp_path / "my-project")
    new_recording(tmp_path, "talk")
    (tmp_path / "my-meld").mkdir()
    write_config(tmp_path / "my-meld" / "bigfusion.toml", "meld", str(tmp_path))
    write_features(tmp_path / "train.parquet", 20, 0)
    write_features(tmp_path / "test.parquet", 5, 100)
    result = doctest.testmod(bigfusion)
    assert result.attempted >= 14
    assert result.failed == 0
