import math

import pandas as pd
import pytest

from bigfusion.pipeline.corpora.scan import FeatureSettings, TableSettings, scan
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.tables.numbers import numbers


def test_cells_are_numbers_or_none():
    assert numbers(["1", " -0.5", "1e-1"]) == [1.0, -0.5, 0.1]
    assert [math.isnan(value) for value in numbers(["", "nan", "None", "2"])] == [True, True, True, False]
    with pytest.raises(CorpusError, match=r"expected numbers .*found 'joy' in row 2"):
        numbers(["1", "joy"])
    with pytest.raises(CorpusError, match="found none in any row"):
        numbers(["", "nan"])


def table(tmp_path, **settings):
    path = tmp_path / "t.csv"
    path.write_text("dialogue,turn,speaker,text,label,media\na,0,x,hi,0.25,\nb,0,y,ho,,\nc,0,z,ha,-1,\n")
    return scan(TableSettings(kind="table", path=path, **settings), FileDigests())


def test_a_table_s_numbers_are_predicted_if_the_task_says_so(tmp_path):
    manifest = table(tmp_path, task="regression")
    assert manifest.has_values
    assert manifest.table["value"].tolist()[::2] == [0.25, -1.0]
    assert math.isnan(manifest.table["value"][1])
    with pytest.raises(CorpusError, match=r'write corpus.task = "regression" to predict the numbers'):
        table(tmp_path)
    with pytest.raises(CorpusError, match=r'corpus.label_map: expected none with corpus.task = "regression"'):
        table(tmp_path, task="regression", label_map={"1": "a"})


def test_a_feature_file_s_numbers_too(tmp_path):
    frame = {"dialogue": ["a", "b"], "utterance": [0, 0], "speaker": ["x", "y"], "label": [0.5, None]}
    pd.DataFrame({**frame, "text": [[1.0], [2.0]]}).to_parquet(tmp_path / "f.parquet")
    settings = FeatureSettings(kind="features", path=tmp_path / "f.parquet", task="regression")
    manifest = scan(settings, FileDigests())
    assert manifest.has_values
    assert manifest.table["value"][0] == 0.5
    assert math.isnan(manifest.table["value"][1])
