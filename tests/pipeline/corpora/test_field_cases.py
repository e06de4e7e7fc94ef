"""Tables and labels that people brought to other tools, and what this one makes of each."""

from pathlib import Path

import pytest

from bigfusion.pipeline.corpora.scan import FeatureSettings, TableSettings, scan
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError

FIELD = Path(__file__).parents[3].parent / "shared/data/field"
pytestmark = pytest.mark.skipif(not FIELD.is_dir(), reason="the field cases (shared/data/field) are not here")


def table(name: str, **settings):
    return scan(TableSettings(kind="table", path=FIELD / name, **settings), FileDigests())


def test_chinese_in_gbk_is_refused_with_its_setting_and_read_with_it():
    with pytest.raises(CorpusError, match=r'seems to be gb18030.*write corpus.encoding = "gb18030"'):
        table("c1_gbk.csv")
    manifest = table("c1_gbk.csv", encoding="gb18030")
    assert manifest.table["speaker"].tolist() == ["张三", "李四"]
    assert manifest.labels == ("悲伤", "高兴")


def test_utf16_and_semicolons_are_read():
    assert table("c1_utf16.csv").table["text"].tolist() == ["Hello", "Yes"]
    assert table("c1_semicolons.csv").table["text"].tolist() == ["Hello"]


def test_valid_utf8_is_untouched():
    assert table("c2_valid_utf8_changed.csv").table["text"].tolist() == ["AMANHÃ…", "«AMANHÃ»", "ĐÃ…", "„BLÅ“"]


def test_real_numbers_are_no_classes_and_empty_tokens_no_labels():
    with pytest.raises(CorpusError, match="expected classes, found real numbers"):
        table("c3_label_real.csv")
    manifest = table("c3_label_nan.csv")
    assert manifest.labels == ("happy",)
    assert "4 of 5 rows have no label (NULL 1, NaN 1, None 1, nan 1)" in manifest.notes


def test_sentiment_has_three_classes():
    path = FIELD / "p1_sentiment_minus1_0_1.parquet"
    manifest = scan(FeatureSettings(kind="features", path=path), FileDigests())
    assert manifest.table["label"].value_counts().to_dict() == {"0": 21, "1": 20, "-1": 19}
    assert "label -1 (19 of 60 rows) is a class" in manifest.notes[0]
