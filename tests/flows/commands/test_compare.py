"""`bigfusion compare` on the predictions of few dialogues."""

import json
from pathlib import Path

import pandas as pd

from bigfusion.flows import cli
from bigfusion.model.runs.folder import PREDICTIONS


def scored(folder: Path, predicted: str, dialogues: int) -> str:
    """A folder of scores in which each dialogue has a glad and a sad turn."""
    folder.mkdir()
    rows = [
        (0, "test", f"d{k}", f"d{k}_{turn}", "gs"[turn], predicted[turn]) for k in range(dialogues) for turn in (0, 1)
    ]
    names = ["seed", "split", "dialogue", "utterance", "true", "predicted"]
    pd.DataFrame(rows, columns=names).to_parquet(folder / PREDICTIONS)
    return str(folder)


def test_few_dialogues_are_said_to_be_few_and_one_has_no_interval(tmp_path, capsys):
    for number, said in ((1, "one dialogue cannot be drawn again"), (9, "9 dialogues are few"), (10, "")):
        runs = [scored(tmp_path / f"{name}{number}", guess, number) for name, guess in (("a", "gg"), ("b", "gs"))]
        assert cli.main(["compare", *runs]) == 0
        text = capsys.readouterr().out
        row = next(line for line in text.splitlines() if line.startswith("accuracy"))
        assert row.split()[:4] == ["accuracy", "50.00", "100.00", "+50.00"]
        assert (len(row.split()) > 4) is (number > 1)
        assert ("note: " in text) is bool(said) and said in text
        assert cli.main(["compare", *runs, "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        assert (data["accuracy"]["p"] is None) is (number == 1)
        assert [note.startswith(said) for note in data["notes"]] == [True] * bool(said)
