import codecs
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.tables.charset import read_text

HEADER = "dialogue,turn,speaker,text,label,media\n"
CELLS = {
    "gb18030": "张三,你好，今天天气很好,高兴",
    "big5": "張三,你好，今天天氣很好,高興",
    "cp932": "田中,こんにちは、今日は良い天気ですね,嬉しい",
    "euc_kr": "김철수,안녕하세요 오늘 날씨가 좋네요,기쁨",
    "cp1250": "Łukasz,Zażółć gęślą jaźń,złość",
    "cp1251": "Анна,Привет как дела? Сегодня хорошая погода,радость",
    "koi8_r": "Анна,Привет как дела? Сегодня хорошая погода,радость",
    "cp1253": "Άννα,Γειά σου τι κάνεις σήμερα,χαρά",
    "cp1256": "أحمد,مرحبا كيف حالك اليوم,سعيد",
    "mac_roman": "José,Mañana será un buen día señor,alegría",
    "cp1252": "Zoë,Müller fährt über die Straße,fröhlich",
}


def table(cells: str, rows: int = 1) -> str:
    return HEADER + "".join(f"d{row},0,{cells},say.wav\n" for row in range(rows))


def read(tmp_path, data: bytes, encoding: str = "") -> str:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    return read_text(path, encoding)


def refusal(tmp_path, data: bytes, encoding: str = "") -> str:
    with pytest.raises(CorpusError) as error:
        read(tmp_path, data, encoding)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"{tmp_path / 't.csv'}: expected ")
    return message


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("encoding", CELLS)
def test_what_is_not_utf8_is_refused_with_what_it_seems_to_be_and_read_when_the_setting_says_it(
    tmp_path, encoding, rows
):
    text = table(CELLS[encoding], rows)
    message = refusal(tmp_path, text.encode(encoding))
    speaker = CELLS[encoding].partition(",")[0]
    assert f'write corpus.encoding = "{encoding}"' in message
    assert repr(speaker) in message
    assert "in line 2" in message
    assert read(tmp_path, text.encode(encoding), encoding) == text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("marked", [True, False])
def test_unicode_is_known_by_its_mark_or_by_its_zeros(tmp_path, encoding, marked):
    text = table("张三,Zoë says “hi”,高兴")
    plain = encoding.removesuffix("-sig")
    data = text.encode({"utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(plain, plain))
    marks = {"utf-8": codecs.BOM_UTF8, "utf-16-be": codecs.BOM_UTF16_BE, "utf-32": codecs.BOM_UTF32_LE}
    mark = marks.get(plain, codecs.BOM_UTF16_LE)
    if encoding == "utf-32" and not marked:
        assert "found zeros" in refusal(tmp_path, data)
        return
    assert read(tmp_path, (mark if marked else b"") + data) == text


def test_utf16_cut_in_the_middle_of_a_character_is_refused(tmp_path):
    assert "expected utf-16, found" in refusal(tmp_path, table("a,b,c").encode("utf-16")[:-1])
    assert "found zeros as in UTF-16" in refusal(tmp_path, table("a,b,c").encode("utf-16-le")[:-1])


@given(st.text(st.characters(codec="utf-8", exclude_characters="\ufeff"), max_size=40))
def test_any_utf8_is_read_to_the_letter(tmp_path_factory, text):
    whole = HEADER + text.replace("\0", "").replace("\x1b", "")
    assert read(tmp_path_factory.getbasetemp(), whole.encode()) == whole


@cache
def texts(encoding: str) -> st.SearchStrategy[str]:
    """Texts of what the encoding has. Hypothesis's own search for that goes through all of Unicode, for seconds."""
    # no NUL: no table has one, and after UTF-16's mark it would be UTF-32's
    if encoding in ("gb18030", "utf-16"):
        return st.text(st.characters(codec="utf-8", exclude_characters="\ufeff\0"), max_size=40)
    known = [letter for letter in map(chr, range(1, 0x10000)) if letter.encode(encoding, "ignore")]
    return st.text("".join(known), max_size=40)


@given(st.data(), st.sampled_from(["gb18030", "cp932", "big5", "cp1250", "cp1251", "cp1256", "mac_roman", "utf-16"]))
def test_any_text_comes_back_from_the_encoding_that_the_setting_names(tmp_path_factory, data, encoding):
    text = data.draw(texts(encoding))
    encoded = text.encode(encoding)
    expected = encoded.decode(encoding)  # cp932 and big5 have characters with two codes
    if encoded.startswith((codecs.BOM_UTF8,)) or (encoding != "utf-16" and encoded[:2] in (b"\xff\xfe", b"\xfe\xff")):
        return
    assert read(tmp_path_factory.getbasetemp(), encoded, encoding) == expected


@pytest.mark.parametrize("text", ["AMANHÃ…", "«AMANHÃ»", "ĐÃ…", "„BLÅ“", "â€™", "Ã©", "ĐÂ€ Â£"])
def test_what_looks_like_mojibake_in_valid_utf8_is_left(tmp_path, text):
    assert read(tmp_path, table(text).encode()) == table(text)


def test_english_in_cp1252_is_known_by_its_contractions(tmp_path):
    data = table("Ann,AAA it’s “fine” – no… café,x").replace("AAA", "😀").encode()
    data = data.replace("’".encode(), b"\x92").replace("“".encode(), b"\x93").replace("é".encode(), b"\xe9")
    assert "😀 it’s “fine” – no… café" in read(tmp_path, data)
    assert "in line 2" in refusal(tmp_path, table("Ann,caf#,x").encode().replace(b"#", b"\xe9"))


@pytest.mark.parametrize(
    ("encoding", "cells"), [("mac_roman", "Luís,país,sí"), ("cp932", "土曜,it's,x"), ("mac_roman", "Ana,año,habló")]
)
def test_other_encodings_with_the_same_bytes_are_not_taken_for_english(tmp_path, encoding, cells):
    refusal(tmp_path, table(cells).encode(encoding))


def test_seven_bit_escapes_are_refused_with_their_setting(tmp_path):
    data = table("田中,今日は,x").encode("iso2022_jp")
    assert 'write corpus.encoding = "iso2022_jp"' in refusal(tmp_path, data)
    assert read(tmp_path, data, "iso2022_jp") == table("田中,今日は,x")


@pytest.mark.parametrize(
    ("encoding", "cells"),
    [
        ("gb18030", "王,你好,喜"), ("big5", "陳,你好嗎,高興"), ("cp932", "田中,こんにちは,喜び"),
        ("euc_jp", "田中,こんにちは,喜び"),
        ("euc_kr", "김,안녕,기쁨"), ("mac_roman", "René,ça va très bien,fâché"), ("cp1251", "Анна,Привет,радость"),
    ],
)  # fmt: skip
def test_the_guess_holds_for_a_few_words(tmp_path, encoding, cells):
    message = refusal(tmp_path, table(cells, 3).encode(encoding))
    assert f"it seems to be {encoding} ({cells.partition(',')[0]!r})" in message


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0"])
def test_a_spreadsheet_under_another_name_is_refused(tmp_path, start):
    assert "found a spreadsheet or a packed file" in refusal(tmp_path, start + bytes(200))


def test_a_setting_that_the_file_contradicts_is_refused(tmp_path):
    assert "expected ascii, found d5 c5 c8 fd in line 2" in refusal(
        tmp_path, table(CELLS["gb18030"]).encode("gb18030"), "ascii"
    )
    assert "found the mark of utf-8" in refusal(tmp_path, table("é").encode("utf-8-sig"), "cp1251")
    assert "found the mark of utf-16" in refusal(tmp_path, table("é").encode("utf-16"), "cp1252")
    assert "found valid UTF-8" in refusal(tmp_path, table("René,ça va été là,fâché", 2).encode(), "cp1252")
    assert read(tmp_path, table("é").encode("utf-16"), "utf-16-le") == table("é")
    assert read(tmp_path, table("é").encode("utf-8-sig"), "utf-8") == table("é")
