"""Real single utterances by the plain commands: whisper against openSMILE, and both against scikit-learn."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bigfusion.flows import cli
from tests.helpers.whisper_weights import whisper_base

EMODB = Path(__file__).parents[4] / "shared/data/emodb"
EMOTIONS = dict(zip("WLEAFTN", ["anger", "boredom", "disgust", "fear", "happiness", "sadness", "neutral"], strict=True))

SETTINGS = """
[corpus]
kind = "table"
path = "utterances.csv"
media_root = {media}
folds = "speaker"

[audio.opensmile]

[audio.whisper]
kind = "whisper"
model = {model}
pad = "own"                        # the default, "full", is better and takes 28 times as long

[model]
features = ["whisper"]

[train]
seeds = [0]
"""


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whisper base, put together from the two wheels that carry it in halves."""
    return whisper_base(tmp_path_factory.mktemp("whisper"))


@pytest.mark.slow
@pytest.mark.skipif(not EMODB.exists(), reason="EmoDB lies beside the repository only where it may be used")
def test_whisper_beats_opensmile_and_both_logistic_regression(tmp_path, capsys, whisper):
    files = sorted(EMODB.glob("*.flac"))
    with (tmp_path / "utterances.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("dialogue", "turn", "speaker", "text", "label", "media"))
        rows.writerows((each.stem, 0, each.stem[:2], "", EMOTIONS[each.stem[5]], each.name) for each in files)
    text = SETTINGS.format(media=json.dumps(str(EMODB)), model=json.dumps(str(whisper)))
    (tmp_path / "bigfusion.toml").write_text(text)
    config = ["--config", str(tmp_path / "bigfusion.toml")]
    both = ["--set", 'model.features=["opensmile", "whisper"]']

    found = {}
    for name in ("opensmile", "whisper"):
        asked = [*config, "--set", f'model.features=["{name}"]']
        assert cli.main(["run", *asked]) == 0
        assert "single utterances: no dialogue has two" in capsys.readouterr().err
        assert cli.main(["evaluate", *asked, "--json"]) == 0
        found[name] = json.loads(capsys.readouterr().out)["weighted_f1"]
    assert cli.main(["export", str(tmp_path / "out"), *config, *both]) == 0
    made = pd.concat(pd.read_parquet(path) for path in (tmp_path / "out/data").glob("*.parquet"))
    trusted = {name: logistic(made, column) for name, column in (("opensmile", "audio"), ("whisper", "audio.whisper"))}
    assert found["opensmile"] >= trusted["opensmile"] > 0.55
    assert found["whisper"] >= trusted["whisper"] > 0.55
    assert found["whisper"] > found["opensmile"] + 0.03

    capsys.readouterr()
    assert cli.main(["reproduce", "--table", "features", *config, *both, "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert {row["key"] for row in table["rows"]} == {"all", "opensmile", "whisper"}
    assert all(row["scored"] == "test" for row in table["rows"]) and len(table["folds"]) == 5


def logistic(made: pd.DataFrame, column: str) -> float:
    """scikit-learn's, with its defaults, on the same folds: each speaker left out once."""
    values = np.stack(made[column].to_list()).astype(np.float64)
    label, speaker = made["label"].to_numpy(), made["speaker"].to_numpy()
    said = label.copy()
    for each in np.unique(speaker):
        held = speaker == each
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        said[held] = model.fit(values[~held], label[~held]).predict(values[held])
    return float(f1_score(label, said, average="weighted"))
