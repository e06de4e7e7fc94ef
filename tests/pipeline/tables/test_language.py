"""Another language is noticed in real sentences, and the same language is not taken for another."""

import pytest

from bigfusion.pipeline.demo.script import lines
from bigfusion.pipeline.tables.language import foreign, habits

ENGLISH = [
    "So I told him that we would come over on Saturday if the weather holds.",
    "You did what? And he just said yes, like it was nothing?",
    "I don't know why you are asking me, it was her idea in the first place.",
    "We could take the train and be there before anyone else has had breakfast.",
]
OTHERS = {
    "French": ["Je ne sais pas pourquoi tu me demandes ça, c'était son idée à elle.", "On pourrait prendre le train et"
               " arriver avant que les autres aient fini leur petit déjeuner, qu'est-ce que tu en penses ?"],
    "German": ["Ich weiß nicht, warum du mich das fragst, es war doch von Anfang an ihre Idee.", "Wir könnten den Zug"
               " nehmen und wären da, bevor die anderen mit dem Frühstück fertig sind, was hältst du davon?"],
    "Spanish": ["No sé por qué me lo preguntas a mí, la idea fue suya desde el principio.", "Podríamos tomar el tren y"
                " llegar antes de que los demás hayan terminado de desayunar, ¿qué te parece?"],
    "Russian": ["Я не знаю, почему ты спрашиваешь меня, это была её идея с самого начала."],
    "Chinese": ["我不知道你为什么问我,这从一开始就是她的主意。我们可以坐火车去。"],
}  # fmt: skip


@pytest.fixture(scope="module")
def known():
    return habits([line.words for line in lines()])


def test_english_is_no_other_language_than_english(known):
    assert foreign(ENGLISH, known) == ""


@pytest.mark.parametrize("language", OTHERS)
def test_another_language_is_noticed(known, language):
    assert foreign(OTHERS[language], known)


def test_another_script_is_named_as_such(known):
    assert (
        foreign(OTHERS["Russian"], known) == "100 % of its letters are of a script that the training texts do not use"
    )


def test_nothing_is_said_about_a_few_words(known):
    assert foreign(["Guten Morgen allerseits, hallo."], known) == ""


def test_a_language_without_spaces_is_told_by_its_script_alone():
    chinese = habits(OTHERS["Chinese"] * 30 + ["你好吗", "我很好", "今天天气不错", "我们走吧"])
    assert foreign(["他昨天没有来,因为他的孩子生病了,所以我们今天再见面。"], chinese) == ""
    assert foreign(ENGLISH, chinese)


def test_the_share_by_hand():
    known = habits(["a b a c", "A, b!"])
    assert known.words[:2] == ("a", "b")
    assert known.share == 1
    assert known.scripts == {"latin": 1.0}
