import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.tables.encoding import decode, plain, read

TEXT = "It’s “fine” — no… café, Adiós, €5 ‘now’"


def misread(data: bytes) -> bytes:
    """What an editor saves that takes UTF-8 for cp1252: each byte as its own character, in UTF-8."""
    undefined = b"\x81\x8d\x8f\x90\x9d"
    return "".join(chr(byte) if byte in undefined else bytes([byte]).decode("cp1252") for byte in data).encode()


SPOILT = {
    "utf-8": lambda text: text.encode(),
    "utf-8-sig": lambda text: text.encode("utf-8-sig"),
    "cp1252": lambda text: text.encode("cp1252"),
    "cp1252 as Latin-1": lambda text: text.encode("cp1252").decode("latin-1").encode(),
    "UTF-8 as Latin-1": lambda text: text.encode().decode("latin-1").encode(),
    "UTF-8 as cp1252": lambda text: misread(text.encode()),
    "UTF-8 as cp1252, twice": lambda text: misread(misread(text.encode())),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_every_way_in_which_a_line_is_spoilt_is_undone(spoil):
    assert decode(spoil(TEXT)) == TEXT


@given(
    st.lists(st.sampled_from("’‘“”—–…éóçñüß€™ÀÉ«»°"), max_size=8),
    st.sampled_from(sorted(SPOILT)),
)
def test_every_typographic_character_between_letters_is_restored(chars, way):
    text = "a".join(["", *chars, ""])
    assert decode(SPOILT[way](text)) == text


def test_a_byte_that_cp1252_does_not_define_closes_a_quotation():
    assert decode(b"\xc3\xa2\xe2\x82\xac\xc5\x93ok\xc3\xa2\xe2\x82\xac\xc2\x9d") == "“ok”"


def test_encodings_mixed_in_one_line():
    assert decode("it’s ".encode() + b"what\x92s " + "thatâ€™s".encode() + b" \xe9t\xe9") == "it’s what’s that’s été"


@pytest.mark.parametrize("text", ["café…”", "é’s", "Ângela", "naïve—œuvre", "日本語", "Zoë’s “Ü”", "â and €"])
def test_correct_text_that_looks_like_mojibake_as_bytes_stays(text):
    assert decode(text.encode()) == text


@given(st.text(alphabet=st.characters(codec="utf-8", max_codepoint=0x7F)))
def test_ascii_is_untouched(text):
    assert decode(text.encode()) == text


@given(st.binary(max_size=60))
def test_no_bytes_are_refused_and_no_line_is_lost(data):
    assert decode(data).count("\n") == data.count(b"\n")
    assert not any(0x80 <= ord(char) < 0xA0 or 0xD800 <= ord(char) < 0xE000 for char in decode(data))


def test_next_line_control_is_an_ellipsis_not_a_line_end():
    assert decode("wait\x85what".encode("latin-1")).splitlines() == ["wait…what"]


def test_plain_is_one_line():
    assert plain(" a\tb\r\nc\x00\u2028d ") == "a b  c  d"


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(CorpusError, match=r"none\.csv: expected a text file, found no file of that name"):
        read(tmp_path / "none.csv")
