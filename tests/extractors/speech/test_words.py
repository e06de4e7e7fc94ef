"""Words become utterances: cut at speakers, pauses and length, never within a sentence said in one breath."""

from bigfusion.extractors.speech.words import Turn, Word, speaker_of, utterances


def words(*timed: tuple[float, float, str], segment: int = 0) -> list[Word]:
    return [Word(start=start, end=end, text=text, score=1.0, segment=segment) for start, end, text in timed]


ANNA, BEN = Turn(start=0.0, end=2.0, speaker=0), Turn(start=2.0, end=4.0, speaker=1)


def test_a_change_of_speaker_ends_an_utterance():
    said = utterances(
        words((0.1, 0.5, " Come"), (0.5, 1.0, " here."), (2.1, 2.5, " No"), (2.5, 3.0, " way!")), [ANNA, BEN], 5, 60
    )

    assert [(one.text, one.speaker, one.start, one.end) for one in said] == [
        ("Come here.", 0, 0.1, 1.0),
        ("No way!", 1, 2.1, 3.0),
    ]


def test_sentences_of_one_speaker_are_joined_up_to_a_pause_and_up_to_a_length():
    sentences = words((0.0, 1.0, " One."), (1.3, 2.0, " Two."), (2.9, 3.5, " Three."), (3.6, 4.5, " Four."))
    alone = [Turn(start=0.0, end=5.0, speaker=0)]

    assert [one.text for one in utterances(sentences, alone, 0.6, 60)] == ["One. Two.", "Three. Four."]
    assert [one.text for one in utterances(sentences, alone, 5, 3.5)] == ["One. Two. Three.", "Four."]


def test_a_sentence_in_one_breath_is_the_speakers_of_its_longer_part():
    sentence = words((1.5, 1.9, " You"), (1.9, 2.4, " never"), (2.4, 3.2, " listen."))

    assert [(one.text, one.speaker) for one in utterances(sentence, [ANNA, BEN], 0.6, 60)] == [("You never listen.", 1)]


def test_the_speaker_may_change_at_a_breath_within_a_sentence():
    sentence = words((1.0, 1.6, " Well"), (2.2, 3.0, " what?"))

    assert [(one.text, one.speaker) for one in utterances(sentence, [ANNA, BEN], 2, 60)] == [("Well", 0), ("what?", 1)]


def test_where_nobody_was_heard_the_nearest_turn_says_who_speaks():
    assert speaker_of(4.5, 5.0, [ANNA, BEN]) == 1
    assert speaker_of(4.5, 5.0, []) is None


def test_a_language_without_spaces_keeps_none():
    assert utterances(words((0, 1, "你"), (1, 2, "好。")), [ANNA], 1, 60)[0].text == "你好。"
