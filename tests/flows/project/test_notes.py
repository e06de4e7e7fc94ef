"""What ingest decided or noticed stands in the report as well."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigfusion.flows import cli

QUICK = (
    "--set",
    "train.epochs=1",
    "--set",
    "train.seeds=[0]",
    "--set",
    "model.width=8",
    "--set",
    "train.device=cpu",
    "--set",
    'model.modalities=["text"]',
)


@pytest.mark.slow
def test_the_report_repeats_what_ingest_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    names = [f"d{row}" for row in range(30)]
    columns = {
        "dialogue": names,
        "utterance": names,
        "speaker": [f"s{row % 5}" for row in range(30)],
        "label": ["calm", "angry", "N/A"] * 10,
        "split": ["training"] * 18 + ["validation"] * 6 + ["test"] * 6,
        "text": rng.normal(size=(30, 4)).tolist(),
    }
    pq.write_table(pa.table(columns), "mine.parquet")
    assert cli.main(["import", "mine.parquet"]) == 0
    capsys.readouterr()
    assert cli.main(["run", "--config", "mine/bigfusion.toml", *QUICK, "--json"]) == 0
    run = json.loads(capsys.readouterr().out)["run"]
    report = (tmp_path / "mine/work/runs" / run / "report.html").read_text(encoding="utf-8")
    assert "5 of 5 valid speakers and 5 of 5 test speakers are in train as well" in report
    assert "10 of 30 rows have no label (N/A 10)" in report
