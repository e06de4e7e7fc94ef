import unicodedata

import pytest

from bigfusion.pipeline.corpora.file_names import meet, on_disk

NFC, NFD = (unicodedata.normalize(form, "Zoë/é ü.wav") for form in ("NFC", "NFD"))


def touch(root, path):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(path, encoding="utf-8")


@pytest.mark.parametrize(("named", "there"), [(NFC, NFD), (NFD, NFC)])
def test_a_name_meets_the_file_that_looks_like_it(tmp_path, named, there):
    touch(tmp_path, there)
    assert meet(tmp_path, [named, there, "a.wav", "é.wav"]) == {named: there}
    assert on_disk(tmp_path / named) == tmp_path / there
    assert on_disk(tmp_path / "é.wav") == tmp_path / "é.wav"


def test_the_name_as_it_is_written_comes_first(tmp_path):
    touch(tmp_path, NFC)
    touch(tmp_path, NFD)
    assert meet(tmp_path, [NFC, NFD]) == {}


def test_two_files_that_look_the_same_are_not_chosen_between(tmp_path):
    three = [unicodedata.normalize("NFC", "ộ"), unicodedata.normalize("NFD", "ộ"), "o\u0302\u0323"]
    assert len({unicodedata.normalize("NFC", name) for name in three}) == 1
    for name in three[1:]:
        touch(tmp_path, f"{name}.wav")
    assert meet(tmp_path, [f"{three[0]}.wav"]) == {}
