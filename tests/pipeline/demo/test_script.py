from __future__ import annotations

import re
from collections import Counter, defaultdict

from bigfusion.pipeline.demo.script import CAST, EXPECTED, lines
from bigfusion.pipeline.schema import Split, Status

EMOTIONS = {"neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"}


def test_every_split_has_every_emotion_and_neutral_leads() -> None:
    for split in Split:
        labels = Counter(line.emotion for line in lines() if line.split is split)
        assert set(labels) == EMOTIONS
        assert labels.most_common(1)[0][0] == "neutral"


def test_dialogues_are_of_the_promised_size() -> None:
    dialogues = defaultdict(list)
    for line in lines():
        dialogues[line.split, line.dialogue].append(line)
    assert Counter(split for split, _ in dialogues) == {Split.TRAIN: 14, Split.VALID: 4, Split.TEST: 6}
    for dialogue in dialogues.values():
        assert 4 <= len(dialogue) <= 9
        assert 2 <= len({line.speaker for line in dialogue}) <= 3
        assert [line.utterance for line in dialogue] == list(range(len(dialogue)))


def test_dialogue_numbers_start_again_in_every_split() -> None:
    for split in Split:
        numbers = sorted({line.dialogue for line in lines() if line.split is split})
        assert numbers == list(range(len(numbers)))


def test_no_sentence_is_said_twice() -> None:
    said = Counter(re.sub(r"\W+", " ", line.words).strip().lower() for line in lines())
    assert said.most_common(1)[0][1] == 1


def test_speakers_are_cast_and_tell_apart() -> None:
    assert {line.speaker for line in lines()} == set(CAST)
    assert len({character.voice for character in CAST.values()}) == len(CAST)
    assert len({character.look for character in CAST.values()}) == len(CAST)


def test_ids_are_those_of_a_manifest() -> None:
    first = lines()[0]
    assert (first.id, first.words) == ("train/dia0_utt0", "You'll never guess what I'm holding. We got the flat!")


def test_spoilt_clips_are_of_five_kinds_and_in_the_first_two_dialogues() -> None:
    assert Counter(EXPECTED.values()) == dict.fromkeys(
        (Status.MISSING_MEDIA, Status.CORRUPT_MEDIA, Status.NO_AUDIO, Status.SILENT, Status.NO_FACE), 1
    )
    assert set(EXPECTED) <= {line.id for line in lines(dialogues=2)}


def test_a_part_of_the_play_is_its_beginning() -> None:
    assert lines(dialogues=99) == lines()
    assert set(lines(dialogues=1)) == {line for line in lines() if line.dialogue == 0}
